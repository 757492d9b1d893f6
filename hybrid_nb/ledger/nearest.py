"""Why a request is not among the recordings: the one that comes nearest, and what differs. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import orjson

from hybrid_nb.ledger.cassette import Recording
from hybrid_nb.ledger.identity import Canonical

COMPARED = 500  # characters of a prompt; enough to know it again
FINALISTS = 20  # recordings that are compared closely
AROUND = 24  # characters shown on each side of a change
SHOWN = 60  # characters of a value
_WORDS = re.compile(r"\w+|\W")


def nearest(prompt: str, form: Canonical, recordings: Iterable[Recording]) -> Recording | None:
    """The recording whose prompt is most alike; among equals the one whose other fields are."""
    matcher = difflib.SequenceMatcher(None, "", prompt[:COMPARED], autojunk=False)
    rough: list[tuple[float, int, Recording]] = []
    for number, recording in enumerate(recordings):
        matcher.set_seq1(recording.prompt[:COMPARED])
        rough.append((matcher.quick_ratio() + _equal_fields(form, recording.request), number, recording))
    finalists = sorted(rough, reverse=True, key=lambda item: item[:2])[:FINALISTS]

    def closeness(item: tuple[float, int, Recording]) -> tuple[float, int]:
        matcher.set_seq1(item[2].prompt[:COMPARED])
        return matcher.ratio() + _equal_fields(form, item[2].request), item[1]

    return max(finalists, key=closeness)[2] if finalists else None


def _equal_fields(form: Canonical, other: Canonical) -> float:
    """Between 0 and 1/2: the prompt counts most."""
    names = {*form, *other} - {"messages"}
    same = sum(form.get(name) == other.get(name) for name in names)
    return 0.5 * same / len(names) if names else 0.5


def differences(recorded: Canonical, asked: Canonical) -> tuple[str, ...]:
    """What differs, field by field: "temperature: recorded 0.2, asked 0.7"."""
    told: list[str] = []
    for name in dict.fromkeys((*asked, *recorded)):
        if name == "messages":
            told += _turns(recorded.get(name, ()), asked.get(name, ()))
        elif recorded.get(name) != asked.get(name):
            told.append(f"{name}: recorded {_shown(recorded.get(name))}, asked {_shown(asked.get(name))}")
    return tuple(told)


def _turns(recorded: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for number, (old, new) in enumerate(zip_longest(recorded, asked), 1):
        if old == new:
            continue
        if old is None or new is None:
            what = "more" if old is None else "fewer"
            told.append(f"messages: {len(asked)} turns, {what} than the {len(recorded)} that were recorded")
            break
        for name in dict.fromkeys((*new, *old)):
            was, now = old.get(name), new.get(name)
            told += [f"message {number} {name}: {_changed(was, now)}"] if was != now else []
    return told


def _changed(old: Any, new: Any) -> str:
    if not isinstance(old, str) or not isinstance(new, str):
        return f"recorded {_shown(old)}, asked {_shown(new)}"
    return changed(old, new)


def changed(old: str, new: str) -> str:
    """The words of a text that changed, as [-were-]{+are+} with a little of what stands around them."""
    olds, news = _WORDS.findall(old), _WORDS.findall(new)
    start = _alike(olds, news)
    olds, news, before = olds[start:], news[start:], "".join(news[:start])
    end = _alike(olds[::-1], news[::-1])
    after = "".join(news[len(news) - end :])
    was, now = "".join(olds[: len(olds) - end]), "".join(news[: len(news) - end])
    before = before if len(before) <= AROUND else f"…{before[-AROUND:]}"
    after = after if len(after) <= AROUND else f"{after[:AROUND]}…"
    parts = [f"[-{shortened(was)}-]" if was else "", f"{{+{shortened(now)}+}}" if now else ""]
    return f"{before}{''.join(parts)}{after}".replace("\n", "⏎")


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words two texts have in common at their beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def shortened(text: str) -> str:
    """One line of at most SHOWN characters."""
    line = text.replace("\n", "⏎")
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _shown(value: Any) -> str:
    return "nothing" if value is None else shortened(orjson.dumps(value).decode())
