"""Untrusted bytes -> an upright picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import RequestError, UnreadableImage, UnsupportedImage, UploadTooLarge
from app.reading.decode import fast_decoders
from app.reading.decode.file_structure import PatientFile, check_parts, has_long_entry
from app.reading.decode.limits import ORIENTATION, Limits, check_frames, check_size
from app.reading.decode.transparency import composite

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
HEIF_AVAILABLE = find_spec("pillow_heif") is not None

DEPTHS = (1.0, *(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32)))  # the largest values of grey, as files have them
WORK_SIDE = 1024  # pixels; larger pictures are reduced to it
PLAIN_SIDE = 2 * WORK_SIDE  # of a PNG that is held twice to be reduced
STRIP = 2**20  # pixels that are brought to 8 bits at a time
REDUCING_GAP = 2  # by how much the first, quick reduction may leave a picture larger than the last makes it
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what undoes each of EXIF's orientations
LEAST_SIDE = 800  # pixels that a JPEG's decoder must leave: a digit of a 40th of the side still fills the 20 px box
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of a bitmap's second header; two letters alone prove nothing
ORIENTING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # what Pillow looks for an orientation in


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    pixels: (H, W, 3) uint8, RGB, the longer side at most WORK_SIDE.
    width, height: of the upright original, in pixels; pixels may be a reduced rendition of it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Original pixels per pixel, 1 where nothing was reduced."""
        return max(self.width, self.height) / float(max(self.pixels.shape[:2]))


class Decoder(Protocol):
    """Turns bytes into a picture; a service can put a wall between them and itself."""

    def decode(self, data: bytes, header: fast_decoders.PngHeader | None = None) -> Picture:
        """As the function decode."""


@dataclass(frozen=True)
class InProcessDecoder:
    """Decodes in the process itself."""

    limits: Limits

    def decode(self, data: bytes, header: fast_decoders.PngHeader | None = None) -> Picture:
        """As the function decode, within the limits."""
        return decode(data, self.limits, header)


def to_picture(source: Image.Image | NDArray[np.uint8]) -> Picture:
    """The picture that a PIL image or an array (H, W), (H, W, 3) or (H, W, 4) of uint8 shows, as decode would give it.

    Raises:
        UnsupportedImage: an array of another shape or type.
        UnreadableImage: a PIL image whose file is damaged.
    """
    image = source if isinstance(source, Image.Image) else _from_array(source)
    try:
        upright = _turn_upright(_shrink(image), image)
    except Exception as error:  # Pillow loads lazily: as in decode
        raise UnreadableImage(f"The {image.format or 'image'} is truncated or corrupt.") from error
    width, height = image.size
    if (width > height) != (upright.width > upright.height):
        width, height = height, width
    return Picture(composite(np.asarray(upright)), width, height)


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise UnsupportedImage(
            f"The array has the shape {array.shape} and the type {array.dtype}; send (H, W), (H, W, 3) or (H, W, 4) of uint8."
        )
    return Image.fromarray(array)


def decode(data: bytes, limits: Limits, header: fast_decoders.PngHeader | None = None) -> Picture:
    """Decodes the first frame of a PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or, with pillow-heif, HEIC file.

    The format is judged by content. Orientation follows EXIF; transparency is composited so that strokes stay visible.
    header: fast_decoders.read_png_header's, if the caller has read it already.

    Raises:
        UploadTooLarge: more bytes than limits.max_upload_bytes.
        UnsupportedImage: no image of these formats.
        ImageTooLarge: more pixels or frames than the limits allow.
        UnreadableImage: truncated or corrupt.
    """
    if len(data) > limits.max_upload_bytes:
        raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {limits.max_upload_bytes:,}.")
    drawing = _read_plain_png(data, header or fast_decoders.read_png_header(data), limits)
    if drawing:
        return drawing
    image = _open(data)
    try:
        check_size(image, data, limits)
        check_frames(image, data, limits)
        return _read(image, data)
    except RequestError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a corrupt file provokes, from OSError to IndexError
        raise UnreadableImage(f"The {image.format} file is truncated or corrupt.") from error


def _read_plain_png(data: bytes, header: fast_decoders.PngHeader | None, limits: Limits) -> Picture | None:
    """What most clients send, a small PNG within the limits, at little cost; None for all else, also for what is refused."""
    if header is None or max(header.width, header.height) > PLAIN_SIDE or header.width * header.height > limits.max_pixels:
        return None
    pixels = fast_decoders.decode_png(data, header)
    if pixels is None:
        return None
    if max(pixels.shape) > WORK_SIDE:
        pixels = np.asarray(_shrink(Image.fromarray(pixels)))
    return Picture(composite(pixels), header.width, header.height)


def sniff(data: bytes) -> str | None:
    """The format whose signature the bytes begin with, or None: PNG, JPEG, GIF, BMP, TIFF, WEBP, AVIF or HEIF."""
    signatures = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}
    signatures |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF")
    for signature, name in signatures.items():
        if data.startswith(signature):
            return name
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":  # ISO/IEC 14496-12: the brand tells which codec the container holds
        brand = data[8:12]
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
            return "HEIF"
    return None


def _open(data: bytes) -> Image.Image:
    formats: tuple[str, ...] = FORMATS
    name = sniff(data)
    if name == "HEIF" and HEIF_AVAILABLE:
        from pillow_heif import register_heif_opener  # noqa: PLC0415  an extra

        register_heif_opener()
        formats = ("HEIF", "AVIF")  # both come under the brand mif1
    Image.MAX_IMAGE_PIXELS = None  # the limits here stand in for Pillow's, in the whole process
    check_parts(data)
    try:
        return Image.open(PatientFile(data), formats=formats)
    except RequestError:
        raise
    except Exception as error:  # as in decode: a corrupt header can provoke anything
        if name is None:
            raise UnsupportedImage(f"The bytes are no {_format_names()} image.") from error
        if name == "HEIF" and not HEIF_AVAILABLE:
            raise UnsupportedImage("HEIC is not read here; send JPEG or PNG.") from error
        raise UnreadableImage(f"The {name} file is truncated or corrupt.") from error


def _format_names() -> str:
    names = ["PNG", "JPEG", "WebP", "AVIF", "BMP", "GIF", "TIFF", *(["HEIC"] if HEIF_AVAILABLE else [])]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _read(image: Image.Image, data: bytes) -> Picture:
    width, height = image.size
    if image.mode in ("L", "RGB"):  # other modes would lose their colours to draft
        reduction = max(1.0, max(image.size) / LEAST_SIDE)
        smallest = max(1, int(width / reduction)), max(1, int(height / reduction))
        image.draft(image.mode, smallest)  # JPEG only: decodes 1/2, 1/4 or 1/8
    pixels = _read_plain_jpeg(image, data, round(width / image.width))
    if pixels is None:
        upright = _turn_upright(_shrink(image), image)
        if (width > height) != (upright.width > upright.height):
            width, height = height, width
        pixels = np.asarray(upright)
    return Picture(composite(pixels), width, height)


def _read_plain_jpeg(image: Image.Image, data: bytes, reduction: int) -> NDArray[np.uint8] | None:
    """The pixels (H, W, 3) of a JPEG in grey or RGB without an orientation, or None for other pictures."""
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or ORIENTING.intersection(image.info):
        return None
    return fast_decoders.decode_jpeg(data, reduction) if max(image.size) <= WORK_SIDE else None


def _turn_upright(small: Image.Image, image: Image.Image) -> Image.Image:
    """Undoes the orientation that the image's EXIF tells; what has a broken one stays as it was stored."""
    if not ORIENTING.intersection(image.info) or has_long_entry((image.info.get("exif") or b"").removeprefix(b"Exif\0\0")):
        return small
    try:
        method = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001  Pillow's parser raises from SyntaxError to struct.error; the pixels are good
        return small
    return small if method is None else small.transpose(method)


def _shrink(image: Image.Image) -> Image.Image:
    """RGB or RGBA of 8 bits, reduced to WORK_SIDE by averaging areas, colours weighted by their alpha.

    So thin strokes stay, as faint ones. A large picture is first reduced by a whole number, strip by strip, so that hardly
    anything is held beside the picture itself.
    """
    image.load()  # some plugins learn of transparency, and of the orientation, only here
    to_8_bits = _to_8_bits(image)
    size, factor = _reduced(image.size), int(max(image.size) / WORK_SIDE / REDUCING_GAP)
    if factor < 2:
        eight = to_8_bits(image)
        return eight if size == image.size else eight.resize(size, Image.Resampling.BOX)
    strips = [_premultiplied(to_8_bits(strip)).reduce(factor) for strip in _strips(image, factor)]
    joined = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    for number, strip in enumerate(strips):
        joined.paste(strip, (0, number * strips[0].height))
    box = (0, 0, image.width / factor, image.height / factor)
    small = joined.resize(size, Image.Resampling.BOX, box)
    return small.convert("RGBA") if small.mode == "RGBa" else small


def _strips(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    """The image from top to bottom, in strips of about STRIP pixels, the rows of each a multiple of the factor."""
    rows = factor * max(1, STRIP // (image.width * factor))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, WORK_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _premultiplied(image: Image.Image) -> Image.Image:
    return image.convert("RGBa") if image.mode == "RGBA" else image


def _to_8_bits(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What makes RGB, or RGBA where there is transparency, of a part of this image in any mode of Pillow's."""
    if image.mode.startswith(("I", "F")):
        black, depth = _range(image)
        return lambda part: Image.fromarray(_scale_depth(_levels(part), black, depth)).convert("RGB")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return lambda part: part if part.mode == mode else part.convert(mode)


def _range(image: Image.Image) -> tuple[float, float]:
    """Black, and how far white is from it: the least of the usual depths that holds the grey of an image of mode I or F."""
    ends = [(float(levels.min()), float(levels.max())) for levels in map(_levels, _strips(image, 1))]
    black = min(0.0, *(low for low, _ in ends))
    highest = max(high for _, high in ends) - black
    return black, next((depth for depth in DEPTHS if highest <= depth), DEPTHS[-1])


def _levels(grey: Image.Image) -> NDArray[np.floating]:
    """The finite levels of an image of mode I or F; a difference of two float32 may be none."""
    if grey.mode != "F":
        return np.asarray(grey, np.float32)
    return np.nan_to_num(np.asarray(grey, np.float64), copy=False, posinf=0.0, neginf=0.0)


def _scale_depth(levels: NDArray[np.floating], black: float, depth: float) -> NDArray[np.uint8]:
    return np.asarray(((levels - black) * (255 / depth)).round().clip(0, 255), np.uint8)
