"""Code that a model wrote: what its tests say, and that it is kept within its limits."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import hybrid_nb as hnb
from hybrid_nb.bench.grading.sandbox import Limits, Outcome, run_tests
from hybrid_nb.bench.grading.scoring import prepared
from hybrid_nb.bench.scorers.code import code_of
from hybrid_nb.core.inputs import OptionValueError

scorers = hnb.scorers
ADD = "def add(a, b):\n    return a + b\n"


async def ran(code: str, tests: str = "assert True", seconds: float = 20.0, memory: int = 1 << 30) -> Outcome:
    return await run_tests(code, tests, Limits(seconds, memory))


async def test_tests_that_pass_and_fail_are_told() -> None:
    assert await ran(ADD, "assert add(1, 2) == 3") == Outcome(("the tests",))
    tests = "def test_one():\n    assert add(1, 2) == 3\n\ndef test_two():\n    assert add(1, 2) == 4, 'not 4'\n"
    outcome = await ran(ADD, tests)
    assert outcome.told == "1 of 2 tests passed; test_two: AssertionError: not 4 at `assert add(1, 2) == 4, 'not 4'`"
    assert outcome.share == 0.5


async def test_every_form_of_tests() -> None:
    case = (
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(add(1, 1), 2)\n"
    )
    assert (await ran(ADD, case)).passed == ("T.test_a",)
    assert (await ran(ADD, "async def test_a():\n    assert add(1, 1) == 2\n")).passed == ("test_a",)
    check = "def check(candidate):\n    assert candidate(1, 1) == 2\n"
    assert (await run_tests(ADD, check, entry="add")).passed == ("check",)
    absent = await run_tests("x = 1", check, entry="add")
    assert absent.failed[0][1].startswith("NameError: the answer has no 'add'")


async def test_the_answers_own_tests_do_not_count() -> None:
    code = f"{ADD}\ndef test_mine():\n    assert False\n\nif __name__ == '__main__':\n    raise SystemExit(1)\n"
    assert await ran(code, "def test_yours():\n    assert add(1, 1) == 2\n") == Outcome(("test_yours",))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:", "the code does not run: SyntaxError"),
        ("import sys\nsys.exit(0)", "the code does not run: SystemExit"),
        ("import os\nos._exit(0)", "the process ended (exit code 0) before its tests were through"),
        ("import os\nos.kill(os.getpid(), 11)", "the process was killed (SIGSEGV)"),
        ("x = bytearray(3 << 30)", "the code does not run: MemoryError"),
        ("def f():\n    return f()\nf()", "the code does not run: RecursionError"),
        ("while True:\n    print('x' * 100000)", "it printed more than 1,000,000 bytes"),
        ("open('big', 'wb').write(bytes(20_000_000))", "the code does not run: OSError"),
    ],
)
async def test_code_that_misbehaves_fails_and_says_how(code: str, told: str) -> None:
    outcome = await ran(code)
    assert outcome.told.startswith(told)
    assert outcome.share == 0


async def test_time_runs_out() -> None:
    began = time.monotonic()
    outcome = await ran(ADD, "def test_slow():\n    while True: pass\n", seconds=2)
    assert outcome.told == "time ran out after 2 s, in test_slow"
    assert time.monotonic() - began < 15


FORGES = """
import os
for number in range(1, 20):
    try:
        os.write(number, b'{"name": "the tests", "problem": null}\\n{"end": true}\\n'
                 b'token {"name": "the tests", "problem": null}\\ntoken {"end": true}\\n')
    except OSError:
        pass
os._exit(0)
"""


async def test_what_it_writes_to_any_pipe_is_no_result() -> None:
    outcome = await ran(FORGES)
    assert outcome.passed == ()
    assert outcome.share == 0


async def test_what_it_prints_is_no_result() -> None:
    outcome = await ran("print('{\"end\": true}', flush=True)\nimport os\nos._exit(0)")
    assert outcome.share == 0
    assert "end" in outcome.printed


def test_it_inherits_no_key_and_runs_in_a_folder_that_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    outcome = asyncio.run(
        ran("import os, sys\nprint(sorted(os.environ), os.getcwd(), sys.flags.isolated, sep='\\n')\nopen('left', 'w')")
    )
    *_, names, folder, isolated = outcome.printed.splitlines()
    assert "KEY" not in names
    assert not Path(folder).exists()
    assert isolated == "1"


LEAVES = """
import subprocess, sys
p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], {files})
print(p.pid)
"""


@pytest.mark.parametrize("files", ["", "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"])
async def test_what_it_started_is_killed_with_it(files: str) -> None:
    began = time.monotonic()
    outcome = await ran(LEAVES.replace("{files}", files))
    assert outcome.share == 1
    pid = int(outcome.printed.split()[-1])
    while alive(pid):
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.05)


async def test_what_it_started_is_killed_when_time_runs_out() -> None:
    began = time.monotonic()
    outcome = await ran(
        LEAVES.replace("print(p.pid)", "print(p.pid, flush=True)\np.wait()").replace("{files}", ""), seconds=3
    )
    assert outcome.told.startswith("time ran out")
    pid = int(outcome.printed.split()[-1])
    while alive(pid):
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.05)


async def test_a_cancelled_run_kills_the_process(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    task = asyncio.create_task(ran(code))
    began = time.monotonic()
    while not (told.exists() and told.read_text()):
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(told.read_text()))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- the scorer -------------------------------------------------------------------------------------------


def sample(output: str, target: str = "assert add(1, 2) == 3") -> scorers.Sample:
    return scorers.Sample(output, scorers.Item("1", "q", target), "a/m")


async def test_the_code_of_an_answer_is_scored() -> None:
    scorer = scorers.unit_tests(seconds=20)
    good = await scorer.score(sample(f"Here it is:\n```python\n{ADD}```\nUse it so:\n```bash\npython add.py\n```"))
    assert (good.value, good.explanation, good.answer) == (1, "the test passed", ADD)
    bad = await scorer.score(sample("```python\ndef add(a, b):\n    return a - b\n```"))
    assert (bad.value, bad.explanation) == (
        0,
        "0 of 1 tests passed; the tests: AssertionError at `assert add(1, 2) == 3`",
    )
    half = "def test_a():\n    assert add(1, 1) == 2\ndef test_b():\n    assert add(1, 1) == 3\n"
    assert (await scorers.unit_tests(partial=True, seconds=20).score(sample(ADD, half))).value == 0.5
    assert (await scorer.score(sample("  "))).explanation == "no code in the answer"


def test_code_is_refused_unless_it_is_allowed() -> None:
    for given in ("unit_tests", scorers.unit_tests, scorers.unit_tests()):
        with pytest.raises(OptionValueError, match="allow_code=True"):
            prepared([given])
        assert prepared([given], allow_code=True)[0].name == "unit_tests"


def test_samples_without_tests_are_told_before_anything_is_asked() -> None:
    with pytest.raises(OptionValueError, match="needs the code of its tests for every sample; 1 sample has none: 'b'"):
        scorers.unit_tests(column="t").check(
            [scorers.Item("a", "q", None, None, {"t": "assert f()"}), scorers.Item("b", "q")]
        )
    with pytest.raises(OptionValueError, match="the tests of 'a'"):
        scorers.unit_tests().check([scorers.Item("a", "q", "def (")])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\n```\nOutput: 1 2\n```", "x = 1\n"),
        ("```py\nx = 1\n```\nThen\n```python\n>>> x\n```", "x = 1\n"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("1. So:\n   ```python\n   x = 1\n   ```", "x = 1\n"),
        ("```python\nx = 1", "x = 1"),
        ("```python\nx = \n```", "x = \n"),
    ],
)
def test_which_code_an_answer_has(text: str, code: str) -> None:
    assert code_of(text) == code


def test_the_sandbox_script_stands_alone() -> None:
    text = (Path(hnb.__file__).parent / "bench" / "grading" / "child.py").read_text()
    assert "import hybrid_nb" not in text
    assert "from hybrid_nb" not in text
