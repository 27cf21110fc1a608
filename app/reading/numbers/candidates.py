"""Picture -> places where a digit may be: a look at a scale at which the digits are seen, and another at each place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from app.reading.decode.picture import Picture
from app.reading.find.detect import NEARBY, SAME, WEAK, peak_cells, peaks, shared
from app.reading.find.finder import CELL, Finder, Floats, Look
from app.reading.find.glyph import SIZE, Ink, gate, place
from app.reading.find.steps import Sight
from app.reading.find.window import SIDE, Area, Window, cut_around, cut_page, to_area
from app.reading.infer.classifier import DigitClassifier, Scores
from app.reading.model import DigitModel

Pause = Callable[[], None]

SCALES = (64, 96, 144, 216, 324, 486, 729)  # pixels of a picture's longer side, as it is looked at for its digits
HOPELESS = 300  # pixels: where a look so large has seen nothing, a larger one does not either
LOW = 20.0  # pixels: at a scale at which a picture is lower, its digits would not be seen well
ENLARGED = 3.0  # times: a picture is not looked at larger than so
WORTH = 0.3  # score from which on a digit speaks for its scale, by the square of what it has more
READABLE = (6.0, 70.0)  # pixels of a look: the longer side of digits that are seen at all
WELL = 16.0  # pixels of a look: digits so high are seen well, and the next scale shows more of something else
SURE = 0.7  # score of the surest digit of a scale, without which a larger scale is tried
BETTER = 1.02  # times: a larger scale must be worth so much more
ALIKE = 0.5  # of the usual height, and its inverse: digits of one scale are so high

LEAST = 0.25  # score from which on a place is looked at again
LEAST_HEIGHT = 0.4  # of the usual height: lower ones are specks and pieces
ALMOST = 0.8  # of the smaller box: what shares more of it with a better place is that place
CLEAR = 0.4  # score from which on something next to a place, in its second look, is looked at itself
BEYOND = 4.0  # pixels of a window that a digit may lie beyond it
MOST_MORE = 100  # such places
CLOSE, LARGER = 0.4, 1.7  # of the smaller box's sides: centres so close, and sides less larger, are one place
BEATEN = 2.0  # times a score: a box that shares much with one of such a score is not looked at
DENSE = 24  # places of a picture, from which on they share one look, where that is cheaper
FILLED = 48.0  # pixels of a shared look: the usual longer side of its digits
LARGEST = 1024  # pixels of the longer side of a shared look
MOVED = 0.5  # intersection over union: of boxes less alike, both are candidates
IN_VAIN = 2  # runs one after the other that show nothing likely, after which no more are made
TOGETHER = 16  # windows of one run


@dataclass(frozen=True)
class Candidates:
    """Places where a digit may be, from left to right, seen twice.

    areas: (K, 4) as Area, in pixels of the picture; first, second: (K,) the finder's scores in 0..1; labels: (K, 10) and marks:
    (K, 4), its scores of the second look; glyphs: (K, 28, 28); scores: of the classifier; sights, inks: of the second look.
    """

    areas: Floats
    first: Floats
    second: Floats
    labels: Floats
    marks: Floats
    glyphs: NDArray[np.uint8]
    scores: Scores
    sights: Sequence[Sight]
    inks: Sequence[Ink]

    def __len__(self) -> int:
        return len(self.areas)


@dataclass(frozen=True)
class Page:
    """A look at all of a picture.

    height: the usual one of its digits, in pixels of the look; worth: how well they are seen; sure: the highest score.
    """

    window: Window
    look: Look
    height: float
    worth: float
    sure: float


def look_at_pages(finder: Finder, pixels: NDArray[np.uint8], pause: Pause) -> list[Page]:
    """Looks at the whole picture at one scale after the other.

    Returns the look that shows digits best and, if it was taken, the next larger one.
    """
    longer = max(pixels.shape[:2])
    pages: list[Page] = []
    best = 0
    for number, scale in enumerate(_scales(pixels)):
        if pages and scale > ENLARGED * longer:
            break
        pause()
        window = cut_page(pixels, scale)
        pages.append(_weigh_page(window, finder.look([window])[0]))
        if pages[number].worth > BETTER * pages[best].worth:
            best = number
        if scale > HOPELESS and not pages[best].worth:
            break
        if number > best and pages[best].sure > SURE and pages[number].height >= WELL:
            break
    return pages[best : best + 2]


def _scales(pixels: NDArray[np.uint8]) -> Sequence[int]:
    """The scales at which a picture (H, W, 3) is at least LOW pixels high; the largest one if there is none."""
    height, width = pixels.shape[:2]
    return [scale for scale in SCALES if scale * height >= LOW * max(height, width)] or SCALES[-1:]


def _weigh_page(window: Window, look: Look) -> Page:
    scores, boxes = peaks(look, WORTH)
    longer = boxes[:, 2:].max(axis=1, initial=0)
    seen = (longer >= READABLE[0]) & (longer <= READABLE[1])
    scores, heights = scores[seen], boxes[seen, 3]
    if not len(scores):
        return Page(window, look, 0.0, 0.0, 0.0)
    worths = np.square(scores - WORTH)
    usual = _usual(heights, worths * heights)
    alike = (heights >= ALIKE * usual) & (heights <= usual / ALIKE)
    return Page(window, look, usual, float(worths[alike].sum()), float(scores[alike].max()))


def _usual(heights: Floats, weights: Floats) -> float:
    """The weighted median."""
    order = np.argsort(heights)
    sums = weights[order].cumsum()
    return float(heights[order][np.searchsorted(sums, sums[-1] / 2)])


def find_candidates(model: DigitModel, picture: Picture, pages: Sequence[Page], most: int, pause: Pause) -> Candidates:
    """The places of looks at all of a picture, at most so many, each looked at again, and what else is seen there."""
    scores, areas = _places(pages)
    seen = list(_look_again(model, picture, areas[:most], scores[:most], pause))
    more_scores, more_areas = _more_places(seen, picture)
    room = max(0, most - len(seen))
    seen += _look_again(model, picture, more_areas[:room], more_scores[:room], pause)
    seen.sort(key=lambda each: each.sight.place[0])
    return _collect(seen)


def _collect(seen: Sequence["_Seen"]) -> Candidates:
    return Candidates(
        np.array([each.sight.place for each in seen], np.float32).reshape(-1, 4),
        np.array([each.first for each in seen], np.float32),
        np.array([each.second for each in seen], np.float32),
        np.array([each.labels for each in seen], np.float32).reshape(-1, 10),
        np.array([each.marks for each in seen], np.float32).reshape(-1, 4),
        np.array([each.glyph for each in seen], np.uint8).reshape(-1, SIZE, SIZE),
        Scores(np.array([each.probabilities for each in seen]).reshape(-1, 10), np.array([each.energy for each in seen])),
        [each.sight for each in seen],
        [each.ink for each in seen],
    )


def _places(pages: Sequence[Page]) -> tuple[list[float], list[Area]]:
    """The places of some looks, best first: scores, and areas in pixels of the picture."""
    scores, areas = [], []
    for page in pages:
        found, boxes = peaks(page.look, LEAST, ALMOST)
        longer = boxes[:, 2:].max(axis=1, initial=0)
        fit = (boxes[:, 3] >= LEAST_HEIGHT * page.height) & (longer <= READABLE[1]) & (longer >= READABLE[0])
        scores.append(found[fit])
        areas += [page.window.to_picture(to_area(box)) for box in boxes[fit]]
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    boxes = np.array(areas, np.float32).reshape(-1, 4)[order]
    kept = order[~(_repeats(boxes) | _beaten(boxes, every[order]))] if len(order) > 1 else order
    return every[kept].tolist(), [areas[index] for index in kept]


def _repeats(boxes: Floats) -> NDArray[np.bool_]:
    """(K,) bool: which boxes, best first, are about a better one: looked at again, they would be one box."""
    close, alike = zip(*(_compare(boxes[:, axis], np.maximum(boxes[:, axis + 2], 1e-3)) for axis in (0, 1)), strict=True)
    repeats: NDArray[np.bool_] = np.tril(close[0] & close[1] & alike[0] & alike[1], -1).any(axis=1)
    return repeats


def _compare(centres: Floats, sides: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which boxes (K,) have centres close to each other on an axis, and which have sides alike: (K, K) each."""
    smaller, larger = np.minimum(sides[:, np.newaxis], sides), np.maximum(sides[:, np.newaxis], sides)
    return np.abs(centres[:, np.newaxis] - centres) < CLOSE * smaller, larger < LARGER * smaller


def _beaten(boxes: Floats, scores: Floats) -> NDArray[np.bool_]:
    """(K,) bool: which boxes, best first, share much of their room with one of a much higher score."""
    better = np.tril((shared(boxes) > SAME) & (scores > BEATEN * scores[:, np.newaxis]), -1)
    beaten: NDArray[np.bool_] = np.asarray(better.any(axis=1))
    return beaten


def _more_places(seen: Sequence["_Seen"], picture: Picture) -> tuple[list[float], list[Area]]:
    """What the second looks saw next to the places that they were for, and nobody looked at: scores, and areas."""
    height, width = picture.pixels.shape[:2]
    if len(seen) >= DENSE and all(each.sight.look is seen[0].sight.look for each in seen):
        return [], []  # they share a look at all of the picture
    found = []
    for each in seen:
        place = each.sight.place
        for score, box in _clear(each.sight.look):
            area = each.sight.window.to_picture(box)
            alike = ALIKE <= area[3] / max(place[3], 1e-6) <= 1 / ALIKE
            if alike and 0 <= area[0] < width and 0 <= area[1] < height and _is_whole(box):
                found.append((score, area))
    found = nlargest(MOST_MORE, found, key=lambda each: each[0])
    known = [each.sight.place for each in seen]
    boxes = np.array(known + [area for _, area in found], np.float32).reshape(-1, 4)
    same = np.asarray(np.tril(shared(boxes) > SAME, -1).any(axis=1))[len(known) :]
    new = [each for each, is_known in zip(found, same, strict=True) if not is_known]
    return [score for score, _ in new], [area for _, area in new]


def _clear(look: Look) -> Iterator[tuple[float, Area]]:
    """The cells of a second look that are likely a digit's and that no neighbour exceeds: scores, and areas."""
    rows, columns = peak_cells(look, CLEAR)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        yield float(look.scores[row, column]), to_area(look.boxes[:, row, column])


def _is_whole(area: Area) -> bool:
    """Whether a digit lies in its window, but for a little."""
    x, y, width, height = area
    return min(x - width / 2, y - height / 2) > -BEYOND and max(x + width / 2, y + height / 2) < SIDE + BEYOND


@dataclass(frozen=True)
class _Seen:
    """One place after its second look. labels: (10,), marks: (4,) at the digit's centre; probabilities: (10,)."""

    sight: Sight
    first: float
    second: float
    labels: Floats
    marks: Floats
    ink: Ink
    glyph: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    energy: float

    @property
    def is_likely(self) -> bool:
        """Whether this may well be a digit."""
        return self.second >= WORTH and self.energy > 0


def _look_again(
    model: DigitModel, picture: Picture, areas: Sequence[Area], scores: Sequence[float], pause: Pause
) -> Iterator[_Seen]:
    """The places that have ink, looked at best first, until IN_VAIN runs show nothing likely.

    A window of its own costs as much as a hundredth of a page on which digits are as large, so many places share a look.
    """
    shared_window = _window_for_all(picture, areas) if len(areas) >= DENSE else None
    shared_look = model.finder.look([shared_window]) if shared_window else []
    idle = 0
    for start in range(0, len(areas), TOGETHER):
        pause()
        some = areas[start : start + TOGETHER]
        windows = [shared_window] * len(some) if shared_window else [cut_around(picture.pixels, area) for area in some]
        looks = shared_look * len(some) if shared_window else model.finder.look(windows)
        sights = list(_sights(windows, looks, some, scores[start : start + TOGETHER]))
        inks = [gate(each[0].look.ink, each[0].area) for each in sights]
        drawn = [(*each, ink, glyph) for each, ink in zip(sights, inks, strict=True) if (glyph := place(ink)) is not None]
        seen = list(_classify(model.classifier, drawn)) if drawn else []
        yield from seen
        idle = 0 if any(each.is_likely for each in seen) else idle + 1
        if idle == IN_VAIN:
            return


def _window_for_all(picture: Picture, areas: Sequence[Area]) -> Window | None:
    """The window of all of a picture in which most digits are as large as in windows of their own; None if too large."""
    usual = float(np.median([max(area[2:]) for area in areas]))
    longer, shorter = max(picture.pixels.shape[:2]), min(picture.pixels.shape[:2])
    scale = FILLED / max(usual, 1e-6)
    pixels = longer * shorter * scale * scale
    if pixels > len(areas) * SIDE * SIDE / 2 or longer * scale > LARGEST:
        return None
    return cut_page(picture.pixels, round(longer * scale))


_Drawn = tuple[Sight, float, tuple[int, int], Ink, NDArray[np.uint8]]


def _classify(classifier: DigitClassifier, drawn: Sequence[_Drawn]) -> Iterator[_Seen]:
    scores = classifier.predict(np.stack([glyph for *_, glyph in drawn]))
    for (sight, first, (row, column), ink, glyph), probabilities, energy in zip(
        drawn, scores.probabilities, scores.energy.tolist(), strict=True
    ):
        look = sight.look
        labels, marks = look.labels[:, row, column], look.marks[:, row, column]
        yield _Seen(sight, first, float(look.scores[row, column]), labels, marks, ink, glyph, probabilities, energy)


def _sights(
    windows: Sequence[Window], looks: Sequence[Look], areas: Sequence[Area], scores: Sequence[float]
) -> Iterator[tuple[Sight, float, tuple[int, int]]]:
    """What each second look saw, the first one's score, and the cell of the digit's centre; both boxes where they differ."""
    for window, look, area, score in zip(windows, looks, areas, scores, strict=True):
        before = window.from_picture(area)
        after, cell = _refine(look, before)
        yield Sight(window, look, after), score, cell
        if _overlap(before, after) < MOVED:
            yield Sight(window, look, before), score, _cell_of(before, look)


def _refine(look: Look, before: Area) -> tuple[Area, tuple[int, int]]:
    """The digit in the middle of a window, and the cell of its centre; nearer cells count more."""
    reach = NEARBY * SIDE
    first_row, first_column = (max(0, int((middle - reach) / CELL)) for middle in (before[1], before[0]))
    around = np.s_[first_row : int((before[1] + reach) / CELL) + 1, first_column : int((before[0] + reach) / CELL) + 1]
    scores, (x, y, width, height) = look.scores[around], look.boxes[:, *around]
    if not scores.size:
        return before, _cell_of(before, look)
    away = np.maximum(np.abs(x - before[0]), np.abs(y - before[1])) / reach
    row, column = divmod(int((scores * (1 - away)).argmax()), scores.shape[1])
    seen = float(x[row, column]), float(y[row, column]), float(width[row, column]), float(height[row, column])
    return seen if scores[row, column] >= WEAK else before, (first_row + row, first_column + column)


def _cell_of(area: Area, look: Look) -> tuple[int, int]:
    """The row and column in whose cell a digit of a look has its centre."""
    rows, columns = look.scores.shape
    return min(max(int(area[1] / CELL), 0), rows - 1), min(max(int(area[0] / CELL), 0), columns - 1)


def _overlap(one: Area, other: Area) -> float:
    """Intersection over union."""
    both = 1.0
    for axis in (0, 1):
        low = max(each[axis] - each[axis + 2] / 2 for each in (one, other))
        both *= max(0.0, min(each[axis] + each[axis + 2] / 2 for each in (one, other)) - low)
    return both / max(one[2] * one[3] + other[2] * other[3] - both, 1e-6)
