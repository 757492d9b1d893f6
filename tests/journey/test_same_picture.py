"""Pictures are compared as a person would: what is gross fails, what is small passes."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from hybrid_nb.sim import Fleet
from tests.journey import same_picture as pictures
from tests.journey.same_picture import same_picture
from tests.journey.scenes import MASK, SCENES, THEMES, cast, config, dress, photograph, play

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

STYLE = """<style>
body { margin: 0; font: 14px sans-serif; background: #fff; color: #222 }
section { width: 800px; padding: 8px; box-sizing: border-box }
button { padding: 6px 16px; background: #1976d2; color: #fff; border: 0 }
td, th { padding: 4px 12px; text-align: left }
tr:nth-child(even) { background: #eee }
</style>"""
ROW = "<tr><td>sim-gemini/simulated-gemini</td><td>0.21 s</td><td>$0.0000168</td><td>cloud tier, priority 2</td></tr>"
PAGE = f"<section><table>{ROW * 6}</table><button>Check now</button></section>"
SMALL = {
    "nothing": PAGE,
    "figures": PAGE.replace("0.21", "1.83"),
    "a pixel": PAGE + "<style>section { padding: 9px 7px 7px 9px }</style>",
    "antialiasing": PAGE + "<style>section { transform: translate(0.4px, 0.4px) scale(0.999) }</style>",
    "a hue": PAGE + "<style>button { background: #1971c2 }</style>",
}
GROSS = {
    "dark": PAGE + "<style>body { background: #111; color: #eee }</style>",
    "no button": PAGE + "<style>button { opacity: 0 }</style>",
    "no table": PAGE + "<style>table { visibility: hidden }</style>",
    "no row": PAGE.replace(ROW, "", 1),
    "overlap": PAGE + "<style>button { position: relative; top: -60px }</style>",
    "unstyled": PAGE.replace("<section>", "<section style='width: 500px'>"),
}


@pytest.fixture
def shoot(browser, tmp_path):
    """A function that photographs HTML."""
    page = browser.new_page()

    def picture(html: str) -> Path:
        page.set_content(STYLE + html)
        target = tmp_path / "picture.png"
        page.locator("section").screenshot(path=target)
        return target

    yield picture
    page.close()


@pytest.fixture
def same(shoot, tmp_path, monkeypatch):
    """A function that compares HTML with the page's reference, which was made as an update makes it."""
    compare = partial(same_picture, references=tmp_path / "references")
    monkeypatch.setenv(pictures.UPDATE, "update")
    compare(shoot(PAGE), "page")
    monkeypatch.delenv(pictures.UPDATE)
    return lambda html, name="page": compare(shoot(html), name)


@pytest.mark.parametrize("change", SMALL)
def test_a_small_change_passes(same, change):
    same(SMALL[change])


@pytest.mark.parametrize("change", GROSS)
def test_a_gross_change_fails(same, change):
    with pytest.raises(AssertionError, match="of page looks different"):
        same(GROSS[change])


def test_a_picture_without_a_reference_says_how_to_make_it(same):
    with pytest.raises(AssertionError, match="HYBRID_NB_PICTURES=update makes it"):
        same(PAGE, "other")


def test_references_are_small_and_a_picture_that_cannot_be_is_refused(tmp_path):
    for path in pictures.REFERENCES.glob("*.png"):
        assert path.stat().st_size <= pictures.LARGEST, path.name
    noise = tmp_path / "noise.png"
    Image.effect_noise((900, 900), 90).save(noise)
    with pytest.raises(ValueError, match="does not fit into 60000 bytes"):
        pictures.keep(noise, tmp_path / "small.png")


def test_the_widgets_look_as_they_did(lab):
    """All of them in one notebook, in both themes; every difference is told, not the first alone."""
    wrong = []
    with Fleet(cast(), seed=7) as fleet:
        nb = [nb for nb, _ in play(lab, SCENES, fleet, config(fleet))][-1]
        for look, (number, scene) in product(THEMES, enumerate(SCENES)):
            if not scene.name:
                dress(nb, look)
                continue
            nb.output(number).evaluate(MASK)
            try:
                same_picture(photograph(nb, scene, number, look), f"{scene.name}_{look}")
            except AssertionError as error:
                wrong.append(str(error))
    assert wrong == []
