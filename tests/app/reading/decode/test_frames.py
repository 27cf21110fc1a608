"""Pictures of many frames: counted at little cost, and refused beyond the limit."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from app.errors import ImageTooLarge
from app.reading.decode.file_structure import MOST_BLOCKS, count_frames

# The walk itself: Pillow opens no file so short or so broken.
from app.reading.decode.file_structure import _walk_gif  # isort: skip
from app.reading.decode.picture import decode
from app.settings import Settings
from benchmarks.pictures import canvas, encode

FORMATS = ("GIF", "TIFF", "PNG", "WEBP", "AVIF", "MPO")


def animation(frames: int, kind: str, **options: object) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (255, 20 * place % 256, place % 256)) for place in range(frames)]
    file = BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **options)
    return file.getvalue()


@pytest.mark.parametrize("frames", [2, 7])
@pytest.mark.parametrize("kind", FORMATS)
def test_frames_are_counted_as_pillow_counts_them(kind: str, frames: int) -> None:
    data = animation(frames, kind)
    image = Image.open(BytesIO(data))

    assert count_frames(image, data, 100) == image.n_frames == frames  # type: ignore[attr-defined]


def test_wide_directories_are_counted_too() -> None:
    data = animation(5, "TIFF", big_tiff=True)

    assert data[2:4] == b"+\0"
    assert count_frames(Image.open(BytesIO(data)), data, 100) == 5


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP"])
def test_a_still_has_one_frame(kind: str) -> None:
    data = encode(canvas(3), kind)

    assert count_frames(Image.open(BytesIO(data)), data, 100) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_more_frames_than_the_limit_are_refused(kind: str) -> None:
    data = animation(5, kind)

    decode(data, Settings(max_frames=5))
    with pytest.raises(ImageTooLarge, match="more than 4 frames"):
        decode(data, Settings(max_frames=4))


def test_counting_stops_at_the_limit() -> None:
    data = animation(9, "GIF")

    assert count_frames(Image.open(BytesIO(data)), data, 3) == 4


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_what_breaks_off_is_counted_as_far_as_it_goes(kind: str, keep: float) -> None:
    data = animation(6, kind)
    image = Image.open(BytesIO(data))

    assert 0 <= count_frames(image, data[: int(len(data) * keep)], 100) <= 6


def test_pages_that_go_round_in_a_circle_come_to_an_end() -> None:
    data = bytearray(animation(2, "TIFF"))
    image = Image.open(BytesIO(bytes(data)))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)

    assert count_frames(image, bytes(data), 100) == 1


def test_blocks_without_end_are_not_walked_to_the_end() -> None:
    blocks = b"\x01," * (MOST_BLOCKS + 1) + b"\0"
    frame = b"," + bytes(9) + b"\x02"

    assert sum(1 for _ in _walk_gif(bytes(13) + frame + b"\0" + frame + blocks + frame + b"\0")) == 2
