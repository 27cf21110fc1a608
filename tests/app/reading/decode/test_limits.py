"""Pictures that would be expensive to read are refused before decoding; those that only look expensive are read."""

import struct
import zlib
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.errors import ImageTooLarge, UnreadableImage
from app.reading.decode.file_structure import MAX_EXIF, MAX_PARTS, MAX_PROFILES, MAX_SCANS, MAX_SEGMENTS, has_long_entry
from app.reading.decode.limits import MAX_SIDE
from app.reading.decode.picture import decode
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import encode, png_chunk
from tests.conftest import MakeStore
from tests.fuzz.nasty import JPEG, PNG, blank, exif_parts, gif, jpeg, jpeg_segment, long, noise, png, tiff, tiff_of
from tests.fuzz.worker import outcome

SETTINGS = Settings()

MANY_PARTS = {
    "PNG of chunks": png(64, 64, before=png_chunk(b"abCd", b"") * MAX_PARTS),
    "PNG of chunks behind the pixels": png(64, 64, after=png_chunk(b"abCd", b"") * MAX_PARTS),
    "GIF of extensions": gif(64, 64, before=b"!\xaa\1a\0" * MAX_PARTS),
    "JPEG of comments": JPEG[:2] + jpeg_segment(0xFE, b"") * MAX_SEGMENTS + JPEG[2:],
    "PNG of profiles": PNG[:33] + png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(9))) * (MAX_PROFILES + 1) + PNG[33:],
    "JPEG of EXIF": JPEG[:2] + exif_parts(bytes(65_000 * (MAX_EXIF + 1))) + JPEG[2:],
    "JPEG of fill bytes": JPEG[:2] + b"\xff" * MAX_PARTS + JPEG[2:],
    "TIFF of strips": tiff(tiff_of(4, MAX_PARTS + 1, t273=(4, MAX_PARTS + 1, long(8)), t278=(4, 1, long(1))), bytes(9 * MAX_PARTS)),
    "BMP of runs": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, 400, 400, 1, 8, 1, 0, 0, 0, 0, 0) + bytes(1024) + b"\1\0" * MAX_PARTS,
}  # fmt: skip


@pytest.mark.parametrize("data", MANY_PARTS.values(), ids=MANY_PARTS.keys())
def test_a_file_of_too_many_parts_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(data, SETTINGS)


@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["Intel", "Motorola"])
@pytest.mark.parametrize("nested", [False, True], ids=["first directory", "EXIF's directory"])
def test_an_entry_of_too_many_values_is_found(order: str, nested: bool, big: bool) -> None:
    start = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8))
    )
    number, entry = ("Q", "HHQQ") if big else ("H", "HHII")
    long_one = struct.pack(order + number, 1) + struct.pack(order + entry, 282, 5, MAX_PARTS + 1, 0)
    behind = len(start) + len(long_one)
    first = struct.pack(order + number, 1) + struct.pack(order + entry, 0x8769, 4, 1, behind) if nested else b""

    assert has_long_entry(start + first + long_one)
    assert not has_long_entry(start + first)


def test_a_progressive_jpeg_of_too_many_scans_is_refused() -> None:
    with pytest.raises(ImageTooLarge, match="scans"):
        decode(jpeg(64, 64, progressive=True, scans=MAX_SCANS + 1), SETTINGS)


def test_a_large_progressive_jpeg_may_have_fewer_scans() -> None:
    with pytest.raises(ImageTooLarge, match="scans"):
        decode(jpeg(5_000, 5_000, progressive=True, scans=41), SETTINGS)


def test_a_picture_that_contains_a_scan_marker_by_chance_is_read() -> None:
    data = encode(noise(1_500, 1_500))
    assert data.count(b"\xff\xda") > MAX_SCANS

    assert decode(data, SETTINGS).width == 1_500


@pytest.mark.parametrize("size", [(1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)], ids=["column", "row"])
def test_a_side_has_a_limit_of_its_own(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="side"):
        decode(png(*size), SETTINGS)


MORE_EXPENSIVE = {
    "WebP": lambda side: blank("WEBP", side, side),
    "AVIF": lambda side: blank("AVIF", side, side, speed=10),
    "progressive JPEG": lambda side: blank("JPEG", side, side, progressive=True),
    "progressive JPEG in CMYK": lambda side: encode(Image.new("CMYK", (side, side)), "JPEG", progressive=True),
    "PNG of 16 bits": lambda side: png(side, side, depth=16, colour=6),
    "TIFF": lambda side: blank("TIFF", side, side),
}  # fmt: skip


@pytest.mark.parametrize("make", MORE_EXPENSIVE.values(), ids=MORE_EXPENSIVE.keys())
def test_a_format_whose_decoder_holds_more_may_have_fewer_pixels(make: Callable[[int], bytes]) -> None:
    limits = Settings(max_pixels=100 * 100)

    decode(blank("PNG", 100, 100), limits)
    decode(make(40), limits)
    with pytest.raises(ImageTooLarge, match="for such a file"):
        decode(make(100), limits)


def test_warnings_of_pillow_do_not_reach_the_log(make_store: MakeStore) -> None:
    data = tiff([*tiff_of(64, 64), (1_000, 1, 2**31, long(8))], bytes(9_000))

    with pytest.raises(UnreadableImage):  # a warning is an error in tests
        decode(data, SETTINGS)
    with TestClient(create_app(Settings(model_store=make_store()))):
        assert decode(data, SETTINGS).width == 64


NO_SIZE = {
    "TIFF whose bits are letters": tiff(tiff_of(64, 64, t258=(2, 1, long(8))), bytes(9_000)),
    "TIFF whose orientation is a letter": tiff(tiff_of(64, 64, t274=(2, 1, long(8))), bytes(9_000)),
    "BigTIFF whose directory is beyond 63 bits": b"II+\0\x08\0\0\0" + b"\xff" * 40,
    "PNG without pixels": PNG[:33] + png_chunk(b"IEND", b""),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", NO_SIZE.values(), ids=NO_SIZE.keys())
def test_odd_values_in_place_of_a_size_do_not_cause_a_server_error(data: bytes) -> None:
    assert outcome(data, SETTINGS) in {"unreadable-image", "no-digit-found"}


@pytest.mark.parametrize("given", [("t322", "t323"), ("t322",), ("t323",)], ids=["both sides", "its width", "its height"])
def test_a_tiff_whose_tile_is_larger_than_a_picture_may_be_is_refused(given: tuple[str, ...]) -> None:
    tiles = {tag: (4, 1, long(21_168_144)) for tag in given} | {"t324": (4, 1, long(200)), "t325": (4, 1, long(5_000))}
    of_one_bit = [entry for entry in tiff_of(64, 64, **tiles, t259=(3, 1, long(8))) if entry[0] != 258]

    with pytest.raises(ImageTooLarge):
        decode(tiff(of_one_bit, bytes(400)), SETTINGS)
