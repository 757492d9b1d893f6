"""A configuration text as it may be shown: keys in it are marks, which can be turned back. Pure.

A text with mistakes cannot be parsed, so what may be a key is known by where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_VALUE = r'"""[\s\S]*?"""' + r"|'''[\s\S]*?'''" + r'|"(?:\\.|[^"\n\\])*"' + r"|'[^'\n]*'|[^\n]*"
_KEY = re.compile(rf"""(?P<before>(?i:api[_-]?key)s?["']?[ \t]*[=:][ \t]*)(?P<secret>{_VALUE})""")
_IN_ADDRESS = re.compile(r"""(?P<before>://)(?P<secret>[^/\s"'@]+@)|(?P<at>[?&][\w.-]+=)(?P<query>[^&\s"'#]+)""")
_LOOKS = re.compile(r"(?i)\b(?:(?:sk|gsk|pk|xai|hf)[-_.]|key-|AIza|ya29)[A-Za-z0-9_\-.*]{8,}")
_REFERENCE = re.compile(r"""["']\s*(?:env|keyring):[\w\[\].-]*\s*["'][^\n]*|\s*""")


class Masked(NamedTuple):
    """The text with marks, and what each stands for. Its repr holds nothing of that."""

    text: str
    secrets: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<text with {len(self.secrets)} keys masked>"


def mask(text: str) -> Masked:
    """The text with `<key 1>` ... where keys stand."""
    secrets: dict[str, str] = {}

    def mark(secret: str) -> str:
        number = len(secrets) + 1
        while f"<key {number}>" in text or f"<key {number}>" in secrets:
            number += 1
        secrets[f"<key {number}>"] = secret
        return f"<key {number}>"

    def named(found: re.Match[str]) -> str:
        secret = found["secret"]
        return found[0] if _REFERENCE.fullmatch(secret) else found["before"] + mark(secret)

    def placed(found: re.Match[str]) -> str:
        return (found["before"] or found["at"]) + mark(found["secret"] or found["query"])

    shown = _KEY.sub(named, text)
    shown = _IN_ADDRESS.sub(placed, shown)
    return Masked(_LOOKS.sub(lambda found: mark(found[0]), shown), secrets)


def unmask(text: str, secrets: Mapping[str, str]) -> str:
    """The text with the marks turned back; what is no mark stays."""
    for name in reversed(list(secrets)):  # one that was found later may hold an earlier one
        text = text.replace(name, secrets[name])
    return text
