"""Markdown from outside to safe HTML: no HTML of its own, links to http, https and mailto only, code coloured by class.

`Growing` renders an answer while it comes: what is settled is rendered once, so that a long answer is not read from
its beginning again at every look.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from hybrid_nb.notebook import maths

_LINK = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_PICTURE = re.compile(r"(?:https:|data:image/(?:png|jpeg|gif|webp);base64,)", re.IGNORECASE)
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as Markdown has them; splitlines knows more
MOST_COLOURED = 50_000  # characters of a code block that is coloured
MOST_GROWING = 8_000  # of one that is not closed yet, and so coloured at every look


def _allowed(address: str) -> bool:
    return bool(_LINK.match(address.strip()) or _PICTURE.match(address.strip()))


Env = dict[str, Any]


def _link_open(token: Any, _: Env) -> str:
    address = str(token.attrGet("href") or "")
    if not _LINK.match(address):
        return "<a>"
    return f'<a href="{html.escape(address)}" target="_blank" rel="noopener noreferrer">'


def _image(token: Any, _: Env) -> str:
    """A picture as a link: what an answer names is not fetched before somebody asks for it."""
    address, name = str(token.attrGet("src") or ""), html.escape(token.content or "picture")
    if not _PICTURE.match(address):
        return f"[image: {name}]"
    safe = html.escape(address)
    return f'<a href="{safe}" target="_blank" rel="noopener noreferrer">image: {name}</a>'


@lru_cache(maxsize=256)
def coloured(code: str, language: str) -> str:
    """Code as HTML with Pygments' classes; escaped only where the language is not known."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return html.escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix="hnb-")))


def _code(code: str, language: str, most: int) -> str:
    inner = coloured(code, language) if language and len(code) <= most else html.escape(code)
    name = html.escape(language or "text")
    return (
        f'<figure class="hnb-code"><figcaption>{name}</figcaption>'
        f'<pre tabindex="0" role="region" aria-label="{name} code"><code>{inner}</code></pre></figure>\n'
    )


def _fence(token: Any, env: Env) -> str:
    words = token.info.split()
    language = re.sub(r"[^\w+#.-]", "", words[0])[:30] if words else ""
    return _code(token.content, language, MOST_GROWING if env.get("growing") else MOST_COLOURED)


def _table(token: Any, _: Env) -> str:
    if token.nesting < 0:
        return "</table></div>\n"
    return '<div class="hnb-table" tabindex="0" role="region" aria-label="table"><table>\n'


def _heading(token: Any, _: Env) -> str:
    """Headings of an answer stand below those of the page, so that its outline stays whole."""
    level = min(6, int(token.tag[1]) + 2)
    return f"<{'/' if token.nesting < 0 else ''}h{level}>"


def _cell(token: Any, _: Env) -> str:
    align = str(token.attrGet("style") or "").removeprefix("text-align:")
    scope = ' scope="col"' if token.tag == "th" else ""
    return f'<{token.tag}{scope} class="hnb-{align}">' if align in ("right", "center") else f"<{token.tag}{scope}>"


_RULES: dict[str, Callable[[Any, Env], str]] = {
    "link_open": _link_open,
    "image": _image,
    "fence": _fence,
    "code_block": _fence,
    "heading_open": _heading,
    "heading_close": _heading,
    "table_open": _table,
    "table_close": _table,
    "th_open": _cell,
    "td_open": _cell,
    "maths": maths.render,
}


def _rule(work: Callable[[Any, Env], str]) -> Callable[..., str]:
    """A rule as markdown-it calls it: with the renderer, all tokens, the place and options."""
    return lambda _, tokens, at, *more: work(tokens[at], more[-1])


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    md: Any = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    md.use(maths.plugin)
    md.validateLink = _allowed
    for name, rule in _RULES.items():
        md.add_render_rule(name, _rule(rule))
    return md


def blocks(text: str, growing: bool = False) -> list[tuple[int, str]]:
    """The top-level blocks of Markdown: (first line, safe HTML) each."""
    md, env = _markdown(), {"growing": growing}
    tokens, found, depth, group = md.parse(text, env), [], 0, []
    for token in tokens:
        group.append(token)
        depth += token.nesting
        if depth == 0:
            found.append((group[0].map[0], str(md.renderer.render(group, md.options, env))))
            group = []
    return found


def to_html(text: str) -> str:
    """Markdown as safe HTML."""
    return "".join(part for _, part in blocks(text))


_OPEN_BOLD = re.compile(r"\*\*(?=[^\s*])(?:(?!\*\*).)*\Z", re.DOTALL)


def closed(text: str) -> str:
    """A text that grows, with what is bold or code at its end closed: else it shows its marks until it is whole."""
    if text.count("```") % 2 or text.count("~~~") % 2:
        return text
    end = re.sub(r"`[^`\n]*`", "", text[text.rfind("\n\n") + 1 :])
    if end.count("`") % 2:
        return text if text.endswith("`") else text + "`"
    if end.count("**") % 2 and _OPEN_BOLD.search(end):
        return text.rstrip().rstrip("*") + "**"
    return text


class Growing:
    """An answer that is rendered while it comes. `settled` are the blocks that no further text can change."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self._rest = ""  # the text from the last block on
        self.parsed = 0  # characters that were read so far, of all looks together

    def add(self, piece: str) -> None:
        """More text."""
        self._rest += piece

    def look(self) -> list[str]:
        """The blocks after the settled ones at the beginning of this look; most are settled now."""
        self.parsed += len(self._rest)
        found = blocks(closed(self._rest), growing=True)
        self._settle(found)
        return [part for _, part in found]

    def _settle(self, found: list[tuple[int, str]]) -> None:
        """All blocks but the last, once the last one's first line is whole: half a line may still belong above."""
        if len(found) < 2:
            return
        lines = _LINES.findall(self._rest)
        first = found[-1][0]
        if first < len(lines) and lines[first].endswith(("\r", "\n")):
            self.settled += [part for _, part in found[:-1]]
            self._rest = "".join(lines[first:])
