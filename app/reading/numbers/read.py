"""Picture -> its digits as lines of text, with the chance that all of it is right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from math import exp, log, prod

import numpy as np
from numpy.typing import NDArray

from app.errors import NoDigitFound
from app.reading.answer import Alternative, Box, Line, Mark, ModelName, Prediction, ReadDigit, Reading, ReadingWarning
from app.reading.decode.picture import Picture
from app.reading.find.detect import shared
from app.reading.find.finder import MARKS, Floats
from app.reading.find.measure import Measurements
from app.reading.find.steps import Begun, Glyph, Steps, alike, begin, describe_glyph, draw, pick, to_original
from app.reading.infer.classifier import Scores
from app.reading.infer.record import StringWeights
from app.reading.judge import judge, tell_frame
from app.reading.model import DigitModel
from app.reading.numbers.candidates import Candidates, Page, Pause, find_candidates, look_at_pages
from app.reading.numbers.evidence import Evidence, weigh
from app.reading.numbers.marks import Seen, find_marks
from app.reading.numbers.reading_order import LEVEL, group
from app.reading.numbers.rotation import odds_by_turn, turn_back, turn_picture
from app.reading.numbers.strings import BEST, CONFLICT, Guess, combine, find_stretches, read_stretch

MOST = 200  # digits of a picture
DECIMALS = 6  # of a probability in the answer
SURE = 1e-6  # chances are kept so far from 0 and 1
DOUBTFUL = 0.9  # mean chance of a digit, below which it is asked whether the picture is turned
POSSIBLE = -1.0  # log odds of a digit, above which it may be one that stands on its side
UNLIKELY = 8.0  # log odds of the glyphs: a turn after which they have so much less is not tried
CLEAR = 4.0  # log odds of the glyphs of a turned picture: turned back, they must have so much less
HEAVIER = 1.2  # times: a turned picture's digits must weigh so much more than the upright one's
PLACES = 2  # that are looked at, for each digit that may be answered
ENOUGH = 30  # digits that tell whether a turned picture is the upright one
REFUSING = {"other-count", "many-digits"}  # a reading with one of these warnings is not accepted
TURNS = (1, 2, 3)  # quarter turns clockwise that undo those of a picture


@dataclass(frozen=True)
class NumberOptions:
    """How a picture is read.

    count: how many digits there are, where the caller knows; most: digits that are answered; include_glyph: with each;
    upright: whether the picture is known to stand upright, as a drawing does.
    """

    count: int | None = None
    most: int = MOST
    include_glyph: bool = False
    upright: bool = False


@dataclass(frozen=True)
class PictureReading:
    """A picture in one position, read.

    turn: quarter turns clockwise that it was given; page: the look at all of it; guesses: the likeliest strings first.
    """

    picture: Picture
    turn: int
    page: Page
    candidates: Candidates
    evidence: Evidence
    stretches: tuple[tuple[Guess, ...], ...]
    guesses: tuple[Guess, ...]

    @property
    def best(self) -> Guess:
        """The likeliest string."""
        return self.guesses[0]

    @property
    def some_glyphs(self) -> NDArray[np.uint8]:
        """The glyphs of the first digits, which suffice to tell whether they stand upright: (N, 28, 28)."""
        return self.candidates.glyphs[[index for index, _ in self.best.digits[:ENOUGH]]]

    @property
    def weight(self) -> float:
        """The sum of its digits' log odds, each less what its label is in doubt."""
        labels, chances = self.evidence.labels, self.evidence.chances
        return float(sum(max(0.0, chances[index] + labels[index, digit]) for index, digit in self.best.digits))

    def is_capped(self, options: NumberOptions) -> bool:
        """Whether there may be more places than were looked at, or more digits than were asked for."""
        return len(self.candidates) >= PLACES * options.most or len(self.best.digits) > options.most

    @property
    def has_digits(self) -> bool:
        """Whether anything may be a digit, in whatever position."""
        return bool(self.evidence.chances.max(initial=-np.inf) > POSSIBLE)

    @property
    def is_weak(self) -> bool:
        """Whether there is nothing, or its digits are in doubt."""
        return not self.best.digits or self.best.chance < len(self.best.digits) * log(DOUBTFUL)


@dataclass(frozen=True)
class NumberTrace:
    """A reading, and how it came about. whole: None for a digit that stands alone."""

    reading: Reading
    measured: tuple[Measurements, ...]
    glyphs: tuple[Glyph, ...]
    whole: PictureReading | None = None


def read_number(model: DigitModel, picture: Picture, options: NumberOptions, pause: Pause = lambda: None) -> NumberTrace:
    """All digits of a picture. The same picture always gives the same reading.

    pause: called between two pieces of work of a few milliseconds.

    Raises:
        NoDigitFound: nothing in the picture looks like a digit.
    """
    begun = begin(picture)
    if not isinstance(begun, Begun):
        return _read_glyph(model, begun[0], options, picture)
    whole = _read_position(model, picture, 0, options, pause)
    # A large digit may look like pieces of digits, or like another digit upside down.
    alone = _read_alone(model, begun, whole, options) if len(whole.best.digits) <= 1 else None
    if alone and (alone.reading.digits[0].accepted or options.upright):
        return alone
    if whole.is_weak and whole.has_digits and not options.upright:
        whole = _try_rotations(model, whole, options, pause)
    if alone and len(whole.best.digits) == 1 and not whole.turn:
        return alone
    if not whole.best.digits:
        raise NoDigitFound("Nothing in the picture looks like a digit. A larger or sharper picture of the digits may help.")
    return _answer(model, whole, options)


def _try_rotations(model: DigitModel, read: PictureReading, options: NumberOptions, pause: Pause) -> PictureReading:
    """The picture read after a turn, if there is clear evidence for it; otherwise as it was read.

    Most pictures are upright. So only turns count after which the glyphs may be digits; and what is read then must be heavier,
    and look clearly less like digits if it is turned back.
    """
    few = replace(options, most=min(options.most, ENOUGH))
    upright, *odds = odds_by_turn(model.classifier, read.some_glyphs, (0, *TURNS))
    heaviest = read
    for turn in (turn for turn, own in zip(TURNS, odds, strict=True) if own > upright - UNLIKELY):
        turned = _read_position(model, turn_picture(read.picture, turn), turn, few, pause)
        now, back = odds_by_turn(model.classifier, turned.some_glyphs, (0, 4 - turn))
        if now > back + CLEAR and turned.weight > max(HEAVIER * read.weight, heaviest.weight):
            heaviest = turned
    return (
        _read_position(model, heaviest.picture, heaviest.turn, options, pause)
        if heaviest.turn and heaviest.is_capped(few)
        else heaviest
    )


def _read_position(model: DigitModel, picture: Picture, turn: int, options: NumberOptions, pause: Pause) -> PictureReading:
    pages = look_at_pages(model.finder, picture.pixels, pause)
    candidates = find_candidates(model, picture, pages, PLACES * options.most, pause)
    evidence = weigh(candidates, model.record.strings)
    stretches = [read_stretch(each, candidates.areas, evidence) for each in find_stretches(candidates.areas, evidence.chances)]
    guesses = combine(stretches, options.count, pause) or combine(stretches, pause=pause)
    return PictureReading(picture, turn, pages[0], candidates, evidence, tuple(map(tuple, stretches)), tuple(guesses))


def confidence(chance: float, digits: int, weights: StringWeights) -> float:
    """The calibrated probability that a string is right. chance: the log of what its stretches say; digits: how many it has."""
    slope, length, constant = weights.string
    raw = min(max(exp(chance), SURE), 1 - SURE)
    return 1 / (1 + exp(-(slope * log(raw / (1 - raw)) + length * log(max(digits, 1)) + constant)))


def _read_alone(model: DigitModel, begun: Begun, whole: PictureReading, options: NumberOptions) -> NumberTrace | None:
    """The reading of a picture of one digit, as it is read alone; None for a picture of none or several.

    The confidence is lower if what was read leaves room for more digits.
    """
    try:
        picked = pick(begun, model.finder.look([begun.window])[0])
        if picked.others[0]:
            return None
        windows = picked.windows
        (steps,) = draw(picked, windows, model.finder.look(windows))
    except NoDigitFound:
        return None
    read = _read_glyph(model, steps, options, begun.picture)
    box, scale = steps.glyph.box, begun.picture.scale
    middle = box.x + box.width / 2, box.y + box.height / 2
    area = np.array([[*middle, box.width, box.height]], np.float32) / np.float32(scale)
    read.reading.marks = [_to_mark(mark, begun.picture, 0) for mark in find_marks(whole.page, area, [[0]])]
    if options.count != 1:
        _doubt_that_it_is_all(read.reading, area, whole, model.record.strings, options.most)
    return read


def _doubt_that_it_is_all(reading: Reading, area: Floats, read: PictureReading, weights: StringWeights, most: int) -> None:
    """Lowers the confidence in a single digit by the chance of others around it, and lists what the picture says with them.

    area: (1, 4), of the digit; most: digits of a text. Candidates that share room with the digit are the digit itself, or
    pieces of it. Those that are much smaller or larger were not written with it.
    """
    areas = read.candidates.areas
    apart = shared(np.concatenate([area, areas]))[0, 1:] < CONFLICT
    elsewhere = set(np.flatnonzero(apart & alike(areas[:, 3], float(area[0, 3]))).tolist())
    longer = [[guess for guess in stretch if not elsewhere.isdisjoint(guess.candidates)] for stretch in read.stretches]
    alone = prod(1 - sum(exp(guess.chance) for guess in guesses) for guesses in longer)
    sure = confidence(log(max(alone, SURE)), 1, weights)
    (line,) = reading.lines
    line.confidence = reading.confidence = round(line.confidence * sure, DECIMALS)
    line.accepted = line.accepted and sure >= weights.accepted
    reading.accepted = reading.accepted and line.accepted
    texts = {each.text: each.confidence * sure for each in reading.alternatives}
    for guess in read.guesses:
        if len(guess.digits) > 1 and not elsewhere.isdisjoint(guess.candidates):
            share = min(exp(guess.chance) / max(1 - alone, SURE), 1.0) * (1 - sure)
            text = _Order.of(guess, areas).first(most).text(guess)
            texts[text] = max(share, texts.get(text, 0.0))
    texts.pop(reading.text, None)
    reading.alternatives = [
        Alternative(text=text, confidence=round(min(texts[text], reading.confidence), DECIMALS))
        for text in nlargest(BEST - 1, texts, key=texts.__getitem__)
    ]


def _read_glyph(model: DigitModel, steps: Steps, options: NumberOptions, picture: Picture) -> NumberTrace:
    """The reading of a picture of one digit."""
    glyph = steps.glyph
    scores = model.classifier.predict(glyph.pixels[np.newaxis])
    (prediction,) = judge(model.classifier, [glyph], scores, [options.include_glyph])
    others = np.argsort(-scores.probabilities[0])[1:4].tolist()
    digit = _to_digit(prediction, 0)
    line = Line(text=str(digit.digit), confidence=digit.confidence, accepted=digit.accepted, box=digit.box, digits=[0])
    warnings = list(_doubts(1, picture.frame, None, options))
    reading = Reading(
        text=line.text,
        confidence=line.confidence,
        accepted=line.accepted and _is_acceptable(warnings),
        lines=[line],
        digits=[digit],
        alternatives=[Alternative(text=str(each), confidence=prediction.probabilities[each]) for each in others],
        marks=[],
        warnings=warnings,
        model=prediction.model,
    )
    return NumberTrace(reading, (glyph.measurements,), (glyph,))


def _to_digit(prediction: Prediction, line: int, box: Box | None = None) -> ReadDigit:
    return ReadDigit(
        digit=prediction.digit,
        confidence=prediction.confidence,
        probabilities=prediction.probabilities,
        accepted=prediction.accepted,
        warnings=prediction.warnings,
        box=box or prediction.box,
        line=line,
        glyph=prediction.glyph,
    )


@dataclass
class _Order:
    """The digits of a guess in reading order: the candidates of each line."""

    lines: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, guess: Guess, areas: Floats) -> "_Order":
        chosen = [index for index, _ in guess.digits]
        return cls([[chosen[place] for place in line] for line in group(areas[chosen])] if chosen else [])

    def adapted(self, guess: Guess, areas: Floats) -> "_Order":
        """The order of another guess, whose digits mostly are those of this one: its own ones join the line at their place."""
        number_of = {index: number for number, line in enumerate(self.lines) for index in line}
        known = [index for index, _ in guess.digits if index in number_of]
        own = [index for index, _ in guess.digits if index not in number_of]
        for index in own:
            x, y, _, height = areas[index].tolist()
            near = min(number_of, key=lambda each: abs(areas[each, 0] - x) + abs(areas[each, 1] - y))
            if abs(float(areas[near, 1]) - y) > LEVEL * max(height, float(areas[near, 3])):
                return _Order.of(guess, areas)
            number_of[index] = number_of[near]
        lines: list[list[int]] = [[] for _ in self.lines]
        for index in sorted((*known, *own), key=lambda each: float(areas[each, 0])):
            lines[number_of[index]].append(index)
        return _Order([line for line in lines if line])

    def first(self, most: int) -> "_Order":
        """The first so many digits."""
        lines = []
        for line in self.lines:
            lines.append(line[:most])
            most -= len(lines[-1])
        return _Order([line for line in lines if line])

    def text(self, guess: Guess) -> str:
        """The digits, with line breaks."""
        digits = dict(guess.digits)
        return "\n".join("".join(str(digits[index]) for index in line) for line in self.lines)


def _answer(model: DigitModel, read: PictureReading, options: NumberOptions) -> NumberTrace:
    candidates, weights, best = read.candidates, model.record.strings, read.best
    every = _Order.of(best, candidates.areas)
    order = every.first(options.most)
    chosen = [index for line in order.lines for index in line]
    glyphs = [_glyph(read, index) for index in chosen]
    scores = Scores(np.exp(read.evidence.labels[chosen]), candidates.scores.energy[chosen])
    predictions = judge(model.classifier, glyphs, scores, [options.include_glyph] * len(chosen))
    whole = confidence(best.chance, len(chosen), weights)
    lines: list[Line] = []
    digits: list[ReadDigit] = []
    for number, line in enumerate(order.lines):
        own = [_to_digit(each, number, turn_back(each.box, read.picture, read.turn)) for each in predictions[: len(line)]]
        del predictions[: len(line)]
        lines.append(_to_line(own, len(digits), _line_chance(read, line), weights))
        digits += own
    reading = Reading(
        text=order.text(best),
        confidence=round(whole, DECIMALS),
        accepted=False,
        lines=lines,
        digits=digits,
        alternatives=list(_alternatives(read, every, options.most, whole)),
        marks=[_to_mark(mark, read.picture, read.turn) for mark in find_marks(read.page, candidates.areas, order.lines)],
        warnings=list(_doubts(len(digits), read.picture.frame, read, options)),
        model=ModelName(name=model.record.name, version=model.record.version),
    )
    reading.accepted = whole >= weights.accepted and _is_acceptable(reading.warnings)
    return NumberTrace(reading, tuple(glyph.measurements for glyph in glyphs), tuple(glyphs), read)


def _glyph(read: PictureReading, index: int) -> Glyph:
    return describe_glyph(
        read.picture, read.candidates.sights[index], read.candidates.inks[index], read.candidates.glyphs[index]
    )


def _line_chance(read: PictureReading, line: Sequence[int]) -> float:
    """The log of the chance of a line: of what was guessed at each of its stretches."""
    chosen, digits = set(line), dict(read.best.digits)
    total = 0.0
    for stretch in read.stretches:
        for guess in stretch:
            if guess.digits and all(index in chosen and digits[index] == digit for index, digit in guess.digits):
                total += guess.chance
                break
    return total


def _to_line(digits: Sequence[ReadDigit], first: int, chance: float, weights: StringWeights) -> Line:
    sure = confidence(chance, len(digits), weights)
    left, top = min(each.box.x for each in digits), min(each.box.y for each in digits)
    right = max(each.box.x + each.box.width for each in digits)
    bottom = max(each.box.y + each.box.height for each in digits)
    return Line(
        text="".join(str(each.digit) for each in digits),
        confidence=round(sure, DECIMALS),
        accepted=sure >= weights.accepted,
        box=Box(left, top, right - left, bottom - top),
        digits=list(range(first, first + len(digits))),
    )


def _alternatives(read: PictureReading, order: _Order, most: int, whole: float) -> Iterator[Alternative]:
    """The next strings; what is left of the whole's chance is divided among them as their own chances are.

    order: of all of the best string's digits; most: digits of a text.
    """
    best = {index for index, _ in read.best.digits}
    left = max(1 - exp(read.best.chance), SURE)
    told = {order.first(most).text(read.best)}
    for guess in read.guesses[1:]:
        same = {index for index, _ in guess.digits} == best
        own = order if same else order.adapted(guess, read.candidates.areas)
        text = own.first(most).text(guess)
        if text and text not in told:
            told.add(text)
            share = min(exp(guess.chance) / left, 1.0) * (1 - whole)
            yield Alternative(text=text, confidence=round(min(share, whole), DECIMALS))


def _to_mark(mark: Seen, picture: Picture, turn: int) -> Mark:
    box = turn_back(to_original(mark.area, picture), picture, turn)
    return Mark(kind=MARKS[mark.kind], box=box, line=mark.line, after=mark.after)


def _is_acceptable(warnings: Sequence[ReadingWarning]) -> bool:
    return REFUSING.isdisjoint(each.code for each in warnings)


def _doubts(digits: int, frame: int, read: PictureReading | None, options: NumberOptions) -> Iterator[ReadingWarning]:
    if options.count is not None and digits != options.count:
        found, asked = ("1 digit was" if digits == 1 else f"{digits} digits were"), options.count
        yield ReadingWarning("other-count", digits, f"{found} found, and {asked} {'was' if asked == 1 else 'were'} asked for.")
    if read and read.is_capped(options):
        yield ReadingWarning("many-digits", options.most, f"No more than {options.most} digits are read; there may be more.")
    if read and read.turn:
        yield ReadingWarning("turned", 90 * read.turn, f"The picture was read after a turn of {90 * read.turn}° clockwise.")
    if frame:
        yield tell_frame(frame)
