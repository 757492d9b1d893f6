"""How many tokens a picture may have at most. Pure, and no decoder: a file's first bytes tell its width and height.

What vendors document (read November 2026), `w` and `h` in pixels, in none of which the request asks for a detail:

OpenAI      in tiles (gpt-4o, o-series; developers.openai.com/api/docs/guides/images-vision): scaled into 2048 x 2048
            and to a short side of 768, then a base and a price for each tile of 512: 85 + 170, with gpt-4o-mini
            2833 + 5667. In patches (gpt-4.1, gpt-5 and later): one for 32 x 32, up to 1,536 (times 1.62 for mini
            and 2.46 for nano models), 2,500, or 10,000 in "original" detail
Anthropic   one for 28 x 28 or w * h / 750, scaled into 1,568 pixels and about 1,600 tokens, from Opus 4.7 on 2,576
            pixels and 4,784 tokens (platform.claude.com/docs/en/build-with-claude/vision)
Gemini      up to 2.5: 258 for each tile, whose side is the short side / 1.5, between 256 and 768; from 3 on up to
            1,120, and 2,240 in ultra high (ai.google.dev/gemini-api/docs/media-resolution)
others      patches of 14, 16 or 28 pixels: Pixtral 4,096 and its row ends, Qwen-VL up to 16,384
"""

from __future__ import annotations

import struct

from hybrid_nb.core.types import Image

Size = tuple[int, int]

UNKNOWN: Size = (8000, 8000)  # what a picture by URL, or one that cannot be read, counts as: the largest taken anywhere
SLACK = 16  # tokens around each picture, as row ends and markers
_OTHERS_MOST = 16_384


def size_of(data: bytes) -> Size | None:
    """(width, height) in pixels from the header of a PNG, JPEG, GIF or WebP; None when it is not told."""
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", data, 16)
        elif data[:4] == b"GIF8":
            width, height = struct.unpack_from("<HH", data, 6)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            width, height = _webp(data)
        elif data[:2] == b"\xff\xd8":
            width, height = _jpeg(data)
        else:
            return None
    except (ValueError, IndexError, struct.error):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _webp(data: bytes) -> Size:
    """The three kinds of WebP: extended, lossless and lossy (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError(kind)


def _jpeg(data: bytes) -> Size:
    """From the frame header (SOF), behind segments that tell their length."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError(at)
        while data[at] == 0xFF:  # any number of fill bytes
            at += 1
        marker = data[at]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 4)
            return width, height
        if marker in (0xD9, 0xDA):  # the picture begins, or ends, without one
            raise ValueError(marker)
        (length,) = struct.unpack_from(">H", data, at + 1)
        at += 1 + max(2, length)


def most_tokens(image: Image, vendor: str, model: str) -> int:
    """The most tokens that a picture can have with a vendor's type ("openai", ...) and a model."""
    width, height = (size_of(image.data) if image.data is not None else None) or UNKNOWN
    short, long = sorted((width, height))
    if "4o-mini" in model:  # whoever sells it
        return 2833 + 5667 * _openai_tiles(short, long) + SLACK
    openai = max(85 + 170 * _openai_tiles(short, long), min(_patches(short, long, 32) * 5 // 2 + 1, 10_000))
    anthropic = min(max(_patches(short, long, 28), short * long // 750 + 1), 4_784)
    known = {"openai": openai, "anthropic": anthropic, "gemini": max(258 * _gemini_tiles(short, long), 2_240)}
    others = min(_patches(short, long, 14), _OTHERS_MOST)
    return known.get(vendor, max(*known.values(), others)) + SLACK


def _patches(short: int, long: int, side: int) -> int:
    return -(-short // side) * -(-long // side)


def _openai_tiles(short: int, long: int) -> int:
    scale = min(1.0, 2048 / long, 768 / short)
    return max(1, _tiles(short * scale, 512) * _tiles(long * scale, 512))


def _gemini_tiles(short: int, long: int) -> int:
    side = min(768.0, max(256.0, short / 1.5))
    return _tiles(short, side) * _tiles(long, side)


def _tiles(length: float, side: float) -> int:
    """So many of this side cover a length; one more where rounding could have taken it away."""
    return int(length // side) + 1
