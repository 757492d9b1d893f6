"""Public tools that measure the same streams of the same vendors, beside us."""

from typing import Any

TOOLS = ("guidellm", "aiperf")


def measured(*a: Any) -> dict[str, Any]:
    raise NotImplementedError
