"""What a model's name tells: how large it is, its family, and whether two names mean the same model. Pure.

Hosts write one model in many ways: "llama3.1:8b" (Ollama), "meta-llama/Llama-3.1-8B-Instruct" (Hugging Face),
"Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf" (llama.cpp), "us.meta.llama3-1-8b-instruct-v1:0" (Bedrock). Two names are
the same only when every word and number that is left after the packaging agrees, the size too; a date, a version
or a word such as "mini", "coder" or "turbo" makes another model.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_QUANTISED = re.compile(
    r"(?<![a-z0-9])(?:i?q\d(?:_[0-9a-z]+)*|(?:fp|bf|f|int)(?:4|8|16|32)|(?:nv|mx)fp4|w\d+a\d+|[2-8]-?bit|"
    r"awq|gptq|gguf|ggml|mlx|exl2|ud)(?![a-z0-9])"
)
_HOST_PREFIX = re.compile(
    r"^(?:(?:us|eu|apac|jp|global)\.)?(?:meta|anthropic|mistral|amazon|cohere|deepseek|qwen|openai)\."
)
_HOST_SUFFIX = re.compile(r"(?:-v\d+:\d+|:latest|:free)$")
_WORDS = re.compile(r"\d+|[^\W\d_]+|\+")  # "command-r+" is not "command-r"
# whose parts of a path a name may lose: makers, and those who only repack. Others may have tuned the model.
_MAKERS = frozenset({
    "01-ai", "accounts", "ai21labs", "allenai", "amazon", "anthropic", "bartowski", "cohere", "cohereforai",
    "coherelabs", "deepseek", "deepseek-ai", "fireworks", "ggml-org", "google", "hf.co", "hugging-quants",
    "huggingfacetb", "ibm-granite", "library", "lmstudio-community", "meta", "meta-llama", "microsoft", "mistral",
    "mistralai", "mlx-community", "models", "moonshotai", "neuralmagic", "nvidia", "openai", "qwen", "redhatai",
    "thebloke", "tiiuae", "unsloth", "x-ai", "z-ai", "zai-org",
})  # fmt: skip
_TUNED = frozenset({"instruct", "chat", "it", "hf"})  # where the size is told, what hosts serve is the tuned model


# words of a model's name -> who made it; a model that was distilled from another has two
_FAMILIES = {
    "gpt": "gpt", "chatgpt": "gpt", "codex": "gpt", "davinci": "gpt",
    "claude": "claude", "gemini": "gemini", "gemma": "gemini", "palm": "gemini",
    "llama": "llama", "codellama": "llama", "vicuna": "llama", "alpaca": "llama",
    "qwen": "qwen", "qwq": "qwen", "qvq": "qwen",
    "mistral": "mistral", "mixtral": "mistral", "ministral": "mistral", "magistral": "mistral", "codestral": "mistral",
    "devstral": "mistral", "pixtral": "mistral", "voxtral": "mistral",
    "deepseek": "deepseek", "phi": "phi", "grok": "grok", "command": "command", "aya": "command", "kimi": "kimi",
    "moonshot": "kimi", "glm": "glm", "chatglm": "glm", "granite": "granite", "nova": "nova", "titan": "nova",
    "nemotron": "nemotron", "olmo": "olmo", "tulu": "olmo", "falcon": "falcon", "smollm": "smollm", "yi": "yi",
    "jamba": "jamba", "minimax": "minimax", "hunyuan": "hunyuan", "ernie": "ernie", "exaone": "exaone",
}  # fmt: skip
_O_SERIES = re.compile(r"(?<![a-z0-9])o[1-9](?![a-z0-9])")


@lru_cache(maxsize=8192)
def families(name: str) -> frozenset[str]:
    """Who made a model, as its name tells; empty where it tells nothing, as that of a group.

    >>> sorted(families("openai/o3-mini")), sorted(families("deepseek-r1-distill-llama-70b"))
    (['gpt'], ['deepseek', 'llama'])
    """
    bare = name.lower().rpartition("/")[2]
    words = re.findall(r"[a-z]+", bare)
    found = {_FAMILIES[word] for word in words if word in _FAMILIES}
    return frozenset(found | ({"gpt"} if _O_SERIES.search(bare) else set()))


@lru_cache(maxsize=8192)
def parameters(name: str) -> float | None:
    """Billions of parameters that a name tells; None when it tells none. "8x7b" is 56: all experts are held.

    >>> parameters("llama3.1:8b"), parameters("Mixtral-8x7B-Instruct"), parameters("gpt-4o")
    (8.0, 56.0, None)
    """
    sizes = [
        int(times or 1) * float(number) / (1000 if unit == "m" else 1)
        for times, number, unit in _SIZE.findall(name.lower())
    ]
    return max(sizes, default=None)


@lru_cache(maxsize=8192)
def canonical(name: str) -> str:
    """A name without its packaging: equal for two names of the same model.

    >>> canonical("meta-llama/Llama-3.1-8B-Instruct") == canonical("llama3.1:8b")
    True
    """
    *path, bare = name.lower().split("/")
    bare = _HOST_SUFFIX.sub("", _HOST_PREFIX.sub("", bare))
    bare = _QUANTISED.sub(" ", bare)
    sizes = sorted(f"{times or 1}x{float(number):g}{unit}" for times, number, unit in _SIZE.findall(bare))
    words = _WORDS.findall(_SIZE.sub(" ", bare))
    if sizes:
        words = [word for word in words if word not in _TUNED]
    elif words[-1:] == ["instruct"]:
        words = words[:-1]
    if words[:2] == ["meta", "llama"]:
        words = words[1:]
    owners = [f"{part}/" for part in path if part not in _MAKERS]
    return " ".join([*owners, *words, *sizes]) if words or sizes else name.lower()


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model, however it is packed. In doubt they do not."""
    return canonical(one) == canonical(other)
