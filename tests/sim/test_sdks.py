"""The vendors' own SDKs must take the simulators for the vendors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types

from hybrid_nb.sim import Fault, Fleet, Handle
from hybrid_nb.sim.tokens import count

PROMPT = "Tell me about tidal energy."
WEATHER = "What is the weather in Paris?"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DESCRIPTION = "Get the weather in a city"
FUNCTION: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": DESCRIPTION, "parameters": PARAMETERS},
}
SCHEMA: Any = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "unit": {"enum": ["none", "metre"]}},
    "required": ["answer", "unit"],
    "additionalProperties": False,
}
TIMEOUT = 5.0
FLOOD = Fault("status", status=429, headers=(("Retry-After", "7"),))


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


# OpenAI


def openai_client(handle: Handle, key: str = "sim-key") -> openai.OpenAI:
    return openai.OpenAI(base_url=handle.base_url, api_key=key, timeout=TIMEOUT, max_retries=0)


@pytest.fixture
def gpt(fleet: Fleet) -> Iterator[openai.OpenAI]:
    with openai_client(fleet["openai"]) as client:
        yield client


def gpt_ask(client: openai.OpenAI, prompt: str = PROMPT, **options: Any) -> Any:
    return client.chat.completions.create(model="simulated-openai", messages=user(prompt), **options)


def test_openai_streams_what_it_says_whole(gpt: openai.OpenAI) -> None:
    whole = gpt_ask(gpt)
    chunks = list(gpt_ask(gpt, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert "simulated" in text
    assert chunks[-1].usage == whole.usage
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (count(PROMPT), count(text))
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert whole._request_id.startswith("req_")


def test_openai_usage_only_on_request(gpt: openai.OpenAI) -> None:
    assert all(chunk.usage is None for chunk in gpt_ask(gpt, stream=True))


def test_openai_limits_and_stops(gpt: openai.OpenAI) -> None:
    short = gpt_ask(gpt, max_completion_tokens=3)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 3)
    stopped = gpt_ask(gpt, "Count to 20", stop=["7"])
    assert stopped.choices[0].message.content == "1, 2, 3, 4, 5, 6, "


def test_openai_tool_round_trip(gpt: openai.OpenAI) -> None:
    first = gpt_ask(gpt, WEATHER, tools=[FUNCTION]).choices[0]
    call = first.message.tool_calls[0]
    assert first.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    messages = [*user(WEATHER), first.message, result]
    last = gpt.chat.completions.create(model="simulated-openai", messages=messages, tools=[FUNCTION])
    assert "18 degrees" in (last.choices[0].message.content or "")


def test_openai_streamed_tool_call(gpt: openai.OpenAI) -> None:
    with gpt.chat.completions.stream(model="simulated-openai", messages=user(WEATHER), tools=[FUNCTION]) as stream:
        final = stream.get_final_completion()
    call = (final.choices[0].message.tool_calls or [])[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_openai_schema(gpt: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}}
    value = json.loads(gpt_ask(gpt, "What is 17 * 23?", response_format=form).choices[0].message.content)
    assert value["answer"] == 391
    assert value["unit"] in ("none", "metre")


def test_openai_images(gpt: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Describe it"}, image]}]
    said = gpt.chat.completions.create(model="simulated-openai", messages=messages)
    assert "I see 1 image." in (said.choices[0].message.content or "")


def test_openai_models(gpt: openai.OpenAI) -> None:
    assert [model.id for model in gpt.models.list()] == ["simulated-openai"]
    assert gpt.models.retrieve("simulated-openai").id == "simulated-openai"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("none")


def test_openai_errors(fleet: Fleet, gpt: openai.OpenAI) -> None:
    with openai_client(fleet["openai"], "wrong") as stranger, pytest.raises(openai.AuthenticationError) as denied:
        gpt_ask(stranger)
    assert denied.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as missing:
        gpt.chat.completions.create(model="none", messages=user(PROMPT))
    assert missing.value.code == "model_not_found"
    fleet["openai"].fail(FLOOD)
    with pytest.raises(openai.RateLimitError) as flood:
        gpt_ask(gpt)
    assert flood.value.response.headers["retry-after"] == "7"
    fleet["openai"].fail(Fault("quota"))
    with pytest.raises(openai.RateLimitError) as spent:
        gpt_ask(gpt)
    assert spent.value.code == "insufficient_quota"
    fleet["openai"].fail(Fault("context_overflow"))
    with pytest.raises(openai.BadRequestError, match="maximum context length is 8192"):
        gpt_ask(gpt)


@pytest.mark.parametrize("kind", ["error_in_stream", "error_then_done"])
def test_openai_error_in_stream(fleet: Fleet, gpt: openai.OpenAI, kind: str) -> None:
    fleet["openai"].fail(Fault(kind, after_tokens=2))
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="overloaded"):
        seen.extend(gpt_ask(gpt, stream=True))
    assert sum(bool(chunk.choices[0].delta.content) for chunk in seen) == 2


@pytest.mark.parametrize("kind", ["split_bytes", "u2028", "wrong_content_type", "no_done"])
def test_openai_survives(fleet: Fleet, gpt: openai.OpenAI, kind: str) -> None:
    fleet["openai"].fail(Fault(kind))
    whole = gpt_ask(gpt).choices[0].message.content
    fleet["openai"].fail(Fault(kind))
    chunks = list(gpt_ask(gpt, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def test_openai_async(fleet: Fleet) -> None:
    async def run() -> str:
        handle = fleet["openai"]
        async with openai.AsyncOpenAI(base_url=handle.base_url, api_key="sim-key", timeout=TIMEOUT) as client:
            stream = await client.chat.completions.create(
                model="simulated-openai", messages=user("What is 12 + 30? Reply with only the number."), stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(run()) == "42"


# Anthropic


def anthropic_client(handle: Handle, key: str = "sim-key") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=handle.base_url, api_key=key, timeout=TIMEOUT, max_retries=0)


@pytest.fixture
def claude(fleet: Fleet) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(fleet["anthropic"]) as client:
        yield client


def claude_ask(client: anthropic.Anthropic, prompt: str = PROMPT, **options: Any) -> Any:
    options = {"max_tokens": 500, "messages": user(prompt), **options}
    return client.messages.create(model="simulated-anthropic", **options)


def claude_stream(client: anthropic.Anthropic, prompt: str = PROMPT, **options: Any) -> Any:
    options = {"max_tokens": 500, "messages": user(prompt), **options}
    with client.messages.stream(model="simulated-anthropic", **options) as stream:
        return stream.get_final_message()


def test_anthropic_streams_what_it_says_whole(claude: anthropic.Anthropic) -> None:
    whole, streamed = claude_ask(claude), claude_stream(claude)
    assert streamed.content[0].text == whole.content[0].text
    assert "simulated" in whole.content[0].text
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert whole.usage.output_tokens == count(whole.content[0].text)
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert whole._request_id.startswith("req_")


def test_anthropic_limits_and_stops(claude: anthropic.Anthropic) -> None:
    assert claude_ask(claude, max_tokens=3).stop_reason == "max_tokens"
    stopped = claude_ask(claude, "Count to 20", stop_sequences=["7"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "7")


@pytest.mark.parametrize("ask", [claude_ask, claude_stream])
def test_anthropic_tool_round_trip(claude: anthropic.Anthropic, ask: Any) -> None:
    tools = [{"name": "get_weather", "description": DESCRIPTION, "input_schema": PARAMETERS}]
    first = ask(claude, WEATHER, tools=tools)
    call = first.content[0]
    assert (first.stop_reason, call.type, call.input) == ("tool_use", "tool_use", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    messages = [*user(WEATHER), {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert "get_weather says: 18 degrees" in ask(claude, tools=tools, messages=messages).content[0].text


def test_anthropic_schema(claude: anthropic.Anthropic) -> None:
    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    said = claude_ask(claude, "What is 17 * 23?", output_config=config)
    assert json.loads(said.content[0].text)["answer"] == 391


def test_anthropic_models(claude: anthropic.Anthropic) -> None:
    assert [model.id for model in claude.models.list()] == ["simulated-anthropic"]
    assert claude.models.retrieve("simulated-anthropic").id == "simulated-anthropic"


def test_anthropic_errors(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    stranger = anthropic_client(fleet["anthropic"], "wrong")
    with stranger, pytest.raises(anthropic.AuthenticationError):
        claude_ask(stranger)
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="none", max_tokens=5, messages=user(PROMPT))
    fleet["anthropic"].fail(FLOOD)
    with pytest.raises(anthropic.RateLimitError) as flood:
        claude_ask(claude)
    assert flood.value.response.headers["retry-after"] == "7"
    fleet["anthropic"].fail(Fault("status", status=529))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        claude_ask(claude)


def test_anthropic_error_in_stream(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    fleet["anthropic"].fail(Fault("error_in_stream", after_tokens=2))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        claude_stream(claude)


def test_anthropic_refusal(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    fleet["anthropic"].fail(Fault("content_filter"), times=2)
    assert claude_ask(claude).stop_reason == claude_stream(claude).stop_reason == "refusal"


def test_anthropic_async(fleet: Fleet) -> None:
    async def run() -> str:
        handle = fleet["anthropic"]
        async with (
            anthropic.AsyncAnthropic(base_url=handle.base_url, api_key="sim-key", timeout=TIMEOUT) as client,
            client.messages.stream(
                model="simulated-anthropic", max_tokens=100, messages=user("Who wrote Hamlet?")
            ) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(run()) == "Hamlet was written by William Shakespeare."


# Gemini


def gemini_client(handle: Handle, key: str = "sim-key") -> genai.Client:
    options = types.HttpOptions(
        base_url=f"http://127.0.0.1:{handle.port}", api_version="v1beta", timeout=int(TIMEOUT * 1000)
    )
    return genai.Client(api_key=key, http_options=options)


@pytest.fixture
def gemini(fleet: Fleet) -> Iterator[genai.Client]:
    client = gemini_client(fleet["gemini"])
    yield client
    client.close()


def gemini_ask(client: genai.Client, contents: Any = PROMPT, **config: Any) -> types.GenerateContentResponse:
    model = "simulated-gemini"
    return client.models.generate_content(
        model=model, contents=contents, config=types.GenerateContentConfig(**config) if config else None
    )


def gemini_stream(client: genai.Client, contents: Any = PROMPT, **config: Any) -> list[Any]:
    settings = types.GenerateContentConfig(**config) if config else None
    return list(client.models.generate_content_stream(model="simulated-gemini", contents=contents, config=settings))


def gemini_tool() -> types.Tool:
    declaration = types.FunctionDeclaration(
        name="get_weather", description=DESCRIPTION, parameters_json_schema=PARAMETERS
    )
    return types.Tool(function_declarations=[declaration])


def test_gemini_streams_what_it_says_whole(gemini: genai.Client) -> None:
    whole, chunks = gemini_ask(gemini), gemini_stream(gemini)
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert "simulated" in (whole.text or "")
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata is not None
    assert whole.usage_metadata.candidates_token_count == count(whole.text or "")
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_gemini_limits(gemini: genai.Client) -> None:
    short = gemini_ask(gemini, max_output_tokens=3)
    assert (short.candidates or [])[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_gemini_tool_round_trip(gemini: genai.Client) -> None:
    config: Any = {
        "tools": [gemini_tool()],
        "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True),
    }
    first = gemini_ask(gemini, WEATHER, **config)
    streamed = gemini_stream(gemini, WEATHER, **config)
    call = (first.function_calls or [])[0]
    assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
    assert streamed[-1].function_calls[0].args == call.args
    answer = types.Part.from_function_response(name="get_weather", response={"output": "18 degrees"})
    asked = types.Content(role="user", parts=[types.Part(text=WEATHER)])
    content = (first.candidates or [])[0].content
    last = gemini_ask(gemini, [asked, content, types.Content(role="user", parts=[answer])], **config)
    assert "get_weather says: 18 degrees" in (last.text or "")


@pytest.mark.parametrize("field", ["response_json_schema", "response_schema"])
def test_gemini_schema(gemini: genai.Client, field: str) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    said = gemini_ask(gemini, "What is 17 * 23?", response_mime_type="application/json", **{field: schema})
    assert json.loads(said.text or "") == {"answer": 391}


def test_gemini_models(gemini: genai.Client) -> None:
    assert [model.name for model in gemini.models.list()] == ["models/simulated-gemini"]
    assert gemini.models.get(model="simulated-gemini").name == "models/simulated-gemini"


def test_gemini_errors(fleet: Fleet, gemini: genai.Client) -> None:
    stranger = gemini_client(fleet["gemini"], "wrong")
    with pytest.raises(errors.ClientError, match="API key not valid") as denied:
        gemini_ask(stranger)
    stranger.close()
    assert denied.value.code == 400
    with pytest.raises(errors.ClientError) as missing:
        gemini.models.generate_content(model="none", contents=PROMPT)
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    fleet["gemini"].fail(FLOOD)
    with pytest.raises(errors.ClientError) as flood:
        gemini_ask(gemini)
    assert (flood.value.code, flood.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "'retryDelay': '7s'" in str(flood.value.details)


@pytest.mark.parametrize("kind", ["error_in_stream", "raw_error"])
def test_gemini_error_in_stream(fleet: Fleet, gemini: genai.Client, kind: str) -> None:
    fleet["gemini"].fail(Fault(kind, after_tokens=2))
    with pytest.raises(errors.APIError, match="overloaded"):
        gemini_stream(gemini)


def test_gemini_blocked(fleet: Fleet, gemini: genai.Client) -> None:
    fleet["gemini"].fail(Fault("content_filter"))
    feedback = gemini_ask(gemini).prompt_feedback
    assert feedback is not None
    assert feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    fleet["gemini"].fail(Fault("content_filter", after_tokens=2))
    assert gemini_stream(gemini)[-1].candidates[0].finish_reason == types.FinishReason.SAFETY


# Ollama


def ollama_client(handle: Handle, key: str = "sim-key") -> Any:
    return ollama.Client(host=handle.base_url, timeout=TIMEOUT, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def llama(fleet: Fleet) -> Iterator[Any]:
    client = ollama_client(fleet["ollama"])
    yield client
    client.close()


def llama_ask(client: Any, prompt: str = PROMPT, **options: Any) -> Any:
    return client.chat("simulated-ollama", user(prompt), **options)


def test_ollama_streams_what_it_says_whole(llama: Any) -> None:
    whole = llama_ask(llama)
    chunks = list(llama_ask(llama, stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == whole.message.content
    assert "simulated" in whole.message.content
    assert chunks[-1].eval_count == whole.eval_count == count(whole.message.content)
    assert chunks[-1].prompt_eval_count == whole.prompt_eval_count == count(PROMPT)
    assert (chunks[-1].done, chunks[-1].done_reason) == (True, "stop")


def test_ollama_limits_and_cuts_the_prompt_silently(llama: Any) -> None:
    short = llama_ask(llama, options={"num_predict": 3, "num_ctx": 2})
    assert (short.done_reason, short.eval_count, short.prompt_eval_count) == ("length", 3, 2)


def test_ollama_tool_round_trip(llama: Any) -> None:
    first = llama_ask(llama, WEATHER, tools=[FUNCTION]).message
    streamed = list(llama_ask(llama, WEATHER, tools=[FUNCTION], stream=True))
    assert first.tool_calls[0].function.arguments == {"city": "Paris"}
    assert streamed[0].message.tool_calls == first.tool_calls
    result = {"role": "tool", "tool_name": "get_weather", "content": "18 degrees"}
    last = llama.chat("simulated-ollama", [*user(WEATHER), first, result], tools=[FUNCTION])
    assert "get_weather says: 18 degrees" in (last.message.content or "")


def test_ollama_schema(llama: Any) -> None:
    assert json.loads(llama_ask(llama, "What is 17 * 23?", format=SCHEMA).message.content)["answer"] == 391


def test_ollama_pages(llama: Any) -> None:
    assert [model.model for model in llama.list().models] == ["simulated-ollama:latest"]
    assert [model.model for model in llama.ps().models] == ["simulated-ollama:latest"]
    assert "tools" in (llama.show("simulated-ollama").capabilities or [])
    assert llama.chat("simulated-ollama", []).done_reason == "load"


def test_ollama_errors(fleet: Fleet, llama: Any) -> None:
    stranger = ollama_client(fleet["ollama"], "wrong")
    with pytest.raises(ollama.ResponseError) as denied:
        llama_ask(stranger)
    stranger.close()
    with pytest.raises(ollama.ResponseError, match="model 'none' not found") as missing:
        llama.chat("none", user(PROMPT))
    fleet["ollama"].fail(FLOOD)
    with pytest.raises(ollama.ResponseError) as flood:
        llama_ask(llama)
    assert [error.value.status_code for error in (denied, missing, flood)] == [401, 404, 429]


def test_ollama_error_in_stream(fleet: Fleet, llama: Any) -> None:
    fleet["ollama"].fail(Fault("error_in_stream", after_tokens=2))
    with pytest.raises(ollama.ResponseError, match="pending requests exceeded"):
        list(llama_ask(llama, stream=True))
