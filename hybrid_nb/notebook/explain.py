"""`%llm_explain`: what happened to the last call, and what to do; or a failed cell, put to a model.

Nothing that looks like a key goes to a model: the keys of the configured providers, what the environment and the
notebook keep under a name such as OPENAI_API_KEY, and what a literal gives to such a name are taken out first.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hybrid_nb import keys
from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.responses import scrub
from hybrid_nb.core.types import Reply
from hybrid_nb.notebook.advice import advice
from hybrid_nb.notebook.following import Cut
from hybrid_nb.router import Router

MOST_SOURCE = 3_500  # characters of the cell
MOST_LOOKED_AT = 100_000  # characters that are cleaned; what is shown is cut far inside of them
MOST_TRACE = 3_900  # characters of the error and its frames
LIBRARY_FRAMES = 3  # the last ones; further ones inside libraries are left out
SHORTEST = 4  # characters of a secret; a shorter one would take words out

_SECRET_NAME = re.compile(r"(?i)(api_?keys?|_token|secret|passw(or)?d|credentials?)$")
# bounded repeats: a text may be a megabyte of one letter
_GIVEN = re.compile(
    r"""(?i)((?:api_?key|token|secret|passw(?:or)?d)\w{0,40}["']?\]?\s{0,9}[:=]\s{0,9})(["'])((?:(?!\2).){1,999})\2"""
)
_BEARER = re.compile(r"(?i)(\bbearer\s{1,9}|://[^/\s:@]{0,99}:)[^\s@\"']{4,}")


class Failure(NamedTuple):
    """A cell that failed with an exception of its own."""

    error: BaseException
    source: str


def explained(last: Any) -> str:
    """A reply's route, a comparison's, or an error with its attempts, as text."""
    if last is None:
        return "nothing was asked yet"
    if isinstance(last, Reply):
        return str(last.route)
    if isinstance(last, Cut):
        return str(last)
    if isinstance(last, HybridNbError):
        causes = [f"caused by {type(last.__cause__).__name__}: {last.__cause__}"] if last.__cause__ else []
        return "\n".join([f"{type(last).__name__}: {last}", *causes, *_tried(last), f"what to do: {advice(last).cell}"])
    return "\n\n".join(f"[{side.name}]\n{explained(side.reply or side.error)}" for side in last)


def _tried(error: HybridNbError) -> list[str]:
    route = getattr(error, "route", None)
    return [str(route)] if route is not None else []


# --- a failed cell ------------------------------------------------------------------------------------------


def question(failure: Failure, secrets: Sequence[str]) -> str:
    """The prompt that asks a model about a failed cell, at most 8,000 characters, without the secrets."""
    literals = [found[3] for found in _GIVEN.finditer(bounded(failure.source, MOST_LOOKED_AT))]
    secrets = [*secrets, *(value for value in literals if len(value) >= SHORTEST)]
    source = bounded(cleaned(failure.source.strip("\n"), secrets), MOST_SOURCE)
    trace = bounded(cleaned(trace_of(failure.error), secrets), MOST_TRACE)
    return (
        "A cell of a Python notebook failed. Explain in a few sentences why, and show how to mend it.\n\n"
        f"The cell:\n````python\n{source}\n````\n\nThe error:\n````\n{trace}\n````"
    )


def bounded(text: str, most: int) -> str:
    """The text, or its beginning and its end with the number of characters that are left out between."""
    if len(text) <= most:
        return text
    half = (most - 60) // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def cleaned(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets and what looks like one."""
    text = scrub(bounded(text, MOST_LOOKED_AT), secrets)
    return _BEARER.sub(r"\1***", _GIVEN.sub(r"\1\2***\2", text))


def secrets_of(router: Router, names: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """The values that may not leave: the providers' keys, and what is kept under a secret's name. Longest first."""
    configured = keys.values(e.key for p in router._state.providers.values() for e in p.endpoints)
    named = [v for n, v in [*environ.items(), *names.items()] if isinstance(v, str) and _SECRET_NAME.search(n)]
    parts = [part.strip() for value in named for part in (value, *value.split(","))]
    return sorted({s for s in (*configured, *parts) if len(s) >= SHORTEST}, key=len, reverse=True)


def trace_of(error: BaseException) -> str:
    """The traceback from the cell on, with the frames that matter, of the error and its causes."""
    found = traceback.TracebackException.from_exception(error)
    left_out = sum(_shorten(one) for one in _chain(found))
    told = [f"({left_out} frames inside libraries are left out)\n"] if left_out else []
    return "".join([*told, *found.format()]).strip()


def _chain(found: traceback.TracebackException | None) -> Iterable[traceback.TracebackException]:
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _shorten(found: traceback.TracebackException) -> int:
    """Take out IPython's frames, and the libraries' but the last ones; the number of these."""
    frames = [frame for frame in found.stack if "/IPython/core/" not in frame.filename.replace("\\", "/")]
    last = len(frames) - LIBRARY_FRAMES
    kept = [frame for place, frame in enumerate(frames) if place >= last or not _of_library(frame.filename)]
    found.stack = traceback.StackSummary.from_list(kept)
    return len(frames) - len(kept)


def _of_library(path: str) -> bool:
    return "site-packages" in path or "dist-packages" in path or path.startswith(sysconfig.get_path("stdlib"))
