"""The robustness suite: photos get worse step by step, clean ones are read, and the report names the worst factors."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.reading.reader import Reader
from app.reading.trace import Trace
from benchmarks.accuracy.factors import CLEAN, FACTORS, SEVERITIES
from benchmarks.accuracy.other_readers import reading_in
from benchmarks.accuracy.result_counts import Difference, Outcome, Tally
from benchmarks.accuracy.robustness import (
    KINDS,
    Case,
    Result,
    add_up,
    choose,
    compare,
    judge,
    measure,
    measure_scenes,
    write_comparison,
    write_report,
)
from benchmarks.accuracy.robustness_plots import draw_plot, draw_samples, show
from benchmarks.pictures import STROKES
from tests.versions import SHIPPED
from training.data.hands import Hands
from training.data.made_photos import (
    HEIGHT,
    WIDTH,
    Chance,
    Scene,
    WrittenDigit,
    draw_chance,
    from_mnist,
    from_strokes,
    take,
    thin,
    write,
)

VANISHING = ("small digit", "transparency")  # what is left of the ink tells how far they go
MOVED = "position"  # once the ink is elsewhere than in the clean photo, farther makes no difference to the pixels


@pytest.fixture(scope="module")
def digits(excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> list[WrittenDigit]:
    images, labels = excerpt
    drawn = [from_strokes([np.array(stroke) for stroke in strokes], label) for label, strokes in STROKES.items()]
    return [from_mnist(images[i], int(labels[i])) for i in range(2)] + drawn[2:4]


@pytest.fixture(scope="module")
def chances(digits: list[WrittenDigit]) -> list[Chance]:
    return [draw_chance(np.random.default_rng(seed)) for seed in range(len(digits))]


def pixels(data: bytes) -> NDArray[np.float64]:
    return np.asarray(show(data), dtype=np.float64)


def made_up(hardest: str) -> Outcome:
    """Ten digits a source: one factor is read at 1 in 10, a second one refused half the time, all else always read."""
    fine = Tally(right=10, of=10)
    worse: dict[str, dict[str, tuple[Tally, ...]]] = {name: {"MNIST": (fine,) * 5, "strokes": (fine,) * 5} for name in FACTORS}
    worse["blur"]["strokes"] = (Tally(right=5, refused=5, of=10),) * 5
    worse[hardest]["MNIST"] = (Tally(right=1, refused=2, of=10),) * 5
    return Outcome({"MNIST": fine, "strokes": fine}, worse)


@pytest.mark.parametrize("name", FACTORS)
def test_each_severity_is_a_picture_of_its_own(name: str, digits: list[WrittenDigit], chances: list[Chance]) -> None:
    photos = [take(digits[0], scene, chances[0]) for scene in (CLEAN, *(level.scene for level in FACTORS[name].levels))]

    assert len(FACTORS[name].levels) == len(SEVERITIES)
    assert {Image.open(BytesIO(photo)).size for photo in photos} == {(WIDTH, HEIGHT)}
    assert len(set(photos)) == len(photos)


@pytest.mark.parametrize("name", [name for name in FACTORS if name not in (*VANISHING, MOVED)])
def test_each_severity_is_farther_from_the_clean_photo(name: str, digits: list[WrittenDigit], chances: list[Chance]) -> None:
    distances = np.zeros(len(SEVERITIES))
    for digit, chance in zip(digits, chances, strict=True):
        clean = pixels(take(digit, CLEAN, chance))
        distances += [np.abs(pixels(take(digit, level.scene, chance)) - clean).mean() for level in FACTORS[name].levels]

    assert (np.diff(distances) > 0).all(), distances


@pytest.mark.parametrize("name", VANISHING)
def test_each_severity_leaves_less_ink(name: str, digits: list[WrittenDigit], chances: list[Chance]) -> None:
    for digit, chance in zip(digits, chances, strict=True):
        ink = [level.scene.opacity * write(digit, level.scene, chance).sum() for level in FACTORS[name].levels]

        assert (np.diff(ink) < 0).all()


def test_a_digit_moves_farther_until_its_ink_touches_the_border(digits: list[WrittenDigit], chances: list[Chance]) -> None:
    for digit, chance in zip(digits, chances, strict=True):
        pages = [write(digit, scene, chance) for scene in (CLEAN, *(level.scene for level in FACTORS["position"].levels))]
        gaps = []
        for page in pages:
            rows, columns = np.nonzero(page)
            ends = (rows.min(), HEIGHT - 1 - rows.max(), columns.min(), WIDTH - 1 - columns.max())
            gaps.append(min(gap for gap, way in zip(ends, (*_ends(chance.way[1]), *_ends(chance.way[0])), strict=True) if way))

        assert (np.diff(gaps) < 0).all()
        assert gaps[-1] == 0


def _ends(way: int) -> tuple[bool, bool]:
    """Whether it goes to the lower, to the higher end."""
    return way < 0, way > 0


def test_the_same_seed_gives_the_same_bytes(digits: list[WrittenDigit]) -> None:
    one, same, other = (draw_chance(np.random.default_rng(seed)) for seed in (7, 7, 8))

    for _, (level, *_rest) in ((name, factor.levels) for name, factor in FACTORS.items()):
        assert take(digits[0], level.scene, one) == take(digits[0], level.scene, same)
    assert take(digits[0], CLEAN, one) != take(digits[0], CLEAN, other)


def test_clean_photos_are_read(reader: Reader, digits: list[WrittenDigit], chances: list[Chance]) -> None:
    results = [judge(reader, digit, CLEAN, chance) for digit, chance in zip(digits, chances, strict=True)]

    assert sum((tally for (tally,) in results), Tally()) == Tally(right=len(digits), of=len(digits))


def test_a_blank_page_is_counted_as_refused(reader: Reader, digits: list[WrittenDigit], chances: list[Chance]) -> None:
    refused = Tally(right=0, refused=1, of=1)

    assert judge(reader, digits[0], Scene(opacity=0), chances[0]) == (refused,)
    assert judge(reader, digits[0], Scene(opacity=0), chances[0], [lambda _data, _trace: None]) == (refused, refused)


def test_a_digit_redrawn_with_its_own_pen_stays_the_same(digits: list[WrittenDigit], chances: list[Chance]) -> None:
    for digit, chance in list(zip(digits, chances, strict=True))[2:]:
        own, anew = (write(digit, Scene(pen=pen), chance) for pen in (None, 0.08))

        assert np.array_equal(own, anew)


def test_thinning_leaves_a_line_of_one_pixel_in_one_piece() -> None:
    ring = np.zeros((60, 60), np.uint8)
    y, x = np.indices(ring.shape) - 30
    ring[(np.hypot(x, y) > 15) & (np.hypot(x, y) < 22)] = 1

    line = thin(ring)

    radii = np.hypot(x, y)[line > 0]
    assert radii.min() > 16
    assert radii.max() < 21
    assert 2 * np.pi * 18 * 0.8 < line.sum() < 2 * np.pi * 18 * 1.2


def test_the_labels_are_chosen_in_turn() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 500)

    chosen = choose(labels, 25, seed=3)

    assert len(set(chosen)) == 25
    assert np.bincount(labels[chosen]).tolist() == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2]
    assert chosen == choose(labels, 25, seed=3)


def test_every_picture_is_counted(reader: Reader, digits: list[WrittenDigit]) -> None:
    outcome = add_up(measure(reader, {"MNIST": digits[:1]}, seed=0))

    assert {source: tally.of for source, tally in outcome.clean.items()} == {"MNIST": 1}
    assert list(outcome.worse) == list(FACTORS)
    assert all(outcome.total(name).of == len(SEVERITIES) for name in FACTORS)


def test_another_way_to_read_is_asked_with_the_same_picture(
    reader: Reader, digits: list[WrittenDigit], chances: list[Chance]
) -> None:
    seen: list[tuple[bytes, NDArray[np.uint8]]] = []

    def always_nine(data: bytes, trace: Trace) -> int:
        assert trace.steps
        seen.append((data, trace.steps.glyph.pixels))
        return 9

    ours, theirs = judge(reader, digits[0], CLEAN, chances[0], [always_nine])

    assert digits[0].label != 9
    assert (ours.right, theirs.right) == (1, 0)
    assert [(data, glyph.shape) for data, glyph in seen] == [(take(digits[0], CLEAN, chances[0]), (28, 28))]


def test_an_earlier_version_reads_in_its_own_checkout(
    reader: Reader, digits: list[WrittenDigit], chances: list[Chance]
) -> None:
    pictures = [take(digit, CLEAN, chance) for digit, chance in zip(digits, chances, strict=True)]
    blank = take(digits[0], Scene(opacity=0), chances[0])

    with reading_in(Path(__file__).parents[3]) as earlier:
        answers = [earlier.answer(data, Trace()) for data in (*pictures, blank)]

    assert earlier.name == f"digits/{SHIPPED}"
    assert answers == [*(reader.read(data).digit for data in pictures), None]


def test_a_checkout_that_does_not_start_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EOFError, match="does not start"), reading_in(tmp_path):
        pass


def results_of(*pairs: tuple[int, int]) -> list[Result]:
    """So many digits in one scene each: whether the reader, and whether the other one, read it rightly."""
    return [
        Result(Case("tilt", "MNIST", 1, digit), (Tally(right=ours, of=1), Tally(right=theirs, of=1)))
        for digit, (ours, theirs) in enumerate(pairs)
    ]


def test_a_difference_within_its_noise_is_not_called_worse() -> None:
    one_lost = compare(results_of((0, 1), *[(1, 1)] * 99), 1)["tilt"]
    many_lost = compare(results_of(*[(0, 1)] * 12, *[(1, 1)] * 88), 1)["tilt"]

    assert (one_lost.ours, one_lost.theirs) == (0.99, 1)
    assert one_lost.noise == pytest.approx(0.0196, abs=1e-5)  # 1.96 · √(1 / 100²), where one digit of a hundred tips over
    assert not one_lost.is_worse
    assert many_lost.is_worse


def test_pictures_of_one_digit_count_as_alike() -> None:
    apart = Difference.of([[(1, 0)] * 5, *[[(1, 1)] * 5] * 9])
    spread = Difference.of([*[[(1, 0), *[(1, 1)] * 4]] * 5, *[[(1, 1)] * 5] * 5])

    assert apart.apart == pytest.approx(spread.apart) == pytest.approx(0.1)
    assert apart.noise > 1.5 * spread.noise


def test_a_comparison_names_the_rows_that_are_worse() -> None:
    rows = {"": Difference(1, 1, 0), "tilt": Difference(0.55, 1, 0.1), "blur": Difference(0.75, 0.76, 0.02)}

    section = "\n".join(write_comparison("Next to digits/2", "Words.", "digits/2", rows))

    assert "| clean photos | 100.0 | 100.0 | +0.0 ± 0.0 |" in section
    assert "| tilt | 55.0 | 100.0 | -45.0 ± 10.0 **worse** |" in section
    assert "| blur | 75.0 | 76.0 | -1.0 ± 2.0 |" in section
    assert "Worse by more than the noise: tilt." in section


def test_scenes_of_one_digit_are_read(reader: Reader, mnist_dir: Path) -> None:
    hands = Hands.load(mnist_dir, "test", with_fonts=False, with_uci=False, verify=False)

    results = list(measure_scenes(reader, hands, 2))

    assert [case.factor for case, _ in results] == [kind for kind in KINDS for _ in range(2)]
    assert {tally.of for _, (tally,) in results} == {1}
    assert sum(tally.right for _, (tally,) in results) >= 4


def test_the_report_names_the_factor_that_hurts_most() -> None:
    report = write_report(made_up("tilt"), "digits/1", count=10, seed=4)

    assert "**tilt**: 55.0 % over its five severities, 55.0 % at the hardest; 10 of the 45 failures are refusals" in report
    assert report.index("**tilt**") < report.index("- blur: 75.0 %")
    assert "| blur: σ in pixels; the digit has 113 | 2 px<br>**100 / 50** |" in report
    assert "Model `digits/1`; 10 digits a source (MNIST, strokes), seed 4" in report
    assert "`python -m benchmarks.accuracy.robustness --count 10 --seed 4`" in report


def test_the_report_names_the_factor_that_gives_most_wrong_digits() -> None:
    outcome = made_up("tilt")
    outcome.worse["JPEG"]["MNIST"] = (Tally(right=2, of=10),) * 5
    outcome.worse["tilt"]["MNIST"] = (Tally(right=0, refused=10, of=10),) * 5

    report = write_report(outcome, "digits/1", count=10, seed=0)

    assert "**tilt**: 50.0 %" in report
    assert "Most wrong digits come from **JPEG**,\n40 in 100 pictures." in report


def test_the_report_does_without_strokes() -> None:
    outcome = made_up("tilt")
    mnist = Outcome({"MNIST": outcome.clean["MNIST"]}, {name: {"MNIST": by["MNIST"]} for name, by in outcome.worse.items()})

    report = write_report(mnist, "digits/1", count=10, seed=0)

    assert "2 px<br>**100** |" in report


def test_the_pictures_are_drawn(reader: Reader, digits: list[WrittenDigit], tmp_path: Path) -> None:
    draw_plot(made_up("tilt"), tmp_path / "plot.png")
    draw_samples(reader, digits[0], 0, tmp_path / "samples.png")

    with Image.open(tmp_path / "plot.png") as plot, Image.open(tmp_path / "samples.png") as samples:
        assert plot.width > 1000
        assert samples.height > len(FACTORS) * HEIGHT / 2
