"""Factors that make a photo hard to read, in five severities each: from mild to hard even for a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.data.made_photos import Colour, Scene

SEVERITIES = (1, 2, 3, 4, 5)
CLEAN = Scene()

PAPERS: dict[str, Colour] = {
    "cream": (240, 228, 196),
    "pale green": (205, 225, 190),
    "yellow": (245, 215, 110),
    "kraft": (190, 155, 110),
    "brown": (125, 95, 70),
}
INKS: dict[str, Colour] = {
    "blue": (30, 60, 190),
    "green": (50, 150, 70),
    "red": (190, 40, 40),
    "orange": (240, 140, 40),
    "yellow": (245, 210, 50),
}
STROKES_ON_CANVAS: dict[str, tuple[Colour, float]] = {
    "black, 100 %": ((0, 0, 0), 1),
    "blue, 60 %": ((40, 70, 200), 0.6),
    "red, 35 %": ((200, 40, 40), 0.35),
    "yellow, 20 %": ((245, 210, 50), 0.2),
    "white, 10 %": ((255, 255, 255), 0.1),
}


@dataclass(frozen=True)
class Level:
    """How far a factor goes: in words for people, and as the scene that it makes of the clean one."""

    words: str
    scene: Scene


@dataclass(frozen=True)
class Factor:
    """What gets worse, and its five severities; unit says what their words mean."""

    unit: str
    levels: tuple[Level, ...]


def _factor(unit: str, levels: Mapping[str, Mapping[str, Any]]) -> Factor:
    return Factor(unit, tuple(Level(words, replace(CLEAN, **change)) for words, change in levels.items()))


def _percent(field: str, shares: Sequence[float], **others: object) -> dict[str, dict[str, object]]:
    return {f"{100 * share:g} %": {field: share, **others} for share in shares}


FACTORS: dict[str, Factor] = {
    "light gradient": _factor(
        "light lost from one end of the page to the other", _percent("light_lost", (0.4, 0.55, 0.7, 0.8, 0.9))
    ),
    "shadow edge": _factor(
        "light lost in the shadow, whose edge is 3 px wide", _percent("shadow", (0.15, 0.3, 0.45, 0.6, 0.7))
    ),
    "ruled paper": _factor(
        "opacity of blue lines, 54 px apart", _percent("rule_opacity", (0.15, 0.3, 0.5, 0.7, 0.9), rules=0.2)
    ),
    "squared paper": _factor(
        "opacity of blue lines, 27 px apart", _percent("rule_opacity", (0.15, 0.3, 0.45, 0.6, 0.75), rules=0.1, squared=True)
    ),
    "paper colour": _factor("dark blue ink on it", {name: {"paper": colour} for name, colour in PAPERS.items()}),
    "ink colour": _factor("on plain paper", {name: {"ink": colour} for name, colour in INKS.items()}),
    "faint ink": _factor("opacity of the ink", _percent("opacity", (0.4, 0.25, 0.16, 0.11, 0.07))),
    "thin pen": _factor("width over the digit's longer side", _percent("pen", (0.05, 0.035, 0.025, 0.015, 0.008))),
    "thick pen": _factor("width over the digit's longer side", _percent("pen", (0.14, 0.17, 0.2, 0.23, 0.26))),
    "blur": _factor("σ in pixels; the digit has 113", {f"{sigma:g} px": {"blur": sigma} for sigma in (2, 3.5, 5, 7, 9)}),
    "sensor noise": _factor("σ in grey levels", {f"{sigma}": {"noise": sigma} for sigma in (8, 16, 30, 50, 75)}),
    "JPEG": _factor("quality", {f"{quality}": {"quality": quality} for quality in (50, 30, 15, 8, 3)}),
    "tilt": _factor("to the left or the right", {f"{angle}°": {"tilt": angle} for angle in (4, 8, 12, 16, 20)}),
    "position": _factor(
        "of the way from the middle to a side or a corner, where the ink touches it",
        _percent("off_centre", (0.4, 0.6, 0.8, 0.9, 1.0)),
    ),
    "small digit": _factor("longer side over the page's height", _percent("side", (0.25, 0.15, 0.1, 0.07, 0.05))),
    "large digit": _factor("longer side over the page's height", _percent("side", (0.55, 0.65, 0.75, 0.85, 0.95))),
    "inversion": _factor(
        "grey level of dark paper under white ink, from little contrast to much",
        {f"{level}": {"paper": (level, level, level), "ink": (240, 240, 240)} for level in (150, 120, 90, 50, 15)},
    ),
    "transparency": _factor(
        "colour and alpha of strokes on a transparent canvas",
        {name: {"canvas": True, "ink": ink, "opacity": alpha} for name, (ink, alpha) in STROKES_ON_CANVAS.items()},
    ),
}


def scenes() -> Iterator[tuple[str, int, Level]]:
    """Every factor at every severity."""
    for name, factor in FACTORS.items():
        for severity, level in zip(SEVERITIES, factor.levels, strict=True):
            yield name, severity, level
