"""What a picture may cost: its size is read from its first bytes, and the bound holds for what vendors document."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from hybrid_nb.core.types import Image, Message, Request
from hybrid_nb.engine.allowance import input_bound
from hybrid_nb.engine.pictures import SLACK, most_tokens, size_of


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG, which is all that its size needs."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"


def drawn(kind: str, size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", size, "red").save(buffer, kind, **options)
    return buffer.getvalue()


KINDS = {
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "jpeg with exif and a comment": ("JPEG", {"exif": b"Exif\0\0" + b"\xff\xc0" * 300, "comment": b"x" * 500}),
    "lossy webp": ("WEBP", {"quality": 50}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "webp with exif": ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
}


@pytest.mark.parametrize("size", [(1, 1), (17, 300), (1023, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_every_kind(kind: str, size: tuple[int, int]) -> None:
    name, options = KINDS[kind]
    assert size_of(drawn(name, size, **options)) == size


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_header_tells_no_wrong_size(kind: str) -> None:
    name, options = KINDS[kind]
    whole = drawn(name, (33, 44), **options)
    assert {size_of(whole[:length]) for length in range(len(whole))} <= {None, (33, 44)}


@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff", b""]), st.binary())
def test_whatever_follows_is_survived(begin: bytes, more: bytes) -> None:
    size = size_of(begin + more)
    assert size is None or min(size) > 0


# what the vendors' pages give as examples: (vendor, model, width, height, tokens)
DOCUMENTED = [
    ("openai", "gpt-4o", 1024, 1024, 765),
    ("openai", "gpt-4o", 2048, 4096, 1105),
    ("openai", "gpt-4o-mini", 1024, 1024, 2833 + 4 * 5667),
    ("openai", "gpt-4.1", 1024, 1024, 1024),
    ("openai", "gpt-4.1", 1800, 2400, 1452),
    ("openai", "gpt-4.1-mini", 1024, 1024, 1659),
    ("openai", "gpt-4.1-nano", 1800, 2400, 3572),
    ("anthropic", "claude-sonnet-4-6", 1000, 1000, 1334),
    ("anthropic", "claude-haiku-4-5", 1092, 1092, 1590),
    ("anthropic", "claude-opus-4-7", 2576, 1456, 4784),
    ("anthropic", "claude-sonnet-4-6", 8000, 8000, 1600),
    ("gemini", "gemini-2.5-flash", 384, 384, 258),
    ("gemini", "gemini-2.5-flash", 960, 540, 6 * 258),
    ("gemini", "gemini-3.5-flash", 100, 100, 1120),
    ("custom", "pixtral-12b", 1024, 1024, 4096),
    ("custom", "gpt-4o-mini", 512, 512, 2833 + 5667),
]


@pytest.mark.parametrize(("vendor", "model", "width", "height", "tokens"), DOCUMENTED)
def test_the_bound_holds_for_what_is_documented(vendor: str, model: str, width: int, height: int, tokens: int) -> None:
    bound = most_tokens(Image("image/png", png(width, height)), vendor, model)
    assert tokens <= bound
    assert bound <= most_tokens(Image(url="https://a/b.png"), vendor, model)  # what cannot be seen counts as the most
    assert bound <= most_tokens(Image("image/png", png(width, height)), "", model)  # as an unknown vendor's


def test_a_small_picture_costs_little() -> None:
    assert most_tokens(Image("image/png", png(200, 200)), "anthropic", "claude-opus-4-8") == 64 + SLACK
    assert most_tokens(Image("image/png", png(200, 200)), "openai", "gpt-5") == 85 + 170 + SLACK
    small, url = Image("image/png", png(200, 200)), Image(url="https://a/b.png")

    def bound(*images: Image) -> int:
        return input_bound(Request((Message("user", "hi", images),)), "openai", "gpt-5")

    assert bound(small, small) - bound() == 2 * (85 + 170 + SLACK)
    assert bound(url) - bound() == 10_000 + SLACK
