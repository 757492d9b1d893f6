"""One prompt, several models, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hybrid_nb import frames
from hybrid_nb.core.types import NO_MATHS, Reply, money

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "provider", "model", "tier", "status", "ttft_s", "latency_s", "input_tokens", "output_tokens", "cost_usd",
    "route", "text", "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """One model's answer, or why there is none."""

    name: str  # as it was asked for
    reply: Reply | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers in the order in which the models were named."""

    prompt: str
    sides: tuple[Side, ...]

    @property
    def replies(self) -> list[Reply | None]:
        """The replies in order; None where a model failed (see `frame`'s error)."""
        return [side.reply for side in self.sides]

    @property
    def errors(self) -> dict[str, Exception]:
        """The errors by model."""
        return {side.name: side.error for side in self.sides if side.error is not None}

    @property
    def frame(self) -> pd.DataFrame:
        """One row a model: provider, model, tier, status, ttft_s, latency_s, tokens, cost_usd, route, text, error."""
        return frames.frame([_row(side) for side in self.sides], COLUMNS)

    def __iter__(self) -> Iterator[Side]:
        return iter(self.sides)

    def __len__(self) -> int:
        return len(self.sides)

    def __repr__(self) -> str:
        # without times, so that a saved notebook compares equal when it is run again
        lines = [f"{side.name}: {_short(side)}" for side in self.sides]
        return f"Comparison({len(self.sides)} models)\n" + "\n".join(lines)

    def _repr_markdown_(self) -> str:
        return table(self.sides)

    def _repr_html_(self) -> str:
        return html(self.sides)


def _row(side: Side) -> list[Any]:
    reply = side.reply
    if reply is None:
        provider, _, model = side.name.partition("/")
        return [provider, model, None, "error", *[None] * 5, None, None, f"{type(side.error).__name__}: {side.error}"]
    cost = None if reply.cost is None else float(reply.cost)
    return [
        reply.provider, reply.model, reply.tier, "ok", reply.ttft, reply.latency, reply.usage.input_tokens,
        reply.usage.output_tokens, cost, reply.route.reason, reply.text, None,
    ]  # fmt: skip


def _short(side: Side) -> str:
    text = side.reply.text if side.reply else f"{type(side.error).__name__}: {side.error}"
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "..."


HEADINGS = ("model", "first token", "latency", "tokens in → out", "cost", "route")


def cells(side: Side) -> list[str]:
    """A side's figures as text, under HEADINGS."""
    reply = side.reply
    if reply is None:
        return [side.name, "–", "–", "–", "–", f"{type(side.error).__name__}: {side.error}"]
    usage = reply.usage
    tokens = " → ".join("?" if n is None else str(n) for n in (usage.input_tokens, usage.output_tokens))
    first = "–" if reply.ttft is None else f"{reply.ttft:.2f} s"
    latency = "–" if reply.latency is None else f"{reply.latency:.2f} s"
    failed = [f"{a.provider} failed" for a in reply.route.attempts if a.outcome != "ok"]
    route = reply.route.reason + (f"; after {', '.join(failed)}" if failed else "")
    return [f"{reply.provider}/{reply.model}", first, latency, tokens, money(reply.cost), route]


def table(sides: Sequence[Side]) -> str:
    """The figures as a Markdown table."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(cells(side) for side in sides)]
    return "\n".join(
        "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in row) + " |" for row in rows
    )


def plain(sides: Sequence[Side]) -> str:
    """The figures as aligned text, for a terminal."""
    rows = [list(HEADINGS), *(cells(side) for side in sides)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def html(sides: Sequence[Side]) -> str:
    """Answers side by side, and the figures under them; colours are the notebook theme's."""
    return beside([_card(side) for side in sides]) + figures(sides)


def beside(cards: Sequence[str]) -> str:
    """Cards side by side, as many as there is room for."""
    columns = "repeat(auto-fit,minmax(160px,1fr))"
    return (
        f'<div class="{NO_MATHS}" style="display:grid;grid-template-columns:{columns};gap:12px">{"".join(cards)}</div>'
    )


def figures(sides: Sequence[Side]) -> str:
    """The figures as an HTML table."""
    head = "".join(f'<th scope="col" style="text-align:left">{escape(h)}</th>' for h in HEADINGS)
    rows = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(c)}</td>' for c in cells(side)) + "</tr>"
        for side in sides
    )
    return (
        f'<table class="{NO_MATHS}" style="margin-top:12px">'
        f'<caption style="text-align:left">One prompt, {len(sides)} models</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _card(side: Side) -> str:
    body = side.reply.text if side.reply else f"{type(side.error).__name__}: {side.error}"
    return card(cells(side)[0], body, failed=side.reply is None)


def card(title: str, body: str, note: str = "", failed: bool = False) -> str:
    """One answer under its title, with a quiet note below; all three may be anybody's words."""
    below = f"<small>{escape(note)}</small>" if note else ""
    border = f"var(--jp-{'error' if failed else 'border'}-color1, currentColor)"
    return (
        f'<div style="min-width:0;border:1px solid {border};border-radius:6px;padding:8px">'
        f"<strong>{escape(title)}</strong>"
        f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;margin-top:6px">{escape(body)}</div>{below}</div>'
    )
