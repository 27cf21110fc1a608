"""Untrusted bytes -> an upright picture."""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import BytesIO
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import DecodingOutOfMemory, RequestError, UnreadableImage, UnsupportedImage, UploadTooLarge
from app.reading.decode import fast_decoders
from app.reading.decode.limits import Limits, check_size
from app.reading.decode.reduction import LEAST_SIDE, WORK_SIDE, shrink, shrink_pixels
from app.reading.decode.transparency import composite

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
HEIF_AVAILABLE = find_spec("pillow_heif") is not None

PLAIN_SIDE = 2 * WORK_SIDE  # of a PNG that is held twice to be reduced
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
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes of a bitmap's second header; two letters alone prove nothing
ORIENTING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # what Pillow looks for an orientation in
AVIF_BRANDS, HEIC_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis")
ANY_BRANDS = (b"mif1", b"msf1", b"miaf")  # a container whose codec its further brands tell
MOST_BRANDS = 32  # that are looked at

OUT_OF_MEMORY = "Decoding the picture takes more memory than one picture may; send a smaller one, or a JPEG."

MOST_FRAMES = 100  # of an animation that are looked at for one that shows something
BLANK_SPREAD = 8  # grey levels between the darkest and the lightest of a frame that shows nothing, lossy codecs included
FILLER = bytes(byte * 167 % 251 for byte in range(256))  # any bytes without 0xFF, which no picture goes on with


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    pixels: (H, W, 3) uint8, RGB, the longer side at most WORK_SIDE.
    width, height: of the upright original, in pixels; pixels may be a reduced rendition of it.
    frame: which frame or page of the file it is, from 0; a later one where those before it are blank.
    cpu_seconds: that another process has taken to decode it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    frame: int = 0
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def scale(self) -> float:
        """Original pixels per pixel, 1 where nothing was reduced."""
        return max(self.width, self.height) / float(max(self.pixels.shape[:2]))


class Decoder(Protocol):
    """Turns bytes into a picture; a service puts a wall between itself and all that is not decoded by memory-safe code."""

    def decode_plain(self, data: bytes, header: fast_decoders.PngHeader) -> Picture | None:
        """A plain PNG, at once; None for what takes longer, is damaged, or exceeds the limits: decode tells."""

    def decode(self, data: bytes) -> Picture:
        """As the function decode. It may have to wait for others, and take long."""


@dataclass(frozen=True)
class InProcessDecoder:
    """Decodes in the process itself."""

    limits: Limits

    def decode_plain(self, data: bytes, header: fast_decoders.PngHeader) -> Picture | None:
        """As the function decode_plain, within the limits."""
        return decode_plain(data, header, self.limits)

    def decode(self, data: bytes) -> Picture:
        """As the function decode, within the limits."""
        return decode(data, self.limits)


def to_picture(source: Image.Image | NDArray[np.uint8]) -> Picture:
    """The picture that a PIL image or an array (H, W), (H, W, 3) or (H, W, 4) of uint8 shows, as decode would give it.

    Raises:
        UnsupportedImage: an array of another shape or type.
        UnreadableImage: a PIL image whose file is damaged.
    """
    image = source if isinstance(source, Image.Image) else _from_array(source)
    try:
        return _read_by_pillow(image, image.size)
    except Exception as error:  # Pillow loads lazily: as in decode
        raise UnreadableImage(f"The {image.format or 'image'} is truncated or corrupt.") from error


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise UnsupportedImage(
            f"The array has the shape {array.shape} and the type {array.dtype}; send (H, W), (H, W, 3) or (H, W, 4) of uint8."
        )
    return Image.fromarray(array)


def decode_plain(data: bytes, header: fast_decoders.PngHeader, limits: Limits) -> Picture | None:
    """What most clients send, a small plain PNG within the limits, in some milliseconds at most by a memory-safe decoder.

    None for all else, also for what is refused. header: fast_decoders.read_png_header's.
    """
    return _decode_png(data, header, limits) if header.is_quick and len(data) <= limits.max_upload_bytes else None


def decode(data: bytes, limits: Limits) -> Picture:
    """Decodes a PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or, with pillow-heif, HEIC file.

    The format is judged by content. Orientation follows EXIF; transparency is composited so that strokes stay visible. Of an
    animation, the first frame that shows something is decoded.

    Raises:
        UploadTooLarge: more bytes than limits.max_upload_bytes.
        UnsupportedImage: no image of these formats.
        ImageTooLarge: more pixels than the limits allow.
        UnreadableImage: truncated or corrupt.
        DecodingOutOfMemory: it takes more memory than the process may have.
    """
    if len(data) > limits.max_upload_bytes:
        raise UploadTooLarge(f"The picture has {len(data):,} bytes; the limit is {limits.max_upload_bytes:,}.")
    header = fast_decoders.read_png_header(data)
    drawing = _decode_png(data, header, limits) if header else None
    return drawing or _decode_any(data, limits)


def _decode_png(data: bytes, header: fast_decoders.PngHeader, limits: Limits) -> Picture | None:
    if max(header.width, header.height) > PLAIN_SIDE or header.width * header.height > limits.max_pixels:
        return None
    pixels = fast_decoders.decode_png(data, header)
    return None if pixels is None else Picture(shrink_pixels(composite(pixels)), header.width, header.height)


def _decode_any(data: bytes, limits: Limits) -> Picture:
    """As decode, by Pillow, or by OpenCV where that gives the same sooner."""
    name = sniff(data)
    image = _open(data, name)
    try:
        check_size(image, limits)
        return _read(image, data, limits)
    except RequestError:
        raise
    except MemoryError as error:
        raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
    except Exception as error:  # Pillow's plugins raise whatever a corrupt file provokes, from OSError to IndexError
        if _tells_of_memory(error):
            raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
        picture = _read_without_end(data) if name == "JPEG" and not data.endswith(fast_decoders.JPEG_END) else None
        if picture is None:
            raise UnreadableImage(f"The {image.format} file is truncated or corrupt.") from error
        return picture


def _tells_of_memory(error: Exception) -> bool:
    """Whether a decoder says that there was no memory left; Pillow's number for it is -9."""
    if isinstance(error, cv2.error):
        return getattr(error, "code", 0) == cv2.Error.StsNoMem
    return "memory" in str(error).lower() or "decoder error -9" in str(error)


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
    return _sniff_container(data) if data[4:8] == b"ftyp" else None


def _sniff_container(data: bytes) -> str | None:
    """AVIF or HEIF, as the brands of an ISO container tell (ISO/IEC 14496-12, 4.3; MIAF, ISO/IEC 23000-22)."""
    brand, brands = data[8:12], _further_brands(data)
    if brand in AVIF_BRANDS or (brand in ANY_BRANDS and brands.intersection(AVIF_BRANDS)):
        return "AVIF"
    return "HEIF" if brand in (*HEIC_BRANDS, *ANY_BRANDS) else None


def _further_brands(data: bytes) -> set[bytes]:
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * MOST_BRANDS)
    return {data[place : place + 4] for place in range(16, end, 4)}


def _open(data: bytes, name: str | None) -> Image.Image:
    """The image, of which no more than its header is read."""
    formats: tuple[str, ...] = FORMATS
    if name in ("AVIF", "HEIF"):
        data = _under_known_brand(data)
    if name == "HEIF" and HEIF_AVAILABLE:
        from pillow_heif import register_heif_opener  # noqa: PLC0415  an extra

        register_heif_opener()
        formats = ("HEIF", "AVIF")  # a container that tells only that it holds pictures may hold either
    Image.MAX_IMAGE_PIXELS = None  # the limits here stand in for Pillow's, in the whole process
    try:
        return Image.open(BytesIO(data), formats=formats)
    except MemoryError as error:
        raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
    except Exception as error:  # as in _decode_any: a corrupt header can provoke anything
        if name is None:
            raise UnsupportedImage(f"The bytes are no {_format_names()} image.") from error
        if name == "HEIF" and not HEIF_AVAILABLE:
            raise UnsupportedImage("HEIC is not read here; send JPEG or PNG.") from error
        raise UnreadableImage(f"The {name} file is truncated or corrupt.") from error


def _under_known_brand(data: bytes) -> bytes:
    """The container under the brand of its codec: decoders judge by the first brand alone, and do not know each."""
    brands = _further_brands(data) if data[8:12] in ANY_BRANDS else set()
    known = next((brand for brand in (*AVIF_BRANDS, *HEIC_BRANDS) if brand in brands), None)
    return data[:8] + known + data[12:] if known else data


def _format_names() -> str:
    names = ["PNG", "JPEG", "WebP", "AVIF", "BMP", "GIF", "TIFF", *(["HEIC"] if HEIF_AVAILABLE else [])]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _read(image: Image.Image, data: bytes, limits: Limits) -> Picture:
    """The first frame that shows something; the first of all where none does, or where a later one is damaged."""
    first = _read_frame(image, data)
    if not getattr(image, "is_animated", False) or not _is_blank(first):
        return first
    for frame in range(1, MOST_FRAMES):
        try:
            image.seek(frame)
            check_size(image, limits)
            picture = _read_frame(image, data)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  as in _decode_any; EOFError behind the last one
            break
        if not _is_blank(picture):
            return replace(picture, frame=frame)
    return first


def _is_blank(picture: Picture) -> bool:
    darkest, lightest = picture.pixels.min(axis=(0, 1)).astype(int), picture.pixels.max(axis=(0, 1)).astype(int)
    return bool((lightest - darkest <= BLANK_SPREAD).all())


def _read_frame(image: Image.Image, data: bytes) -> Picture:
    width, height = image.size
    if image.mode in ("L", "RGB"):  # other modes would lose their colours to draft
        reduction = max(1.0, max(image.size) / LEAST_SIDE)
        smallest = max(1, int(width / reduction)), max(1, int(height / reduction))
        image.draft(image.mode, smallest)  # JPEG only: decodes 1/2, 1/4 or 1/8
    pixels = _read_plain_jpeg(image, data, round(width / image.width))
    return _read_by_pillow(image, (width, height)) if pixels is None else Picture(shrink_pixels(pixels), width, height)


def _read_plain_jpeg(image: Image.Image, data: bytes, reduction: int) -> NDArray[np.uint8] | None:
    """The pixels (H, W, 3) of a JPEG in grey or RGB without an orientation, or None for other pictures."""
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or ORIENTING.intersection(image.info):
        return None
    return fast_decoders.decode_jpeg(data, reduction)


def _read_by_pillow(image: Image.Image, size: tuple[int, int]) -> Picture:
    """The picture of an image whose original has this size, or, since it may have to be turned, these sides."""
    image.load()  # some plugins learn of transparency, and of the orientation, only here
    upright = _turn_upright(Image.fromarray(shrink(_without_unset_alpha(image))), image)
    width, height = size
    if (width > height) != (upright.width > upright.height):
        width, height = height, width
    return Picture(composite(np.asarray(upright)), width, height)


def _without_unset_alpha(image: Image.Image) -> Image.Image:
    """A bitmap as everybody shows it: Windows's clipboard leaves the alpha of all pixels at 0."""
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


def _turn_upright(small: Image.Image, image: Image.Image) -> Image.Image:
    """Undoes the orientation that the image's EXIF tells; what has a broken one stays as it was stored."""
    if not ORIENTING.intersection(image.info):
        return small
    try:
        method = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001  Pillow's parser raises from SyntaxError to struct.error; the pixels are good
        return small
    return small if method is None else small.transpose(method)


def _read_without_end(data: bytes) -> Picture | None:
    """A JPEG that lacks only the mark of its end, or None where something of its pixels is missing, too.

    Decoders fill up what is missing, and pass over what is too much. So bytes that are added change the pixels of a picture
    that breaks off, and no others.
    """
    body = data.rstrip(b"\xff")
    try:
        bare, filled = (
            _read_frame(_open(whole, "JPEG"), whole)
            for whole in (body + fast_decoders.JPEG_END, body + FILLER + fast_decoders.JPEG_END)
        )
    except Exception:  # noqa: BLE001  as in _decode_any
        return None
    return bare if np.array_equal(bare.pixels, filled.pixels) else None
