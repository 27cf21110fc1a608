"""What a picture may be by its size alone, and odd files that must not end in a fault; what they cost is the wall's business."""

import os
import struct
from io import BytesIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.errors import ImageTooLarge, UnreadableImage, UploadTooLarge
from app.reading.decode.limits import JPEG_PIXELS, MAX_SIDE, read_bytes, read_stream
from app.reading.decode.picture import decode
from app.settings import Settings
from app.web.application import create_app
from benchmarks.pictures import encode, png_chunk
from tests.conftest import MakeStore
from tests.fuzz.nasty import PNG, blank, long, noise, png, tiff, tiff_of
from tests.fuzz.worker import outcome

SETTINGS = Settings()


def test_of_a_stream_no_more_than_a_byte_above_the_limit_is_read() -> None:
    limits, stream = Settings(max_upload_bytes=100), BytesIO(bytes(300))

    assert read_stream(BytesIO(bytes(100)), limits) == bytes(100)
    with pytest.raises(UploadTooLarge, match="more than 100 bytes"):
        read_stream(stream, limits)
    assert stream.tell() == 101


def test_a_file_or_a_pipe_is_read_up_to_the_limit(tmp_path: Path) -> None:
    limits = Settings(max_upload_bytes=100)
    for count in (100, 101):
        (tmp_path / str(count)).write_bytes(bytes(count))
    near, far = os.pipe()
    os.write(far, bytes(101))
    os.close(far)

    assert read_bytes(tmp_path / "100", limits) == bytes(100)
    with pytest.raises(UploadTooLarge, match="has 101 bytes; the limit is 100"):
        read_bytes(tmp_path / "101", limits)
    with pytest.raises(UploadTooLarge, match="more than 100 bytes"):
        read_bytes(Path(f"/dev/fd/{near}"), limits)
    os.close(near)


@pytest.mark.parametrize("size", [(1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)], ids=["column", "row"])
def test_a_side_has_a_limit_of_its_own(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="side"):
        decode(png(*size), SETTINGS)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "AVIF"])
def test_the_limit_on_pixels_is_exact_and_one_for_all_formats(kind: str) -> None:
    limits = Settings(max_pixels=64 * 64)

    decode(blank(kind, 64, 64), limits)
    with pytest.raises(ImageTooLarge, match="4,160 pixels; the limit for such a file is 4,096"):
        decode(blank(kind, 65, 64), limits)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_jpeg_may_have_four_times_as_many_pixels(mode: str, progressive: bool) -> None:
    limits = Settings(max_pixels=64 * 64)

    decode(encode(Image.new(mode, (64, 64 * JPEG_PIXELS)), "JPEG", progressive=progressive), limits)
    with pytest.raises(ImageTooLarge, match="the limit for such a file is 16,384"):
        decode(encode(Image.new(mode, (64, 64 * JPEG_PIXELS + 1)), "JPEG", progressive=progressive), limits)


def test_a_picture_that_holds_the_mark_of_a_scan_by_chance_is_read() -> None:
    data = encode(noise(1_500, 1_500))
    assert data.count(b"\xff\xda") > 100

    assert decode(data, SETTINGS).width == 1_500


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
    "PNG of a second header": PNG[:33] + png_chunk(b"IHDR", struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)) + PNG[33:],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", NO_SIZE.values(), ids=NO_SIZE.keys())
def test_odd_values_where_a_size_is_looked_for_are_no_fault_of_ours(data: bytes) -> None:
    assert outcome(data, SETTINGS) in {"unreadable-image", "no-digit-found", "digit", "image-too-large"}
