"""The public door: files may move behind it, these names may not."""

import hybrid_nb as hnb
from hybrid_nb import errors


def test_the_door() -> None:
    assert sorted(hnb.__all__) == [
        "Arena", "BenchmarkPanel", "ChatCell", "Comparison", "CostTable", "Dashboard", "HealthPanel", "Image",
        "Message", "ProviderManager", "ProviderSelector", "Reply", "Route", "RoutePlan", "Router", "Run", "Stream",
        "Tool",
        "ToolCall", "Usage", "__version__", "default_router", "errors",
        "load_ipython_extension", "scorers", "set_default_router", "sim",
    ]  # fmt: skip
    for name in hnb.__all__:
        assert getattr(hnb, name) is not None
    assert dir(hnb) == sorted(hnb.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(hnb, "Routr")


def test_the_errors() -> None:
    kinds = [n for n, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert sorted(kinds) == [
        "AuthenticationError", "BudgetExceededError", "ConfigConflictError", "ConfigError",
        "ConnectionFailedError", "ContentFilterError",
        "ContextLengthError", "HybridNbError", "InferenceError", "InvalidRequestError", "MalformedResponseError",
        "ModelNotFoundError", "NoProviderAvailableError", "PermissionDeniedError", "ProviderError",
        "ProviderTimeoutError", "QuotaExceededError", "RateLimitError", "ReplayMissError",
        "ServiceUnavailableError", "StreamInterruptedError", "UnsupportedFeatureError",
    ]  # fmt: skip


def test_the_options_of_a_call() -> None:
    from hybrid_nb.core.inputs import OPTIONS

    assert OPTIONS == (
        "model", "system", "temperature", "top_p", "max_tokens", "stop", "seed", "tools", "tool_choice", "schema",
        "images", "timeout", "max_cost", "max_ttft", "tier", "tags", "cache", "resume",
        "min_quality", "max_latency", "explore",
    )  # fmt: skip


def test_the_members_of_a_router() -> None:
    members = {name for name in dir(hnb.Router) if not name.startswith("_")}
    assert members >= {
        "achat", "add_provider", "attempts", "benchmark", "calls", "chat", "close", "compare", "configure", "costs",
        "evidence", "feedback", "forget", "health", "learn", "models", "plan", "providers", "remove_provider", "save",
        "start_benchmark", "stream", "test_provider", "update_provider",
    }  # fmt: skip
