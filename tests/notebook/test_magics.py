"""The magics in an IPython shell that raises, over simulated vendors."""

from __future__ import annotations

import re

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from pydantic import BaseModel

import hybrid_nb as hnb
from hybrid_nb import errors
from hybrid_nb.notebook.completion import Known, complete
from hybrid_nb.sim import Fault
from hybrid_nb.stream import Stream


class Sum(BaseModel):
    answer: int


def run(shell: InteractiveShell, code: str) -> str:
    """Run a cell; its output. What the cell raised is raised here."""
    with capture_output() as captured:
        result = shell.run_cell(code)
    shell.last_outputs = captured.outputs
    result.raise_error()
    return captured.stdout + "".join(str(o.data.get("text/plain", "")) for o in captured.outputs)


def test_a_cell_asks_and_shows_the_answer_with_its_footer(shell):
    shown = run(shell, "%%llm\nWhat is 6 * 7?")
    assert "42" in shown
    assert "openai/simulated-openai" in shown
    assert "$0.000018" in shown  # 6 tokens at $1 and 6 at $2 per million
    assert "cloud tier, priority 1" in shown


def test_a_cell_goes_where_it_is_told_with_its_options(shell, fleet):
    run(
        shell,
        "%%llm openai/simulated-openai --system 'be brief' --temperature 0.5 --max-tokens 64 --to r\nWhat is 6 * 7?",
    )
    body = fleet["openai"].chats[-1].body
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    assert body["temperature"] == 0.5
    assert body["max_completion_tokens"] == 64
    reply = shell.user_ns["r"]
    assert (reply.provider, reply.finish) == ("openai", "stop")
    assert shell.user_ns["_llm"] is reply


def test_names_are_filled_in_and_other_braces_left(shell, fleet):
    shell.user_ns["city"] = "Lisbon"
    run(shell, '%%llm openai/simulated-openai\nAbout {city}: {"json": 1} {unknown}')
    assert fleet["openai"].chats[-1].body["messages"][-1]["content"] == 'About Lisbon: {"json": 1} {unknown}'


@pytest.mark.parametrize(
    "line", ["r = %llm What is the capital of France?", "r = %llm gemini/simulated-gemini capital of France?"]
)
def test_a_line_returns_the_reply_even_with_a_question_mark(shell, line):
    run(shell, line)
    assert "Paris" in shell.user_ns["r"].text


def test_a_line_shows_its_answer_once(shell):
    assert run(shell, "%llm What is 6 * 7?").count("= 42") == 1


def test_help_on_the_magic_is_still_help(shell):
    assert "Ask a model" in run(shell, "%llm?")


def test_conversations_are_remembered_by_name(shell, fleet):
    run(shell, "%%llm openai/simulated-openai --chat a\nWhat is 1 + 1?")
    run(shell, "%%llm openai/simulated-openai --chat a\nWhat is 2 + 2?")
    turns = [m["role"] for m in fleet["openai"].chats[-1].body["messages"]]
    assert turns == ["user", "assistant", "user"]
    run(shell, "%%llm openai/simulated-openai --chat a --new\nWhat is 3 + 3?")
    assert len(fleet["openai"].chats[-1].body["messages"]) == 1


def test_a_picture_stays_in_its_conversation(shell, fleet):
    shell.user_ns["dot"] = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
    run(shell, "%%llm openai/simulated-openai --chat p --image dot\nWhat is this?")
    run(shell, "%%llm openai/simulated-openai --chat p\nAnd what is 1 + 1?")
    turns = fleet["openai"].chats[-1].body["messages"]
    assert turns[0]["content"][1]["type"] == "image_url"
    assert turns[2]["content"] == "And what is 1 + 1?"


def test_outputs_and_inputs_of_cells_are_sent(shell, fleet):
    shell.run_cell("41 + 1", store_history=True)
    shell.run_cell("%%llm openai/simulated-openai\n{Out[1]} from {In[1]}, {_}, not {Out}x{9}", store_history=True)
    sent = fleet["openai"].chats[-1].body["messages"][0]["content"]
    assert sent == "42 from 41 + 1, 42, not {1: 42}x{9}"
    with pytest.raises(UsageError, match=r"\{Out\[9\]\}: cell 9 has left no output; there are Out\[1\]"):
        run(shell, "%%llm\n{Out[9]}")


def test_a_frame_of_what_was_parsed(shell):
    shell.user_ns["Sum"] = Sum
    run(shell, "%%llm gemini/simulated-gemini --schema list[Sum] --frame sums --to r\nGive three sums")
    parsed, frame = shell.user_ns["r"].parsed, shell.user_ns["sums"]
    assert all(isinstance(item, Sum) for item in parsed)
    assert list(frame["answer"]) == [item.answer for item in parsed]
    assert len(frame) > 0


def test_a_call_in_the_background_of_a_terminal_has_a_handle(shell, fleet):
    run(shell, "%%llm openai/simulated-openai --background --to job --chat b\nWhat is 6 * 7?")
    job = shell.user_ns["job"]
    assert job is shell.user_ns["_llm_job"]
    assert "= 42" in job.reply.text == job.text
    assert job.done
    assert repr(job) == "<background call: done>"
    run(shell, "%%llm openai/simulated-openai --chat b\nWhat is 1 + 1?")
    assert len(fleet["openai"].chats[-1].body["messages"]) == 3
    fleet["openai"].kill()
    run(shell, "%%llm openai/simulated-openai --background\nhi")
    with pytest.raises(errors.ConnectionFailedError):
        run(shell, "_llm_job.reply")
    assert "what to do: is the server up?" in run(shell, "%llm_explain")


def test_a_cancelled_call_in_the_background(shell, fleet):
    fleet["openai"].set(tokens_per_second=5.0)
    run(shell, "%%llm openai/simulated-openai --background --chat c\nWrite 300 words about bees")
    job = shell.user_ns["_llm_job"]
    assert not job.done
    job.cancel()
    with pytest.raises(errors.StreamInterruptedError, match="cancelled"):
        job.reply  # noqa: B018 - it waits for the end
    assert repr(job) == "<background call: failed (StreamInterruptedError)>"
    fleet["openai"].set(tokens_per_second=float("inf"))
    run(shell, "%%llm openai/simulated-openai --chat c\nhi")
    assert len(fleet["openai"].chats[-1].body["messages"]) == 1


def test_a_schema_gives_an_object(shell):
    shell.user_ns["Sum"] = Sum
    run(shell, "%%llm gemini/simulated-gemini --schema Sum --to r\nWhat is 6 * 7?")
    assert shell.user_ns["r"].parsed == Sum(answer=42)


def test_an_image_is_sent(shell, fleet, tmp_path):
    (tmp_path / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 16)
    run(shell, f"%%llm openai/simulated-openai --image {tmp_path / 'dot.png'}\nWhat is this?")
    assert fleet["openai"].chats[-1].body["messages"][0]["content"][1]["type"] == "image_url"


def test_compare_shows_every_model(shell):
    shown = run(shell, "%%llm_compare openai/simulated-openai gemini/simulated-gemini --to c\nWhat is 6 * 7?")
    assert shown.count("= 42") == 2
    assert list(shell.user_ns["c"].frame["provider"]) == ["openai", "gemini"]
    assert {"text/html", "text/markdown"} <= set(shell.last_outputs[0].data)


def test_compare_keeps_a_failure_as_a_row(shell, fleet):
    fleet["gemini"].fail(Fault("status", status=503), times=None)
    run(shell, "%%llm_compare openai/simulated-openai gemini/simulated-gemini --to c\nWhat is 6 * 7?")
    frame = shell.user_ns["c"].frame
    assert list(frame["status"]) == ["ok", "error"]
    assert "ServiceUnavailableError" in frame["error"][1]


def test_tables(shell):
    run(shell, "%%llm openai/simulated-openai\nWhat is 6 * 7?")
    run(shell, "models = %llm_models openai")
    assert list(shell.user_ns["models"]["model"]) == ["simulated-openai"]
    run(shell, "costs = %llm_costs --by provider,day")
    assert list(shell.user_ns["costs"]["provider"]) == ["openai"]
    run(shell, "health = %llm_health")
    assert set(shell.user_ns["health"]["status"]) == {"healthy"}


def test_the_budget(shell):
    run(shell, "%%llm openai/simulated-openai\nWhat is 6 * 7?")
    run(shell, "left = %llm_budget")
    frame = shell.user_ns["left"]
    assert list(frame["limit"]) == ["day", "month"]
    assert frame["spent_usd"][0] == pytest.approx(0.000018)
    with pytest.raises(UsageError, match="'now': %llm_budget takes nothing"):
        run(shell, "%llm_budget now please")


def test_a_latency_need_is_part_of_a_request(shell):
    run(shell, "%%llm --max-ttft 0.25 --to r\nWhat is 6 * 7?")
    assert shell.user_ns["r"].text
    with pytest.raises(UsageError, match="--max-ttft must be a number"):
        run(shell, "%%llm --max-ttft soon\nhi")
    with pytest.raises(UsageError, match="max_ttft"):
        run(shell, "%%llm --max-ttft -1\nhi")


def test_a_quality_need_is_part_of_a_request(shell):
    with pytest.raises(UsageError, match=r"router.configure\(strategy='measured'\)"):
        run(shell, "%%llm --min-quality 0.8\nWhat is 6 * 7?")
    run(shell, "%llm_config strategy=measured")
    run(shell, "%%llm --min-quality 0.8 --max-latency 60 --to r\nWhat is 6 * 7?")
    assert "nobody is known to meet quality >= 0.80 and answer <= 60 s" in shell.user_ns["r"].route.reason


def test_explain_tells_of_the_route_and_of_an_error(shell, fleet):
    fleet["openai"].kill()
    run(shell, "%%llm\nWhat is 6 * 7?")
    told = run(shell, "%llm_explain")
    assert "1. openai/simulated-openai: error" in told
    assert "answered by anthropic/simulated-anthropic" in told
    with pytest.raises(errors.ConnectionFailedError):
        run(shell, "%%llm openai/simulated-openai\nhi")
    told = run(shell, "%llm_explain")
    assert "ConnectionFailedError" in told
    assert "what to do:" in told


def test_explain_tells_of_an_answer_that_was_stopped(shell, fleet, monkeypatch):
    with pytest.raises(errors.ModelNotFoundError):
        run(shell, "%%llm openai-nope\nhi")
    poll = Stream.poll

    def interrupted(stream, timeout):
        if len(stream.text) > 10:
            raise KeyboardInterrupt
        return poll(stream, timeout)

    monkeypatch.setattr(Stream, "poll", interrupted)
    fleet["openai"].set(tokens_per_second=20.0)
    with capture_output():
        shell.run_cell("%%llm openai/simulated-openai\nWrite 300 words about bees")
    told = run(shell, "%llm_explain")
    length = len(shell.user_ns["_llm_partial"])
    assert re.match(rf"stopped by an interrupt after \d\.\d s: {length} characters came", told)
    assert told.strip().endswith("asked: Write 300 words about bees")


def test_explain_tells_of_a_whole_answer_that_was_stopped(shell, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(hnb.Router, "chat", interrupted)
    monkeypatch.setattr(hnb.Router, "compare", interrupted)
    for code in ("%%llm --no-stream\nhi there", "%%llm_compare\nhi there"):
        with capture_output():
            shell.run_cell(code)
        told = run(shell, "%llm_explain")
        assert "nothing had come yet\nasked: hi there" in told


@pytest.mark.parametrize("code", ["%llm_models", "%llm_health", "%%llm_compare\nhi", "%%llm\nhi"])
def test_without_any_provider_a_magic_says_what_to_do(shell, make_router, code):
    hnb.set_default_router(make_router([]))
    with pytest.raises(errors.NoProviderAvailableError, match="no provider is configured: set a key") as caught:
        run(shell, code)
    assert len(caught.value._render_traceback_()) == 1
    assert "asking None" not in str([output.data for output in shell.last_outputs])


def test_config_shows_and_changes(shell):
    assert "retries = 7" in run(shell, "%llm_config retries=7")
    with pytest.raises(errors.ConfigError, match=r"router.retrys: no such key \(did you mean 'retries'\?\)"):
        run(shell, "%llm_config retrys=7")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("%%llm --temprature 1\nhi", "did you mean --temperature?"),
        ("%%llm\n   ", "needs a prompt below its line"),
        ("%llm --system x", "needs a prompt on its line"),
        ("%%llm --temperature 9\nhi", "temperature must be between 0 and 2, not 9.0"),
        ("%%llm --schema Nope\nhi", "no such variable"),
        ("%%llm a b\nhi", "one model at a time"),
        ('%%llm --system "unclosed\nhi', "a quote is not closed"),
        ("%llm_costs --since tomorrow", "since must be a date such as 2026-11-01"),
        ("%%llm --new\nhi", "--new needs --chat NAME"),
        ("%%llm --frame f\nhi", "--frame NAME needs --schema"),
        ("%%llm --background --explain\nhi", "job.reply.route"),
        ("%%llm --image nothing\nhi", "no variable of this name"),
        ("%llm_explain what is this", "one model at a time"),
        ("%llm_explain --system x", "unknown option --system"),
        ("%%llm --image nowhere.png\nhi", "no image at nowhere.png"),
        ("%llm_health nope", "unexpected 'nope': %llm_health takes nothing"),
        ("%llm_costs --by flavour", "cannot group by 'flavour'"),
    ],
)
def test_bad_lines_are_told_in_one_line(shell, code, told, capsys):
    with pytest.raises((UsageError, ValueError), match=r"(?s).*") as caught:
        run(shell, code)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        ("%%llm simulated-opena\nhi", errors.ModelNotFoundError, "did you mean simulated-openai"),
        ("%%llm openai/nope\nhi", errors.ModelNotFoundError, "%llm_models openai"),
        ("%%llm keyless/m\nhi", errors.AuthenticationError, "set OPENAI_API_KEY"),
    ],
)
def test_errors_are_one_short_message(shell, code, error, told):
    hnb.default_router().add_provider({"name": "keyless", "type": "openai", "models": ["m"]})
    with pytest.raises(error) as caught:
        run(shell, code)
    lines = caught.value._render_traceback_()
    assert len(lines) == 1
    assert told in lines[0]


def test_a_broken_stream_keeps_what_came(shell, fleet):
    fleet["openai"].fail(Fault("cut", after_tokens=4))
    with pytest.raises(errors.StreamInterruptedError):
        run(shell, "%%llm openai/simulated-openai\nWrite 30 words about bees")
    partial = shell.user_ns["_llm_partial"]
    assert partial
    assert partial in shell.last_outputs[0].data["text/markdown"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%llm --te", ["--temperature"]),
        ("x = %llm fa", ["fast"]),
        ("%%llm_compare fast f", ["fast"]),
        ("%%time fa", None),
        ("%llm_explain --r", ["--route"]),
        ("%llm_explain fa", ["fast"]),
        ("%%llm --back", ["--background"]),
        ("%%llm --frame ", ["df"]),
        ("x = %llm_models ol", ["ollama"]),
        ("%llm_config ret", ["retries=", "retry_delay="]),
        ("%llm_config strategy=ti", ["strategy=tiered"]),
        ("%llm_config retries=1 failover=", ["failover=true", "failover=false"]),
        ("%llm_config discover=", ["discover=true", "discover=false"]),
        ("%llm_config lo", ["load"]),
        ("%llm_config nested_asyncio ", ["on"]),
        ("%llm_config retries=", []),
        ("llm fa", None),
        ("%llm", None),
    ],
)
def test_completion_of_a_line(text, expected):
    assert complete(text, Known(lambda: ["fast", "slow"], lambda: ["df"], lambda: ["ollama"])) == expected


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("%%llm --max-t", "%%llm --max-tokens"),
        ("r = %llm openai/sim", "r = %llm openai/simulated-openai"),
        ("%llm_config strategy=che", "%llm_config strategy=cheapest"),
        ("%llm_models gem", "%llm_models gemini"),
        ("%llm_explain --rou", "%llm_explain --route"),
    ],
)
def test_completion_in_the_shell_replaces_the_whole_word(shell, typed, completed):
    with provisionalcompleter():
        found = list(shell.Completer.completions(typed, len(typed)))
    assert completed in [typed[: c.start] + c.text + typed[c.end :] for c in found]
