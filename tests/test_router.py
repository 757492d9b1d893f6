"""Tools, images, schemas, comparisons and looks, on all four wires."""

from __future__ import annotations

import base64
import datetime as dt
import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from hybrid_nb import Message
from hybrid_nb.core.errors import (
    ConfigError,
    InferenceError,
    MalformedResponseError,
    ModelNotFoundError,
    NoProviderAvailableError,
    UnsupportedFeatureError,
)
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import WIRES, MakeRouter, at, model_of
from tests.faults.raw_server import RawServer, answer, chunked, delta, events, finish, said

Raw = Callable[..., RawServer]
wires = pytest.mark.parametrize("wire", WIRES)


def get_weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"sun in {city}"


class Weather(BaseModel):
    city: str
    celsius: float


# --- tools ------------------------------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_round_of_tools(wire: str, way: str, router: Router) -> None:
    prompt = "Use get_weather for Paris."

    def ask(messages: Any) -> Any:
        options = {"model": model_of(wire), "tools": [get_weather]}
        return router.chat(messages, **options) if way == "chat" else router.stream(messages, **options).reply

    reply = ask(prompt)
    assert reply.finish == "tool_calls"
    (call,) = reply.tool_calls
    assert (call.name, call.args["city"]) == ("get_weather", "Paris")
    assert call.id
    answered = ask([prompt, reply, {"role": "tool", "tool_call_id": call.id, "content": get_weather(**call.args)}])
    assert answered.finish == "stop"
    assert "sun in Paris" in answered.text
    assert "get_weather" in answered.text  # the name of the call found its way back


@wires
def test_two_calls_at_once(wire: str, router: Router) -> None:
    other = {
        "type": "function",
        "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
    reply = router.stream(
        "Use get_weather and get_time for Rome.", model=model_of(wire), tools=[get_weather, other]
    ).reply
    assert sorted(call.name for call in reply.tool_calls) == ["get_time", "get_weather"]
    assert len({call.id for call in reply.tool_calls}) == 2


@wires
def test_the_choice_of_a_tool(wire: str, router: Router) -> None:
    options: dict[str, Any] = {"model": model_of(wire), "tools": [get_weather]}
    assert router.chat("Use get_weather for Paris.", tool_choice="none", **options).tool_calls == ()
    for forced in ("required", "get_weather"):
        if wire == "ollama":
            with pytest.raises(UnsupportedFeatureError):
                router.chat("Hello there.", tool_choice=forced, **options)
        else:
            assert router.chat("Hello there.", tool_choice=forced, **options).tool_calls[0].name == "get_weather"


def test_what_a_function_becomes() -> None:
    from hybrid_nb.core.inputs import to_tool

    def f(a: int, b: list[str], c: Literal["x", "y"], d: float = 1.0, e: str | None = None) -> None:
        """Does f."""

    tool = to_tool(f)
    assert (tool.name, tool.description, tool.parameters["required"]) == ("f", "Does f.", ["a", "b", "c"])
    properties = tool.parameters["properties"]
    assert properties["a"] == {"type": "integer"}
    assert properties["b"] == {"type": "array", "items": {"type": "string"}}
    assert properties["c"]["enum"] == ["x", "y"]
    assert to_tool(Weather).parameters["required"] == ["city", "celsius"]
    for wrong in (5, {"description": "x"}):
        with pytest.raises((TypeError, ValueError), match="tool"):
            to_tool(wrong)


# --- images -----------------------------------------------------------------------------------------------------


def png() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(buffer, "PNG")
    return buffer.getvalue()


@wires
def test_images_in_every_form(wire: str, router: Router, tmp_path: Path, fleet: Fleet) -> None:
    from PIL import Image

    data, path = png(), tmp_path / "red.png"
    path.write_bytes(data)
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    forms = [data, bytearray(data), path, str(path), url, Image.open(path)]
    for form in (*forms, forms):
        count = len(forms) if form is forms else 1
        reply = router.chat("Describe it.", model=model_of(wire), images=form)
        assert f"I see {count} image" in reply.text
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "Describe."}, {"type": "image_url", "image_url": {"url": url}}],
    }
    assert "I see 1 image" in router.stream([message], model=model_of(wire)).reply.text


@pytest.mark.parametrize(
    ("image", "error"), [(b"no image", ValueError), ("/nowhere/x.png", ValueError), (5, TypeError)]
)
def test_what_is_no_image(image: Any, error: type[Exception], router: Router, fleet: Fleet) -> None:
    with pytest.raises(error, match="image"):
        router.chat("hi", model=model_of("openai"), images=[image])
    assert fleet["openai"].chats == []


# --- schemas ----------------------------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_schema_as_class_and_as_dict(wire: str, way: str, router: Router) -> None:
    def ask(schema: Any) -> Any:
        options = {"model": model_of(wire), "schema": schema}
        return (
            router.chat("Weather in Paris: 21 degrees", **options)
            if way == "chat"
            else router.stream("Weather in Paris: 21 degrees", **options).reply
        )

    parsed = ask(Weather).parsed
    assert isinstance(parsed, Weather)
    assert parsed.city == "Paris"
    plain = ask(Weather.model_json_schema()).parsed
    assert plain == {"city": "Paris", "celsius": parsed.celsius}


def test_an_answer_that_does_not_fit_says_where(raw: Raw, make_router: MakeRouter) -> None:
    texts = ['{"city": "Paris"}', "no JSON", '{"city": "Paris", "celsius": "warm"}']
    for text in texts:
        server = raw(answer(said(text)))
        router = make_router([at(server)], retries=1)
        for schema in (Weather, Weather.model_json_schema()):
            server.seen.clear()
            with pytest.raises(MalformedResponseError, match="schema") as caught:
                router.chat("hi", schema=schema)
            assert caught.value.partial_text == text
            assert len(server.seen) == 2  # it is asked again
            assert (router.attempts()["cost_usd"] > 0).all()


def test_a_streamed_answer_that_does_not_fit_is_not_asked_for_again(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(chunked(*events(delta("no JSON"), finish())))
    stream = make_router([at(server), at(server, "b")], retries=2).stream("hi", schema=Weather)
    with pytest.raises(MalformedResponseError, match="not JSON"):
        stream.reply  # noqa: B018
    assert list(stream.text or iter(["no JSON"])) == ["no JSON"]
    assert len(server.seen) == 1


def test_a_fence_around_the_json_is_taken_off(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer(said('```json\n{"city": "Paris", "celsius": 21}\n```')))
    assert make_router([at(server)]).chat("hi", schema=Weather).parsed == Weather(city="Paris", celsius=21)


def test_what_is_no_schema(router: Router) -> None:
    with pytest.raises(TypeError, match="pydantic class or a JSON schema"):
        router.chat("hi", schema="Weather")


# --- prompts and options ------------------------------------------------------------------------------------------


def test_conversations_in_every_form(router: Router, fleet: Fleet) -> None:
    model = model_of("openai")
    first = router.chat("What is 2 + 2?", model=model)
    turns = ["What is 2 + 2?", first, {"role": "user", "content": "And 3 + 3?"}, Message("user", "And 4 + 4?")]
    assert "8" in router.chat(turns, model=model, system="Be brief.").text
    assert [m["role"] for m in fleet["openai"].chats[-1].body["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "user",
    ]


@pytest.mark.parametrize(
    ("prompt", "options", "error", "sign"),
    [
        ("", {}, ValueError, "empty"),
        ([], {}, ValueError, "empty"),
        (5, {}, TypeError, "string or a list"),
        ([{"role": "robot", "content": "x"}], {}, ValueError, "role must be one of"),
        ([{"role": "user", "content": [{"type": "video"}]}], {}, ValueError, "video"),
        ([{"role": "user", "content": 5}], {}, TypeError, "content must be a string or a list of parts, not int"),
        ([{"role": "user", "content": {"type": "text"}}], {}, TypeError, "not dict"),
        ([{"role": "user", "content": [5]}], {}, TypeError, "a message part must be a string or a dict"),
        ([{"role": "user", "content": [{"type": "text"}]}], {}, ValueError, 'needs its "text"'),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, ValueError, "image_url"),
        ([{"role": "assistant", "tool_calls": [{"id": "1"}]}], {}, ValueError, "a tool call needs"),
        ([{"role": "assistant", "tool_calls": 5}], {}, TypeError, "tool_calls must be a list"),
        ("hi", {"stop": 5}, TypeError, "stop must be a string or a list of strings, not 5"),
        ("hi", {"tools": 5}, TypeError, "tools must be a list, such as"),
        ("hi", {"tools": get_weather}, TypeError, "tools must be a list, such as"),
        ("hi", {"tools": [get_weather], "tool_choice": "get_wether"}, ValueError, "did you mean 'get_weather'"),
        ("hi", {"tools": [get_weather], "tool_choice": "zzz"}, ValueError, "there are get_weather, auto"),
        ("hi", {"tool_choice": "required"}, ValueError, "there are no tools"),
        ("hi", {"images": "data:image/png;base64,%%%"}, ValueError, "valid base64"),
        ("hi", {"images": "data:image/png;base64"}, ValueError, "valid base64"),
        ("hi", {"images": "data:text/html;base64,aGk="}, ValueError, "must begin with data:image/"),
        ("hi", {"temprature": 1}, TypeError, "did you mean 'temperature'"),
        ("hi", {"temperature": 3}, ValueError, "between 0 and 2"),
        ("hi", {"temperature": "hot"}, TypeError, "number"),
        ("hi", {"max_tokens": 0}, ValueError, "above 0"),
        ("hi", {"max_cost": "much"}, ValueError, "US dollars"),
        ("hi", {"tier": "moon"}, ValueError, "local, edge, cloud"),
        ("hi", {"timeout": -1}, ValueError, "timeout"),
        ("hi", {"model": "gpt-none"}, ModelNotFoundError, "unknown model"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_sent(
    prompt: Any, options: dict[str, Any], error: type[Exception], sign: str, router: Router, fleet: Fleet
) -> None:
    for ask in (router.chat, router.stream, router.plan):
        with pytest.raises(error, match=sign) as caught:
            ask(prompt, **options)
        kind = "TypeError" if error is TypeError else "ValueError"
        if error in (TypeError, ValueError):  # one line in a notebook, not our frames
            assert caught.value._render_traceback_() == [f"{kind}: {caught.value}"]  # type: ignore[attr-defined]
    assert all(handle.chats == [] for handle in fleet)


@wires
def test_stop_and_max_tokens(wire: str, router: Router) -> None:
    whole = router.chat("Tell me about tides.", model=model_of(wire)).text
    cut = router.chat("Tell me about tides.", model=model_of(wire), max_tokens=5)
    assert cut.finish == "length"
    assert whole.startswith(cut.text)
    stopped = router.chat("Tell me about tides.", model=model_of(wire), stop=["tides"])
    assert stopped.finish == "stop"
    assert stopped.text == whole.partition("tides")[0]


# --- looks --------------------------------------------------------------------------------------------------------


def test_a_comparison_holds_failures_too(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet, retries=0)
    fleet["gemini"].fail(Fault("status", status=503))
    comparison = router.compare("What is 2 + 2?", ["openai/simulated-openai", "gemini/simulated-gemini"])
    assert [reply is not None for reply in comparison.replies] == [True, False]
    assert list(comparison.errors) == ["gemini/simulated-gemini"]
    assert list(comparison.frame["status"]) == ["ok", "error"]
    assert comparison.frame["ttft_s"].notna().tolist() == [True, False]
    assert [side.reply.provider for side in router.compare("hi") if side.reply] == list(WIRES)
    with pytest.raises(ModelNotFoundError):
        router.compare("hi", ["nothing"])
    with pytest.raises(ValueError, match="at least one"):
        router.compare("hi", [])


def test_a_comparison_without_anybody_says_what_to_do(make_router: MakeRouter) -> None:
    with pytest.raises(NoProviderAvailableError, match="no provider is configured: set a key"):
        make_router([]).compare("hi")


def steps_of(router: Router, provider: str) -> list[tuple[bool, str]]:
    table = router.test_provider(provider)
    return [(bool(ok), str(detail)) for ok, detail in zip(table["ok"], table["detail"], strict=True)]


def test_a_test_goes_as_far_as_it_can(fleet: Fleet, make_router: MakeRouter) -> None:
    config = fleet.config()
    router = make_router(
        {**config, "provider": [*config["provider"], {"name": "nokey", "type": "groq", "models": ["m"]}]}, retries=0
    )
    fleet["gemini"].kill()
    fleet["anthropic"].fail(Fault("status", status=401), everywhere=True, times=None)
    not_tried = (False, "not tried")
    connection, *rest = steps_of(router, "gemini")
    assert "ConnectionFailedError" in connection[1]
    assert rest == [not_tried, not_tried]
    (reached, _), (key, told), model = steps_of(router, "anthropic")
    assert (reached, key, model) == (True, False, not_tried)
    assert "AuthenticationError" in told
    connection, (key, told), model = steps_of(router, "nokey")
    assert (connection, key, model) == (not_tried, False, not_tried)
    assert "set GROQ_API_KEY" in told


def test_a_closed_router_says_so(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet)
    router.close()
    router.close()
    for use in (
        lambda: router.chat("hi"),
        lambda: router.plan("hi"),
        router.calls,
        router.attempts,
        router.costs,
        router.health,
        lambda: router.health(check=False),
        lambda: router.test_provider("openai"),
        lambda: router.add_provider({"name": "x", "type": "ollama", "models": ["m"]}),
        lambda: router.configure(retries=1),
    ):
        with pytest.raises(ConfigError, match=r"closed; make a new one with hybrid_nb.Router\(\)"):
            use()


def test_costs_of_everything_and_a_date_that_is_none(router: Router) -> None:
    router.chat("hi", model=model_of("openai"))
    router.chat("hi", model=model_of("gemini"))
    assert list(router.costs(by=None)["calls"]) == [2]
    with pytest.raises(ValueError, match="since must be a date such as 2026-11-01, not 'tomorrow'"):
        router.calls(since="tomorrow")
    with pytest.raises(TypeError, match="since must be"):
        router.costs(since=[])


LEFT_OPEN = """
import gc, sys, time
import hybrid_nb as hnb
fleet = hnb.sim.Fleet().start()
config = {**fleet.config(), "ledger": {"url": "sqlite:///" + sys.argv[1]}}
first = hnb.Router(config)
first.chat("What is 2 + 2?")
transport = first._transport
first = None
gc.collect()
for _ in range(100):
    if transport._session is None:
        break
    time.sleep(0.02)
print("collected:", transport._session is None)
router = hnb.Router(config)
hnb.set_default_router(router)
print(router.chat("What is 2 + 2?").text)
stream = router.stream("Write 300 words about bees")
next(stream)
"""


def test_a_router_that_nobody_closes_ends_quietly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", LEFT_OPEN, str(tmp_path / "ledger.db")],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "collected: True" in done.stdout
    assert "4" in done.stdout


def test_health_tells_who_is_there(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(
        {
            **fleet.config(),
            "provider": [*fleet.config()["provider"], {"name": "nokey", "type": "groq", "models": ["m"]}],
        }
    )
    fleet["gemini"].kill()
    fleet["anthropic"].fail(Fault("status", status=401), everywhere=True)
    table = router.health().set_index("provider")
    assert dict(table["status"]) == {
        "openai": "healthy",
        "anthropic": "down",
        "gemini": "down",
        "ollama": "healthy",
        "nokey": "no key",
    }
    assert "AuthenticationError" in table.loc["anthropic", "last_error"]
    assert "ConnectionFailedError" in table.loc["gemini", "last_error"]
    assert 0 < table.loc["openai", "latency_s"] < 5
    fleet["gemini"].revive()
    assert router.health().set_index("provider").loc["gemini", "status"] == "healthy"
    assert router.health(check=False).set_index("provider").loc["gemini", "uptime"] == 0.5


def test_models_that_are_configured_but_not_there(fleet: Fleet, make_router: MakeRouter) -> None:
    (config,) = [p for p in fleet.config()["provider"] if p["name"] == "openai"]
    router = make_router([{**config, "models": ["simulated-openai", "gone"]}])
    assert router.health()["missing_models"].iloc[0] == "gone"
    assert list(router.test_provider("openai", "gone")["ok"]) == [True, True, False]


def test_tables_of_models_and_providers(router: Router) -> None:
    models = router.models().set_index("provider")
    assert (models.loc["openai", "input_usd_per_mtok"], models.loc["openai", "output_usd_per_mtok"]) == (1.0, 2.0)
    assert models.loc["openai", "available"] == "yes"
    providers = router.providers().set_index("provider")
    assert dict(providers["key"]) == {
        "openai": "config",
        "anthropic": "config",
        "gemini": "config",
        "ollama": "not needed",
    }


def test_a_reply_reads_well(router: Router) -> None:
    reply = router.chat("What is 2 + 2?", model=model_of("openai"))
    assert str(reply) == reply.text
    assert repr(reply) == f"Reply({reply.text!r}, provider='openai', model='simulated-openai', finish='stop')"
    assert "openai/simulated-openai" in reply.footer()
    assert reply.text in reply._repr_markdown_()
    assert str(reply.route).startswith("answered by openai/simulated-openai")
    assert list(reply.route.to_frame().columns) == [
        "provider",
        "model",
        "outcome",
        "error",
        "seconds",
        "cost_usd",
        "part",
    ]


def test_retries_wait_as_long_as_they_were_asked_to(raw: Raw, make_router: MakeRouter) -> None:
    import random

    from hybrid_nb.engine.gate import Gate
    from hybrid_nb.engine.run import Engine
    from hybrid_nb.portal import portal

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    busy = answer({"error": {"message": "slow down"}}, 429, "application/json", "Retry-After: 7")
    failing = answer({"error": {"message": "busy"}}, 503)
    server = raw(busy, failing, failing, answer(said("at last")))
    router = make_router([at(server)], retries=3, retry_delay=1.0)
    engine = router._engine
    gate = Gate(engine.price, None, clock=lambda: time.monotonic() + sum(waits))
    router._engine = Engine(engine.transport, engine.recorder, engine.price, gate, rng=random.Random(4), sleep=sleep)
    assert router.chat("hi").text == "at last"
    assert waits[0] == pytest.approx(7, abs=0.1)
    assert 0 <= waits[1] <= 2
    assert 0 <= waits[2] <= 4
    assert len({round(wait, 6) for wait in waits}) == 3
    assert portal().loop.is_running()


def test_ages_of_a_day_are_dates(router: Router) -> None:
    router.chat("hi", model=model_of("openai"))
    assert dt.date.fromisoformat(router.costs(by="day")["day"].iloc[0])


def test_the_error_of_a_call_knows_its_route(fleet: Fleet, make_router: MakeRouter) -> None:
    router = make_router(fleet, retries=0)
    fleet["openai"].fail(Fault("status", status=503))
    with pytest.raises(InferenceError) as caught:
        router.chat("hi", model=model_of("openai"))
    assert caught.value.route.attempts == caught.value.attempts  # type: ignore[attr-defined]
