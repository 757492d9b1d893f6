"""What the panels look like: one stylesheet on the theme's own variables, and the pieces of HTML that they share.

No colour is fixed: text is the theme's text colour, and what colour tells, a word tells too. Everything that comes from
outside passes through `escape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

TEXT = "var(--jp-content-font-color1, var(--vscode-foreground, inherit))"
QUIET = "var(--jp-content-font-color1, var(--vscode-descriptionForeground, inherit))"
LINE = "var(--jp-border-color1, var(--vscode-panel-border, currentColor))"
PANE = "var(--jp-layout-color1, var(--vscode-editor-background, transparent))"
BACK = "var(--jp-layout-color0, var(--vscode-notebook-editorBackground, var(--vscode-editor-background, transparent)))"
ACCENT = "var(--jp-brand-color1, var(--vscode-focusBorder, currentColor))"
WRONG = "var(--jp-error-color1, var(--vscode-errorForeground, currentColor))"
GOOD = "var(--jp-success-color1, var(--vscode-testing-iconPassed, currentColor))"
WARN = "var(--jp-warn-color1, var(--vscode-editorWarning-foreground, currentColor))"

SHEET = f"""
.hnb {{ max-width: 100%; }}
.hnb .widget-html, .hnb .jupyter-widget-html {{ max-width: 100%; }}
.hnb .widget-html-content {{ line-height: 1.4; max-width: 100%; overflow-x: auto; }}
.hnb-body {{ color: {TEXT}; font-size: var(--jp-ui-font-size1, 13px); }}
.hnb-body table {{ border-collapse: collapse; width: 100%; margin: 4px 0; color: inherit; }}
.hnb-body caption {{ text-align: left; font-weight: 600; padding: 2px 0 4px; color: inherit; }}
.hnb-body th, .hnb-body td {{ text-align: left; padding: 3px 8px 3px 0; border-bottom: 1px solid {LINE};
  vertical-align: top; overflow-wrap: anywhere; }}
.hnb-body th {{ font-weight: 600; white-space: nowrap; }}
.hnb-body td.num, .hnb-body th.num {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
  padding-right: 14px; }}
.hnb-body tr > .num:last-child {{ padding-right: 8px; }}
.hnb-body .word {{ white-space: nowrap; }}
.hnb-body progress {{ width: 100%; min-width: 60px; height: 10px; accent-color: {ACCENT}; }}
.hnb-dot {{ display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; border: 2px solid currentColor;
  margin-right: 0.4em; box-sizing: border-box; }}
.hnb-dot.good {{ background: {GOOD}; border-color: {GOOD}; }}
.hnb-dot.bad {{ background: {WRONG}; border-color: {WRONG}; border-radius: 0; }}
.hnb-dot.poor {{ background: {WARN}; border-color: {WARN}; border-radius: 0; transform: rotate(45deg) scale(0.8); }}
.hnb-say {{ color: {TEXT}; padding: 2px 6px; min-height: 1.4em; }}
.hnb-say.problem {{ border-left: 3px solid {WRONG}; }}
.hnb-scroll, .hnb .hnb-live {{ overflow-x: auto; }}
.hnb .hnb-live > .widget-html-content {{ overflow: visible; }}
.hnb .hnb-live:focus-visible, .hnb-scroll:focus-visible {{ outline: 2px solid {ACCENT}; outline-offset: -2px; }}
.hnb .hnb-live td, .hnb .hnb-live th {{ overflow-wrap: break-word; max-width: 30em; }}
.hnb .hnb-live th:first-child {{ position: sticky; left: 0; background: {BACK}; max-width: 12em; min-width: 5em;
  white-space: normal; }}
.hnb .hnb-live .long {{ display: inline-block; min-width: 12em; }}
.hnb .hnb-live .middling {{ display: inline-block; min-width: 10.5em; }}
.hnb .widget-tab > .widget-tab-contents {{ background: {BACK}; padding: 8px; }}
.hnb .widget-tab > .widget-tab-bar .lm-TabBar-content, .hnb .widget-tab > .p-TabBar .p-TabBar-content {{
  flex-wrap: wrap; }}
.hnb .widget-tab > .widget-tab-bar .lm-TabBar-tab {{ flex: 0 1 auto; min-width: max-content; color: {TEXT}; }}
.hnb .widget-tab > .widget-tab-bar .lm-TabBar-tabLabel {{ color: {TEXT}; }}
.hnb .widget-tab > .widget-tab-bar .lm-TabBar-tab:focus-visible {{ outline: 2px solid {ACCENT}; outline-offset: -3px; }}
.hnb-body tfoot th, .hnb-body tfoot td {{ font-weight: 600; }}
.hnb .widget-label, .hnb .widget-inline-hbox .widget-label {{ color: {TEXT}; }}
.hnb .widget-dropdown > select {{ appearance: auto; background-image: none; color: {TEXT}; }}
.hnb .widget-toggle-button.mod-active {{ font-weight: 600; box-shadow: inset 0 -3px {ACCENT}; }}
.hnb button:focus-visible, .hnb input:focus-visible, .hnb select:focus-visible, .hnb textarea:focus-visible {{
  outline: 2px solid {ACCENT}; outline-offset: 1px; }}
@media (min-width: 601px) {{ .hnb .hnb-live th:first-child {{ min-width: 8.5em; max-width: 16em; }} }}
@media (max-width: 600px) {{ .hnb .widget-inline-hbox, .hnb .widget-text, .hnb .widget-dropdown {{ width: 100%; }} }}
"""

DOTS = {
    "healthy": "good", "ok": "good", "degraded": "poor", "half-open": "poor", "down": "bad", "open": "bad",
    "error": "bad", "no key": "bad",
}  # fmt: skip


class Raw(str):
    """HTML of ours, which is not escaped again."""

    __slots__ = ()


def dot(word: str) -> Raw:
    """A state as a mark and its word; the mark has a shape of its own, so that no colour is needed to read it."""
    mark = f'<span class="hnb-dot {DOTS.get(word, "none")}" aria-hidden="true"></span>'
    return Raw(f'<span class="word">{mark}{escape(word)}</span>')


def cell(value: Any) -> str:
    """What stands in a table's cell: unknown is a dash with its word for those who listen."""
    if value is None:
        return '<span title="unknown">–</span>'
    return value if isinstance(value, Raw) else escape(str(value))


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    numbers: Iterable[int] = (),
    scrolls: bool = True,
    foot: Sequence[Any] | None = None,
) -> str:
    """A table with its caption and scopes; the first cell of a row names it. `numbers` are columns of figures.

    `scrolls`: in a region that scrolls by itself; not in a live widget, which scrolls, and keeps its place when it is
    redrawn. `foot` is a last row of sums.
    """
    right = set(numbers)

    def kind(column: int) -> str:
        return ' class="num"' if column in right else ""

    head = "".join(f'<th scope="col"{kind(i)}>{escape(h)}</th>' for i, h in enumerate(heads))

    def line(row: Sequence[Any]) -> str:
        first, *others = row
        rest = "".join(f"<td{kind(i)}>{cell(v)}</td>" for i, v in enumerate(others, 1))
        return f'<tr><th scope="row"{kind(0)}>{cell(first)}</th>{rest}</tr>'

    around = f' hnb-scroll" tabindex="0" role="region" aria-label="{escape(caption)}' if scrolls else ""
    last = f"<tfoot>{line(foot)}</tfoot>" if foot is not None else ""
    return (
        f'<div class="hnb-body{around}"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(line, rows))}</tbody>{last}</table></div>"
    )


def paragraph(text: str) -> str:
    """Words of ours or of others, as they are."""
    return f'<div class="hnb-body">{escape(text)}</div>'


def text_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same in plain text; Raw cells must be given as plain ones."""
    lines = [list(heads), *([("–" if v is None else str(v)) for v in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([caption, *shown])


def bar(share: float | None, label: str) -> Raw:
    """A share (0 to 1, or more) as a bar with its words; unknown is only words."""
    if share is None:
        return Raw(escape(label))
    return Raw(
        f'{escape(label)}<br><progress max="1" value="{min(share, 1):.4f}" aria-label="{escape(label)}"></progress>'
    )


def sparkline(values: Sequence[float], label: str) -> Raw:
    """Figures in time order as a small line in the text's colour, with the words of `label`; "" for fewer than two."""
    if len(values) < 2:
        return Raw("")
    top, width, height = max(values) or 1.0, 80, 18
    points = " ".join(
        f"{i * width / (len(values) - 1):.1f},{height - 1 - value / top * (height - 2):.1f}"
        for i, value in enumerate(values)
    )
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return Raw(
        f'<svg role="img" aria-label="{escape(label)}" {size}>'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
