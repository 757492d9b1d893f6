"""The command line, as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybrid_nb import setup
from hybrid_nb.cli import main
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import at
from tests.faults.raw_server import RawServer, answer, said

Run = Callable[..., Result]
Raw = Callable[..., RawServer]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A command over a file of its own; `text` is what the file says beside its ledger."""

    def call(*words: str, text: str = "") -> Result:
        path = tmp_path / "hybrid_nb.toml"
        path.write_text(f'[ledger]\nurl = "sqlite:///{(tmp_path / "ledger.db").as_posix()}"\n\n{text}')
        return CliRunner().invoke(main, [*words, "--config", str(path)])

    return call


@pytest.mark.parametrize("command", ["models", "health", "test"])
def test_without_any_provider_a_command_says_what_to_do(command: str, run: Run) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert "no provider is configured: set a key such as OPENAI_API_KEY" in result.output
    assert "`hybrid-nb demo` runs without any" in result.output


def test_without_any_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("models", text='[[provider]]\nname = "a"\ntype = "custom"\nbase_url = "http://127.0.0.1:9"\n')
    assert (result.exit_code, "no provider told its models" in result.output) == (1, True)


def test_tables(run: Run, fleet: Fleet) -> None:
    for command, sign in (("models", "simulated-openai"), ("health", "healthy"), ("costs", "nothing yet")):
        result = run(command, text=fleet.toml())
        assert (result.exit_code, sign in result.output) == (0, True), result.output


def test_a_provider_that_is_down(run: Run) -> None:
    result = run(
        "test", text='[[provider]]\nname = "a"\ntype = "ollama"\nbase_url = "http://127.0.0.1:9"\nmodels = ["m"]\n'
    )
    assert result.exit_code == 1
    assert result.output.count("no connection to 127.0.0.1") == 1
    assert "FAIL key: not tried" in result.output


def test_the_budget(run: Run, tmp_path: Path, raw: Raw) -> None:
    result = run("budget")
    assert result.exit_code == 0
    assert "no price" not in result.output
    assert [line.split()[0] for line in result.output.splitlines()] == ["limit", "day", "month"]
    with Router(
        {"ledger": {"url": f"sqlite:///{tmp_path}/ledger.db"}, "provider": [at(raw(answer(said("hi"))), prices={})]}
    ) as one:
        one.chat("hi")
    assert "no price is known for a/m: what it cost is not in these sums" in run("budget").output


def test_costs(run: Run) -> None:
    result = run("costs", "--since", "tomorrow")
    assert result.exit_code == 1
    assert "since must be a date such as 2026-11-01, not 'tomorrow'" in result.output
    assert "cannot group by 'flavour'" in run("costs", "--by", "flavour").output
    assert run("costs", "--by", "").exit_code == 0


def test_a_wrong_file_is_one_line(run: Run) -> None:
    result = run("models", text="[router]\nretrys = 1\n")
    assert result.exit_code == 1
    assert "did you mean 'retries'" in result.output
    assert setup.__name__ not in result.output


def test_load_on_a_prompt(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    words = ("load", "--prompt", "What is 2+2?", "--model", "openai/simulated-openai", "--requests", "6")
    result = run(*words, "--limit", "latency_s=5", "--save", str(tmp_path / "run"), text=fleet.toml())
    assert result.exit_code == 0, result.output
    assert "6 calls to 1 model" in result.output
    assert "0 of 6" in result.output
    assert "goodput" in result.output
    again = run(*words, "--save", str(tmp_path / "run"), text=fleet.toml())
    assert again.exit_code == 0
    assert len(fleet["openai"].chats) == 6  # the same command goes on with what is there


def test_load_from_a_file(run: Run, fleet: Fleet, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text\n2+2\n3+3\n4+4\n")
    words = ("load", str(data), "--prompt", "What is {text}?", "--requests", "2", "--rate", "50", "--rate", "100")
    fleet["gemini"].fail(Fault("status", 400), times=None)
    result = run(*words, "--model", "openai/simulated-openai", "--model", "gemini/simulated-gemini", text=fleet.toml())
    assert result.exit_code == 0, result.output
    asked = {chat.body["messages"][-1]["content"] for chat in fleet["openai"].chats}
    assert asked == {"What is 2+2?", "What is 3+3?"}
    assert "2 x gemini/simulated-gemini: InvalidRequestError" in result.output
    absent = run(*words, "--model", "openai/no-such-model", text=fleet.toml())
    assert absent.exit_code == 1
    assert "openai lists no model 'no-such-model'" in absent.output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "name a DATA file, or give a --prompt"),
        (("--prompt", "a", "--rate", "-1"), 1, "above 0 requests a second"),
        (("--prompt", "a", "--max-cost", "much"), 1, "max_cost must be US dollars"),
        (("--prompt", "a", "--limit", "5"), 2, "--limit is written NAME=SECONDS"),
    ],
)
def test_load_says_what_is_wrong(run: Run, fleet: Fleet, words: tuple[str, ...], code: int, told: str) -> None:
    result = run("load", "--model", "openai/simulated-openai", *words, text=fleet.toml())
    assert result.exit_code == code
    assert told in result.output
    assert not fleet["openai"].chats
