"""A tiny UNIPEN collection, written by nobody: the format as it is distributed, the ink made of polygons."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

WRITERS = tuple(f"writer {number}" for number in range(24))
SIGNS = "AFHKMNWXaehkmnx+,-="


def character(text: str, shift: int) -> list[tuple[int, int]]:
    """Some closed line that depends on the character and on who writes it."""
    corners = 5 + ord(text) % 7
    angles = np.linspace(0, 2 * np.pi, corners * 3) + shift
    reach = 300 + 100 * np.sin(angles * (2 + ord(text) % 3))
    return [(round(1000 + 0.7 * r * np.cos(a)), round(1000 + r * np.sin(a))) for a, r in zip(angles, reach, strict=True)]


def write_collection(folder: Path, writers: Sequence[str] = WRITERS) -> Path:
    """data/1a and data/1c by so many writers, ten digits and SIGNS each."""
    for category, texts in (("1a", "0123456789"), ("1c", SIGNS)):
        for number, writer in enumerate(writers):
            name = f"zzz{number:02}.dat"
            ink = [".VERSION 1.0", ".X_POINTS_PER_MM 10", ".Y_POINTS_PER_MM 10", f".WRITER_ID {writer}"]
            segments = [".VERSION 1.0", f".INCLUDE zzz/{category}/{name}"]
            for index, text in enumerate(texts):
                points = "\n".join(f"{x} {y}" for x, y in character(text, number))
                ink += [".PEN_DOWN", points, ".PEN_UP"]
                segments.append(f'.SEGMENT CHARACTER {index} OK "{text}"')
            _put(folder / "include" / "zzz" / category / name, ink)
            _put(folder / "data" / category / "zzz" / name, segments)
    return folder


def _put(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
