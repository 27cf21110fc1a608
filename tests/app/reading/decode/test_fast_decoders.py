"""Plain PNG and JPEG files are decoded to the same values as Pillow gives; all others are left to Pillow."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.reading.decode import fast_decoders
from benchmarks.pictures import png_chunk


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(250, 250), (28, 28), (31, 17), (1, 1), (1024, 40)])
def test_a_plain_png_is_read_as_pillow_reads_it(mode: str, size: tuple[int, int]) -> None:
    check_png(*_encode_noise(mode, size, "PNG"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1200, 1000), (1500, 1250)])
def test_a_larger_png_is_read_as_pillow_reads_it(mode: str, size: tuple[int, int]) -> None:
    _, noise = _encode_noise(mode, (60, 50), "PNG")
    pixels = noise.resize(size, Image.Resampling.NEAREST)
    file = io.BytesIO()
    pixels.save(file, "PNG")

    check_png(file.getvalue(), pixels)


def check_png(data: bytes, pixels: Image.Image) -> None:
    mode = pixels.mode

    decoded = _decode_png(data)

    assert decoded is not None
    np.testing.assert_array_equal(decoded, pixels.convert("RGBA" if mode == "RGBA" else "RGB"))


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 40, "subsampling": 0}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_plain_jpeg_is_read_as_pillow_reads_it(mode: str, options: dict[str, Any], reduction: int) -> None:
    size = (400, 296)
    data, _ = _encode_noise(mode, size, "JPEG", **options)
    expected = Image.open(io.BytesIO(data))
    expected.draft(mode, (size[0] // reduction, size[1] // reduction))

    decoded = fast_decoders.decode_jpeg(data, reduction)

    assert decoded is not None
    np.testing.assert_array_equal(decoded, expected.convert("RGB"))


def _encode_noise(mode: str, size: tuple[int, int], file_format: str, **options: Any) -> tuple[bytes, Image.Image]:
    levels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    image = Image.fromarray(levels.squeeze(2) if mode == "L" else levels)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue(), image


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[:-20], id="truncated"),
        pytest.param(lambda data: data[:60] + b"\xff" + data[61:], id="wrong checksum"),
        pytest.param(lambda data: data[:33] + png_chunk(b"eXIf", b"MM\0*") + data[33:], id="EXIF"),
        pytest.param(lambda data: data[:33] + png_chunk(b"tRNS", bytes(6)) + data[33:], id="a transparent colour"),
        pytest.param(lambda data: data[:33] + png_chunk(b"acTL", bytes(8)) + data[33:], id="animation"),
        pytest.param(lambda data: data[:0], id="nothing"),
    ],
)
def test_a_png_that_is_special_or_damaged_is_left_to_pillow(change: Callable[[bytes], bytes]) -> None:
    data, _ = _encode_noise("RGB", (30, 20), "PNG")

    assert _decode_png(data) is not None
    assert _decode_png(change(data)) is None


def test_a_panic_of_the_decoder_leaves_the_png_to_pillow_and_an_interruption_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = _encode_noise("RGB", (30, 20), "PNG")
    raised: BaseException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("index out of bounds")

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(fast_decoders, "decode_image_png_u8", fail)

    assert _decode_png(data) is None
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _decode_png(data)


def _decode_png(data: bytes) -> fast_decoders.Pixels | None:
    header = fast_decoders.read_png_header(data)
    return fast_decoders.decode_png(data, header) if header else None
