"""%llm_explain of a failed cell: what is sent, what is not, and when nobody is asked."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.utils.capture import capture_output

import hybrid_nb as hnb
from hybrid_nb import errors
from hybrid_nb.notebook.explain import Failure, bounded, cleaned, question, secrets_of, trace_of
from hybrid_nb.sim import Fault
from tests.notebook.test_magics import run

KEY, ENV, OWN = "hunter2-one-wonder", "0bd794ac22e1", "qqwweerrttyy"  # no piece of one is in another


def fail(shell, code):
    """A cell that is to fail; its output."""
    with capture_output() as captured:
        result = shell.run_cell(code)
    assert result.error_in_exec or result.error_before_exec
    return captured


def sent(fleet):
    return fleet["openai"].chats[-1].body["messages"][-1]["content"]


def test_a_failed_cell_is_put_to_a_model(shell, fleet):
    fail(shell, "def half(x):\n    return x / 0\n\nhalf(3)")
    shown = run(shell, "%llm_explain openai/simulated-openai --max-cost 0.05 --to why")
    assert "openai/simulated-openai" in shown
    assert shell.user_ns["why"].text
    text = sent(fleet)
    assert "return x / 0" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "half(3)" in text
    assert "interactiveshell" not in text


def test_a_syntax_error_too(shell, fleet):
    fail(shell, "for x in (1, 2:\n    pass")
    run(shell, "%llm_explain openai/simulated-openai")
    assert "SyntaxError" in sent(fleet)


def test_the_latest_is_explained(shell, fleet):
    fail(shell, "1 / 0")
    run(shell, "%%llm openai/simulated-openai\nWhat is 6 * 7?")
    count = len(fleet["openai"].chats)
    assert "answered by openai/simulated-openai" in run(shell, "%llm_explain")
    fail(shell, "1 / 0")
    run(shell, "x = 1")
    assert "answered by openai/simulated-openai" in run(shell, "%llm_explain --route")
    assert len(fleet["openai"].chats) == count
    run(shell, "%llm_explain openai/simulated-openai")
    assert len(fleet["openai"].chats) == count + 1
    fail(shell, "%%llm --nope\nhi")  # told in its line; nothing to explain
    assert "answered by" in run(shell, "%llm_explain")


def test_an_error_of_ours_in_plain_code_is_explained_for_free(shell, fleet):
    shell.user_ns["router"] = hnb.default_router()
    fleet["openai"].fail(Fault("status", status=503), times=None)
    fail(shell, "router.chat('hi', model='openai/simulated-openai')")
    count = len(fleet["openai"].chats)
    told = run(shell, "%llm_explain")
    assert "ServiceUnavailableError" in told
    assert "what to do:" in told
    assert len(fleet["openai"].chats) == count


def test_a_call_that_fails_is_one_line(shell, fleet):
    fail(shell, "1 / 0")
    fleet["openai"].kill()
    with pytest.raises(errors.ConnectionFailedError):
        run(shell, "%llm_explain openai/simulated-openai")


def test_planted_keys_are_neither_sent_nor_shown(shell, fleet, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", ENV)
    hnb.default_router().add_provider(
        {"name": "other", "type": "custom", "base_url": "http://127.0.0.1:9/v1", "models": ["m"], "api_key": KEY}
    )
    shell.user_ns["MY_API_KEY"] = OWN
    planted = [KEY, ENV, OWN, "sk-abcdefghijklmnop", "9876543210ab", "poiuytrewq", "mnbvcxzlkjh"]
    cell = "\n".join(
        [
            f"client = dict(url='https://me:mnbvcxzlkjh@x.test', key='{KEY}', env='{ENV}', other='{OWN}')",
            "openai = 'sk-abcdefghijklmnop'",
            "api_key = '9876543210ab'; headers = {'Authorization': 'Bearer poiuytrewq'}",
            "raise ValueError(f'wrong: {client} {openai} api_key=\"{api_key}\" {headers} {api_key}')",
        ]
    )
    fail(shell, cell)
    shown = run(shell, "%llm_explain openai/simulated-openai --to why")
    outputs = str([output.data for output in shell.last_outputs])
    for text in (sent(fleet), shown, outputs, shell.user_ns["why"].text, hnb.default_router().calls().to_csv()):
        for secret in planted:
            assert secret not in text
    assert "raise ValueError" in sent(fleet)


def test_a_literal_under_a_secrets_name_is_none_of_the_error_either():
    error = ValueError("no such account: lit-PLANTED")
    assert "PLANTED" not in question(Failure(error, "login(account, api_key='lit-PLANTED')"), ["other secret"])


def raised(work):
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_what_is_sent_is_bounded_and_says_what_is_left_out():
    error = ValueError("x" * 50_000)
    text = question(Failure(error, "a = 1\n" * 10_000), [])
    assert len(text) <= 8_000
    assert text.count("characters left out") == 2


@given(st.text(max_size=300), st.integers(100, 400))
def test_bounds_keep_both_ends(text, most):
    found = bounded(text, most)
    assert len(found) <= most
    assert found == text or ("left out" in found and found[:5] == text[:5] and found[-5:] == text[-5:])


@given(st.text(max_size=60), st.text(max_size=60), st.text("abcXYZ019-_", min_size=8, max_size=30))
def test_a_known_secret_never_stays(before, after, secret):
    assert secret not in cleaned(before + secret + after, [secret])


def test_causes_are_told_and_library_frames_counted():
    import json

    def work():
        try:
            json.loads("{")
        except ValueError as error:
            raise RuntimeError("no settings") from error

    text = trace_of(raised(work))
    assert "JSONDecodeError" in text
    assert "RuntimeError: no settings" in text

    def deep(n):
        return deep(n - 1) if n else json.loads("{")

    assert trace_of(raised(lambda: deep(2))).count("json") >= 1


def test_names_of_secrets():
    router = SimpleNamespace(_state=SimpleNamespace(providers={}))
    environ = {
        "A_API_KEY": "aaaa-1",
        "B_API_KEYS": "bbbb-1, bbbb-2",
        "PATH": "/usr/bin",
        "HF_TOKEN": "hf-tok",
        "X_API_KEY": "x",
    }
    names = {"my_api_key": "var-1", "tokens": "no secret", "password": 12, "db_password": "pass-1"}
    found = secrets_of(router, names, environ)
    assert set(found) == {"aaaa-1", "bbbb-1, bbbb-2", "bbbb-1", "bbbb-2", "hf-tok", "var-1", "pass-1"}
    assert found == sorted(found, key=len, reverse=True)
    assert not {"x", "/bin"} & set(found)


@pytest.mark.parametrize("piece", ["x", "token", "api_key", "://", "bearer ", "token='", "sk-", "secret = "])
def test_a_long_text_is_cleaned_in_no_time(piece):
    began = time.process_time()
    cleaned(piece * 300_000, [KEY])
    assert time.process_time() - began < 2
