"""router.map on the simulated vendors: what is asked, what comes back, and what is told before anything is sent."""

from __future__ import annotations

import _thread
import asyncio
import datetime as dt
import enum
import re
import threading
import time
from typing import Literal

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from hybrid_nb.core.errors import (
    AuthenticationError,
    BudgetExceededError,
    InvalidRequestError,
    NoProviderAvailableError,
    ServiceUnavailableError,
)
from hybrid_nb.mapping.columns import BESIDE
from hybrid_nb.sim import Fault, tokens
from tests.conftest import model_of

OPENAI = model_of("openai")


class Mood(enum.StrEnum):
    GOOD = "good"
    BAD = "bad"


class Part(BaseModel):
    name: str
    weight: float


class Label(BaseModel):
    mood: Mood
    score: int
    share: float | None
    sure: bool
    parts: list[Part]
    day: dt.date


def sums(n: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(n)}, index=[f"row {i}" for i in range(n)])


def ask(router, frame, prompt="What is {n} + 1?", **options):
    return router.map(frame, prompt, **{"model": OPENAI, "progress": False, **options})


# --- what is asked, and where its answer goes ---------------------------------------------------------------


def test_answers_stand_beside_their_rows(router, fleet):
    frame = sums(20)
    found = ask(router, frame)
    assert list(found.columns) == ["n", "output", *BESIDE]
    assert found.index.equals(frame.index)
    assert found["n"].equals(frame["n"])
    assert list(found.output) == [f"{n} + 1 = {n + 1}." for n in range(20)]
    assert set(found.answered_by) == {OPENAI}
    assert (found.cost_usd > 0).all()
    assert found.error.isna().all()
    assert list(frame.columns) == ["n"]  # the frame itself is as it was


def test_equal_requests_are_asked_once(router, fleet, capsys):
    frame = pd.DataFrame({"n": [1, 2, 1, 1, 2, 3]})
    found = ask(router, frame, progress=True)
    assert len(fleet["openai"].chats) == 3
    assert list(found.output) == [f"{n} + 1 = {n + 1}." for n in frame.n]
    assert list(found.cost_usd > 0) == [True, True, False, False, False, True]  # told once, so that it can be summed
    assert found.cost_usd.sum() == pytest.approx(router.costs(by=None).cost_usd.sum())
    assert "6 rows, 3 distinct" in capsys.readouterr().out


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=40),
    concurrency=st.integers(1, 12),
)
def test_every_row_has_its_own_answer_in_order(router, fleet, numbers, concurrency):
    fleet["openai"].clear()
    frame = pd.DataFrame({"n": pd.array(numbers, dtype="Int64")})
    found = ask(router, frame, concurrency=concurrency, resume=False)
    for number, answer, error in zip(numbers, found.output, found.error, strict=True):
        if number is None:
            assert pd.isna(answer)
            assert error == "n is missing"
        else:
            assert answer == f"{number} + 1 = {number + 1}."
            assert pd.isna(error)
    assert len(fleet["openai"].chats) == len({number for number in numbers if number is not None})


def test_never_more_at_once_than_asked_for(router, fleet):
    fleet["openai"].set(ttft=0.02, tokens_per_second=5000)
    ask(router, sums(24), concurrency=3)
    logs = fleet["openai"].chats
    events = sorted([(log.received, 1) for log in logs] + [(log.ended, -1) for log in logs])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    assert 2 <= most <= 3


def test_a_column_a_series_and_a_function_give_prompts(router):
    frame = pd.DataFrame({"q": ["What is 2 + 3?", None], "a b": [2, 3]})
    assert list(ask(router, frame, "q").output.dropna()) == ["2 + 3 = 5."]
    assert list(ask(router, frame, "q").error.dropna()) == ["the prompt is missing"]
    assert ask(router, frame, frame["q"].str.replace("3", "4"), into="x").x[0] == "2 + 4 = 6."
    assert ask(router, frame, "What is {a b} + {a b:.1f}?").output[0] == "2 + 2.0 = 4."

    def prompt(row):
        if row["a b"] == 3:
            raise KeyError("x")
        return [{"role": "user", "content": f"What is {row['a b']} + 5?"}]

    found = ask(router, frame, prompt)
    assert found.output[0] == "2 + 5 = 7."
    assert found.error[1] == "the prompt's function raised KeyError: 'x'"


def test_braces_that_are_text_are_doubled(router, fleet):
    ask(router, sums(1), 'Write {{"n": {n}}}')
    assert fleet["openai"].chats[-1].body["messages"][-1]["content"] == 'Write {"n": 0}'


def test_options_of_chat_go_into_every_call(router, fleet):
    ask(router, sums(2), system="Be brief.", temperature=0.5, max_tokens=3, tags={"project": "x"})
    bodies = [log.body for log in fleet["openai"].chats]
    assert all(body["temperature"] == 0.5 for body in bodies)
    assert all(body["messages"][0] == {"role": "system", "content": "Be brief."} for body in bodies)
    assert list(router.costs(by="tag:project").calls) == [2]


# --- columns ------------------------------------------------------------------------------------------------


def test_fields_of_a_class_are_typed_columns(router):
    found = ask(router, sums(3), "About {n}", output=Label)
    assert {name: str(found[name].dtype) for name in Label.model_fields} == {
        "mood": "string", "score": "Int64", "share": "Float64", "sure": "boolean", "parts": "object", "day": "object",
    }  # fmt: skip
    assert set(found.mood) <= {"good", "bad"}
    assert isinstance(found.day.iloc[0], dt.date)
    assert set(found.parts.iloc[0][0]) == {"name", "weight"}
    again = ask(router, sums(3), "About {n}", output=Label)
    pd.testing.assert_frame_equal(found, again)


def test_a_json_schema_and_types_are_columns_too(router):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "array"}},
        "required": ["a", "b"],
    }
    found = ask(router, sums(2), output=schema)
    assert [str(found[name].dtype) for name in ("a", "b")] == ["Int64", "object"]
    for kind, dtype in ((int, "Int64"), (bool, "boolean"), (Literal["x", "y"], "string"), (list[int], "object")):
        found = ask(router, sums(2), output=kind, into="v")
        assert str(found.v.dtype) == dtype
        assert found.v.notna().all()
    assert list(found.columns) == ["n", "v", "v_answered_by", "v_cost_usd", "v_error"]


def test_a_field_of_an_alias_is_a_column_by_its_name(router):
    class Aliased(BaseModel):
        size: int = Field(alias="theSize")

    found = ask(router, sums(1), output=Aliased)
    assert str(found["size"].dtype) == "Int64"
    assert found["size"].notna().all()


def test_an_empty_frame_has_the_columns_and_asks_nothing(router, fleet):
    found = ask(router, sums(0), output=Label, into="x")
    assert len(found) == 0
    assert str(found.x_score.dtype) == "Int64"
    assert not fleet["openai"].chats


# --- told before anything is sent ---------------------------------------------------------------------------


class Costly(BaseModel):
    cost_usd: float


@pytest.mark.parametrize(
    ("prompt", "options", "told"),
    [
        ("About {m}", {}, "no column 'm' (one of: n)"),
        ("About {n", {}, "a brace that is text is written twice"),
        ("About {}", {}, "{} names no column"),
        ("About {n!z}", {}, "no !z"),
        ("Tell a joke", {}, "names no column: write one in braces"),
        ("nn", {}, "no column 'nn' (did you mean 'n'?)"),
        (7, {}, "the prompt must be a template"),
        (pd.Series(["a"]), {}, "1 prompts for 3 rows"),
        (pd.Series(["a", "b", "c"]), {}, "index is not the frame's"),
        ("{n}", {"output": 7}, "output must be a pydantic class"),
        ("{n}", {"output": Costly}, "a field 'cost_usd'"),
        ("{n}", {"into": "n"}, "has 'n' already"),
        ("{n}", {"into": ""}, "into must be"),
        ("{n}", {"concurrency": 0}, "concurrency must be"),
        ("{n}", {"on_error": "ignore"}, "on_error must be"),
        ("{n}", {"max_cost": "much"}, "max_cost must be"),
        ("{n}", {"temprature": 1}, "did you mean 'temperature'?"),
        ("{n}", {"schema": int}, "give it as output="),
        ("{n}", {"tools": [print]}, "asks for answers only"),
    ],
)
def test_mistakes_are_told_before_spending(router, fleet, prompt, options, told):
    with pytest.raises((ValueError, TypeError), match=re.escape(told)):
        ask(router, sums(3), prompt, **options)
    assert not fleet["openai"].chats


def test_a_frame_is_needed(router):
    with pytest.raises(TypeError, match="pandas DataFrame, not list"):
        ask(router, [1, 2])


@pytest.mark.parametrize("columns", [["7", "7"], [7, "7"]])
def test_two_columns_of_one_name_are_told(router, columns):
    frame = pd.DataFrame([[1, 2]], columns=columns)
    with pytest.raises(ValueError, match="2 columns '7'"):
        ask(router, frame, "What is {7} + 1?")


def test_a_limit_that_nothing_can_reach_is_none(router):
    assert ask(router, sums(2), max_cost=1e30).error.isna().all()


def test_a_function_that_gives_another_prompt_each_time_is_told(router, fleet):
    count = iter(range(100))
    with pytest.raises(ValueError, match="another prompt each time"):
        ask(router, sums(2), lambda row: f"What is {next(count)} + 1?")
    assert not fleet["openai"].chats


# --- errors -------------------------------------------------------------------------------------------------


def test_a_row_that_fails_is_kept_with_its_error_and_asked_again_next_time(router, fleet):
    broken = Fault("status", status=400)
    fleet["openai"].fail(broken, times=1, match=lambda log: "What is 3 +" in str(log.body))
    found = ask(router, sums(5))
    assert list(found.error.notna()) == [False, False, False, True, False]
    assert found.error.iloc[3].startswith("InvalidRequestError: ")
    assert pd.isna(found.output.iloc[3])
    again = ask(router, sums(5))
    assert again.error.isna().all()
    assert len(fleet["openai"].chats) == 6


def test_on_error_raise_raises_and_keeps_what_is_done(router, fleet):
    fleet["openai"].fail(Fault("status", status=400), times=1, match=lambda log: "What is 3 +" in str(log.body))
    with pytest.raises(InvalidRequestError):
        ask(router, sums(5), on_error="raise", concurrency=1)
    ask(router, sums(5))
    assert len(fleet["openai"].chats) == 6


def test_a_refused_key_stops_early_and_says_what_is_kept(router, fleet):
    ask(router, sums(3))
    fleet["openai"].clear()
    fleet["openai"].fail(Fault("status", status=401), times=None)
    with pytest.raises(AuthenticationError, match=r"3 answers are kept, and not asked for again"):
        ask(router, sums(1000))
    assert len(fleet["openai"].chats) < 20


def test_a_vendor_that_is_down_stops_early_too(make_router, fleet):
    router = make_router(fleet, retries=0, breaker_threshold=10_000)
    fleet["openai"].fail(Fault("status", status=503), times=None)
    with pytest.raises((ServiceUnavailableError, NoProviderAvailableError), match="requests not asked"):
        ask(router, sums(1000))
    assert len(fleet["openai"].chats) < 60


def test_rows_that_no_model_takes_do_not_keep_the_others_answers_back(router, fleet):
    """Asked for once more they are alone, one after another; the frame comes nevertheless."""
    refused = r"What is \d*[37] "
    fleet["openai"].fail(
        Fault("status", status=400), times=None, match=lambda log: re.search(refused, str(log.body)) is not None
    )
    first = ask(router, sums(100))
    again = ask(router, sums(100))
    assert first.error.notna().sum() == 20
    pd.testing.assert_frame_equal(again, first)
    assert len(fleet["openai"].chats) == 120


def test_requests_that_nobody_takes_at_all_end_it(router, fleet):
    fleet["openai"].fail(Fault("status", status=400), times=None)
    with pytest.raises(InvalidRequestError, match="requests not asked"):
        ask(router, sums(100))
    assert len(fleet["openai"].chats) < 30


def test_what_opened_the_breaker_is_told(make_router, fleet):
    router = make_router(fleet, retries=0)
    fleet["openai"].fail(Fault("html200"), times=None)
    with pytest.raises(NoProviderAvailableError, match=r"breaker is open.*before that: MalformedResponseError"):
        ask(router, sums(100))


def test_when_every_row_was_tried_the_frame_comes(make_router, fleet):
    router = make_router(fleet, retries=0)
    fleet["openai"].fail(Fault("status", status=401), times=None)
    found = ask(router, sums(5))
    assert found.error.notna().all()


def test_an_answer_that_was_cut_is_an_error_of_its_row(router):
    found = ask(router, sums(1), output=Label, max_tokens=3)
    assert "error" in found.columns
    assert found.error.notna().all()
    assert found.score.isna().all()


# --- going on -----------------------------------------------------------------------------------------------


def test_what_was_finished_is_not_asked_again_in_another_session(make_router, fleet, capsys):
    first = ask(make_router(fleet), sums(10))
    other = make_router(fleet)
    again = ask(other, sums(12), progress=True)
    assert len(fleet["openai"].chats) == 12
    pd.testing.assert_frame_equal(again.iloc[:10], first)
    assert "12 rows, 12 distinct, 10 answered before; asking 2" in capsys.readouterr().out


def test_resume_false_asks_again_and_forget_map_drops(router, fleet):
    ask(router, sums(3))
    ask(router, sums(3), resume=False)
    assert len(fleet["openai"].chats) == 6
    assert router.forget_map(dt.timedelta(hours=1)) == 0
    assert router.forget_map() == 3
    ask(router, sums(3))
    assert len(fleet["openai"].chats) == 9


def test_other_options_are_other_requests(router, fleet):
    ask(router, sums(2))
    ask(router, sums(2), temperature=0.1)
    ask(router, sums(2), output=str)
    ask(router, sums(2), model=model_of("anthropic"))
    assert len(fleet["openai"].chats) == 6
    assert len(fleet["anthropic"].chats) == 2


def test_answers_from_the_cache_are_kept_too(router, fleet):
    router.chat("What is 0 + 1?", model=OPENAI, cache="on")
    found = ask(router, sums(1), cache="on")
    assert (found.output.iloc[0], found.cost_usd.iloc[0]) == ("0 + 1 = 1.", 0.0)
    assert ask(router, sums(1)).output.iloc[0] == "0 + 1 = 1."
    assert len(fleet["openai"].chats) == 1


def test_an_interrupt_keeps_what_is_finished(router, fleet, capsys):
    fleet["openai"].set(ttft=0.02, tokens_per_second=5000)
    threading.Thread(target=_interrupt_after, args=(fleet["openai"], 40)).start()
    with pytest.raises(KeyboardInterrupt):
        ask(router, sums(400), concurrency=4)
    told = capsys.readouterr().out
    assert "run it again to go on from there" in told
    kept = int(told.split("interrupted: ")[1].split(" of")[0])
    before = len(fleet["openai"].chats)
    assert 0 < kept <= before < 400
    fleet["openai"].set(ttft=0.0)
    found = ask(router, sums(400))
    assert found.error.isna().all()
    assert len(fleet["openai"].chats) - before <= 400 - kept
    assert len(fleet["openai"].chats) <= 400 + 4  # only what was under way is asked twice


def _interrupt_after(vendor, chats: int) -> None:
    give_up = time.monotonic() + 30
    while len(vendor.chats) < chats and time.monotonic() < give_up:
        time.sleep(0.005)
    _thread.interrupt_main()


async def test_amap_answers_and_ends_when_it_is_cancelled(router, fleet):
    found = await router.amap(sums(3), "What is {n} + 1?", model=OPENAI, progress=False)
    assert list(found.output) == ["0 + 1 = 1.", "1 + 1 = 2.", "2 + 1 = 3."]
    fleet["openai"].set(ttft=0.05, tokens_per_second=5000)
    task = asyncio.create_task(router.amap(sums(1000), "Is {n} odd?", model=OPENAI, progress=False))
    for _ in range(1000):
        if len(fleet["openai"].chats) >= 10:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(50):
        before = len(fleet["openai"].chats)
        await asyncio.sleep(0.1)
        if len(fleet["openai"].chats) == before:
            break
    assert before < 500


# --- money --------------------------------------------------------------------------------------------------


def spent(fleet) -> float:
    """Dollars by the vendor's own account."""
    logs = fleet["openai"].chats
    asked = sum(tokens.count(message["content"]) for log in logs for message in log.body["messages"])
    return asked * 1e-6 + sum(log.tokens_out for log in logs) * 2e-6


def test_max_cost_is_not_passed_and_the_rest_is_told(router, fleet, capsys):
    found = ask(router, sums(200), max_cost=0.001, max_tokens=20, progress=True)
    done = found.error.isna()
    assert 0 < done.sum() < 200
    assert found.cost_usd.sum() == pytest.approx(spent(fleet))
    assert spent(fleet) <= 0.001
    assert found.error[~done].str.startswith("not asked: max_cost $0.001 would be passed").all()
    out = capsys.readouterr().out
    assert "likely $" in out
    assert "max_cost $0.001" in out
    again = ask(router, sums(200), max_cost=0.01, max_tokens=20)
    assert again.error.isna().all()
    assert len(fleet["openai"].chats) == 200


def test_on_error_raise_raises_when_the_money_is_gone(router, fleet):
    with pytest.raises(BudgetExceededError, match="answers are kept, and not asked for again"):
        ask(router, sums(200), max_cost=0.001, max_tokens=20, on_error="raise")
    assert spent(fleet) <= 0.001


def test_retries_count_against_max_cost(router, fleet):
    fleet["openai"].fail(Fault("html200"), times=None)  # sent, and what it cost nobody knows
    found = ask(router, sums(40), max_cost=0.001, max_tokens=100)
    assert found.error.notna().all()
    assert found.error.str.startswith("not asked: max_cost").any()
    assert 1 <= len(fleet["openai"].chats) <= 5  # of some $0.0002 each at most


def test_max_cost_of_nothing_asks_nothing(router, fleet):
    found = ask(router, sums(5), max_cost=0)
    assert found.error.str.startswith("not asked").all()
    assert not fleet["openai"].chats


def test_max_cost_of_an_unknown_price_is_refused_before(make_router, fleet):
    config = fleet.config()
    for provider in config["provider"]:
        provider.pop("prices", None)
    router = make_router(config)
    with pytest.raises(BudgetExceededError, match="price of openai/simulated-openai is unknown"):
        ask(router, sums(3), max_cost=1)
    assert not fleet["openai"].chats


def test_the_budget_stops_a_map_and_what_is_done_stays(make_router, fleet, capsys):
    router = make_router({**fleet.config(), "budget": {"daily_usd": 0.001, "monthly_usd": None}})
    found = ask(router, sums(200), max_tokens=20, progress=True)
    done = found.error.isna()
    assert 0 < done.sum() < 200
    assert spent(fleet) <= 0.001
    assert found.error[~done].str.contains("not asked: the daily budget of \\$0.001").all()
    assert "the budget leaves $0.001" in capsys.readouterr().out


# --- the accessor -------------------------------------------------------------------------------------------


def test_frames_have_an_accessor(router):
    import hybrid_nb.pandas  # noqa: F401

    found = sums(2).llm.map("What is {n} + 1?", router=router, model=OPENAI, progress=False)
    assert list(found.output) == ["0 + 1 = 1.", "1 + 1 = 2."]
    assert "2 rows" in repr(sums(2).llm)


def test_a_short_outage_is_waited_out(make_router, fleet, capsys):
    router = make_router(fleet, breaker_threshold=2, breaker_seconds=0.4, retries=0)
    ask(router, sums(2), concurrency=1)
    fleet["openai"].fail(Fault("status", status=500), times=1, match=lambda log: "2 + 1" in str(log.body))
    fleet["openai"].fail(Fault("status", status=500), times=1, match=lambda log: "3 + 1" in str(log.body))
    found = ask(router, sums(12), concurrency=1, resume=False, progress=True)
    failed = found[found["error"].notna()]
    assert set(failed["n"]) == {2, 3}  # they opened the breaker; the others waited
    assert "waits" in capsys.readouterr().out
    assert ask(router, sums(12))["error"].isna().all()


def test_a_setting_that_is_nearly_right_is_named(router, fleet):
    with pytest.raises(TypeError, match="unknown option 'outptu': did you mean 'output'"):
        ask(router, sums(2), outptu=int)
    assert not fleet["openai"].chats
