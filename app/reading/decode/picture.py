"""Decodes untrusted bytes into an upright picture."""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from io import BytesIO
from math import inf
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import DecodingOutOfMemory, RequestError, UnreadableImage, UnsupportedImage
from app.reading.decode import fast_decoders
from app.reading.decode.limits import Limits, check_bytes, check_size
from app.reading.decode.reduction import LEAST_SIDE, WORK_SIDE, shrink, shrink_pixels
from app.reading.decode.transparency import composite

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
HEIF_AVAILABLE = find_spec("pillow_heif") is not None

PLAIN_SIDE = 2 * WORK_SIDE  # longest side of a PNG that is reduced in one piece, which holds it in memory twice
ORIENTATION = 0x0112  # EXIF's tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # the transposition that undoes each EXIF orientation
ON_ITS_SIDE = {UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}  # of these, the ones that exchange width and height
BMP_HEADERS = (
    12,
    16,
    40,
    52,
    56,
    64,
    108,
    124,
)  # valid sizes of a bitmap's second header; the two-letter signature alone proves nothing
ORIENTING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # the fields in which Pillow looks for an orientation
AVIF_BRANDS, HEIC_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis")
ANY_BRANDS = (b"mif1", b"msf1", b"miaf")  # containers whose codec is named by their compatible brands
MOST_BRANDS = 32  # compatible brands that are read

OUT_OF_MEMORY = "Decoding the picture takes more memory than one picture may; send a smaller one, or a JPEG."

MOST_FRAMES = 100  # of an animation that are searched for one that is not blank
BLANK_SPREAD = 8  # grey levels between the darkest and lightest pixel of a blank frame, allowing for lossy codecs
FILLER = bytes(byte * 167 % 251 for byte in range(256))  # arbitrary bytes without 0xFF that no real picture continues with


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    pixels: (H, W, 3) uint8, RGB, the longer side at most WORK_SIDE.
    width, height: size of the upright original in pixels; pixels may be a reduced version of it.
    frame: index of the frame or page in the file, from 0; above 0 if the earlier ones are blank.
    cpu_seconds: CPU time that another process took to decode it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    frame: int = 0
    cpu_seconds: float = field(default=0.0, compare=False)

    @property
    def scale(self) -> float:
        """Original pixels per pixel along a side; 1 if the picture was not reduced."""
        return max(self.width, self.height) / float(max(self.pixels.shape[:2]))


class Decoder(Protocol):
    """Turns bytes into a picture. A service isolates itself from every decoder that is not memory-safe."""

    def decode_plain(self, data: bytes, header: fast_decoders.PngHeader) -> Picture | None:
        """Decodes a plain PNG at once; None if it is slow, damaged or beyond the limits, which only decode reports."""

    def decode(self, data: bytes, until: float = inf) -> Picture:
        """Like the function decode, but may wait for other pictures and take long.

        until: by the monotonic clock; then nobody waits for the picture, and a decoder that can be interrupted gives up.
        """


@dataclass(frozen=True)
class InProcessDecoder:
    """Decodes in the calling process."""

    limits: Limits

    def decode_plain(self, data: bytes, header: fast_decoders.PngHeader) -> Picture | None:
        """Like the function decode_plain, within these limits."""
        return decode_plain(data, header, self.limits)

    def decode(self, data: bytes, until: float = inf) -> Picture:  # noqa: ARG002  this process cannot be interrupted
        """Like the function decode, within these limits."""
        return decode(data, self.limits)


def to_picture(source: Image.Image | NDArray[np.uint8]) -> Picture:
    """Converts a PIL image or a uint8 array (H, W), (H, W, 3) or (H, W, 4) to the picture that decode would give.

    Raises:
        UnsupportedImage: the array has another shape or type.
        UnreadableImage: the PIL image's file is damaged.
    """
    image = source if isinstance(source, Image.Image) else _from_array(source)
    try:
        return _read_by_pillow(image, image.size)
    except Exception as error:  # Pillow loads lazily and can raise anything, as in _decode_any
        raise _damaged(f"The {image.format or 'image'}") from error


def _damaged(what: str) -> UnreadableImage:
    return UnreadableImage(f"{what} is truncated or corrupt: send it again, or save the picture anew.")


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        raise UnsupportedImage(
            f"The array has the shape {array.shape} and the type {array.dtype}; send (H, W), (H, W, 3) or (H, W, 4) of uint8."
        )
    return Image.fromarray(array)


def decode_plain(data: bytes, header: fast_decoders.PngHeader, limits: Limits) -> Picture | None:
    """Decodes what most clients send, a small plain PNG, in a few milliseconds with a memory-safe decoder.

    None for every other picture, including those that decode refuses. header: from fast_decoders.read_png_header.
    """
    return _decode_png(data, header, limits) if header.is_quick and len(data) <= limits.max_upload_bytes else None


def decode(data: bytes, limits: Limits) -> Picture:
    """Decodes a PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or, with pillow-heif, HEIC file.

    The content decides the format. EXIF orientation is applied; transparency is composited so that strokes stay visible. Of
    an animation, the first frame that is not blank is decoded.

    Raises:
        UploadTooLarge: more bytes than limits.max_upload_bytes.
        UnsupportedImage: not an image in one of these formats.
        ImageTooLarge: more pixels than the limits allow.
        UnreadableImage: truncated or corrupt.
        DecodingOutOfMemory: decoding takes more memory than the process may use.
    """
    check_bytes(len(data), limits)
    header = fast_decoders.read_png_header(data)
    drawing = _decode_png(data, header, limits) if header else None
    return drawing or _decode_any(data, limits)


def _decode_png(data: bytes, header: fast_decoders.PngHeader, limits: Limits) -> Picture | None:
    if max(header.width, header.height) > PLAIN_SIDE or header.width * header.height > limits.max_pixels:
        return None
    pixels = fast_decoders.decode_png(data, header)
    return None if pixels is None else Picture(shrink_pixels(composite(pixels)), header.width, header.height)


def _decode_any(data: bytes, limits: Limits) -> Picture:
    """Decodes with Pillow, or with OpenCV where it gives the same result faster."""
    name = sniff(data)
    image = _open(data, name)
    try:
        check_size(image, limits)
        return _read(image, data, limits)
    except RequestError:
        raise
    except MemoryError as error:
        raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
    except Exception as error:  # a corrupt file can make Pillow's plugins raise anything, from OSError to IndexError
        if _tells_of_memory(error):
            raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
        picture = _read_without_end(data) if name == "JPEG" and not data.endswith(fast_decoders.JPEG_END) else None
        if picture is None:
            raise _damaged(f"The {image.format} file") from error
        return picture


def _tells_of_memory(error: Exception) -> bool:
    """Whether the error reports that memory ran out; Pillow's code for this is -9."""
    if isinstance(error, cv2.error):
        return getattr(error, "code", 0) == cv2.Error.StsNoMem
    return "memory" in str(error).lower() or "decoder error -9" in str(error)


def sniff(data: bytes) -> str | None:
    """The format by its signature: PNG, JPEG, GIF, BMP, TIFF, WEBP, AVIF or HEIF; None if it is none of them."""
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
    """AVIF or HEIF, by the brands of an ISO container (ISO/IEC 14496-12, 4.3; MIAF, ISO/IEC 23000-22)."""
    brand, brands = data[8:12], _further_brands(data)
    if brand in AVIF_BRANDS or (brand in ANY_BRANDS and brands.intersection(AVIF_BRANDS)):
        return "AVIF"
    return "HEIF" if brand in (*HEIC_BRANDS, *ANY_BRANDS) else None


def _further_brands(data: bytes) -> set[bytes]:
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * MOST_BRANDS)
    return {data[place : place + 4] for place in range(16, end, 4)}


def _open(data: bytes, name: str | None) -> Image.Image:
    """Opens the image, reading only its header."""
    formats: tuple[str, ...] = FORMATS
    if name in ("AVIF", "HEIF"):
        data = _under_known_brand(data)
    if name == "HEIF" and HEIF_AVAILABLE:
        from pillow_heif import register_heif_opener  # noqa: PLC0415  an extra

        register_heif_opener()
        formats = ("HEIF", "AVIF")  # a generic image container may hold either
    Image.MAX_IMAGE_PIXELS = None  # our limits replace Pillow's, in the whole process
    try:
        return Image.open(BytesIO(data), formats=formats)
    except MemoryError as error:
        raise DecodingOutOfMemory(OUT_OF_MEMORY) from error
    except Exception as error:  # as in _decode_any: a corrupt header can provoke anything
        if name is None:
            told = f"The bytes are not a {_format_names()} image."
            raise UnsupportedImage(
                f"{told} Give the file itself, not its path, its address or a page that shows it."
            ) from error
        if name == "HEIF" and not HEIF_AVAILABLE:
            raise UnsupportedImage("HEIC is not read here; send JPEG or PNG.") from error
        raise _damaged(f"The {name} file") from error


def _under_known_brand(data: bytes) -> bytes:
    """Puts the codec's brand first: decoders look at the first brand only and do not know every brand."""
    brands = _further_brands(data) if data[8:12] in ANY_BRANDS else set()
    known = next((brand for brand in (*AVIF_BRANDS, *HEIC_BRANDS) if brand in brands), None)
    return data[:8] + known + data[12:] if known else data


def _format_names() -> str:
    names = ["PNG", "JPEG", "WebP", "AVIF", "BMP", "GIF", "TIFF", *(["HEIC"] if HEIF_AVAILABLE else [])]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _read(image: Image.Image, data: bytes, limits: Limits) -> Picture:
    """The first frame that is not blank; frame 0 if all are blank or a later one is damaged."""
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
        except Exception:  # noqa: BLE001  as in _decode_any; EOFError after the last frame
            break
        if not _is_blank(picture):
            return replace(picture, frame=frame)
    return first


def _is_blank(picture: Picture) -> bool:
    darkest, lightest = picture.pixels.min(axis=(0, 1)).astype(int), picture.pixels.max(axis=(0, 1)).astype(int)
    return bool((lightest - darkest <= BLANK_SPREAD).all())


def _read_frame(image: Image.Image, data: bytes) -> Picture:
    width, height = image.size
    if image.mode in ("L", "RGB"):  # draft mode would lose the colours of other modes
        most = max(1.0, max(image.size) / LEAST_SIDE)
        smallest = max(1, int(width / most)), max(1, int(height / most))
        image.draft(image.mode, smallest)  # JPEG only: decodes at 1/2, 1/4 or 1/8
    reduction = round(max(width, height) / max(image.size))  # a short side is rounded up to a pixel
    pixels = _read_plain_jpeg(image, data, reduction)
    return _read_by_pillow(image, (width, height)) if pixels is None else Picture(shrink_pixels(pixels), width, height)


def _read_plain_jpeg(image: Image.Image, data: bytes, reduction: int) -> NDArray[np.uint8] | None:
    """The pixels (H, W, 3) of a grey or RGB JPEG without an orientation; None for other pictures."""
    if image.format != "JPEG" or image.mode not in ("L", "RGB") or ORIENTING.intersection(image.info):
        return None
    return fast_decoders.decode_jpeg(data, reduction)


def _read_by_pillow(image: Image.Image, size: tuple[int, int]) -> Picture:
    """The picture of an image. size: of the original, before it is turned upright."""
    image.load()  # some plugins find transparency and orientation only now
    small, turn = Image.fromarray(shrink(_without_unset_alpha(image))), _turn_of(image)
    upright = small if turn is None else small.transpose(turn)
    is_turned = image.size == size[::-1]  # TIFF's plugin does so itself
    width, height = size[::-1] if is_turned or turn in ON_ITS_SIDE else size
    return Picture(composite(np.asarray(upright)), width, height)


def _without_unset_alpha(image: Image.Image) -> Image.Image:
    """Drops the alpha of a bitmap if it is 0 everywhere, as the Windows clipboard leaves it; viewers ignore it as well."""
    if image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """What undoes the EXIF orientation; None if nothing need be done, or if the EXIF is broken."""
    if not ORIENTING.intersection(image.info):
        return None
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001  Pillow's parser raises from SyntaxError to struct.error; the pixels are good
        return None


def _read_without_end(data: bytes) -> Picture | None:
    """Decodes a JPEG that lacks only its end marker; None if pixels are missing too.

    Decoders fill in missing data and skip surplus data. So appended bytes change the pixels of a truncated picture and leave
    those of a complete one unchanged.
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
