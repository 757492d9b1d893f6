"""Scenes in JupyterLab, photographed: what docs and README show, and what tests compare.

All widgets stand in one notebook, over one fleet of simulated vendors of which one dies: a kernel and a page are what
takes time. What the models say is written here, so that the pictures show tables, code and maths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from hybrid_nb.sim import Fleet, Model, Vendor
from hybrid_nb.sim.fleet import default_vendors
from tests.journey.browser import WINDOW
from tests.journey.lab import Lab
from tests.journey.notebook_page import LIGHT, Notebook

DARK = "JupyterLab Dark"
BARS = 160  # pixels of JupyterLab's bars above and below a notebook
THEMES = {"light": LIGHT, "dark": DARK}

FORMATS = "Parquet: columns are read alone, types are kept, and it takes a fifth of the room."
CONVERT = r"""```python
import pandas as pd

pd.read_csv("night_07.csv", parse_dates=["time"]).to_parquet("night_07.parquet")
```

| file | size | one column is read in |
|---|---:|---:|
| `night_07.csv` | 1,310 MB | 11.8 s |
| `night_07.parquet` | **298 MB** | **0.2 s** |

The variance over all $n$ nights:

$$\sigma_r^2 = \frac{1}{n-1} \sum_{i=1}^{n} (r_i - \bar{r})^2$$
"""
BRIEF = {
    "simulated-gpt": "Parquet: columns are read alone, types are kept, and every tool opens it.",
    "simulated-claude": "Parquet for tables; Zarr where several jobs write into one array at once.",
    "simulated-llama": "Use Parquet. It is smaller than CSV and it is faster.",
}
TWINKLE = {
    "simulated-gpt": "Their light crosses **moving air**, which bends it a little differently each moment:\n\n"
    "- a star is a point, so it flickers;\n- a planet is a small disc, and its flicker averages out.",
    "simulated-claude": "Turbulence in the atmosphere refracts starlight along ever changing paths. Telescopes on "
    "mountains, with **adaptive optics** or in orbit escape most of it.",
}
LOADING = 40_000  # milliseconds in which a kernel on a busy machine has loaded scipy and matplotlib
QUICK = 600.0  # tokens a second: pictures shall not take long
COMMON = (("40 GB of CSV", FORMATS), ("convert one file", CONVERT))


def cast() -> tuple[Vendor, ...]:
    """The vendors of the demo, with words of their own, and a GPU box on the LAN."""
    told = [replace(vendor, models=tuple(map(_told, vendor.models))) for vendor in default_vendors()]
    box = Model("simulated-qwen", 0.15, QUICK, 0.9, says=COMMON)
    return (*told, Vendor("gpu-box", "openai", (box,), key=None, tier="edge", priority=2))


def _told(model: Model) -> Model:
    own = (("In one sentence", BRIEF), ("twinkle", TWINKLE))
    mine = ((words, said[model.name]) for words, said in own if model.name in said)
    return replace(model, tokens_per_second=QUICK, says=(*COMMON, *mine))


def config(fleet: Fleet) -> dict[str, Any]:
    """The fleet, with a budget of which some will be spent, and nothing that goes on by itself."""
    box = {"type": "custom", "prices": {"simulated-qwen": {"input": 0.0, "output": 0.0}}}
    providers = [{**item, **(box if item["name"] == "gpu-box" else {})} for item in fleet.config()["provider"]]
    router = {"health_interval": 0, "retries": 0, "breaker_threshold": 2, "breaker_seconds": 600}
    return {"provider": providers, "router": router, "budget": {"daily_usd": 0.25, "monthly_usd": 5}}


@dataclass(frozen=True)
class Scene:
    """A cell, and what a user does in its output. Without a name it only prepares. `cells`: so many of the cells that
    end with this one are in the picture; 0: its output alone.
    """

    name: str
    cell: str
    act: Callable[[Notebook, Any, Fleet], Any] | None = None
    cells: int = 0


def play(lab: Lab, scenes: Sequence[Scene], fleet: Fleet, settings: dict[str, Any]) -> Iterator[tuple[Notebook, int]]:
    """Plays them in one notebook; tells the number of each when it was played."""
    nb = lab.notebook([scene.cell for scene in scenes], config=settings, name="scenes")
    for number, scene in enumerate(scenes):
        output = nb.run(number)
        if scene.act is not None:
            scene.act(nb, output, fleet)
        nb.wait_idle()
        assert nb.errors() == [], nb.errors()
        yield nb, number


def photograph(nb: Notebook, scene: Scene, number: int, look: str = "") -> Path:
    """One scene's picture, as the page is now."""
    name = f"{scene.name}_{look}" if look else scene.name
    if scene.cells == 0:
        part = nb.output(number).locator(".jp-OutputArea-output:visible").first
        _make_room(nb, part)
        return nb.screenshot(name, part)
    first, last = nb.cell(number + 1 - scene.cells), nb.cell(number)
    first.evaluate("cell => cell.scrollIntoView({ block: 'start' })")
    above, below = first.bounding_box(), last.bounding_box()
    clip = {**above, "height": below["y"] + below["height"] - above["y"]}
    path = nb.pictures / f"{name}.png"
    nb.page.screenshot(path=path, clip=clip, animations="disabled", caret="hide")
    return path


def _make_room(nb: Notebook, part: Any) -> None:
    """A window in which all of it is seen, and not the toolbar over it."""
    needed = part.bounding_box()["height"] + BARS
    if needed > nb.page.viewport_size["height"]:
        nb.page.set_viewport_size({**WINDOW, "height": int(needed)})


def dress(nb: Notebook, look: str) -> None:
    """The page in one of THEMES, with the pointer and the focus out of the way."""
    nb.theme(THEMES[look])
    nb.page.keyboard.press("Escape")
    nb.page.mouse.move(0, 0)


# What differs from day to day is nobody's business in a comparison: figures are zeros, and curves are not there
MASK = r"""part => {
    const texts = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        if (texts.currentNode.parentElement.tagName === 'STYLE') continue;
        const plain = texts.currentNode.textContent.replace(/[0-9]/g, '0');
        if (plain !== texts.currentNode.textContent) texts.currentNode.textContent = plain;
    }
    for (const curve of part.querySelectorAll('svg polyline')) curve.style.visibility = 'hidden';
}"""

# --- the scenes -----------------------------------------------------------------------------------------------------

DAY = """%load_ext hybrid_nb
import asyncio
import hybrid_nb as hnb
router = hnb.default_router()
async def ask(model, words, project):
    prompt = f"Write {words} words about telescopes"
    try: await router.achat(prompt, model=model, tags={"project": project})
    except hnb.errors.InferenceError: pass
work = {"sim-openai/simulated-gpt": (300, 180, 420, 250), "sim-openai/simulated-gpt-mini": (300, 120, 200),
        "sim-anthropic/simulated-claude": (220, 160, 310, 190), "sim-ollama/simulated-llama": (30, 20, 25),
        "gpu-box/simulated-qwen": (60, 40, 80, 50), "sim-gemini/simulated-gemini": (200, 150, 260)}
projects = ("spectra", "survey")
for turn in range(4):
    await asyncio.gather(*(ask(m, w[turn], projects[turn % 2]) for m, w in work.items() if turn < len(w)))"""
KNOCK = "for _ in range(2): await ask('sim-gemini/simulated-gemini', 10, 'survey')\nrouter.health()"
CHAT = "chat = hnb.ChatCell(system='You advise astronomers.')\nchat"
QUESTIONS = (
    ("sim-anthropic/simulated-claude", "I have 40 GB of CSV from a telescope. Which format should it move to?"),
    ("sim-openai/simulated-gpt", "Show me how to convert one file, and what it saves."),
)
COMPARED = "simulated-gpt simulated-claude simulated-llama"
COMPARE = f"%%llm_compare {COMPARED}\nIn one sentence: which file format for 40 GB of measurements?"
# a router of their own, so that what they ask does not stand in the figures of the others
APART = """from pathlib import Path
import tomllib
read = tomllib.loads(Path("hybrid_nb.toml").read_text())
apart = hnb.Router({**read, "ledger": {"url": "sqlite:///:memory:"}})
pair = ["sim-openai/simulated-gpt", "sim-anthropic/simulated-claude"]
skies = ["Why do stars twinkle?", "Why is the sky at night dark?", "What is a light year?"]"""
ARENA = "hnb.Arena(apart, pair, skies, seed=1)"
PANEL = "hnb.BenchmarkPanel(apart, max_tokens=50, max_cost=0.05)"
SUMS = "\n".join(f"What is {a} * {b}? => {a * b}" for a in (12, 13, 14, 15) for b in (17, 24, 31))
COMPARING = ["sim-ollama/simulated-llama", "sim-openai/simulated-gpt", "sim-anthropic/simulated-claude"]


def _kill(nb: Notebook, output: Any, fleet: Fleet) -> None:
    fleet["sim-gemini"].kill()


def _converse(nb: Notebook, output: Any, fleet: Fleet) -> None:
    chat = output.locator(".hnb-chat")
    for model, question in QUESTIONS:
        chat.get_by_label("Ask").select_option(model)
        chat.get_by_role("textbox", name="Message").fill(question)
        chat.get_by_role("button", name="Send").click()
        expect(chat.locator(".hnb-chat-turn footer").last).to_contain_text(model)


def _test(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_label("Provider", exact=True).select_option("sim-anthropic")
    output.get_by_role("button", name="Test", exact=True).click()
    expect(output.get_by_text("simulated-claude answered")).to_be_visible()


def _cloud(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_role("button", name="cloud", exact=True).click()
    expect(output.get_by_text("What this leaves")).to_be_visible()


def _trial(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_label("prompt").fill("In one sentence: which file format for 40 GB of measurements?")
    output.get_by_label("models").select_option(
        ["sim-openai/simulated-gpt", "sim-anthropic/simulated-claude", "sim-ollama/simulated-llama"]
    )
    output.get_by_role("button", name="Run").click()
    expect(output.get_by_role("caption").first).to_contain_text("3 answered")


def _meet(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_role("button", name="Start").click()
    expect(output.locator(".hnb-arena-told")).to_contain_text("Both answers are there")


def _vote(nb: Notebook, output: Any, fleet: Fleet) -> None:
    _meet(nb, output, fleet)
    nb.page.keyboard.press("ArrowLeft")
    expect(output.locator(".hnb-arena-told")).to_contain_text("You voted")


def _measure(nb: Notebook, output: Any, fleet: Fleet) -> None:
    output.get_by_label("Models").select_option(COMPARING)
    output.get_by_label("Prompts").fill(SUMS)
    output.get_by_label("Prompts").press("Tab")
    output.get_by_label("Scorers").select_option(["includes"])
    expect(output.get_by_text("This is 36 calls")).to_be_visible()
    output.get_by_role("button", name="Start").click()
    expect(output.get_by_role("caption").first).to_contain_text("36 calls to 3 models", timeout=LOADING)
    output.get_by_label("Prompts", exact=True).evaluate("box => { box.scrollTop = 0; }")
    output.get_by_label("Models", exact=True).evaluate("box => { box.scrollTop = 0; }")


SCENES = (
    Scene("", DAY),
    Scene("compare", COMPARE, _kill),
    Scene("", KNOCK),
    Scene("chat", CHAT, _converse),
    Scene("manager", "hnb.ProviderManager()", _test),
    Scene("selector", "hnb.ProviderSelector()", _cloud),
    Scene("health", "hnb.HealthPanel()"),
    Scene("costs", "hnb.CostTable()"),
    Scene("dashboard", "hnb.Dashboard(tab='Testing')", _trial),
    Scene("", APART),
    Scene("arena", ARENA, _meet),
    Scene("arena_voted", ARENA, _vote),
    Scene("benchmark", PANEL, _measure),
)
