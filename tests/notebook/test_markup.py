# ruff: noqa: E501 - tables of cases
"""Markdown from outside: what reads well is shown, what could act is not; a growing answer ends as the whole one."""

from __future__ import annotations

import itertools
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.notebook.markup import Growing, blocks, to_html
from hybrid_nb.notebook.maths import mathml

ALLOWED = {
    "p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "br", "em", "strong", "s", "code", "pre", "a",
    "figure", "figcaption", "span", "div", "table", "thead", "tbody", "tr", "th", "td", "math", "semantics",
    "annotation", "mrow", "mi", "mo", "mn", "mtext", "mfrac", "msup", "msub", "msubsup", "mtable", "mtr", "mtd",
    "msqrt", "mspace", "mover", "munder", "munderover", "mstyle", "mpadded", "mphantom", "menclose", "mroot",
    "mmultiscripts", "mprescripts", "none", "ms",
}  # fmt: skip
BAD = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<style>*{display:none}</style>", "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))", "[x](data:text/html,<script>alert(1)</script>)", "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,AAAA)", "<javascript:alert(1)>", "[x]: javascript:alert(1)\n\n[x]", "<svg/onload=alert(1)>",
    '[x](https://a.b "\\" onmouseover=alert(1)")', '[x](https://a.b/"onmouseover=alert(1))', "[x](vbscript:x)", "[x](//evil.example)",
    "```<script>\nalert(1)\n```", '```" onmouseover="alert(1)\ncode\n```', "`<script>`", "$<script>alert(1)</script>$",
    r"$$\text{<img src=x onerror=alert(1)>}$$", r"$\href{javascript:alert(1)}{x}$", r"$\style{background:url(x)}{x}$",
    r"$\class{a}{x}$", r"\[\text{&lt;script&gt;}\]", "| a |\n|---|\n| <script>x</script> |", "~~<script>~~",
    "# <script>", "- <script>", "> <script>", "&lt;script&gt;", "[x](java\nscript:alert(1))", "[x](&#106;avascript:alert(1))",
    r"$\unicode{x3c}$", r"$\color{red" + '" onclick="alert(1)}{x}$', "<https://a.b/'onclick=x>", "![<script>](https://a.b)",
]  # fmt: skip
PLACES = [
    "{}",
    "text {} text",
    "- {}",
    "> {}",
    "| a |\n|---|\n| {} |",
    "# {}",
    "**{}**",
    "```\n{}\n```",
    "$${}$$",
    "[{}](https://a.b)",
]


class Reader(HTMLParser):
    """Every tag and attribute, as a browser would read them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def check_safe(text: str) -> None:
    for tag, attributes in Reader(text).found:
        assert tag in ALLOWED, text
        assert not any(name.startswith("on") or name in ("style", "src", "srcdoc") for name in attributes), text
        href = attributes.get("href")
        assert href is None or re.match(r"https?:|mailto:|data:image/(png|jpeg|gif|webp);base64,", href), text
        assert href is None or attributes["rel"] == "noopener noreferrer"


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_could_act_comes_through(bad, place):
    check_safe(to_html(place.format(bad)))


@given(
    st.lists(
        st.sampled_from([*BAD, "$", "$$", "`", "```", "\n", "\n\n", "- ", "|", "[", "](", ")", "\\(", "a", " "]),
        max_size=12,
    )
)
def test_nothing_that_could_act_comes_through_in_any_mixture(parts):
    check_safe(to_html("".join(parts)))
    check_safe("".join(html for _, html in blocks("".join(parts), growing=True)))


def test_headings_stand_below_those_of_the_page():
    assert to_html("# one\n\n##### five") == "<h3>one</h3><h6>five</h6>"


def test_code_is_coloured_and_says_its_language():
    html = to_html("```python\ndef f(): pass\n```")
    assert "<figcaption>python</figcaption>" in html
    assert '<span class="hnb-k">def</span>' in html
    assert "<figcaption>nolang</figcaption>" in to_html("```nolang\n<x>\n```")


def test_tables_have_scopes_and_sides():
    html = to_html("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert '<th scope="col">a</th>' in html
    assert '<td class="hnb-right">2</td>' in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$x^2$", "x^2"),
        (r"\(x^2\)", "x^2"),
        ("$$x^2$$", "x^2"),
        (r"\[x^2\]", "x^2"),
        ("a $$x$$ b", "x"),
        ("$$\nx\n\ny\n$$", "x"),
    ],
)
def test_maths_is_mathml_with_its_tex(text, shown):
    html = to_html(text)
    assert "<math " in html
    assert f'<annotation encoding="application/x-tex">{shown}' in html
    assert ('display="block"' in html) == (text.count("$$") == 2 or text.startswith(r"\["))


@pytest.mark.parametrize(
    "text", ["$5 and $10", "from $5 to $7.", "a $ b $ c", "$5-$10", r"\$x\$", "`$x$`", "$", "$$", "cost: $5"]
)
def test_sums_of_money_are_no_maths(text):
    assert "<math" not in to_html(text)


def test_a_formula_that_cannot_be_converted_is_shown_as_tex():
    assert mathml(r"\nosuchcommand{x}", False) == r'<span class="hnb-tex"><code>\nosuchcommand{x}</code></span>'
    assert "<code>" in mathml("{" * 60, True)
    assert "<code>" in mathml("x" * 5000, True)


def test_links_open_beside_and_pictures_are_not_fetched():
    assert (
        to_html("[a](https://a.b)") == '<p><a href="https://a.b" target="_blank" rel="noopener noreferrer">a</a></p>\n'
    )
    assert "<img" not in to_html("![a](https://a.b/c.png)")
    assert "image: a" in to_html("![a](https://a.b/c.png)")


def test_only_pictures_may_be_data():
    assert to_html("[d](data:image/png;base64,AAAA)") == "<p><a>d</a></p>\n"
    assert 'href="data:image/png;base64,AAAA"' in to_html("![d](data:image/png;base64,AAAA)")


# --- growing ----------------------------------------------------------------------------------------------

TEXT = """# Title

A paragraph with **bold**, `code` and $x^2$
over two lines.

- one
- two

  more of two
1. first

| a | b |
|---|---|
| 1 | 2 |

$$
\\frac{a}{b}

+ 1
$$

```python
def f():

    return 1
```

> quoted
lazy

Setext
======

<b>no html</b>

---
last
"""
PIECES = st.lists(st.integers(0, len(TEXT)), max_size=30)


def grown(text: str, cuts: list[int]) -> str:
    growing, places = Growing(), [0, *sorted(cuts), len(text)]
    shown: list[str] = []
    for start, end in itertools.pairwise(places):
        growing.add(text[start:end])
        first = len(growing.settled)
        shown[first:] = growing.look()
    return "".join(shown)


@given(PIECES)
def test_a_growing_answer_ends_as_the_whole_one(cuts):
    assert grown(TEXT, cuts) == to_html(TEXT)


def test_letter_by_letter_too():
    assert grown(TEXT, list(range(len(TEXT)))) == to_html(TEXT)


def test_half_a_line_that_looks_like_a_new_block_may_still_belong_to_the_last():
    text = "| a |\n|---|\n| 1 |\n#x |\n"
    assert grown(text, [text.index("#") + 1]) == to_html(text)
    assert to_html(text).count("<tr>") == 3


def test_a_fence_that_is_not_closed_is_code_and_half_a_formula_is_tex():
    assert "<figcaption>python</figcaption>" in grown("```python\ndef f(", [])
    assert grown("$$\n\\frac{a", []) == '<div class="hnb-tex"><code>\\frac{a</code></div>'
    assert to_html("costs $$ a lot\n\nmore").count("<p>") == 2


def test_a_long_answer_is_not_read_again_from_its_beginning():
    growing, paragraph = Growing(), "word " * 40 + "\n\n"
    for _ in range(400):
        growing.add(paragraph)
        growing.look()
    assert growing.parsed < 4 * 400 * len(paragraph)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("so **bo", "<p>so <strong>bo</strong></p>"),
        ("so **bold w ", "<p>so <strong>bold w</strong></p>"),
        ("so `co", "<p>so <code>co</code></p>"),
        ("- a **b** and **c", "<ul>\n<li>a <strong>b</strong> and <strong>c</strong></li>\n</ul>"),
        ("2 ** 3", "<p>2 ** 3</p>"),
        ("`a ** b` **c", "<p><code>a ** b</code> <strong>c</strong></p>"),
    ],
)
def test_what_is_bold_or_code_at_the_end_is_so_before_it_is_closed(text, html):
    assert grown(text, []).strip() == html


@pytest.mark.parametrize("bomb", ["\\[\n" * 4000, "\\[\n" * 4000 + "\\] x", "- \\[\n" * 2000 + "\\]"])
def test_formulas_that_nobody_closes_do_not_take_for_ever(bomb):
    began = time.process_time()
    assert "<math" not in to_html(bomb)
    assert time.process_time() - began < 2.0  # 0.1 s; it was 5 s when every line looked through all that follow


def test_a_formula_ends_with_the_item_in_which_it_stands():
    assert "<math" not in to_html("- \\[\n  a\n\nend \\]\n")
    assert "<math" in to_html("- \\[\n  a\n  \\]\n\nend\n")
