"""The README's code runs, its configuration is valid, and its two commands are those that exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hybrid_nb as hnb
from hybrid_nb.cli import main
from hybrid_nb.core.config import validate
from hybrid_nb.notebook.options import ASK
from hybrid_nb.setup import check

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def test_the_python_of_the_readme_runs_from_top_to_bottom(capsys):
    names: dict[str, object] = {}
    try:
        for number, (language, code) in enumerate(BLOCKS):
            if language == "python":
                exec(compile(code, f"README block {number}", "exec"), names)
    finally:
        names["router"].close()
        names["fleet"].stop()
        hnb.set_default_router(None)
    assert "Paris" in str(names["city"])
    assert "lisbon" in capsys.readouterr().out.lower()


def test_the_python_of_the_readme_is_quiet_as_a_script():
    code = "\n".join(code for language, code in BLOCKS if language == "python")
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", code], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_configuration_of_the_readme_is_valid():
    blocks = [code for language, code in BLOCKS if language == "toml"]
    assert blocks
    for code in blocks:
        check(validate(tomllib.loads(code), "README"), "README")


def test_the_commands_of_the_readme_exist():
    shell = "\n".join(code for language, code in BLOCKS if language == "sh")
    assert "pip install '.[lab]' && hybrid-nb demo" in shell
    assert "pip install '.[test]' && pytest" in shell
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"lab", "test", "dev", "bench"} <= set(extras)
    assert set(re.findall(r"hybrid-nb (\w+)", README)) <= set(main.commands)


@pytest.mark.parametrize("option", sorted(set(re.findall(r"%%?llm .*?(--[a-z-]+)", README))))
def test_the_magics_of_the_readme_have_their_options(option):
    assert option in {o.name for o in ASK}


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_pictures_and_pages_are_there(page):
    text = page.read_text("utf-8")
    pictures = [*re.findall(r"!\[.*?\]\((.*?)\)", text), *re.findall(r'(?:src|srcset)="(.*?)"', text)]
    assert pictures or page.stem not in {"README", "widgets", "first_five_minutes"}
    for path in pictures:
        assert (page.parent / path).stat().st_size < 400_000
    for path in re.findall(r"(?<!!)\[[^\]]*\]\((?!https?://)([^)#]+)", text):
        assert (page.parent / path).is_file(), path
