"""Hands: who writes the digits, letters and signs of a scene.

A hand is a UNIPEN or UCI writer, the designer of a handwriting font, or MNIST, whose writers are not identified. A hand gives
its characters as strokes, so that any pen can write them, and also as an outline if the source has one.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from training.data import fonts
from training.data.dice import Dice, Pixels, Points
from training.data.mnist import VALIDATION_SIZE, load_digits
from training.data.pen_strokes import PenDigit, load_strokes, split_writers
from training.data.skeleton import trace
from training.data.unipen import SPLITS, Inked, load_unipen

SHARES = {"unipen": 0.42, "uci": 0.10, "mnist": 0.24, "fonts": 0.24}
SIGN_SHARES = {"unipen": 0.7, "fonts": 0.3}
LETTERS = "AEFHJKLMNPRUVWXacdefhjkmnprtuvwx#@*=+%<{"  # without letters that look like a digit
GREEK = "αβγδεζηκλμνξπρτυχψωΓΔΛΞΠΣΨΩЖДЯ√∞∫≤≠"  # without those that look like a 0 with a slash
GREEK_FONTS = ("DejaVuSans.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSans-Oblique.ttf")  # matplotlib has them
COARSE = ("apa", "app", "ibm")  # providers that sampled on a coarse grid: their strokes are staircases
SMOOTHING, STRONG_SMOOTHING = 1.0, 2.0  # points; standard deviation of the smoothing along a stroke
FEW = 100  # validation digits when MNIST is only an excerpt
TRACED = 64  # pixels; the longer side of an outline when its middle lines are traced
SAMPLED = 50  # of so many digits by pen, one tells whether their strokes have changed
SOFT_EDGE, STEEP = 0.4, 4  # threshold for MNIST's enlarged strokes, and its steepness
DRAWN = 112  # pixels; the longer side of MNIST's digits, enlarged


@dataclass(frozen=True)
class Written:
    """A character in a box whose longer side is 1.

    label: the digit, or -1. text: the character. strokes: each (n, 2), in that box; own: its own outline, (h, w) uint8, with
    the box's sides, or None. source: of SHARES. exact: MNIST's own outline. provider: the contributor to UNIPEN.
    """

    label: int
    text: str
    strokes: tuple[Points, ...]
    own: Pixels | None = None
    source: str = "unipen"
    exact: bool = False
    provider: str = ""


class Hand(Protocol):
    """A person or source that writes."""

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit; the one of the label if it is given."""


def from_strokes(label: int, text: str, strokes: Sequence[Points], source: str, *, coarse: bool = False) -> Written:
    """Fits strokes in any unit to the box and smooths them."""
    smooth = [_smooth(stroke, STRONG_SMOOTHING if coarse else SMOOTHING) for stroke in strokes]
    every = np.concatenate(smooth)
    low, side = every.min(axis=0), max(float(np.ptp(every, axis=0).max()), 1e-3)
    return Written(label, text, tuple(((stroke - low) / side).astype(np.float32) for stroke in smooth), None, source)


def _smooth(stroke: Points, sigma: float) -> Points:
    if len(stroke) < 6:
        return stroke
    soft = cv2.GaussianBlur(stroke.reshape(-1, 1, 2), (1, 0), sigmaX=0.01, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)[:, 0]
    soft[0], soft[-1] = stroke[0], stroke[-1]
    return np.asarray(soft, np.float32)


def from_outline(label: int, text: str, own: Pixels, source: str, *, traced: bool = True) -> Written:
    """An outline (h, w) cut to its ink, on request with its middle lines."""
    side = max(own.shape)
    if not side:
        return Written(label, text, (), None, source)
    strokes: tuple[Points, ...] = ()
    if traced:
        scale = TRACED / side
        small = cv2.resize(own, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        strokes = tuple(
            np.asarray(_smooth(line, SMOOTHING) / TRACED, np.float32) for line in trace(np.asarray(small > 110, np.uint8))
        )
    return Written(label, text, strokes, own, source)


def enlarge(image: Pixels) -> Pixels:
    """Cuts an MNIST digit, (28, 28) bright on black, to its ink and enlarges it to DRAWN, with edges as sharp as a pen's."""
    left, top, width, height = cv2.boundingRect(image)
    cut = image[top : top + height, left : left + width].astype(np.float32) / 255
    scale = DRAWN / max(width, height)
    large = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(large, (0, 0), scale / 3)
    ink = np.clip((smooth - SOFT_EDGE) * STEEP + 0.5, 0, 1) * 255
    x, y, wide, high = cv2.boundingRect(np.asarray(ink > 20, np.uint8))
    return np.asarray(ink.round(), np.uint8)[y : y + high, x : x + wide]


def _indices(values: NDArray[np.integer]) -> dict[int, NDArray[np.int64]]:
    return {int(value): np.flatnonzero(values == value) for value in np.unique(values)}


@dataclass(frozen=True)
class Penman:
    """A writer of pen strokes. by_label: samples by digit; anyone: samples for digits that the writer did not write."""

    write: Callable[[int], Written]
    by_label: dict[int, NDArray[np.int64]]
    anyone: dict[int, NDArray[np.int64]]

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit by this writer, or by another if this one did not write that label."""
        wanted = dice.pick(sorted(self.by_label)) if label is None else label
        choice = self.by_label.get(wanted, self.anyone[wanted])
        return self.write(int(dice.pick(choice)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Penmen:
    """All writers of a set of pen strokes; frequent writers are chosen less often than their number of samples suggests."""

    write: Callable[[int], Written]
    writers: NDArray[np.integer]
    labels: NDArray[np.integer]
    by_label: dict[int, NDArray[np.int64]] = field(init=False)
    chances: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        names, counts = np.unique(self.writers, return_counts=True)
        object.__setattr__(self, "by_label", _indices(self.labels))
        object.__setattr__(self, "chances", {int(n): float(np.sqrt(c)) for n, c in zip(names, counts, strict=True)})

    def every(self) -> Iterator[Written]:
        """Everything that they wrote, in order."""
        return map(self.write, range(len(self.labels)))

    def hand(self, dice: Dice) -> Penman:
        """A writer."""
        own = np.flatnonzero(self.writers == dice.weighted(self.chances))
        return Penman(self.write, {label: own[index] for label, index in _indices(self.labels[own]).items()}, self.by_label)


@dataclass(frozen=True)
class Mnist:
    """MNIST's digits, (N, 28, 28) uint8, and labels, (N,)."""

    images: Pixels
    labels: NDArray[np.int64]
    by_label: dict[int, NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_label", _indices(self.labels))

    def hand(self, dice: Dice) -> "Mnist":  # noqa: ARG002
        """MNIST does not identify its writers, so all of it is one hand."""
        return self

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit with its own outline; one in three also with its middle lines, for other pens."""
        index = dice.count(0, len(self.labels) - 1) if label is None else int(dice.pick(self.by_label[label]))  # type: ignore[arg-type]
        found = int(self.labels[index])
        written = from_outline(found, str(found), enlarge(self.images[index]), "mnist", traced=dice.maybe(1 / 3, "pens"))
        return Written(found, written.text, written.strokes, written.own, "mnist", exact=True)

    def image(self, dice: Dice) -> tuple[Pixels, int]:
        """A digit unchanged, (28, 28), and its label."""
        index = dice.count(0, len(self.labels) - 1)
        return self.images[index], int(self.labels[index])


@dataclass(frozen=True)
class FontHand:
    """The hand of one font. Its characters are drawn once and kept."""

    path: Path
    kept: dict[str, Written] = field(default_factory=dict, repr=False)

    def digit(self, dice: Dice, label: int | None = None) -> Written:
        """A digit as the font draws it, always the same."""
        return self.sign(str(dice.count(0, 9) if label is None else label))

    def sign(self, text: str) -> Written:
        """A character of the font."""
        if text not in self.kept:
            label = int(text) if text.isdecimal() else -1
            self.kept[text] = from_outline(label, text, fonts.render(self.path, text), "fonts")
        return self.kept[text]


@dataclass(frozen=True)
class Fonts:
    """All fonts of a split, and those of printed text."""

    written: tuple[FontHand, ...]
    printed: tuple[Path, ...]

    def hand(self, dice: Dice) -> FontHand:
        """A font that looks handwritten."""
        return dice.pick(self.written)


@dataclass(frozen=True)
class Hands:
    """All hands that may write in a scene of one split.

    sources: of digits, by name, as in SHARES. fonts: or None. others: UNIPEN's letters and signs, or None; other_chances: their
    cumulative probabilities; other_index: the indices of each text. foreign: fonts with other alphabets. given: the digit that
    scenes of one digit show, or None for any.
    """

    split: str
    sources: dict[str, Penmen | Mnist | Fonts]
    fonts: Fonts | None
    mnist: Mnist
    others: Inked | None
    other_chances: NDArray[np.float64] | None
    other_index: dict[str, NDArray[np.int64]]
    foreign: tuple[FontHand, ...]
    given: Written | None = None

    @classmethod
    def load(  # noqa: PLR0913 - a switch a source
        cls,
        data_dir: Path,
        split: str,
        unipen: Path | None = None,
        *,
        with_fonts: bool = True,
        verify: bool = True,
        with_uci: bool = True,
    ) -> "Hands":
        """Loads the hands of a split: "train", "validation" or "test". No hand is in two splits.

        unipen: the collection's folder, or None to do without. with_fonts, with_uci: whether to use these too. verify: whether
        MNIST must be the official one; if False, an excerpt suffices.

        Raises:
            DataError: as load_digits, load_strokes, load_fonts, load_unipen.
        """
        number = SPLITS.index(split)
        found = load_digits(data_dir, verify=verify, validation_size=VALIDATION_SIZE if verify else FEW)
        part = {"train": found.train, "validation": found.validation, "test": found.test}[split]
        mnist = Mnist(part.images.numpy(), part.labels.numpy())
        sources: dict[str, Penmen | Mnist | Fonts] = {"mnist": mnist}
        if with_uci:
            sources["uci"] = _uci(split_writers(load_strokes(data_dir))[number])
        others = None
        if unipen is not None:
            both = load_unipen(unipen)
            sources["unipen"] = _unipen(both.digits, number)
            others = both.others
        letters = _fonts(data_dir, split) if with_fonts else None
        if letters is not None:
            sources["fonts"] = letters
        chances, index = _sign_chances(others, number)
        return cls(split, sources, letters, mnist, others, chances, index, _foreign())

    def digest(self) -> str:
        """A digest that changes with the available hands and samples."""
        sha = hashlib.sha256(self.mnist.images.tobytes())
        for name, source in sorted(self.sources.items()):
            sha.update(name.encode())
            if isinstance(source, Penmen):
                sha.update(source.writers.tobytes() + source.labels.tobytes())
                for written in islice(source.every(), 0, None, SAMPLED):
                    sha.update(b"".join(stroke.tobytes() for stroke in written.strokes))
        if self.others is not None:
            for column in (self.others.label, self.others.split, self.others.mistakable, self.others.points):
                sha.update(column.tobytes())
        return sha.hexdigest()[:16]

    def hand(self, dice: Dice) -> Hand:
        """A random hand; sources are chosen by their shares."""
        shares = {name: share for name, share in SHARES.items() if name in self.sources}
        return self.sources[dice.weighted(shares)].hand(dice)

    def writing(self, digit: Written) -> "Hands":
        """The same hands, but scenes of one digit show this one, for an evaluation digit by digit."""
        return replace(self, given=digit)

    def sign(self, dice: Dice) -> Written:
        """A letter or a sign that cannot be mistaken for a digit."""
        if (
            self.others is not None
            and self.other_chances is not None
            and (self.fonts is None or dice.maybe(SIGN_SHARES["unipen"]))
        ):
            return self._other(min(int(np.searchsorted(self.other_chances, dice.rng.random())), len(self.others) - 1))
        if self.fonts is None:
            return scribbled_letter(dice)
        hand = self.fonts.hand(dice)
        written = hand.sign(dice.pick(LETTERS))
        return written if written.strokes else scribbled_letter(dice)

    def greek(self, dice: Dice) -> Written:
        """A letter of another alphabet, or a mathematical sign."""
        return dice.pick(self.foreign).sign(dice.pick(GREEK))

    def named(self, dice: Dice, text: str) -> Written | None:
        """A given letter or sign by some writer, or None if nobody wrote it."""
        if self.others is not None and text in self.other_index:
            return self._other(int(dice.pick(self.other_index[text])))  # type: ignore[arg-type]
        if self.fonts is not None:
            written = self.fonts.hand(dice).sign(text)
            return written if written.strokes else None
        return None

    def _other(self, index: int) -> Written:
        assert self.others is not None  # noqa: S101 - callers have checked
        text, coarse = str(self.others.label[index]), str(self.others.provider[index]) in COARSE
        return from_strokes(-1, text, self.others.strokes(index), "unipen", coarse=coarse)


def scribbled_letter(dice: Dice) -> Written:
    """A sign for use without UNIPEN and fonts: from Hershey's fonts, as OpenCV draws them."""
    text = dice.pick("AFHMNPWXadehmnp&#@$*=!~<>")
    sheet = np.zeros((96, 96), np.uint8)
    cv2.putText(sheet, text, (20, 76), dice.pick((0, 2, 3, 4, 6, 7)), 2.2, 255, 3, cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(sheet)
    return from_outline(-1, text, sheet[y : y + height, x : x + width], "hershey")


def _uci(digits: Sequence[PenDigit]) -> Penmen:
    def write(index: int) -> Written:
        digit = digits[index]
        return from_strokes(digit.label, str(digit.label), [stroke.astype(np.float32) for stroke in digit.strokes], "uci")

    return Penmen(write, np.array([digit.writer for digit in digits]), np.array([digit.label for digit in digits]))


def _unipen(digits: Inked, number: int) -> Penmen:
    own = np.flatnonzero(digits.split == number)

    def write(index: int) -> Written:
        at = int(own[index])
        provider = str(digits.provider[at])
        text, strokes = str(digits.label[at]), digits.strokes(at)
        return replace(from_strokes(int(text), text, strokes, "unipen", coarse=provider in COARSE), provider=provider)

    return Penmen(write, digits.writer[own], digits.label[own].astype(np.int64))


def _fonts(data_dir: Path, split: str) -> Fonts:
    known = fonts.load_fonts(data_dir)
    written = tuple(FontHand(path) for font, path in known if font.handwriting and fonts.split_of(font) == split)
    return Fonts(written, tuple(path for font, path in known if not font.handwriting))


def _foreign() -> tuple[FontHand, ...]:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return tuple(FontHand(folder / name) for name in GREEK_FONTS)


def _sign_chances(others: Inked | None, number: int) -> tuple[NDArray[np.float64] | None, dict[str, NDArray[np.int64]]]:
    """Cumulative probabilities of the samples, with frequent writers weighted down, and the indices of each text."""
    if others is None:
        return None, {}
    mine = others.split == number
    texts = {str(text): np.flatnonzero(mine & (others.label == text)) for text in np.unique(others.label[mine])}
    usable = mine & ~others.mistakable & ~np.isin(others.label, list(".,:;'`-_"))
    _, inverse, counts = np.unique(others.writer, return_inverse=True, return_counts=True)
    weights = usable / np.sqrt(counts[inverse])
    return np.cumsum(weights / weights.sum()), texts
