"""Handwriting fonts: the hands of their designers, fetched from npm by name, version and checksum."""

import csv
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.errors import DataError

SIZE = 96  # pixels an em; what is drawn from it is seldom larger
MARGIN = 4
TABLE = "fonts.csv"


@dataclass(frozen=True)
class Font:
    """A font of the table. handwriting: its digits look written; where not, it serves for printed text."""

    file: str
    package: str
    version: str
    licence: str
    sha256: str
    handwriting: bool


def table() -> list[Font]:
    """The fonts that are known, in the table's order."""
    text = (resources.files("training.data") / TABLE).read_text(encoding="utf-8")
    return [
        Font(row["file"], row["package"], row["version"], row["licence"], row["sha256"], row["handwriting"] == "yes")
        for row in csv.DictReader(text.splitlines())
    ]


def load_fonts(data_dir: Path) -> list[tuple[Font, Path]]:
    """The fonts in ``data_dir/fonts``.

    Raises:
        DataError: some are missing, or not those that are known.
    """
    folder = data_dir / "fonts"
    fonts = [(font, folder / font.file) for font in table()]
    if missing := [font.file for font, path in fonts if not path.is_file()]:
        raise DataError(f"{len(missing)} of {len(fonts)} fonts are missing in {folder}, the first {missing[0]}.")
    for font, path in fonts:
        if hashlib.sha256(path.read_bytes()).hexdigest() != font.sha256:
            raise DataError(f"{path} is not the known file (sha256 differs). Delete it and run again.")
    return fonts


def split_of(font: Font) -> str:
    """Which split a font belongs to, by its name: about 70, 15 and 15 %."""
    share = int(hashlib.sha256(font.file.encode()).hexdigest(), 16) % 100
    return "train" if share < 70 else "validation" if share < 85 else "test"


@lru_cache(maxsize=None)
def _open(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def render(path: Path, text: str, size: int = SIZE) -> NDArray[np.uint8]:
    """Text as the font draws it, cut to its ink: (h, w) uint8; (0, 0) where the font does not have it."""
    font = _open(path, size)
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    sheet = Image.new("L", (max(1, right - left) + 2 * MARGIN, max(1, bottom - top) + 2 * MARGIN), 0)
    ImageDraw.Draw(sheet).text((MARGIN - left, MARGIN - top), text, font=font, fill=255)
    ink = np.array(sheet)
    x, y, width, height = cv2.boundingRect(ink)
    return ink[y : y + height, x : x + width]
