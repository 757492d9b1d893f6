"""Accessibility: axe-core, from its wheel, over a part of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python

SCRIPT = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
NOT_OURS = {  # rules about a whole page, where a widget is only a part of one
    "region": "landmarks are the page's",
    "landmark-one-main": "landmarks are the page's",
    "page-has-heading-one": "headings of level one are the notebook's author's",
    "heading-order": "the level above a widget is the notebook's author's",
    "bypass": "skipping blocks is the page's",
}
OPTIONS = {
    "runOnly": {"type": "tag", "values": TAGS},
    "rules": {rule: {"enabled": False} for rule in NOT_OURS},
    "resultTypes": ["violations"],
}

# JupyterLab's body has no height and hides what overflows; axe-core would take all text to be invisible, and find no
# fault with its contrast
RUN = """async (element, options) => {
    const style = document.body.style, before = style.minHeight;
    style.minHeight = '100vh';
    try { return (await axe.run(element, options)).violations; } finally { style.minHeight = before; }
}"""


def violations(locator: Any) -> list[str]:
    """What axe-core finds wrong in each element of the locator: "rule (impact): help: the element's HTML"."""
    page = locator.page
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SCRIPT)
    elements = locator.all()
    assert elements, f"nothing to look at: {locator}"
    found = [rule for element in elements for rule in element.evaluate(RUN, OPTIONS)]
    return [_line(rule, node) for rule in found for node in rule["nodes"]]


def _line(rule: dict[str, Any], node: dict[str, Any]) -> str:
    why = "; ".join(check["message"] for check in (*node["any"], *node["all"], *node["none"]))
    return f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]} [{why[:300]}]"
