"""Makes bytes from a case number: a good or nasty picture, damaged in a way that the number determines."""

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from benchmarks.pictures import canvas, encode, png_chunk
from tests.fuzz.nasty import CHEAP, EXPENSIVE, HURTFUL, animated

SMALL = 64 * 1024  # bytes of a nasty picture that is worth damaging further
MOST_DAMAGES = 8
NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    16,
    63,
    64,
    127,
    128,
    255,
    256,
    1023,
    1024,
    4096,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)

Damage = Callable[[bytearray, random.Random], None]


@cache
def sources() -> list[bytes]:
    """What is damaged: pictures in every format and mode, and the small ones of the nasty; bombs take seconds to make."""
    nasty = [make() for name, make in CHEAP.items() if "bomb" not in name]
    return [*_good(), *(data for data in nasty if 0 < len(data) <= SMALL)]


def _good() -> list[bytes]:
    drawing = canvas(3, size=48, pen=5)
    grey = drawing.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    clear = canvas(5, size=48, pen=5, ground=None)
    found = [
        encode(image) for image in (drawing, grey, deep, clear, drawing.convert("P"), drawing.convert("1"), clear.convert("LA"))
    ]
    found += [
        encode(drawing, "JPEG", **options)
        for options in ({}, {"progressive": True}, {"quality": 5}, {"subsampling": 0, "restart_marker_rows": 1})
    ]
    found += [encode(grey, "JPEG"), encode(drawing.convert("CMYK"), "JPEG")]
    found += [encode(image, "WEBP", lossless=lossless) for image in (drawing, clear) for lossless in (False, True)]
    found += [encode(image, "GIF") for image in (drawing, grey.convert("P"), clear)] + [encode(drawing, "GIF", interlace=0)]
    found += [
        encode(image, "TIFF")
        for image in (drawing, grey, deep, floats, clear, drawing.convert("1"), drawing.convert("CMYK"), drawing.convert("P"))
    ]
    found += [
        encode(drawing, "TIFF", compression=name)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd")
    ]
    found += [encode(drawing.convert("1"), "TIFF", compression=name) for name in ("group3", "group4", "tiff_ccitt")]
    found += [encode(drawing, "TIFF", big_tiff=True)]
    found += [encode(image, "BMP") for image in (drawing, grey, clear, drawing.convert("P"), drawing.convert("1"))]
    found += [
        encode(drawing, "AVIF", speed=10),
        encode(clear, "AVIF", speed=10),
        encode(drawing, "AVIF", speed=10, subsampling="4:4:4"),
    ]
    return found + [animated(name, 3, 24) for name in ("PNG", "WEBP", "GIF", "TIFF", "AVIF")]


def case(number: int) -> bytes:
    """The bytes of a case: first the nasty pictures as they are, then damaged ones."""
    nasty = [*CHEAP.values(), *EXPENSIVE.values(), *HURTFUL.values()]
    if number < len(nasty):
        return nasty[number]()
    rng = random.Random(number)
    data = bytearray(rng.choice(sources()))
    png = data[:4] == b"\x89PNG"
    if png and rng.random() < 0.4:
        data = _with_other_pixels(data, rng)
    for _ in range(rng.randint(1, MOST_DAMAGES)):
        rng.choice(DAMAGES)(data, rng)
    return bytes(_mend(data) if png and rng.random() < 0.8 else data)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _number(data: bytearray, rng: random.Random) -> None:
    """Writes a number that programs stumble over, early in the file rather than late."""
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    value = struct.pack(kind, rng.choice(NUMBERS) & (0xFFFF if kind[1] == "H" else 0xFFFFFFFF))
    place = rng.randrange(1 + min(len(data), rng.choice((64, 256, len(data) + 1))))
    data[place : place + len(value)] = value


def _cut(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 2, 4, 16, 64, 256))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice((1, 4, 12, 64, 512))]
    data[start:start] = piece * rng.choice((1, 2, 10, 100))


def _splice(data: bytearray, rng: random.Random) -> None:
    other = rng.choice(sources())
    start, size = rng.randrange(len(other) + 1), rng.choice((4, 16, 64, 512))
    place = rng.randrange(len(data) + 1)
    data[place : place + rng.choice((0, size))] = other[start : start + size]


def _truncate(data: bytearray, rng: random.Random) -> None:
    if rng.random() < 0.2:
        del data[rng.randrange(len(data) + 1) :]


DAMAGES: tuple[Damage, ...] = (_flip, _set, _number, _number, _cut, _repeat, _splice, _truncate)


def _chunks(png: bytes | bytearray) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 8 <= len(png):
        (length,) = struct.unpack_from(">I", png, place)
        found.append((bytes(png[place + 4 : place + 8]), bytes(png[place + 8 : place + 8 + length])))
        place += 12 + length
    return found


def _mend(png: bytearray) -> bytes:
    """The PNG with the right checksums, so that damage gets further than to them."""
    return bytes(png[:8]) + b"".join(png_chunk(name, data) for name, data in _chunks(png))


def _with_other_pixels(png: bytearray, rng: random.Random) -> bytearray:
    """The PNG with damage within its compressed rows."""
    chunks = _chunks(png)
    try:
        rows = bytearray(zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")))
    except zlib.error:
        return png
    for _ in range(4):
        rng.choice(DAMAGES)(rows, rng)
    head, tail = chunks[:1], [each for each in chunks[1:] if each[0] != b"IDAT"]
    return bytearray(
        png[:8] + b"".join(png_chunk(*each) for each in (*head, *tail[:-1], (b"IDAT", zlib.compress(rows)), *tail[-1:]))
    )
