"""Nasty pictures, made by code: files known to break decoders, and files that would be expensive to read."""

import struct
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from app.settings import MIB
from benchmarks.pictures import canvas, encode, png_chunk

FULL = 20 * MIB - 8 * 1024  # bytes: as much as an upload may have, about
SIDE = 7_000  # pixels; its square is just below the limit of 50 megapixels
DRAWING = canvas(7, size=64, pen=6)

ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # x, y, and their steps

Maker = Callable[[], bytes]


def png(
    width: int,
    height: int,
    *,
    depth: int = 8,
    colour: int = 0,
    interlaced: bool = False,
    data: bytes | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of any claims; its data are zeros of just the right length unless they are given, compressed."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    rows = [(width, height)] if not interlaced else [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in ADAM7]
    body = zeros(sum(high * (1 + (wide * channels * depth + 7) // 8) for wide, high in rows)) if data is None else data
    palette = png_chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    chunks = png_chunk(b"IHDR", header) + before + palette + png_chunk(b"IDAT", body) + after + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def paeth(height: int, width: int) -> bytes:
    """Deflated rows of so many bytes that are predicted by PNG's dearest filter."""
    deflate, row = zlib.compressobj(9), b"\4" + bytes(width)
    return b"".join((*(deflate.compress(row) for _ in range(height)), deflate.flush()))


def zeros(count: int) -> bytes:
    """So many zeros, deflated: a thousandth of them."""
    deflate, block = zlib.compressobj(9), bytes(MIB)
    parts = [deflate.compress(block) for _ in range(count // MIB)]
    return b"".join((*parts, deflate.compress(bytes(count % MIB)), deflate.flush()))


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(
    width: int,
    height: int,
    *,
    progressive: bool = False,
    components: int = 1,
    scans: int = 1,
    sampling: int = 0x11,
    depth: int = 8,
) -> bytes:
    """A JPEG of one grey, entropy-coded by hand: in a progressive one, each further scan repeats the first ten bands."""
    ids = range(1, components + 1)
    frame = struct.pack(">BHHB", depth, height, width, components) + b"".join(bytes((i, sampling, 0)) for i in ids)
    tables = jpeg_segment(0xDB, b"\0" + bytes([1] * 64))
    codes = b"\x01" + bytes(15)  # one code, of one bit: 0
    tables += jpeg_segment(0xC4, b"\0" + codes + b"\0") + jpeg_segment(
        0xC4, b"\x10" + codes + (b"\xe0" if progressive else b"\0")
    )
    blocks = -(-width // 8) * -(-height // 8) * components
    start = bytes((components,)) + b"".join(bytes((i, 0)) for i in ids)
    if not progressive:
        scan = jpeg_segment(0xDA, start + b"\0\x3f\0") + bytes(blocks * 2 // 8 + 1)
        return b"\xff\xd8" + tables + jpeg_segment(0xC0, frame) + scan + b"\xff\xd9"
    first = jpeg_segment(0xDA, start + b"\0\0\0") + bytes(blocks // 8 + 1)
    runs = -(-blocks // components // (2**14))
    bands = jpeg_segment(0xDA, b"\x01\x01\0\x01\x3f\0") + bytes(runs * 15 // 8 + 1)  # EOB14 and fourteen bits, all 0
    return b"\xff\xd8" + tables + jpeg_segment(0xC2, frame) + first + bands * (scans - 1) + b"\xff\xd9"


def tiff(entries: Iterable[tuple[int, int, int, bytes]], tail: bytes = b"", order: str = "<") -> bytes:
    """A TIFF of one directory: (tag, type, count, value or offset of four bytes); the tail follows it."""
    rows = sorted(entries)
    directory = b"".join(struct.pack(f"{order}HHI", tag, kind, count) + value for tag, kind, count, value in rows)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}IH", 8, len(rows)) + directory + struct.pack(f"{order}I", 0) + tail


def long(value: int) -> bytes:
    return struct.pack("<I", value)


def tiff_of(width: int, height: int, **tags: tuple[int, int, bytes]) -> list[tuple[int, int, int, bytes]]:
    """The directory of a grey picture of 8 bits, its data behind ten and more entries; tags named t258 and so on replace or add."""
    usual = {256: (4, 1, long(width)), 257: (4, 1, long(height)), 258: (3, 1, long(8)), 259: (3, 1, long(1)), 262: (3, 1, long(1)),
             273: (4, 1, long(200)), 277: (3, 1, long(1)), 278: (4, 1, long(height)), 279: (4, 1, long(width * height & 0xFFFFFFFF))}  # fmt: skip
    usual |= {int(name[1:]): value for name, value in tags.items()}
    return [(tag, *value) for tag, value in usual.items()]


def deflated(side: int, depth: int, **tags: tuple[int, int, bytes]) -> bytes:
    """A square TIFF of zeros, so many bytes a pixel, deflated in one strip."""
    data = zeros(depth * side**2)
    place = {"t259": (3, 1, long(8)), "t273": (4, 1, long(300)), "t279": (4, 1, long(len(data)))}
    return padded(tiff(tiff_of(side, side, **place, **tags)), 300) + data


def padded(data: bytes, to: int = 200) -> bytes:
    return data + bytes(to - len(data))


def tag_bomb(tags: int, size: int) -> bytes:
    """A directory whose every entry claims the same bytes."""
    return tiff([(1_000 + tag, 1, size, long(8)) for tag in range(tags)] + tiff_of(8, 8), bytes(size))


def gif(
    width: int,
    height: int,
    *,
    frame: tuple[int, int, int, int] | None = None,
    before: bytes = b"",
    data: bytes | None = None,
    code: int = 2,
) -> bytes:
    """A GIF of any claims; frame: left, top, width, height."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes((0, 0, 0, 255, 255, 255))
    place = struct.pack("<HHHHB", *(frame or (0, 0, width, height)), 0)
    lzw = b"\x02\x4c\x01" if data is None else data
    return screen + before + b"," + place + bytes((code,)) + lzw + b"\0;"


def bmp(width: int, height: int, bits: int, compression: int, data: bytes, *, colours: int = 0, header: int = 40) -> bytes:
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    palette = bytes(4 * (colours or 256)) if bits <= 8 else b""
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + len(info) + len(palette) + len(data), 0, 0, 14 + len(info) + len(palette))
        + info
        + palette
        + data
    )


def blank(file_format: str, width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    return encode(Image.new(mode, (width, height), "white" if mode == "RGB" else 0), file_format, **options)


def exif_parts(exif: bytes) -> bytes:
    return b"".join(jpeg_segment(0xE1, b"Exif\0\0" + exif[start : start + 65_000]) for start in range(0, len(exif), 65_000))


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, len(mode)), np.uint8).squeeze())


def drawn(kind: str, side: int = 1024) -> bytes:
    """A PNG of a pattern, which may be expensive to search for a digit."""
    y, x = np.mgrid[:side, :side]
    patterns = {
        "noise": np.random.default_rng(0).integers(0, 256, (side, side)),
        "black and white noise": np.random.default_rng(0).integers(0, 2, (side, side)) * 255,
        "checks": (x + y) % 2 * 255,
        "dots": ((x % 3 == 0) & (y % 3 == 0)) * 255,
        "rows": y % 2 * 255,
        "thin grid": ((x % 8 == 0) | (y % 8 == 0)) * 255,
        "rings": (np.hypot(x - side / 2, y - side / 2) % 8 < 4) * 255,
        "comb": ((x % 4 < 2) | (y < 8)) * 255,
        "slope": x * 255 // side,
        "specks": (np.random.default_rng(0).random((side, side)) < 0.01) * 255,
    }
    return encode(Image.fromarray(np.repeat(np.asarray(patterns[kind], np.uint8)[..., None], 3, axis=2)))


def animated(file_format: str, frames: int, side: int = 64) -> bytes:
    pictures = [Image.fromarray(np.full((side, side, 3), number % 250, np.uint8)) for number in range(frames)]
    return encode(pictures[0], file_format, save_all=True, append_images=pictures[1:])


def with_exif(file_format: str, exif: bytes) -> bytes:
    file = BytesIO()
    DRAWING.save(file, format=file_format, exif=b"Exif\0\0" + exif)
    return file.getvalue()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


PNG, JPEG, GIF = encode(DRAWING), encode(DRAWING, "JPEG"), encode(DRAWING, "GIF")
WEBP, AVIF, TIFF, BMP = (encode(DRAWING, name) for name in ("WEBP", "AVIF", "TIFF", "BMP"))
ORIENTED = tiff([(274, 3, 1, long(6))])
END = PNG.index(b"IEND") - 4

CHEAP: dict[str, Maker] = {
    # PNG
    "png bomb 16 bits rgb": lambda: png(SIDE, SIDE, depth=16, colour=2),
    "png bomb 16 bits rgba": lambda: png(SIDE, SIDE, depth=16, colour=6),
    "png bomb over the limit": lambda: png(60_000, 60_000, data=zeros(MIB)),
    "png text bomb": lambda: png(64, 64, before=png_chunk(b"zTXt", b"a\0\0" + zeros(100 * MIB))),
    "png international text bomb": lambda: png(64, 64, before=png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(100 * MIB))),
    "png data byte by byte": lambda: PNG[:33] + b"".join(png_chunk(b"IDAT", bytes((byte,))) for byte in zlib.compress(bytes(65 * 64))) + PNG[END:],
    "png many animation chunks": lambda: png(64, 64, before=png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 1, 0, 0)) * 100),
    "png chunk of lying length": lambda: PNG[:33] + struct.pack(">I", 2**31 - 1) + PNG[37:],
    "png chunk of negative length": lambda: PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:],
    "png wrong crc": lambda: PNG[:29] + b"\0\0\0\0" + PNG[33:],
    "png no palette": lambda: png(64, 64, colour=3).replace(b"PLTE", b"abCd"),
    "png short palette": lambda: PNG[:16] + struct.pack(">IIBBBBB", 64, 64, 8, 3, 0, 0, 0) + PNG[29:33] + PNG[33:],
    "png unknown colour": lambda: png(64, 64, colour=5),
    "png unknown depth": lambda: png(64, 64, depth=3),
    "png no width": lambda: png(0, 64),
    "png no height": lambda: png(64, 0),
    "png no size": lambda: png(0, 0),
    "png of the largest size": lambda: png(2**31 - 1, 2**31 - 1, data=b""),
    "png of negative size": lambda: png(2**32 - 1, 2**32 - 1, data=b""),
    "png one row": lambda: png(100_000, 1),
    "png one column": lambda: png(1, 100_000),
    "png one row at the limit": lambda: png(50_000_000, 1),
    "png one column at the limit": lambda: png(1, 50_000_000),
    "png one pixel": lambda: png(1, 1),
    "png 16 bits one row": lambda: png(100_000, 1, depth=16),
    "png odd transparency": lambda: png(64, 64, before=png_chunk(b"tRNS", b"\0")),
    "png exif loop": lambda: png(64, 64, before=png_chunk(b"eXIf", tiff([(274, 3, 1, long(6)), (0x8769, 4, 1, long(8)), (0x8825, 4, 1, long(8))]))),
    "png without an end": lambda: PNG[:END],
    "png twice": lambda: PNG + PNG,
    "png and zip": lambda: PNG + b"PK\3\4" + bytes(26) + b"PK\5\6" + bytes(18),
    "png header twice": lambda: PNG[:33] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + PNG[33:],
    "png header last": lambda: PNG[:END] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + PNG[END:],
    "png animated": lambda: animated("PNG", 20),
    # JPEG
    "jpeg bomb cmyk": lambda: jpeg(SIDE, SIDE, components=4),
    "jpeg bomb progressive": lambda: jpeg(SIDE, SIDE, progressive=True, components=3, scans=4),
    "jpeg bomb of scans": lambda: jpeg(SIDE, SIDE, progressive=True, scans=1_000),
    "jpeg lying size": lambda: jpeg(14_000, 14_000)[:2_000],
    "jpeg of the largest size": lambda: jpeg(8, 8).replace(struct.pack(">HH", 8, 8), b"\xff\xff\xff\xff", 1),
    "jpeg no height": lambda: jpeg(64, 0),
    "jpeg no width": lambda: jpeg(0, 64),
    "jpeg one row": lambda: jpeg(65_500, 1),
    "jpeg one column": lambda: jpeg(1, 65_500),
    "jpeg 12 bits": lambda: jpeg(64, 64, depth=12),
    "jpeg arithmetic": lambda: JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1),
    "jpeg lossless": lambda: JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1),
    "jpeg sampled 4 by 4": lambda: jpeg(SIDE, SIDE, sampling=0x44),
    "jpeg sampled 0 by 0": lambda: jpeg(64, 64, sampling=0),
    "jpeg five components": lambda: jpeg(64, 64, components=5),
    "jpeg exif bomb": lambda: with_exif("JPEG", tag_bomb(4_000, 10_000)),
    "jpeg oriented": lambda: with_exif("JPEG", ORIENTED),
    "jpeg orientation of a billion": lambda: with_exif("JPEG", tiff([(274, 4, 1, long(10**9))])),
    "jpeg orientations": lambda: with_exif("JPEG", tiff([(274, 3, 1_000, long(8))], bytes(2_000))),
    "jpeg lying mpo": lambda: JPEG[:2] + jpeg_segment(0xE2, b"MPF\0" + tiff([(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, long(2**31)), (0xB002, 7, 2**20, long(60))])) + JPEG[2:],
    "jpeg cmyk": lambda: encode(DRAWING.convert("CMYK"), "JPEG"),
    "jpeg twice": lambda: JPEG + JPEG,
    "jpeg and zip": lambda: JPEG + b"PK\3\4" + bytes(40),
    "jpeg in a comment of a jpeg": lambda: JPEG[:2] + jpeg_segment(0xFE, JPEG) + JPEG[2:],
    "jpeg without an end": lambda: JPEG[:-2],
    "jpeg cut in its scan": lambda: JPEG[: len(JPEG) * 3 // 4],
    # GIF
    "gif bomb": lambda: gif(SIDE, SIDE),
    "gif over the limit": lambda: gif(65_535, 65_535),
    "gif frame beyond its screen": lambda: gif(8, 8, frame=(0, 0, 65_535, 65_535)),
    "gif frame far outside": lambda: gif(64, 64, frame=(65_000, 65_000, 64, 64)),
    "gif frame outside and large": lambda: gif(64, 64, frame=(60_000, 0, 5_000, 5_000)),
    "gif of no size": lambda: gif(0, 0),
    "gif large codes": lambda: gif(64, 64, code=12),
    "gif codes of 255 bits": lambda: gif(64, 64, code=255),
    "gif animated": lambda: animated("GIF", 1_000, 16),
    "gif and script": lambda: b"GIF89a/*" + GIF[8:] + b"*/=1;alert(1)",
    "gif cut": lambda: GIF[: len(GIF) // 2],
    # WebP
    "webp bomb": lambda: blank("WEBP", 16_383, 3_000),
    "webp bomb lossless": lambda: blank("WEBP", 16_383, 3_000, lossless=True),
    "webp bomb with alpha": lambda: blank("WEBP", 16_383, 3_000, "RGBA", lossless=True, exact=True),
    "webp lying canvas": lambda: riff((b"VP8X", b"\x10\0\0\0" + b"\xff\xff\xff" * 2), (b"VP8L", b"\x2f\0\0\0\0")),
    "webp animation of a huge canvas": lambda: animated("WEBP", 3).replace(struct.pack("<I", 63)[:3] * 2, struct.pack("<I", 6_999)[:3] * 2, 1),
    "webp animated": lambda: animated("WEBP", 100),
    "webp lying length": lambda: WEBP[:4] + b"\xff\xff\xff\x7f" + WEBP[8:],
    "webp of nothing": riff,
    "webp cut": lambda: WEBP[: len(WEBP) // 2],
    # TIFF
    "tiff 60,000 tags": lambda: tiff([(1_000 + tag, 4, 1, long(tag)) for tag in range(60_000)] + tiff_of(8, 8), bytes(64)),
    "tiff claims all the file for a tag": lambda: tiff([*tiff_of(8, 8), (700, 1, 2**32 - 1, long(8))]),
    "tiff loop of directories": lambda: padded(tiff(tiff_of(8, 8)))[:118] + long(8) + bytes(200),
    "tiff of no size": lambda: padded(tiff(tiff_of(0, 0))),
    "tiff one row": lambda: padded(tiff(tiff_of(100_000, 1))) + bytes(100_000),
    "tiff one column": lambda: padded(tiff(tiff_of(1, 100_000))) + bytes(100_000),
    "tiff over the limit": lambda: padded(tiff(tiff_of(2**31, 2**31))),
    "tiff lying size": lambda: padded(tiff(tiff_of(SIDE, SIDE))),
    "tiff strips of no rows": lambda: padded(tiff(tiff_of(64, 64, t278=(4, 1, long(0))))) + bytes(5_000),
    "tiff strips all alike": lambda: tiff(tiff_of(SIDE, SIDE, t273=(3, SIDE, long(200)), t278=(4, 1, long(1)), t279=(4, SIDE, long(200))), bytes(60_000)),
    "tiff deflate bomb": lambda: deflated(SIDE, 1),
    "tiff deflate bomb of 16 bits": lambda: deflated(SIDE, 2, t258=(3, 1, long(16))),
    "tiff deflate bomb of floats": lambda: deflated(SIDE, 4, t258=(3, 1, long(32)), t339=(3, 1, long(3))),
    "tiff deflate bomb of integers": lambda: deflated(SIDE, 4, t258=(3, 1, long(32)), t339=(3, 1, long(2))),
    "tiff more data than pixels": lambda: deflated(64, 20_000),
    "tiff huge tiles": lambda: tiff(tiff_of(64, 64, t322=(4, 1, long(65_520)), t323=(4, 1, long(65_520)), t324=(4, 1, long(200)), t325=(4, 1, long(5_000)), t259=(3, 1, long(8))), bytes(400)),
    "tiff wide tiles": lambda: tiff(tiff_of(64, 64, t322=(4, 1, long(16)), t323=(4, 1, long(2**31 - 16)), t324=(4, 1, long(200)), t325=(4, 1, long(5_000)), t259=(3, 1, long(5))), bytes(400)),
    "tiff tiles of no size": lambda: tiff(tiff_of(64, 64, t322=(4, 1, long(0)), t323=(4, 1, long(0)), t324=(4, 1, long(200)), t325=(4, 1, long(200))), bytes(400)),
    "tiff huge strip in few rows": lambda: padded(tiff(tiff_of(64, 64, t278=(4, 1, long(2**31)), t259=(3, 1, long(5))))) + bytes(500),
    "tiff 65,535 samples": lambda: padded(tiff(tiff_of(64, 64, t277=(3, 1, long(65_535))))) + bytes(500),
    "tiff in fax code": lambda: padded(tiff(tiff_of(SIDE, SIDE, t258=(3, 1, long(1)), t259=(3, 1, long(4)), t279=(4, 1, long(10_000))))) + bytes(10_000),
    "tiff in jpeg": lambda: encode(DRAWING, "TIFF", compression="jpeg"),
    "tiff in lzw": lambda: encode(DRAWING, "TIFF", compression="tiff_lzw"),
    "tiff lzw bomb": lambda: blank("TIFF", SIDE, SIDE, compression="tiff_lzw"),
    "tiff cmyk": lambda: encode(DRAWING.convert("CMYK"), "TIFF"),
    "tiff lab": lambda: encode(DRAWING.convert("LAB"), "TIFF"),
    "tiff not a number": lambda: encode(Image.fromarray(np.full((64, 64), np.nan, np.float32)), "TIFF"),
    "tiff infinite": lambda: encode(Image.fromarray(np.where(np.arange(64) % 2, np.inf, -np.inf)[None].repeat(64, 0).astype(np.float32)), "TIFF"),
    "tiff largest floats": lambda: encode(Image.fromarray(np.where(np.arange(64) % 2, 3e38, -3e38)[None].repeat(64, 0).astype(np.float32)), "TIFF"),
    "tiff of many pages": lambda: animated("TIFF", 200, 16),
    "tiff big": lambda: encode(DRAWING, "TIFF", big_tiff=True),
    "tiff big of big claims": lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60) + bytes(64),
    "tiff without a directory": lambda: b"II*\0\xff\xff\xff\xff",
    "tiff cut": lambda: TIFF[: len(TIFF) // 2],
    # BMP
    "bmp run-length bomb": lambda: bmp(SIDE, SIDE, 8, 1, b"\xff\0" * (SIDE * SIDE // 255 + 1)),
    "bmp run-length of jumps": lambda: bmp(64, 64, 8, 1, b"\0\2\xff\xff" * 100_000),
    "bmp run-length of 4 bits": lambda: bmp(SIDE, SIDE, 4, 2, b"\xff\0" * (SIDE * SIDE // 255 + 1)),
    "bmp upside down": lambda: bmp(64, -64, 8, 0, bytes(64 * 64)),
    "bmp least height": lambda: bmp(64, -(2**31), 8, 0, bytes(64 * 64)),
    "bmp negative width": lambda: bmp(-64, 64, 8, 0, bytes(64 * 64)),
    "bmp of no size": lambda: bmp(0, 0, 8, 0, b""),
    "bmp over the limit": lambda: bmp(2**31 - 1, 2**31 - 1, 24, 0, b""),
    "bmp lying size": lambda: bmp(SIDE, SIDE, 24, 0, bytes(100)),
    "bmp lying colours": lambda: bmp(64, 64, 8, 0, bytes(64 * 64), colours=1).replace(struct.pack("<I", 1), b"\xff\xff\xff\x7f"),
    "bmp unknown bits": lambda: bmp(64, 64, 7, 0, bytes(64 * 64)),
    "bmp unknown compression": lambda: bmp(64, 64, 8, 99, bytes(64 * 64)),
    "bmp one row": lambda: bmp(100_000, 1, 8, 0, bytes(100_000)),
    "bmp one column": lambda: bmp(1, 100_000, 8, 0, bytes(400_000)),
    "bmp 16 bits": lambda: bmp(64, 64, 16, 0, bytes(64 * 128)),
    "bmp fields": lambda: bmp(64, 64, 32, 3, bytes(64 * 256)),
    "bmp cut": lambda: BMP[: len(BMP) // 2],
    # AVIF and HEIF
    "avif bomb": lambda: blank("AVIF", SIDE, SIDE, speed=10),
    "avif lying size": lambda: AVIF.replace(struct.pack(">II", 64, 64), struct.pack(">II", SIDE, SIDE)),
    "avif over the limit": lambda: AVIF.replace(struct.pack(">II", 64, 64), struct.pack(">II", 2**31, 2**31)),
    "avif animated": lambda: animated("AVIF", 20),
    "avif box of the largest length": lambda: AVIF[:32] + b"\xff\xff\xff\xff" + AVIF[36:],
    "avif box in box": lambda: AVIF[: AVIF.index(b"meta") - 4] + b"".join(struct.pack(">I", 12 * (1_000 - depth)) + b"meta\0\0\0\0" for depth in range(1_000)),
    "avif of a brand alone": lambda: b"\0\0\0\x14ftypavif\0\0\0\0avif",
    "heif of a brand alone": lambda: b"\0\0\0\x14ftypmif1\0\0\0\0mif1",
    "avif cut": lambda: AVIF[: len(AVIF) // 2],
    # other things
    "polyglot of gif and png": lambda: b"GIF89a" + PNG,
    "polyglot of bmp and jpeg": lambda: b"BM" + JPEG,
    "polyglot of pdf and jpeg": lambda: b"%PDF-1.4\n" + JPEG,
    "polyglot of html and png": lambda: b"<html><script>alert(1)</script>" + PNG,
    "png under jpeg's signature": lambda: b"\xff\xd8\xff" + PNG,
    "jpeg under png's signature": lambda: PNG[:8] + JPEG,
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(%pipe%id) (r) file\n",
    "svg bomb": lambda: b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
    "icon": lambda: encode(DRAWING, "ICO"),
    "zip": lambda: b"PK\3\4" + bytes(100),
    "a letter": lambda: b"a",
    "nothing": lambda: b"",
}  # fmt: skip

EXPENSIVE: dict[str, Maker] = {  # to make, or to read
    # PNG
    "png bomb grey": lambda: png(SIDE, SIDE),
    "png bomb rgb": lambda: png(SIDE, SIDE, colour=2),
    "png bomb rgba": lambda: png(SIDE, SIDE, colour=6),
    "png bomb palette": lambda: png(SIDE, SIDE, colour=3),
    "png bomb grey and alpha": lambda: png(SIDE, SIDE, colour=4),
    "png bomb 16 bits": lambda: png(SIDE, SIDE, depth=16),
    "png bomb 1 bit": lambda: png(SIDE, SIDE, depth=1),
    "png bomb 16 bits rgba at the limit": lambda: png(5_000, 5_000, depth=16, colour=6),
    "png bomb 16 bits rgb at the limit": lambda: png(5_770, 5_770, depth=16, colour=2),
    "png bomb predicted": lambda: png(SIDE, SIDE, colour=6, data=paeth(SIDE, 4 * SIDE)),
    "png bomb interlaced": lambda: png(SIDE, SIDE, colour=2, interlaced=True),
    "png more data than pixels": lambda: png(64, 64, data=zeros(1000 * MIB)),
    "png many text bombs": lambda: png(64, 64, before=png_chunk(b"zTXt", b"a\0\0" + zeros(MIB - 1)) * 500),
    "png profile bombs": lambda: png(1, 1, before=png_chunk(b"iCCP", b"a\0\0" + zeros(MIB)) * 16_000),
    "png profile bomb": lambda: png(64, 64, before=png_chunk(b"iCCP", b"a\0\0" + zeros(1000 * MIB))),
    "png many chunks before": lambda: png(64, 64, before=png_chunk(b"abCd", b"") * (FULL // 12)),
    "png many chunks after": lambda: png(64, 64, after=png_chunk(b"abCd", b"") * (FULL // 12)),
    "png many texts": lambda: png(64, 64, before=png_chunk(b"tEXt", b"a\0b") * (FULL // 15)),
    "png many empty data chunks": lambda: png(64, 64, before=png_chunk(b"IDAT", b"") * (FULL // 12)),
    "png exif bomb": lambda: png(64, 64, before=png_chunk(b"eXIf", tag_bomb(2_000, 4 * MIB))),
    # JPEG
    "jpeg bomb grey": lambda: jpeg(14_000, 14_000),
    "jpeg bomb colour": lambda: jpeg(14_000, 14_000, components=3),
    "jpeg bomb progressive at the limit": lambda: jpeg(5_770, 5_770, progressive=True, components=3, scans=29),
    "jpeg bomb progressive cmyk at the limit": lambda: jpeg(4_080, 4_080, progressive=True, components=4, scans=50),
    "jpeg bomb progressive grey": lambda: jpeg(SIDE, SIDE, progressive=True, scans=4),
    "jpeg small with many scans": lambda: jpeg(1_000, 1_000, progressive=True, scans=100_000),
    "jpeg over the limit": lambda: jpeg(65_500, 65_500, components=1)[:MIB],
    "jpeg many comments": lambda: JPEG[:2] + jpeg_segment(0xFE, b"") * (FULL // 4) + JPEG[2:],
    "jpeg many applications": lambda: JPEG[:2] + jpeg_segment(0xE5, b"") * (FULL // 4) + JPEG[2:],
    "jpeg many restarts": lambda: JPEG[:2] + b"\xff\xd0" * (FULL // 2) + JPEG[2:],
    "jpeg padded markers": lambda: JPEG[:2] + b"\xff" * FULL + JPEG[2:],
    "jpeg junk between": lambda: JPEG[:2] + bytes(FULL) + JPEG[2:],
    "jpeg many tables": lambda: JPEG[:2] + jpeg_segment(0xDB, b"\0" + bytes([1] * 64)) * (FULL // 69) + JPEG[2:],
    "jpeg profile in many parts": lambda: JPEG[:2] + jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)) * 300 + JPEG[2:],
    "jpeg exif in many parts": lambda: JPEG[:2] + jpeg_segment(0xE1, b"Exif\0\0" + tag_bomb(5_000, 100)[:60_000]) * 300 + JPEG[2:],
    "jpeg exif of millions of resolutions": lambda: JPEG[:2] + exif_parts(tiff([(0x0128, 3, 1, long(2)), (0x011A, 5, 2_000_000, long(60))], bytes(16_500_000))) + JPEG[2:],
    "jpeg exif of many resolutions": lambda: JPEG[:2] + exif_parts(tiff([(0x0128, 3, 1, long(2)), (0x011A, 5, 110_000, long(60))], bytes(900_000))) + JPEG[2:],
    "jpeg photoshop": lambda: JPEG[:2] + jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_000) * 300 + JPEG[2:],
    # GIF
    "gif whole bomb": lambda: blank("GIF", SIDE, SIDE, "L"),
    "gif many comments": lambda: gif(64, 64, before=(b"!\xfe" + (b"\xff" + b"a" * 255) * 10 + b"\0") * (FULL // 2_563)),
    "gif one long comment": lambda: gif(64, 64, before=b"!\xfe" + (b"\xff" + b"a" * 255) * (FULL // 256) + b"\0"),
    "gif many extensions": lambda: gif(64, 64, before=b"!\xaa\0" * (FULL // 3)),
    "gif one long extension": lambda: gif(64, 64, before=b"!\xaa" + b"\1a" * (FULL // 2) + b"\0"),
    "gif junk between": lambda: gif(64, 64, before=bytes(FULL)),
    "gif data byte by byte": lambda: gif(1_000, 1_000, data=b"\1\x24" * (FULL // 2)),
    "gif clear codes for ever": lambda: gif(1_000, 1_000, data=(b"\xff" + b"\x24\x49\x92" * 85) * (FULL // 256)),
    # WebP
    "webp many chunks": lambda: riff((b"VP8X", b"\x08" + bytes(3) + struct.pack("<I", 63)[:3] * 2), *[(b"abcd", b"")] * (FULL // 8)),
    "webp exif bomb": lambda: with_exif("WEBP", tag_bomb(2_000, 4 * MIB)),
    # TIFF
    "tiff tag bomb": lambda: tag_bomb(20_000, 10 * MIB),
    "tiff millions of strips": lambda: tiff(tiff_of(4, 2_000_000, t273=(4, 2_000_000, long(200)), t278=(4, 1, long(1)), t279=(4, 2_000_000, long(200))), bytes(16_000_000)),
    "tiff deflate bomb at the limit": lambda: deflated(6_300, 1),
    "tiff deflate bomb at the limit of 16 bits": lambda: deflated(5_700, 2, t258=(3, 1, long(16))),
    "tiff deflate bomb at the limit of floats": lambda: deflated(4_990, 4, t258=(3, 1, long(32)), t339=(3, 1, long(3))),
    "tiff deflate bomb turned": lambda: deflated(4_600, 1, t274=(3, 1, long(6))),
    "tiff of millions of resolutions": lambda: tiff(tiff_of(64, 64, t282=(5, 2_000_000, long(200))), bytes(16_500_000)),
    "tiff of millions of exif values": lambda: tiff([*tiff_of(64, 64), (0x8769, 4, 1, long(200))], bytes(60) + tiff([(33434, 5, 2_000_000, long(300))])[8:] + bytes(16_500_000)),
    "tiff of millions of bits": lambda: tiff(tiff_of(64, 64, t258=(3, 8_000_000, long(200))), bytes(16_500_000)),
    "tiff packbits bomb": lambda: blank("TIFF", SIDE, SIDE, compression="packbits"),
    "tiff jpeg bomb": lambda: blank("TIFF", SIDE, SIDE, compression="jpeg"),
    "tiff fax bomb": lambda: blank("TIFF", SIDE, SIDE, "1", compression="group4"),
    "tiff lzma bomb": lambda: blank("TIFF", 2_000, 2_000, compression="lzma"),
    # BMP
    "bmp bomb": lambda: bmp(SIDE, SIDE, 1, 0, bytes(SIDE * 876)),
    "bmp run-length bomb of one pixel a run": lambda: bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000),
    "bmp run-length of ends of lines": lambda: bmp(SIDE, SIDE, 8, 1, b"\0\0" * (FULL // 2)),
    "bmp run-length of far jumps": lambda: bmp(SIDE, SIDE, 8, 1, b"\0\2\xff\xff" * (FULL // 4)),
    # AVIF and HEIF
    "webp at the limit": lambda: blank("WEBP", 3_535, 3_535, "RGBA", lossless=True),
    "webp of noise": lambda: encode(noise(2_500, 2_500), "WEBP", quality=95, method=0),
    "avif at the limit": lambda: blank("AVIF", 3_535, 3_535, speed=10),
    "avif of noise": lambda: encode(noise(3_000, 3_000), "AVIF", quality=60, speed=10),
    "avif with alpha": lambda: encode(noise(2_500, 2_500, "RGBA"), "AVIF", quality=50, speed=10, subsampling="4:4:4"),
    # patterns
    **{f"picture of {kind}": partial(drawn, kind) for kind in ("noise", "black and white noise", "checks", "dots", "rows", "thin grid", "rings", "comb", "slope", "specks")},
    "png of noise": lambda: encode(noise(2_600, 2_600)),
    "jpeg of noise": lambda: encode(noise(6_000, 6_000), "JPEG", quality=50),
    "jpeg of progressive noise": lambda: encode(noise(5_000, 5_000), "JPEG", quality=30, progressive=True),
    # other things
    "zeros": lambda: bytes(FULL),
    "ones": lambda: b"\xff" * FULL,
}  # fmt: skip


def ycck_noise(side: int) -> bytes:
    """A JPEG of noise in four colours with all its scans."""
    return encode(noise(side, side).convert("CMYK"), "JPEG", quality=60, progressive=True)


def filled(data: bytes, marker: bytes) -> bytes:
    """A JPEG with a fill byte before each marker of a kind (ITU-T T.81, B.1.1.2), where a hasty parser loses its place."""
    return data.replace(marker, b"\xff" + marker)


def exif_png(exif: bytes) -> bytes:
    """A PNG of 64 × 64 with this EXIF."""
    return png(64, 64, before=png_chunk(b"eXIf", exif))


MANY_VALUES = tiff([(0x011A, 5, 2_000_000, long(60)), (0x0112, 3, 1, long(6))], bytes(16_500_000))
BIG_ENDIAN = tiff([(0x011A, 5, 2_000_000, struct.pack(">I", 60))], bytes(16_500_000), order=">")
STRIPS = tiff(tiff_of(4, 2_000_000, t273=(4, 2_000_000, long(200)), t278=(4, 1, long(1)), t279=(4, 2_000_000, long(200))), bytes(16_000_000))  # fmt: skip

HURTFUL: dict[str, Maker] = {  # seen to stop a service that looked into files before it let a decoder do so
    "jpeg of fill bytes before its scans": lambda: filled(jpeg(5_000, 5_000, progressive=True, components=3, scans=600), b"\xff\xda"),
    "jpeg of fill bytes before its frame": lambda: filled(jpeg(SIDE, SIDE, progressive=True, components=3, scans=400), b"\xff\xc2"),
    "jpeg of hundreds of scans": lambda: jpeg(3_000, 3_000, progressive=True, components=3, scans=99),
    "jpeg of four colours in noise": lambda: ycck_noise(4_000),
    "jpeg of values under fill bytes": lambda: JPEG[:2] + b"\xff" + exif_parts(MANY_VALUES) + JPEG[2:],
    "png of values": lambda: exif_png(MANY_VALUES),
    "png of values in big-endian order": lambda: exif_png(BIG_ENDIAN),
    "png of values under a second head": lambda: exif_png(b"Exif\0\0" + BIG_ENDIAN),
    "webp of values": lambda: riff((b"VP8X", b"\x08" + bytes(3) + struct.pack("<I", 63)[:3] * 2), (b"VP8 ", WEBP[20:]), (b"EXIF", MANY_VALUES)),
    "tiff under a head of the other order": lambda: b"MM*\0" + STRIPS[4:],
    "tiff under another head": lambda: b"II\0*" + STRIPS[4:],
    "tiff of strips": lambda: STRIPS,
    "avif whose frame is larger than it says": lambda: blank("AVIF", 8_000, 6_000, speed=10).replace(struct.pack(">II", 8_000, 6_000), struct.pack(">II", 64, 64)),
    "avif of a large alpha": lambda: blank("AVIF", 6_000, 6_000, "RGBA", speed=10),
    "webp of a large animation": lambda: encode(Image.new("RGB", (4_000, 4_000), "white"), "WEBP", save_all=True, append_images=[Image.new("RGB", (4_000, 4_000), (250, 250, 250 - number)) for number in range(8)]),
    "gif of blank frames": lambda: animated("GIF", 400, 1_000),
    "png of 16 bits made whole": lambda: png(SIDE, SIDE, depth=16),
    "tiff of floats made whole": lambda: deflated(SIDE, 4, t258=(3, 1, long(32)), t339=(3, 1, long(3))),
    "tiff in a tile": lambda: tiff(tiff_of(64, 64, t322=(4, 1, long(16_384)), t323=(4, 1, long(16_384)), t324=(4, 1, long(300)), t325=(4, 1, long(300_000)), t259=(3, 1, long(8))), bytes(60) + zeros(16_384**2)),
    "tiff of lzma": lambda: blank("TIFF", SIDE, SIDE, "L", compression="lzma"),
    "bmp of one-pixel runs": lambda: bmp(3_000, 3_000, 8, 1, b"\1\0" * 9_000_000),
}  # fmt: skip
