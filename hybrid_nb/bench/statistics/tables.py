"""A run's summary as a person reads it: plain text within 100 columns, HTML and Markdown. See Run.report()."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from hybrid_nb.bench.statistics.notes import count, notes
from hybrid_nb.bench.statistics.summary import summary
from hybrid_nb.bench.statistics.system import Limits, limits_of
from hybrid_nb.bench.statistics.values import scored, scorers
from hybrid_nb.bench.statistics.wording import UNKNOWN, Unit, dollars, known, percent, seconds
from hybrid_nb.core.types import NO_MATHS

if TYPE_CHECKING:
    import pandas as pd

    from hybrid_nb.bench.figures import Figures

WIDTH = 100
NARROW = 8  # columns that a heading wraps to
NAME = 24  # columns that a model's name has at most in plain text
_LEFT = "text-align:left"
_FIGURES = f"{_LEFT};white-space:nowrap"


@dataclass(frozen=True)
class Summary:
    """A run's figures for people; `frame` has them as numbers.

    Attributes:
        title: one line about the run.
        headings: of the columns, the first being the model.
        rows: cells as text, with a dash for what is unknown.
        notes: sentences: who is tied, whether the times are to be trusted, what is missing.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    frame: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join([self.title, "", *_aligned(self.headings, self.rows), "", *_wrapped(self.notes)])

    def to_markdown(self) -> str:
        """The table and the sentences as Markdown."""
        rows = [self.headings, ("---",) * len(self.headings), *self.rows]
        lines = ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
        return "\n".join([_plain(self.title), "", *lines, "", *(f"- {_plain(text)}" for text in self.notes)])

    def to_html(self) -> str:
        """The table and the sentences as HTML; colours are the notebook theme's."""
        head = "".join(f'<th scope="col" style="{_LEFT}">{escape(text)}</th>' for text in self.headings)
        body = "".join(_html_row(row) for row in self.rows)
        told = "".join(f"<li>{escape(text)}</li>" for text in self.notes)
        return (
            f'<div class="{NO_MATHS}">'
            '<div tabindex="0" role="region" aria-label="Summary" style="overflow-x:auto"><table>'
            f'<caption style="text-align:left">{escape(self.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
            f'<ul style="max-width:60em">{told}</ul></div>'
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def report(
    run: Figures, limits: Limits = None, confidence: float = 0.95, failures: str = "wrong", seed: int = 0
) -> Summary:
    """See Run.report()."""
    limits, names = limits_of(run, limits), scorers(run)
    table = summary(run, limits, confidence, None, failures, seed)
    units = {name: _unit(run, name) for name in names}
    headings = [
        "model", *(units[name] for name in names), "first token p50", "latency p95", "$ per 1,000 calls",
        *(["$ per right answer"] if names else []), *(["goodput"] if limits else []), "failed",
    ]  # fmt: skip
    rows = tuple(tuple(_cells(row, names, bool(limits))) for row in table.to_dict("records"))
    told = notes(run, table, confidence, failures, seed)
    return Summary(title(run), tuple(headings), rows, tuple(told), table)


def title(run: Figures) -> str:
    """Calls, models and how they were asked, without times."""
    samples, settings = run.measured["id"].nunique(), run.info.settings
    epochs, rate, at_once = (settings.get(name) for name in ("epochs", "rate", "concurrency"))
    how = f"{rate} requests/s" if rate else f"{at_once} at once" if at_once else ""
    parts = [f"{count(len(run.measured), 'call')} to {count(len(run.models), 'model')}", count(samples, "sample")]
    return ", ".join([*parts, *([f"{epochs} epochs"] if epochs and epochs != 1 else []), *([how] if how else [])])


def _unit(run: Figures, name: str) -> str:
    """The heading of a scorer: whose scores are right or wrong, "right (exact)"."""
    values = scored(run.measured, name, "missing").dropna()
    return f"right ({name})" if values.isin((0.0, 1.0)).all() else name


def _cells(row: dict[Any, Any], names: Sequence[str], limited: bool) -> Iterable[str]:
    yield str(row["model"])
    for name in names:
        yield _scored(row, name)
    first, low, high = (row[f"ttft_any_s_p50{end}"] for end in ("", "_low", "_high"))
    yield f"{seconds(first)}{_enclosed(low, high, seconds)}"
    yield seconds(row["latency_s_p95"])
    yield dollars(row["cost_per_1000_usd"])
    if names:
        yield dollars(row["cost_per_right_usd"])
    if limited:
        rate = known(row["goodput_rps"])
        yield UNKNOWN if rate is None else f"{rate:.3g}/s"
    yield f"{row['failed']} of {row['calls']}"


def _scored(row: dict[Any, Any], name: str) -> str:
    value, low, high = (known(row[f"score_{name}{end}"]) for end in ("", "_low", "_high"))
    share = all(part is None or 0 <= part <= 1 for part in (value, low, high))
    shown = percent if share else Unit(name, share=False, scored=True).value
    return f"{shown(value)}{_enclosed(low, high, shown)}"


def _enclosed(low: Any, high: Any, shown: Any) -> str:
    """(74–89): the ends without their unit, where both have the same as the value."""
    if known(low) is None or known(high) is None:
        return ""
    ends = [shown(low), shown(high)]
    units = {text.rpartition(" ")[2] for text in ends}
    if len(units) == 1:
        ends = [text.rpartition(" ")[0] or text for text in ends]
    return f" ({ends[0]}–{ends[1]})"


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side, the headings in as many lines as they need; blocks of columns where they are too many."""
    table = [[_short(row[0]), *row[1:]] for row in rows]
    widths = [_width(heading, [row[n] for row in table]) for n, heading in enumerate(headings)]
    lines: list[str] = []
    for block in _blocks(widths):
        heads = [textwrap.wrap(headings[n], widths[n]) or [""] for n in block]
        depth = max(map(len, heads))
        parts = [
            [head[n - depth + len(head)] if n >= depth - len(head) else "" for head in heads] for n in range(depth)
        ]
        parts += [["-" * widths[n] for n in block], *([row[n] for n in block] for row in table)]
        lines += [*([""] if lines else []), *(_line(part, [widths[n] for n in block]) for part in parts)]
    return lines


def _blocks(widths: Sequence[int]) -> list[list[int]]:
    """Columns that fit a line together, each block beginning with the model."""
    blocks, used = [[0]], widths[0]
    for n, width in enumerate(widths[1:], 1):
        if used + 2 + width > WIDTH and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(n)
        used += 2 + width
    return blocks


def _width(heading: str, cells: Sequence[str]) -> int:
    longest = max([len(word) for word in heading.split()] + [len(cell) for cell in cells])
    return max(longest, min(len(heading), NARROW))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 2 - 1]}…{name[-NAME // 2 :]}"


def _wrapped(told: Sequence[str]) -> list[str]:
    return [line for text in told for line in textwrap.wrap(text, WIDTH, subsequent_indent="  ")]


def _html_row(row: Sequence[str]) -> str:
    cells = "".join(f'<td style="{_FIGURES}">{escape(text)}</td>' for text in row[1:])
    return f'<tr><th scope="row" style="{_LEFT};min-width:8em;overflow-wrap:anywhere">{escape(row[0])}</th>{cells}</tr>'


def _plain(text: str) -> str:
    """Words from outside, not Markdown: `<`, `*` and `_` of a model's name are themselves."""
    shown = escape(" ".join(text.split()), quote=False)
    for sign in "\\`*_[]":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("$", "&#36;")  # a second dollar sign would make maths of what lies between


def _cell(text: str) -> str:
    return text if text == "---" else _plain(text).replace("|", "\\|")
