"""The benchmark runs, counts right and writes its figures. Nothing here depends on how fast the machine is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.bench", "--clients", "floor,hybrid_nb", *arguments]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("bench") / "figures" / "bench.json"
    table = run("--least", "--at-once", "1,16", "--json", str(path))
    return {**json.loads(path.read_text()), "table": table}


def test_every_cell_has_every_figure(result: dict[str, Any]) -> None:
    cells = {(cell["mode"], cell["at_once"]): cell["clients"] for cell in result["cells"]}
    assert set(cells) == {(mode, number) for mode in ("plain", "stream") for number in (1, 16)}
    for clients in cells.values():
        assert set(clients) == {"floor", "hybrid_nb"}
        assert clients["floor"]["ratio"]["median"] == 1
        for figures in clients.values():
            assert figures["cpu_ms"]["min"] > 0
            assert 0 < figures["p50_ms"] <= figures["p99_ms"]
            assert figures["ratio"]["min"] <= figures["ratio"]["median"] <= figures["ratio"]["max"]


def test_the_same_answers_reach_every_client(result: dict[str, Any]) -> None:
    for cell in result["cells"]:
        lengths = [client["lengths"] for client in cell["clients"].values()]
        assert lengths[0] == lengths[1]
        assert len(lengths[0]) == 1, "an answer was cut"


def test_calls_are_counted_by_clients_server_and_ledger_alike(result: dict[str, Any]) -> None:
    clients = result["clients"]
    for mode in ("plain", "stream"):
        assert result["served"][mode] == sum(client["asked"][mode] for client in clients.values())
    ours = clients["hybrid_nb"]
    assert ours["ledger_rows"] == sum(ours["asked"].values())
    each = (12 * 0.15 + 100 * 0.60) / 1e6  # dollars: the server's usage at the configured prices
    assert ours["ledger_usd"] == pytest.approx(ours["ledger_rows"] * each)


def test_an_import_starts_nothing(result: dict[str, Any]) -> None:
    found = result["imports"]["hybrid_nb"]
    assert (found["threads"], found["network"], found["pandas"]) == (0, [], False)


def test_every_target_is_measured_and_shown(result: dict[str, Any]) -> None:
    assert [target["name"] for target in result["targets"] if target["met"] is None] == []
    for target in result["targets"]:
        assert target["name"] in result["table"]
    assert "hybrid-nb" in result["clients"]["hybrid_nb"]["versions"]
    assert result["machine"]["cores"] >= 1


def test_what_is_not_measured_is_not_called_missed(tmp_path: Path) -> None:
    only = ("--least", "--only-race", "--at-once", "1", "--modes", "plain")
    table = run(*only, "--strict", "--json", str(tmp_path / "b.json"))
    assert "not measured" in table
    assert "MISS" not in table
