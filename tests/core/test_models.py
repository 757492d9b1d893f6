"""What a model's name tells."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.models import canonical, parameters, same_model
from hybrid_nb.providers import vendor

ALIKE = (
    (
        "llama3.1:8b", "llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct", "Meta-Llama-3.1-8B-Instruct",
        "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama3.1:8b-instruct-q8_0", "us.meta.llama3-1-8b-instruct-v1:0",
        "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M", "neuralmagic/Llama-3.1-8B-Instruct-FP8",
        "meta-llama/llama-3.1-8b-instruct:free", "mlx-community/Llama-3.1-8B-Instruct-4bit",
    ),
    ("gemma2:9b", "google/gemma-2-9b-it", "gemma-2-9b-it-awq"),
    ("mistral", "mistral:latest"),
    ("gpt-4o", "openai/gpt-4o", "GPT-4o"),
    ("claude-3-5-haiku", "anthropic/claude-3.5-haiku"),
    ("qwen2.5:0.5b", "Qwen/Qwen2.5-0.5B-Instruct"),
    ("mixtral:8x7b", "mistralai/Mixtral-8x7B-Instruct"),
)  # fmt: skip
OTHERS = (
    "llama3.1:70b", "llama3:8b", "llama-3.1-8b-instant", "alice/Llama-3.1-8B-Instruct", "codellama:8b",
    "gpt-4o-mini", "gpt-4o-2024-08-06", "gpt-4", "mistral:7b", "mistral-large", "gemma2:27b", "qwen2.5-coder:0.5b",
    "claude-3-7-haiku", "mixtral:8x22b", "command-r", "command-r+", "deepseek-chat", "deepseek-reasoner",
    "模型", "型模", "org/model", "other/model", "model",
)  # fmt: skip


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0])
def test_one_model_under_its_names(names: tuple[str, ...]) -> None:
    assert {canonical(name) for name in names} == {canonical(names[0])}
    assert same_model(names[0], names[-1])
    assert len({parameters(name) for name in names}) == 1


def test_other_models_stay_apart() -> None:
    names = [*(names[0] for names in ALIKE), *OTHERS]
    same = [pair for pair in itertools.combinations(names, 2) if same_model(*pair)]
    assert same == []


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama3.1:8b", 8), ("Llama-3.3-70B-Instruct", 70), ("mixtral:8x7b", 56), ("smollm2:135m", 0.135),
        ("qwen2.5:0.5b", 0.5), ("qwen3-30b-a3b", 30), ("gpt-4o", None), ("phi3", None), ("command-r7b", None),
        ("llama-3.1-128k", None), ("3.2B", 3.2), ("", None),
    ],
)  # fmt: skip
def test_the_size_that_a_name_tells(name: str, billions: float | None) -> None:
    assert parameters(name) == billions


def test_the_size_that_a_server_tells() -> None:
    listed = {"models": [{"model": "phi3:latest", "details": {"parameter_size": "3.8B"}}, {"model": "x:7b"}]}
    found = vendor("ollama").wire.decode_models(listed)
    assert [(info.id, info.parameters) for info in found] == [("phi3:latest", 3.8), ("x:7b", None)]


@settings(derandomize=True, max_examples=300)
@given(st.text(min_size=1, max_size=40))
def test_any_text_is_a_name(name: str) -> None:
    assert canonical(name)
    assert same_model(name, name)
    size = parameters(name)
    assert size is None or size >= 0


@settings(derandomize=True, max_examples=200)
@given(st.sampled_from(["llama", "qwen-coder", "phi"]), st.integers(1, 400), st.integers(1, 400))
def test_sizes_must_match(family: str, one: int, other: int) -> None:
    assert same_model(f"{family}-{one}b", f"{family}:{other}b-instruct-q4_0") == (one == other)
