"""Public tools that measure the same streams of the same vendors, beside us.

AIPerf (`pip install aiperf`, in an environment of its own) is taken by what it exports of every chunk: its raw times
are of the same clock as the vendors' (time.perf_counter_ns), and its metrics are the differences of these. It wants a
tokenizer; a folder that is made here spares it the hub, and its counts are the server's (--use-server-token-count).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import truth_report
from .matching import Came, Held, Sent

if TYPE_CHECKING:
    from .truth import Setting, Vendors

PATIENCE = 300.0  # seconds
TOOLS = ("aiperf",)
_NONE = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
_WORDS = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}
_SPLIT = {"type": "Whitespace"}
_FILES = {
    "tokenizer.json": {"version": "1.0", "added_tokens": [], "pre_tokenizer": _SPLIT, "model": _WORDS, **_NONE},
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"},
    "config.json": {"model_type": "gpt2"},
}  # fmt: skip
Match = Callable[[dict[str, Sent], dict[str, Came]], list[Held]]


def measured(name: str, python: str, setting: Setting, vendors: Vendors, match: Match) -> dict[str, Any]:
    """The streams measured by a tool whose interpreter is `python`."""
    if name not in TOOLS:
        raise SystemExit(f"no tool {name!r}; there are {', '.join(TOOLS)}")
    try:
        with tempfile.TemporaryDirectory(prefix="truth-") as folder:
            vendors.begin()
            version = aiperf(Path(python).parent / "aiperf", setting, url(vendors.config), Path(folder))
            sent, busy = vendors.sent()
            found = truth_report.figures(match(sent, exported(Path(folder) / "out")), setting.streams)
    finally:
        vendors.stop()
    return {"by": f"aiperf {version}", **found, "lag": None, "invalid": [], "cpu": None, "vendor_cpu": busy}


def url(config: dict[str, Any]) -> str:
    """Where the vendor that speaks OpenAI's wire is; AIPerf adds /v1 itself."""
    found = next(provider["base_url"] for provider in config["provider"] if provider["type"] == "openai")
    return str(found).removesuffix("/v1")


def aiperf(command: Path, setting: Setting, base: str, folder: Path) -> str:
    """Run it; returns its version. The warm-up opens the connections, as ours does."""
    for name, content in _FILES.items():
        place = folder / "tokenizer" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(content))
    lines = (json.dumps({"text": one["input"]}) for one in setting.prompts)
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    run([command, "profile", *arguments(setting, base, folder)], folder)
    return run([command, "--version"], folder).split()[-1]


def arguments(setting: Setting, base: str, folder: Path) -> list[str]:
    many = str(setting.streams)
    rate = setting.load.get("rate")
    begun = () if rate is None else ("--request-rate", str(rate), "--arrival-pattern", "constant")
    return [
        "--model", "simulated-openai", "--url", base, "--api-key", "sim-key", "--endpoint-type", "chat", "--streaming",
        "--use-server-token-count", "--use-legacy-max-tokens", "--extra-inputs", f"max_tokens:{setting.tokens}",
        "--tokenizer", str(folder / "tokenizer"), "--input-file", str(folder / "prompts.jsonl"),
        "--custom-dataset-type", "single_turn", "--dataset-sampling-strategy", "sequential",
        "--concurrency", many, "--request-count", many, *begun,
        "--warmup-request-count", many, "--warmup-concurrency", many,
        "--output-artifact-dir", str(folder / "out"), "--export-level", "raw", "--no-auto-plot", "--ui", "none",
    ]  # fmt: skip


def run(command: list[Any], folder: Path) -> str:
    made = subprocess.run(command, cwd=folder, env=alone(), capture_output=True, text=True, timeout=PATIENCE)
    if made.returncode:
        raise RuntimeError(f"{command[0]} ended with {made.returncode}:\n{made.stdout[-1500:]}{made.stderr[-1500:]}")
    return made.stdout


def alone() -> Mapping[str, str]:
    """Its environment: none of our modules, and no proxy."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "pythonpath"}
    return {name: value for name, value in os.environ.items() if name.lower() not in proxies}


def exported(folder: Path) -> dict[str, Came]:
    """What it wrote of each call: when it began, and when each event came."""
    found = {}
    for line in (folder / "profile_export_raw.jsonl").read_text().splitlines():
        call = json.loads(line)
        if call["metadata"]["benchmark_phase"] == "profiling":
            number = call["payload"]["messages"][0]["content"].rpartition(" ")[2].rstrip("]")
            found[f"openai/simulated-openai {number}"] = seen(call)
    return found


def seen(call: dict[str, Any]) -> Came:
    arrivals: list[tuple[float, int, int]] = []
    tokens = None
    for response in call["responses"]:
        for packet in response["packets"]:
            if packet["name"] != "data" or packet["value"] == "[DONE]":
                continue
            event = json.loads(packet["value"])
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            text = "".join(choice["delta"].get("content") or "" for choice in event["choices"])
            if text:
                arrivals.append((response["perf_ns"] / 1e9, len(text), 0))
    return Came(call["start_perf_ns"] / 1e9, arrivals, tokens)
