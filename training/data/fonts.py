"""Handwriting fonts, the hands of their designers, fetched from npm by name, version and checksum."""

import csv
import hashlib
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from training.errors import DataError
from training.files import write_bytes

SIZE = 96  # pixels per em; characters are seldom drawn larger
MARGIN = 4
TABLE = "fonts.csv"
MEMBER = "package/files/{}-latin-400-normal.woff"  # of each package
LIMIT = 4 * 2**20  # bytes of a font
TOGETHER = 16  # packages that npm fetches at a time
TIMEOUT = 300  # seconds for that many


@dataclass(frozen=True)
class Font:
    """A font of the table. handwriting: whether its digits look handwritten; other fonts are for printed text."""

    file: str
    package: str
    version: str
    licence: str
    sha256: str
    handwriting: bool


def table() -> list[Font]:
    """The known fonts, in the table's order."""
    text = (resources.files("training.data") / TABLE).read_text(encoding="utf-8")
    return [
        Font(row["file"], row["package"], row["version"], row["licence"], row["sha256"], row["handwriting"] == "yes")
        for row in csv.DictReader(text.splitlines())
    ]


def load_fonts(data_dir: Path) -> list[tuple[Font, Path]]:
    """Loads the fonts in ``data_dir/fonts``; missing ones are fetched from npm.

    Raises:
        DataError: a font is missing and cannot be fetched, or is not the known one.
    """
    folder, fonts = data_dir / "fonts", table()
    if any(not (folder / font.file).is_file() for font in fonts):
        fetch_fonts(fonts, folder)
    for font in fonts:
        if not _is_known(font, (folder / font.file).read_bytes()):
            raise DataError(f"{folder / font.file} is not the known file (sha256 differs). Delete it and run again.")
    return [(font, folder / font.file) for font in fonts]


def fetch_fonts(fonts: Sequence[Font], folder: Path, npm: str = "npm") -> None:
    """Fetches the missing fonts with npm's own client, from its configured registry.

    Raises:
        DataError: npm is not installed, or a package cannot be fetched or is not the known one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"), TemporaryDirectory() as packs:
        missing = [font for font in fonts if not (folder / font.file).is_file()]
        for start in range(0, len(missing), TOGETHER):
            group = missing[start : start + TOGETHER]
            with Console(stderr=True).status(f"Fetching fonts from npm, {start} of {len(missing)}"):
                _pack(npm, [f"{font.package}@{font.version}" for font in group], Path(packs), folder)
            for font in group:
                write_bytes(folder / font.file, _unpack(font, Path(packs)))


def _pack(npm: str, packages: Sequence[str], packs: Path, folder: Path) -> None:
    """Has npm download packages into a folder as .tgz files."""
    command = [npm, "pack", "--silent", "--pack-destination", str(packs), *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)  # noqa: S603 - of the table
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise DataError(
            f"Handwriting fonts are missing in {folder}, and npm could not fetch them:\n{said}\n"
            f"With npm (Node.js) and a network, `python -m training data` fetches them. Without, put the files that\n"
            f"{TABLE} lists into {folder}, or train without fonts."
        ) from error


def _unpack(font: Font, packs: Path) -> bytes:
    """Extracts the font's file from its package."""
    name = font.package.removeprefix("@").replace("/", "-")
    member = MEMBER.format(font.package.split("/")[-1])
    try:
        with tarfile.open(packs / f"{name}-{font.version}.tgz") as archive:
            file = archive.extractfile(member)
            data = file.read(LIMIT) if file is not None else b""
    except (OSError, KeyError, tarfile.TarError) as error:
        raise DataError(f"{font.package}@{font.version} does not hold {member} ({error}).") from error
    if not _is_known(font, data):
        raise DataError(f"{member} of {font.package}@{font.version} is not the known file (sha256 differs).")
    return data


def _is_known(font: Font, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == font.sha256


def split_of(font: Font) -> str:
    """The split of a font, by its name: about 70, 15 and 15 %."""
    share = int(hashlib.sha256(font.file.encode()).hexdigest(), 16) % 100
    return "train" if share < 70 else "validation" if share < 85 else "test"


@cache
def _open(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def render(path: Path, text: str, size: int = SIZE) -> NDArray[np.uint8]:
    """Draws text in the font, cut to its ink: (h, w) uint8; (0, 0) if the font lacks a character."""
    font = _open(path, size)
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    sheet = Image.new("L", (max(1, right - left) + 2 * MARGIN, max(1, bottom - top) + 2 * MARGIN), 0)
    ImageDraw.Draw(sheet).text((MARGIN - left, MARGIN - top), text, font=font, fill=255)
    ink = np.array(sheet)
    x, y, width, height = cv2.boundingRect(ink)
    return ink[y : y + height, x : x + width]
