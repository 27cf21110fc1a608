"""Untrusted bytes: every format and mode gives the same picture, and every bad file gives its own error."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.errors import ImageTooLarge, RequestError, UnreadableImage, UnsupportedImage, UploadTooLarge
from app.reading.decode import fast_decoders, transparency
from app.reading.decode.picture import Picture, decode, to_picture
from app.reading.decode.reduction import LEAST_SIDE, WORK_SIDE
from app.settings import Settings
from benchmarks.pictures import BLACK, WHITE, canvas, encode, png_chunk, stroke_mask

SETTINGS = Settings()
DRAWING = canvas(7, size=64, pen=6)  # black on white


def look(data: bytes, **limits: int) -> Picture:
    return decode(data, Settings(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file_format", "tolerance"),
    [("PNG", 0), ("BMP", 0), ("TIFF", 0), ("WEBP", 40), ("JPEG", 40), ("AVIF", 60), ("GIF", 4)],
)
def test_each_format_gives_the_picture(file_format: str, tolerance: int) -> None:
    picture = look(encode(DRAWING, file_format))

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).max() <= tolerance


def test_heic_is_read_with_its_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()

    picture = look(encode(DRAWING, "HEIF"))

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).mean() < 3


def test_heic_without_its_extra_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encode(DRAWING, "HEIF")
    monkeypatch.setattr("app.reading.decode.picture.HEIF_AVAILABLE", False)

    with pytest.raises(UnsupportedImage, match="HEIC is not read here"):
        look(data)


@pytest.mark.parametrize("heif", [False, True], ids=["without pillow-heif", "with pillow-heif"])
@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"miaf"], ids=bytes.decode)
def test_avif_is_read_under_each_of_its_brands(monkeypatch: pytest.MonkeyPatch, brand: bytes, heif: bool) -> None:
    if heif:
        pytest.importorskip("pillow_heif")
    monkeypatch.setattr("app.reading.decode.picture.HEIF_AVAILABLE", heif)
    data = encode(DRAWING, "AVIF")
    assert b"avif" in data[16:32]

    picture = look(data[:8] + brand + data[12:])

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).max() <= 60


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"miaf"], ids=bytes.decode)
def test_heic_is_read_under_each_of_its_brands(brand: bytes) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encode(DRAWING, "HEIF")
    assert b"heic" in data[16:32]

    picture = look(data[:8] + brand + data[12:])

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).mean() < 3


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0"}], ids=["baseline", "progressive", "EXIF"])
@pytest.mark.parametrize("side", [64, 1_200, 2_000])
def test_a_jpeg_that_lacks_the_mark_of_its_end_is_read(side: int, options: dict[str, object], missing: int) -> None:
    data = encode(canvas(7, size=side, pen=side / 10), "JPEG", **options)

    np.testing.assert_array_equal(look(data[:-missing]).pixels, look(data).pixels)


@pytest.mark.parametrize("missing", [12, 100, 400])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_jpeg_that_lacks_more_is_refused(progressive: bool, missing: int) -> None:
    with pytest.raises(UnreadableImage):
        look(encode(DRAWING, "JPEG", progressive=progressive)[:-missing])


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bitmap_of_windowss_clipboard_is_read_whose_alpha_nobody_has_set(alpha: int) -> None:
    pixels = np.dstack([np.asarray(DRAWING)[::-1, :, ::-1], np.full((64, 64), alpha, np.uint8)])
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, 64, 64, 1, 32, 3, pixels.nbytes, 0, 0, 0, 0) + masks + bytes(68)
    data = b"BM" + struct.pack("<IHHI", 14 + 124 + pixels.nbytes, 0, 0, 14 + 124) + header + pixels.tobytes()

    np.testing.assert_array_equal(look(data).pixels, np.asarray(DRAWING))


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "1 bit": lambda image: image.convert("1", dither=Image.Dither.NONE),
    "palette": lambda image: image.convert("P"),
    "grey": lambda image: image.convert("L"),
    "grey and alpha": lambda image: image.convert("LA"),
    "RGB": lambda image: image,
    "RGBA": lambda image: image.convert("RGBA"),
    "16 bits": lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("convert", MODES.values(), ids=MODES.keys())
def test_each_mode_gives_the_picture(convert: Callable[[Image.Image], Image.Image]) -> None:
    clean = Image.fromarray(np.where(np.asarray(DRAWING) < 128, 0, 255).astype(np.uint8))

    picture = look(encode(convert(clean), "PNG"))

    np.testing.assert_array_equal(picture.pixels, np.asarray(clean))


@pytest.mark.parametrize("file_format", ["TIFF", "JPEG"])
def test_cmyk_gives_the_picture(file_format: str) -> None:
    picture = look(encode(DRAWING.convert("CMYK"), file_format))

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).max() <= 40


def test_floating_point_grey_gives_the_picture() -> None:
    grey = np.asarray(DRAWING.convert("L")).astype(np.float32) / 255

    picture = look(encode(Image.fromarray(grey), "TIFF"))

    np.testing.assert_array_equal(picture.pixels[..., 0], np.asarray(DRAWING.convert("L")))


def test_the_format_is_judged_by_content_and_of_a_gif_the_first_frame_is_read() -> None:
    frames = [canvas(digit, size=64, pen=6) for digit in (7, 8)]

    picture = look(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_exif_orientation_is_undone(file_format: str, orientation: int) -> None:
    upright = Image.fromarray(np.kron(np.arange(6).reshape(2, 3) * 50, np.ones((16, 16))).astype(np.uint8)).convert("RGB")
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that turns upright into what such a camera stores
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = look(encode(stored, file_format, exif=exif))

    assert (picture.width, picture.height) == upright.size
    assert np.abs(picture.pixels.astype(int) - np.asarray(upright)).max() <= 12


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "WEBP"])
def test_width_and_height_are_those_of_the_upright_picture_though_it_is_nearly_square(
    file_format: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = look(encode(Image.new("RGB", (1600, 1599), "white"), file_format, exif=exif))

    assert (picture.width, picture.height) == ((1600, 1599) if orientation == 1 else (1599, 1600))


INKS = {"black": BLACK, "white": WHITE, "red": (220, 30, 30), "yellow": (250, 240, 60), "mid grey": (128, 128, 128)}


@pytest.mark.parametrize("ink", INKS.values(), ids=INKS.keys())
def test_strokes_on_a_transparent_canvas_stay_visible(ink: tuple[int, int, int]) -> None:
    picture = look(encode(canvas(7, size=64, pen=6, ink=ink, ground=None)))

    ground = picture.pixels[0, 0].astype(int)
    strokes = np.asarray(canvas(7, size=64, pen=6).convert("L")) < 10
    assert np.abs(picture.pixels[strokes].astype(int) - ground).max(axis=1).min() > 100


def test_the_ground_continues_paper_that_has_a_transparent_margin() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[8:-8, 8:-8, :3] = np.asarray(DRAWING)[8:-8, 8:-8]
    pixels[8:-8, 8:-8, 3] = 255

    picture = look(encode(Image.fromarray(pixels)))

    np.testing.assert_array_equal(picture.pixels[0, 0], WHITE)


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (1025, 10)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_pictures_are_reduced_and_remember_their_size(file_format: str, size: tuple[int, int]) -> None:
    picture = look(encode(Image.new("RGB", size, "white"), file_format))

    assert LEAST_SIDE <= max(picture.pixels.shape) <= WORK_SIDE
    assert (picture.width, picture.height) == size
    assert picture.scale == max(size) / max(picture.pixels.shape)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1025, 700), (900, 1500), (2048, 2048)])
def test_a_large_drawing_is_reduced_like_any_picture(monkeypatch: pytest.MonkeyPatch, mode: str, size: tuple[int, int]) -> None:
    drawing = canvas(5, size=max(size), ground=None if mode == "RGBA" else (255, 255, 255)).crop((0, 0, *size)).convert(mode)
    data = encode(drawing)
    assert len(data) <= fast_decoders.MOST_BYTES

    ours = look(data)

    monkeypatch.setattr(fast_decoders, "decode_png", lambda *_: None)
    difference = np.abs(ours.pixels.astype(int) - look(data).pixels)  # transparency is laid on its ground before, or after
    assert difference.max() <= (3 if mode == "RGBA" else 0)
    assert (ours.width, ours.height) == size


def test_a_jpeg_of_12_megapixels_is_decoded_at_a_quarter() -> None:
    assert look(encode(Image.new("RGB", (4032, 3024)), "JPEG")).pixels.shape == (756, 1008, 3)


def test_a_jpeg_is_not_decoded_below_what_a_small_digit_needs() -> None:
    assert look(encode(Image.new("RGB", (3100, 2300)), "JPEG")).pixels.shape[1] == WORK_SIDE  # a quarter would be 775


def test_a_large_rotated_jpeg_remembers_its_upright_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    picture = look(encode(Image.new("RGB", (4000, 3000)), "JPEG", exif=exif))

    assert (picture.width, picture.height) == (3000, 4000)
    assert picture.pixels.shape == (1000, 750, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0", b"x"], ids=["garbage", "cut short", "a letter"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_spoil_a_good_picture(file_format: str, exif: bytes) -> None:
    picture = look(encode(DRAWING, file_format, exif=exif))

    assert np.abs(picture.pixels.astype(int) - np.asarray(DRAWING)).max() <= 40


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_grey_of_any_depth_gives_the_picture(bits: int) -> None:
    grey = np.asarray(DRAWING.convert("L")).astype(np.uint16)

    picture = look(encode(Image.fromarray(grey * ((2**bits - 1) // 255)), "PNG"))

    assert np.abs(picture.pixels[..., 0].astype(int) - grey).max() <= 5


def lying_png(width: int, height: int) -> bytes:
    """A PNG whose header claims any size over hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, content) for name, content in chunks)


def flipped(data: bytes) -> bytes:
    return data[:40] + bytes(byte ^ 0xFF for byte in data[40:120]) + data[120:]


BAD: dict[str, tuple[bytes, type[RequestError]]] = {
    "nothing": (b"", UnsupportedImage),
    "text": (b"seven", UnsupportedImage),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', UnsupportedImage),
    "PDF": (b"%PDF-1.7\n", UnsupportedImage),
    "zeros": (bytes(1000), UnsupportedImage),
    "PNG's signature alone": (b"\x89PNG\r\n\x1a\n", UnreadableImage),
    "truncated PNG": (encode(DRAWING)[:200], UnreadableImage),
    "truncated JPEG": (encode(DRAWING, "JPEG")[:500], UnreadableImage),
    "truncated WebP": (encode(DRAWING, "WEBP")[:100], UnreadableImage),
    "truncated GIF": (encode(DRAWING, "GIF")[:100], UnreadableImage),
    "truncated TIFF": (encode(DRAWING, "TIFF")[:2000], UnreadableImage),
    "truncated BMP": (encode(DRAWING, "BMP")[:500], UnreadableImage),
    "truncated AVIF": (encode(DRAWING, "AVIF")[:100], UnreadableImage),
    "corrupt PNG": (flipped(encode(DRAWING)), UnreadableImage),
    "lying PNG": (lying_png(500, 500), UnreadableImage),
    "PNG of no pixels": (lying_png(0, 0), UnreadableImage),
    "PNG bomb": (lying_png(60_000, 60_000), ImageTooLarge),
    "PNG of one long row": (lying_png(100_000_000, 1), ImageTooLarge),
}


@pytest.mark.parametrize(("data", "error"), BAD.values(), ids=BAD.keys())
def test_bad_bytes_get_their_own_error(data: bytes, error: type[RequestError]) -> None:
    with pytest.raises(error):
        look(data)


def test_the_limit_on_bytes_is_exact() -> None:
    data = encode(DRAWING)

    look(data, max_upload_bytes=len(data))
    with pytest.raises(UploadTooLarge):
        look(data, max_upload_bytes=len(data) - 1)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
@given(data=st.data())
def test_damaged_files_end_in_a_picture_or_a_request_error(file_format: str, data: st.DataObject) -> None:
    good = bytearray(encode(DRAWING, file_format))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))

    try:
        picture = decode(bytes(good[:cut]), SETTINGS)
    except RequestError:
        return
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.ndim == 3


def test_a_png_whose_content_is_damaged_under_good_checksums_is_refused() -> None:
    data = encode(DRAWING)

    with pytest.raises(UnreadableImage):
        decode(data[:33] + png_chunk(b"IDAT", b"no deflate") + png_chunk(b"IEND", b""), Settings())


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 2**32 - 1),
    ground=st.sampled_from([(255, 255, 255), (0, 0, 0), (250, 3, 128)]),
)
def test_transparency_is_blended_exactly(shape: tuple[int, int], seed: int, ground: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    colours, alpha = rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, 256, shape, np.uint8)

    # Decoding picks the ground itself; here every ground and every alpha is tried.
    blended = transparency._blend(  # noqa: SLF001
        colours, alpha, np.array(ground, np.uint8)
    )

    share = alpha[..., np.newaxis] / 255
    np.testing.assert_array_equal(blended, np.round(colours * share + np.array(ground) * (1 - share)))


@pytest.mark.parametrize(("size", "every"), [((63, 64), 2), ((80, 90), 3)])
def test_a_canvas_painted_in_a_pattern_is_read(size: tuple[int, int], every: int) -> None:
    alpha = np.where(np.arange(size[0] * size[1]) % every != 0, 255, 0).astype(np.uint8).reshape(size[::-1])

    picture = decode(encode(Image.fromarray(np.dstack([np.zeros((*alpha.shape, 3), np.uint8), alpha]))), Settings())

    assert (picture.pixels[alpha == 255] == 0).all()
    assert (picture.pixels[alpha == 0] == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_side_of_16_pixels_is_not_taken_for_a_depth_of_16_bits(mode: str) -> None:
    data = encode(Image.new("RGB", (16, 16), WHITE).convert(mode))

    assert decode(data, Settings(max_pixels=256)).width == 16


@pytest.mark.parametrize("size", [(4000, 4), (2000, 1), (1, 900), (6, 3300), (3300, 6), (9, 6500)])
def test_a_long_thin_jpeg_is_read(size: tuple[int, int]) -> None:
    picture = decode(encode(Image.new("RGB", size, WHITE), "JPEG"), Settings())

    assert (picture.width, picture.height) == size


def painted(*layers: tuple[int, float, int]) -> Image.Image:
    """A transparent canvas on which digits were drawn over each other, each with its pen and grey level."""
    rgba = np.zeros((280, 280, 4), np.uint8)
    for digit, pen, level in layers:
        ink = stroke_mask(digit, (280, 280), (84, 56, 196, 224), pen)[..., np.newaxis] / 255
        alpha = ink + rgba[..., 3:] / 255 * (1 - ink)
        rgba[..., :3] = (level * ink + rgba[..., :3] * (rgba[..., 3:] / 255) * (1 - ink)) / np.maximum(alpha, 1e-6)
        rgba[..., 3:] = np.round(255 * alpha)
    return Image.fromarray(rgba)


GROUNDS = {
    "dark paint": (painted((7, 18, 0)), 255),
    "light paint": (painted((7, 18, 255)), 0),
    "dark paint, most of it erased": (painted((7, 18, 0), (7, 15, 255)), 255),
    "dark paint, erased, and another digit": (painted((7, 18, 0), (7, 30, 255), (3, 18, 0)), 255),
    "light paint and dark": (painted((7, 18, 230), (1, 6, 20)), 255),
}


@pytest.mark.parametrize(("image", "ground"), GROUNDS.values(), ids=GROUNDS.keys())
def test_the_ground_of_a_transparent_drawing_shows_what_a_person_sees(image: Image.Image, ground: int) -> None:
    assert (to_picture(image).pixels[0, 0] == ground).all()
