r"""Maths in Markdown: `$..$`, `$$..$$`, `\(..\)` and `\[..\]` to MathML, which every browser draws by itself.

What latex2mathml makes is written anew here with the tags and attributes that are known to be harmless: it hands on
the `\href` of a formula, and its own text form does not escape what `\text{..}` holds. A formula that cannot be
converted is shown as its TeX.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any

LONGEST = 4000  # characters of a formula that is converted
_TAGS = frozenset(
    re.findall(
        r"\w+",
        "math mrow mi mo mn ms mtext mspace msup msub msubsup munder mover munderover mfrac msqrt mroot mtable mtr mtd "
        "mstyle mpadded mphantom menclose mmultiscripts mprescripts none",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\w+",
        "mathvariant displaystyle scriptlevel stretchy fence form separator accent accentunder lspace rspace minsize "
        "maxsize linethickness columnalign rowalign columnspacing rowspacing columnlines rowlines width height depth "
        "voffset mathsize notation movablelimits symmetric largeop frame columnspan rowspan",
    )
)
_UNKNOWN = re.compile(r"\\[A-Za-z]")


class UnknownError(ValueError):
    """The formula has a command that nobody knows."""


def _written(element: Any) -> str:
    """An element with its children, of known tags and attributes, all text escaped."""
    if element.tag not in _TAGS:
        raise UnknownError(element.tag)
    text = html.unescape(element.text or "")
    if element.tag != "mtext" and _UNKNOWN.match(text):
        raise UnknownError(text)
    known = (f' {name}="{html.escape(value)}"' for name, value in element.attrib.items() if name in _ATTRIBUTES)
    inner = html.escape(text) + "".join(_written(child) for child in element)
    return f"<{element.tag}{''.join(known)}>{inner}</{element.tag}>"


@lru_cache(maxsize=512)
def mathml(tex: str, block: bool) -> str:
    """The formula as safe HTML; as its TeX where it cannot be converted."""
    from latex2mathml.converter import convert_to_element

    shown = html.escape(tex)
    try:
        if len(tex) > LONGEST:
            raise UnknownError("too long")
        inner = "".join(_written(child) for child in convert_to_element(tex))
    except Exception:  # whatever the converter stumbles on, the TeX is there to read
        tag = "div" if block else "span"
        return f'<{tag} class="hnb-tex"><code>{shown}</code></{tag}>'
    note = f'<annotation encoding="application/x-tex">{shown}</annotation>'
    display = "block" if block else "inline"
    return f'<math display="{display}"><semantics><mrow>{inner}</mrow>{note}</semantics></math>'


# --- in Markdown ------------------------------------------------------------------------------------------

_OPEN = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}


def _opening(text: str, at: int) -> str | None:
    return next((mark for mark in _OPEN if text.startswith(mark, at)), None)


def _closing(text: str, at: int, most: int, mark: str) -> int:
    """Where the formula that opens at `at` is closed, before `most`; -1: nowhere.

    A single dollar opens before no space, and the next one closes after no space and before no digit: "$5 and $10" are
    sums.
    """
    place = text.find(_OPEN[mark], at, most)
    while mark == "$" and place > 0 and text[place - 1] == "\\":
        place = text.find("$", place + 1, most)
    if place < 0 or not text[at:place].strip():
        return -1
    spaced = text[at].isspace() or text[place - 1].isspace() or text[place + 1 : place + 2].isdigit()
    return -1 if mark == "$" and (spaced or "`" in text[at:place]) else place


def inline(state: Any, silent: bool) -> bool:
    """A rule of markdown-it: a formula in a line."""
    mark = _opening(state.src, state.pos)
    if mark is None:
        return False
    start = state.pos + len(mark)
    end = _closing(state.src, start, state.posMax, mark)
    if end < 0:
        return False
    if not silent:
        token = state.push("maths", "", 0)
        token.content, token.markup = state.src[start:end].strip(), mark
    state.pos = end + len(_OPEN[mark])
    return True


def _rest_of_line(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[at : end if end >= 0 else len(text)].strip()


def _last_line(state: Any, first: int, last: int, at: int) -> int:
    """The line of this place (-1: none), or the last one before that is still in the same list item or quotation."""
    line = first
    while (at < 0 or state.eMarks[line] <= at) and line + 1 < last and state.sCount[line + 1] >= state.blkIndent:
        line += 1
    return line


def block(state: Any, first: int, last: int, silent: bool) -> bool:
    """A rule of markdown-it: a formula that begins a line and may have empty lines in it.

    While the text grows (env["growing"]) one that is not closed yet goes on to the end.
    """
    begin, growing = state.bMarks[first] + state.tShift[first], state.env.get("growing")
    mark = state.src[begin : begin + 2]
    if mark not in ("$$", "\\[") or state.is_code_block(first):
        return False
    at = state.src.find(_OPEN[mark], begin + 2, state.eMarks[last - 1])
    if at < 0 and not growing:
        return False
    if at >= 0 and _rest_of_line(state.src, at + 2):  # more text in its line: a formula in a paragraph
        return False
    line = _last_line(state, first, last, at)
    if at >= state.eMarks[line]:  # what it stands in ends before
        if not growing:
            return False
        at = -1
    if not silent:
        token = state.push("maths", "", 0)
        token.content, token.markup = state.src[begin + 2 : at if at >= 0 else len(state.src)].strip(), mark
        token.block, token.map, token.hidden = True, [first, line + 1], at < 0
    state.line = line + 1
    return True


def render(token: Any, _: dict[str, Any]) -> str:
    """A formula's token as HTML."""
    if token.hidden:  # not closed yet: half a formula has no shape
        return f'<div class="hnb-tex"><code>{html.escape(token.content)}</code></div>'
    return mathml(token.content, token.markup in ("$$", "\\["))


def plugin(md: Any) -> None:
    """Teach maths to a MarkdownIt."""
    md.inline.ruler.before("escape", "maths", inline)
    md.block.ruler.before("fence", "maths", block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
