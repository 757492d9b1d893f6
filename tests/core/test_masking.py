"""A configuration text as it may be shown: no key in it, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core.masking import mask, unmask

KEY = "hunter2-PLANTED"


@pytest.mark.parametrize(
    "line",
    [
        f'api_key = "{KEY}"', f"api_key='{KEY}'", f'api_key = "{KEY}', f"api_key = {KEY}  # mine",
        f'# api_key = "{KEY}"',
        f'"api_key" = "{KEY}"', f'endpoints = [{{base_url = "http://x/v1", api_key = "{KEY}"}}]',
        f'api_key = """\n{KEY}"""', f'base_url = "http://me:{KEY}@10.0.0.5/v1"', f'base_url = "http://x/v1?key={KEY}"',
        f'name = "sk-{KEY}"', f'api_key = "a\\"{KEY}"', f'API-KEY: "{KEY}"', f'api_key = "env:{KEY} x',
    ],
)  # fmt: skip
def test_a_key_is_not_in_what_is_shown(line):
    text = f'[[provider]]\nname = "a"\n{line}\ntype = "custom"\n'
    masked = mask(text)
    assert KEY not in masked.text + repr(masked)
    assert masked.text.startswith("[[provider]]\nname = ")
    assert masked.text.endswith('type = "custom"\n')
    assert unmask(masked.text, masked.secrets) == text


@pytest.mark.parametrize("line", ['api_key = "env:OPENAI_API_KEY"', "api_key = 'keyring:lab'  # ours", "api_key = "])
def test_where_a_key_is_kept_is_shown(line):
    assert mask(line) == (line, {})


def test_what_is_edited_around_a_mark_stays_edited():
    masked = mask(f'api_key = "{KEY}"\ntype = olama')
    assert unmask(masked.text.replace("olama", '"ollama"'), masked.secrets) == f'api_key = "{KEY}"\ntype = "ollama"'


PIECES = st.sampled_from(
    ['api_key = "', KEY, '"', "\n", "://", "@", "?k=", "&", "<key 1>", "sk-abcdefgh1", "'", " ", "=", "env:"]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_nothing_is_lost(text):
    masked = mask(text)
    assert unmask(masked.text, masked.secrets) == text
