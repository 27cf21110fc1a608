"""Untrusted bytes -> an upright picture. Every limit on what an upload may be stands here, before the work it limits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from app import plain
from app.errors import ImageTooLarge, RequestError, UnreadableImage, UnsupportedImage, UploadTooLarge
from app.frames import count_frames
from app.settings import Settings
from app.structure import PatientFile, check_parts, check_scans, first_scan_components, has_long_entry

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
HEIF_AVAILABLE = find_spec("pillow_heif") is not None

DEPTHS = (1.0, *(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32)))  # the largest values of grey, as files have them
WORK_SIDE = 1024  # pixels; larger pictures are reduced to it
PLAIN_SIDE = 2 * WORK_SIDE  # of a PNG that is held twice to be reduced
MAX_SIDE = 65_535  # pixels, as JPEG's: each row costs Pillow some twenty bytes beside its pixels
PIXEL = 4  # bytes that Pillow holds of a pixel, which max_pixels is meant for
HELD = {"WEBP": 16, "AVIF": 16, "HEIF": 8}  # bytes a pixel that decoders hold, Pillow's included; measured
STRIP = 2**20  # pixels that are brought to 8 bits at a time
REDUCING_GAP = 2  # by how much the first, quick reduction may leave a picture larger than the last makes it
ORIENTATION = 0x0112  # EXIF's tag
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
BITS_PER_SAMPLE, TILE_SIZE = 0x0102, (0x0142, 0x0143)  # TIFF's tags
OPAQUE = 128  # alpha from which a pixel counts as painted
PAPER_SPREAD = 64  # grey levels between the 5th and 95th percentile of what is painted, from which it is ink and paper
PAPER_SHARE = 0.5  # of the canvas; strokes alone cover less
ORIENTING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # what Pillow looks for an orientation in
SAMPLE = 2_000  # pixels suffice to tell the colour of a ground
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


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


def decode(data: bytes, settings: Settings, header: plain.PngHeader | None = None) -> Picture:
    """Decodes the first frame of a PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or, with pillow-heif, HEIC file.

    The format is judged by content. Orientation follows EXIF; transparency is composited so that strokes stay visible.
    header: plain.read_png_header's, where it has been read already.

    Raises:
        UploadTooLarge: more bytes than settings.max_upload_bytes.
        UnsupportedImage: no image of these formats.
        ImageTooLarge: more pixels or frames than the settings allow.
        UnreadableImage: truncated or corrupt.
    """
    if len(data) > settings.max_upload_bytes:
        raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {settings.max_upload_bytes:,}.")
    drawing = _read_plain_png(data, header or plain.read_png_header(data), settings)
    if drawing:
        return drawing
    image = _open(data)
    try:
        _check_size(image, data, settings)
        _check_frames(image, data, settings)
        return _read(image, data)
    except RequestError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a corrupt file provokes, from OSError to IndexError
        raise UnreadableImage(f"The {image.format} file is truncated or corrupt.") from error


def _read_plain_png(data: bytes, header: plain.PngHeader | None, settings: Settings) -> Picture | None:
    """What most clients send, a small PNG within the limits, at little cost; None for all else, also for what is refused."""
    if header is None or max(header.width, header.height) > PLAIN_SIDE or header.width * header.height > settings.max_pixels:
        return None
    pixels = plain.decode_png(data, header)
    if pixels is None:
        return None
    if max(pixels.shape) > WORK_SIDE:
        pixels = np.asarray(_shrink(Image.fromarray(pixels)))
    return Picture(_composite(pixels), header.width, header.height)


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


def _check_size(image: Image.Image, data: bytes, settings: Settings) -> None:
    """Refuses what would take too much memory or time, before any of it is decoded."""
    width, height = image.size
    pixels = max(width * height, _tile_pixels(image))
    if _decodes_reduced(image, data):
        limit = settings.max_jpeg_pixels
    else:
        limit = settings.max_pixels * PIXEL // max(PIXEL, _bytes_held(image))
        if _is_jpeg(image):
            check_scans(data, pixels)
    if pixels > limit:
        raise ImageTooLarge(f"A picture of {width} × {height} takes {pixels:,} pixels; the limit for such a file is {limit:,}.")
    if max(width, height) > MAX_SIDE:
        raise ImageTooLarge(f"The picture has {width} × {height} pixels; the limit for a side is {MAX_SIDE:,}.")


def _check_frames(image: Image.Image, data: bytes, settings: Settings) -> None:
    if count_frames(image, data, settings.max_frames) > settings.max_frames:
        raise ImageTooLarge(f"The picture has more than {settings.max_frames:,} frames, which is the limit.")


def _decodes_reduced(image: Image.Image, data: bytes) -> bool:
    """Whether the decoder needs memory for a fraction of the pixels only: a JPEG in grey or RGB that comes in one scan.

    With several scans, as in a progressive JPEG, every coefficient is kept until the last one.
    """
    if not _is_jpeg(image) or image.mode not in ("L", "RGB"):
        return False
    return "progressive" not in image.info and first_scan_components(data) == len(image.getbands())


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO")


def _tile_pixels(image: Image.Image) -> int:
    """The pixels of a TIFF's tile, which is decoded as a whole though the picture be smaller; 0 of other pictures."""
    if not isinstance(image, TiffImageFile):
        return 0
    width, height = (image.tag_v2.get(tag, side) for tag, side in zip(TILE_SIZE, image.size, strict=True))
    return _largest(width) * _largest(height)


def _largest(value: int | tuple[int, ...]) -> int:
    """A tag's value; one that should be a single number may be several, or none."""
    return int(max(value, default=0) if isinstance(value, tuple) else value)


def _bytes_held(image: Image.Image) -> int:
    """The bytes a pixel that a decoder holds, or works through, at most, Pillow's own included."""
    if _is_jpeg(image):  # coefficients of 16 bits, and the pixels where they are not reduced
        return 2 * len(image.getbands()) + (0 if image.mode in ("L", "RGB") else PIXEL)
    if isinstance(image, TiffImageFile):
        stored = sum(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) // 8
        turned = 2 if image.tag_v2.get(ORIENTATION, 1) > 1 else 1  # by a copy
        return turned * PIXEL + stored  # a strip can be as large as the picture
    if isinstance(image, PngImageFile):
        return 2 * len(image.getbands()) if any("16" in str(tile[3]) for tile in image.tile) else PIXEL
    return HELD.get(str(image.format), PIXEL)


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
    return Picture(_composite(pixels), width, height)


def _read_plain_jpeg(image: Image.Image, data: bytes, reduction: int) -> NDArray[np.uint8] | None:
    """The pixels (H, W, 3) of a JPEG in grey or RGB without an orientation, or None for other pictures."""
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or ORIENTING.intersection(image.info):
        return None
    return plain.decode_jpeg(data, reduction) if max(image.size) <= WORK_SIDE else None


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


def _composite(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lays a transparent picture (H, W, 4) on a ground that shows its strokes: (H, W, 3). One of (H, W, 3) stays as it is.

    Where paper was painted too, the ground continues the paper; where strokes alone were painted, it is black or white,
    whichever is further from them.
    """
    if rgba.shape[2] == 3:
        return rgba
    alpha = cv2.extractChannel(rgba, 3)
    if alpha.min() == 255:
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)
    x, y, width, height = cv2.boundingRect(alpha)
    if not width:
        return np.full((*alpha.shape, 3), 255, np.uint8)
    there = slice(y, y + height), slice(x, x + width)  # most of a canvas is empty, and costs nothing below
    weight = np.ascontiguousarray(alpha[there], np.uint8)
    colours = np.asarray(cv2.cvtColor(rgba[there], cv2.COLOR_RGBA2RGB), np.uint8)
    solid = weight >= OPAQUE if weight.max() >= OPAQUE else weight > 0
    ground = _ground(colours, solid, share=np.count_nonzero(solid) / alpha.size)
    shown = np.full((*alpha.shape, 3), 255 if ground.min() == 255 else ground, np.uint8)  # of one level, it is far cheaper
    shown[there] = _blend(colours, weight, ground)
    return shown


def _blend(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], ground: NDArray[np.uint8]) -> cv2.typing.MatLike:
    """Colours (H, W, 3) laid on a ground (3,): ground + (colour - ground) alpha / 255, rounded, in uint8 throughout."""
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    if ground.min() == 255:  # nothing is lighter
        return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(colours), weight, scale=1 / 255))
    level = np.array((*ground, 0), np.float64)
    lighter = cv2.multiply(cv2.subtract(colours, level), weight, scale=1 / 255)
    darker = cv2.multiply(cv2.subtract(level, colours), weight, scale=1 / 255)
    return cv2.subtract(cv2.add(lighter, level), darker)


def _ground(colours: NDArray[np.uint8], solid: NDArray[np.bool_], share: float) -> NDArray[np.uint8]:
    """The colour (3,) to lay under colours (H, W, 3), of which those that are solid cover this share of the picture."""
    if share >= PAPER_SHARE:
        step = 1 + np.count_nonzero(solid) // SAMPLE
        painted = colours.reshape(-1, 3)[::step][solid.ravel()[::step]]
        if not len(painted):  # a pattern that the steps fall beside
            painted = colours[solid]
        grey = np.sort(painted @ LUMA)
        dark, light = grey[len(grey) * 5 // 100], grey[-1 - len(grey) * 5 // 100]
        if light - dark >= PAPER_SPREAD:
            return np.asarray(np.median(painted, axis=0), np.uint8)
    mean = cv2.mean(colours, solid.view(np.uint8))[:3]
    return np.full(3, 255 if mean @ LUMA < 128 else 0, np.uint8)
