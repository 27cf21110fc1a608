"""Untrusted bytes -> an upright picture. Every limit on what an upload may be stands here, before the work it limits."""

from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from app import plain
from app.errors import ImageTooLarge, UnreadableImage, UnsupportedImage, UploadTooLarge
from app.frames import count_frames
from app.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
HEIF_AVAILABLE = find_spec("pillow_heif") is not None

DEPTHS = (1.0, *(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 32)))  # the largest values of grey, as files have them
WORK_SIDE = 1024  # pixels; larger pictures are reduced to it
LEAST_SIDE = 800  # pixels that a JPEG's decoder must leave: a digit of a 40th of the side still fills the 20 px box
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of a bitmap's second header; two letters alone prove nothing
OPAQUE = 128  # alpha from which a pixel counts as painted
PAPER_SPREAD = 64  # grey levels between the 5th and 95th percentile of what is painted, from which it is ink and paper
PAPER_SHARE = 0.5  # of the canvas; strokes alone cover less
PLAIN_MODES = {"L", "RGB", "RGBA"}
ORIENTING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # what Pillow looks for an orientation in
SAMPLE = 2_000  # pixels suffice to tell the colour of a ground


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


def decode(data: bytes, settings: Settings) -> Picture:
    """Decodes the first frame of a PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or, with pillow-heif, HEIC file.

    The format is judged by content. Orientation follows EXIF; transparency is composited so that strokes stay visible.

    Raises:
        UploadTooLarge: more bytes than settings.max_upload_bytes.
        UnsupportedImage: no image of these formats.
        ImageTooLarge: more pixels or frames than the settings allow.
        UnreadableImage: truncated or corrupt.
    """
    if len(data) > settings.max_upload_bytes:
        raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {settings.max_upload_bytes:,}.")
    image = _open(data)
    _check_pixels(image, data, settings)
    _check_frames(image, data, settings)
    try:
        return _read(image, data)
    except Exception as error:  # Pillow's plugins raise whatever a corrupt file provokes, from OSError to IndexError
        raise UnreadableImage(f"The {image.format} file is truncated or corrupt.") from error


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
    try:
        return Image.open(BytesIO(data), formats=formats)
    except Exception as error:  # as in decode: a corrupt header can provoke anything
        if name is None:
            raise UnsupportedImage(f"The bytes are no {_format_names()} image.") from error
        if name == "HEIF" and not HEIF_AVAILABLE:
            raise UnsupportedImage("HEIC is not read here; send JPEG or PNG.") from error
        raise UnreadableImage(f"The {name} file is truncated or corrupt.") from error


def _format_names() -> str:
    names = ["PNG", "JPEG", "WebP", "AVIF", "BMP", "GIF", "TIFF", *(["HEIC"] if HEIF_AVAILABLE else [])]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _check_pixels(image: Image.Image, data: bytes, settings: Settings) -> None:
    limit = settings.max_jpeg_pixels if _decodes_reduced(image, data) else settings.max_pixels
    pixels = image.width * image.height
    if pixels > limit:
        raise ImageTooLarge(f"The picture has {image.width} × {image.height} = {pixels:,} pixels; the limit is {limit:,}.")


def _check_frames(image: Image.Image, data: bytes, settings: Settings) -> None:
    if count_frames(image, data, settings.max_frames) > settings.max_frames:
        raise ImageTooLarge(f"The picture has more than {settings.max_frames:,} frames, which is the limit.")


def _decodes_reduced(image: Image.Image, data: bytes) -> bool:
    """Whether the decoder needs memory for a fraction of the pixels only: a JPEG in grey or RGB that comes in one scan.

    With several scans, as in a progressive JPEG, every coefficient is kept until the last one.
    """
    one_scan = "progressive" not in image.info and _first_scan_components(data) == len(image.getbands())
    return image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB") and one_scan


def _first_scan_components(data: bytes) -> int:
    """The number of components in a JPEG's first scan, 0 where there is none (ITU-T T.81, B.1.1.3 and B.2.3)."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 < len(data):
        if data[place + 1] == 0xDA:
            return data[place + 4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0


def _read(image: Image.Image, data: bytes) -> Picture:
    width, height = image.size
    if image.mode in ("L", "RGB"):  # other modes would lose their colours to draft
        reduction = max(1.0, max(image.size) / LEAST_SIDE)
        image.draft(image.mode, (int(width / reduction), int(height / reduction)))  # JPEG only: decodes 1/2, 1/4 or 1/8
    pixels = _read_plain(image, data, round(width / image.width))
    if pixels is None:
        upright = _turn_upright(_shrink(_to_8_bits(image)))
        if (width > height) != (upright.width > upright.height):
            width, height = height, width
        pixels = np.asarray(upright)
    return Picture(_composite(pixels) if pixels.shape[2] == 4 else pixels, width, height)


def _read_plain(image: Image.Image, data: bytes, reduction: int) -> NDArray[np.uint8] | None:
    """The pixels (H, W, 3) or (H, W, 4) of a small PNG or of a JPEG without an orientation, or None for other pictures."""
    if max(image.size) > WORK_SIDE or not PLAIN_MODES.issuperset([image.mode]) or ORIENTING.intersection(image.info):
        return None
    if image.format == "PNG":
        return plain.decode_png(data)
    return plain.decode_jpeg(data, reduction) if image.format == "JPEG" and image.mode != "RGBA" else None


def _turn_upright(image: Image.Image) -> Image.Image:
    """Undoes the orientation that EXIF tells; a picture whose EXIF is broken stays as it was stored."""
    with suppress(Exception):  # Pillow's parser raises from SyntaxError to struct.error; the pixels are good
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_8_bits(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where there is transparency, from any mode of Pillow's: 1, L, LA, P, CMYK, I;16, F and the rest."""
    if image.mode.startswith(("I", "F")):
        eight = Image.fromarray(_scale_depth(np.asarray(image))).convert("RGB")
        eight.info = image.info
        return eight
    image.load()  # some plugins learn of transparency only here
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _scale_depth(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Grey (H, W) of unknown depth to 0..255, by the least of the usual depths that holds it, reduced to WORK_SIDE."""
    factor = min(1.0, WORK_SIDE / max(grey.shape))
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    levels = np.nan_to_num(grey.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
    levels -= min(0.0, float(levels.min()))
    depth = next((limit for limit in DEPTHS if levels.max() <= limit), DEPTHS[-1])
    small = cv2.resize(levels, size, interpolation=cv2.INTER_AREA)
    return np.asarray((small * (255 / depth)).round().clip(0, 255), dtype=np.uint8)


def _shrink(image: Image.Image) -> Image.Image:
    """Reduces to WORK_SIDE by averaging areas, colours weighted by their alpha: thin strokes stay, as faint ones."""
    factor = WORK_SIDE / max(image.size)
    if factor >= 1:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def _composite(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lays a transparent picture on a ground that shows its strokes.

    Where paper was painted too, the ground continues the paper; where strokes alone were painted, it is black or white,
    whichever is further from them. (H, W, 4) -> (H, W, 3).
    """
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
    step = 1 + np.count_nonzero(solid) // SAMPLE
    painted = colours.reshape(-1, 3)[::step][solid.ravel()[::step]]
    ground = _ground(painted, share=np.count_nonzero(solid) / alpha.size)
    shown = np.full((*alpha.shape, 3), 255 if ground.min() == 255 else ground, np.uint8)  # of one level, it is far cheaper
    shown[there] = _blend(colours, weight, ground)
    return shown


def _blend(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], ground: NDArray[np.uint8]) -> cv2.typing.MatLike:
    """Colours (H, W, 3) laid on a ground (3,): ground + (colour - ground) alpha / 255, rounded, in uint8 throughout."""
    weight, level = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), np.array((*ground, 0), np.float64)
    lighter = cv2.multiply(cv2.subtract(colours, level), weight, scale=1 / 255)
    darker = cv2.multiply(cv2.subtract(level, colours), weight, scale=1 / 255)
    return cv2.subtract(cv2.add(lighter, level), darker)


def _ground(painted: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The colour (3,) to lay under painted pixels (N, 3) that cover this share of the picture."""
    grey = np.sort(painted @ np.array([0.299, 0.587, 0.114]))  # luma of ITU-R BT.601
    dark, light = grey[len(grey) * 5 // 100], grey[-1 - len(grey) * 5 // 100]
    if share >= PAPER_SHARE and light - dark >= PAPER_SPREAD:
        return np.asarray(np.median(painted, axis=0), np.uint8)
    return np.full(3, 255 if grey.mean() < 128 else 0, np.uint8)
