"""Evidence -> the likeliest strings: of the guesses at each stretch, the whole string's chance decides.

A stretch is a part of a line in which candidates share so much room that at most some of them are digits: one box or two, a
cut here or there, a digit or a speck. Stretches are independent of each other; a string's chance is their product.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from math import exp, log
from operator import itemgetter

import numpy as np

from app.reading.find.detect import shared
from app.reading.find.finder import Floats
from app.reading.numbers.candidates import Pause
from app.reading.numbers.evidence import Evidence, Reals

CONFLICT = 0.4  # of the smaller box: two candidates that share more of it are not both digits
MOST_TOGETHER = 7  # candidates of a stretch, the likeliest ones
IMPOSSIBLE = -7.0  # log odds below which a candidate is left out
BEST = 6  # strings: the likeliest and up to five alternatives
LABELS = 3  # of a candidate, the likeliest ones
RARE = 9.0  # in logarithms: a guess so much less likely than its stretch's best is left out


@dataclass(frozen=True)
class Guess:
    """What a stretch or a string may be: log of its chance, and candidates from left to right, each with its digit."""

    chance: float
    digits: tuple[tuple[int, int], ...]

    @cached_property
    def text(self) -> str:
        """The digits."""
        return "".join(str(digit) for _, digit in self.digits)

    @cached_property
    def candidates(self) -> frozenset[int]:
        """The candidates that are digits."""
        return frozenset(index for index, _ in self.digits)


def find_stretches(areas: Floats, chances: Reals) -> list[list[int]]:
    """The candidates of each stretch, which share room with each other, from left to right; areas: (K, 4)."""
    possible = np.flatnonzero(chances > IMPOSSIBLE)
    conflicts = shared(areas[possible]) > CONFLICT
    left, stretches = set(range(len(possible))), []
    while left:
        todo, stretch = [left.pop()], []
        while todo:
            place = todo.pop()
            stretch.append(int(possible[place]))
            new = left.intersection(np.flatnonzero(conflicts[place]).tolist())
            left -= new
            todo += new
        best = nlargest(MOST_TOGETHER, stretch, key=lambda index: float(chances[index]))
        stretches.append(sorted(best, key=lambda index: float(areas[index, 0])))
    return sorted(stretches, key=lambda stretch: float(areas[stretch[0], 0]))


def read_stretch(stretch: Sequence[int], areas: Floats, evidence: Evidence) -> list[Guess]:
    """The guesses at a stretch, the likeliest first; at least one. Their chances sum to 1 but for the rare ones.

    Of several sets of boxes with one text, the likeliest counts: they are the same digits, seen twice.
    """
    ways = list(_ways(stretch, shared(areas[list(stretch)]) > CONFLICT if len(stretch) > 1 else np.zeros((1, 1), bool)))
    chances = [sum(float(evidence.chances[index]) for index in way) for way in ways]
    likeliest = nlargest(2 * BEST, range(len(ways)), key=chances.__getitem__)
    highest = chances[likeliest[0]]
    texts: dict[str, Guess] = {}
    unlisted = 0.0  # of labels that are too rare to be listed
    for number in likeliest:
        guesses = _label(ways[number], chances[number], evidence)
        if guesses[0].text not in texts:
            listed = sum(exp(guess.chance - highest) for guess in guesses)
            unlisted += max(0.0, exp(chances[number] - highest) - listed)
        for guess in guesses:
            if guess.text not in texts or guess.chance > texts[guess.text].chance:
                texts[guess.text] = guess
    total = highest + log(unlisted + sum(exp(guess.chance - highest) for guess in texts.values()))
    best = max(guess.chance for guess in texts.values())
    kept = [Guess(guess.chance - total, guess.digits) for guess in texts.values() if guess.chance > best - RARE]
    return nlargest(2 * BEST, kept, key=lambda guess: guess.chance)


def _ways(stretch: Sequence[int], conflicts: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[tuple[int, ...]]:
    """The sets of candidates of which no two conflict."""
    ways: list[tuple[int, ...]] = [()]
    for place in range(len(stretch)):
        ways += [(*way, place) for way in ways if not any(conflicts[place, other] for other in way)]
    return [tuple(stretch[place] for place in way) for way in ways]


def _label(way: Sequence[int], chance: float, evidence: Evidence) -> list[Guess]:
    """The likeliest labels of the candidates of a way, and those with one of them changed."""
    orders = [np.argsort(-evidence.labels[index])[:LABELS].tolist() for index in way]
    best = [order[0] for order in orders]
    base = chance + sum(float(evidence.labels[index, digit]) for index, digit in zip(way, best, strict=True))
    guesses = [Guess(base, tuple(zip(way, best, strict=True)))]
    for place, (index, order) in enumerate(zip(way, orders, strict=True)):
        for digit in order[1:]:
            changed = [*best[:place], digit, *best[place + 1 :]]
            less = float(evidence.labels[index, digit] - evidence.labels[index, best[place]])
            guesses.append(Guess(base + less, tuple(zip(way, changed, strict=True))))
    return guesses


_Chain = tuple[float, Guess, "_Chain | None"]  # the log of the chance of all of it, its last guess, and what is before that
START: _Chain = (0.0, Guess(0.0, ()), None)


def combine(stretches: Sequence[Sequence[Guess]], count: int | None = None, pause: Pause = lambda: None) -> list[Guess]:
    """The likeliest strings of stretches that follow each other, the likeliest first.

    stretches: of each, its guesses, the likeliest first; count: of how many digits a string is, where it is known; pause:
    called once a stretch. Without a string of so many digits, the list is empty.
    """
    wanted = 0 if count is None else count
    sizes = [[len(guess.digits) if count is not None else 0 for guess in guesses] for guesses in stretches]
    beams: dict[int, list[_Chain]] = {0: [START]}
    for guesses, own, lengths in zip(stretches, sizes, _open_lengths(sizes, wanted), strict=True):
        pause()
        ranked = list(_rank(guesses, own))
        longer: defaultdict[int, list[_Chain]] = defaultdict(list)
        for length, beam in beams.items():
            for guess, size, most in ranked:
                if length + size in lengths:
                    longer[length + size] += [(chain[0] + guess.chance, guess, chain) for chain in beam[:most]]
        beams = {length: sorted(chains, key=itemgetter(0), reverse=True)[:BEST] for length, chains in longer.items()}
    return [_join(chain) for chain in beams.get(wanted, [])]


def _open_lengths(sizes: Sequence[Sequence[int]], wanted: int) -> Iterable[range]:
    """After each stretch, the lengths of a string to which the later ones can add what is wanted. sizes: of their guesses."""
    least = most = wanted
    lengths = []
    for own in reversed(sizes):
        lengths.append(range(least, most + 1))
        least, most = least - max(own), most - min(own)
    return reversed(lengths)


def _rank(guesses: Sequence[Guess], sizes: Sequence[int]) -> Iterator[tuple[Guess, int, int]]:
    """The guesses that may be among the BEST, each with its size and with how many strings it may go on, the likeliest ones.

    After the nth guess of a size, those are BEST / n: any other has BEST better ones of the same length.
    """
    ranks: dict[int, int] = {}
    for guess, size in zip(guesses, sizes, strict=True):
        ranks[size] = rank = ranks.get(size, 0) + 1
        if rank <= BEST:
            yield guess, size, BEST // rank


def _join(chain: _Chain) -> Guess:
    """The string of a chain."""
    chance, guess, before = chain
    guesses = [guess]
    while before:
        _, guess, before = before
        guesses.append(guess)
    return Guess(chance, tuple(digit for guess in reversed(guesses) for digit in guess.digits))
