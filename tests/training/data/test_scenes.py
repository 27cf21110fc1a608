import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import write_mnist
from tests.training.commands import training
from tests.training.data.collection import write_collection
from training.data import camera, canvases, lights, objects, papers, pens
from training.data.compose import STRETCHED_SIDES, Scene, SceneDigit, make_scene, stretch, turned
from training.data.dice import GROUPS, Dice
from training.data.hands import Hands, Penmen
from training.data.layouts import KINDS, LAYOUTS, MANY, Layout, draw_style
from training.data.pens import STYLES, Pen, Spot, stamp
from training.data.scenes import INPUT, KIND_NAMES, MARK_LABELS, MOST, SceneSet, load_scenes, to_input

MANY_SCENES = 240


@pytest.fixture(scope="module")
def sources(
    excerpt: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A data folder with an excerpt of MNIST, and a UNIPEN collection."""
    folder = write_mnist(tmp_path_factory.mktemp("data"), *excerpt)
    return folder, write_collection(tmp_path_factory.mktemp("unipen"))


@pytest.fixture(scope="module")
def hands(sources: tuple[Path, Path]) -> Hands:
    return Hands.load(sources[0], "train", sources[1], with_fonts=False, with_uci=False, verify=False)


@pytest.fixture(scope="module")
def scenes(hands: Hands) -> list[Scene]:
    return [make_scene(seed, hands) for seed in range(MANY_SCENES)]


def load(sources: tuple[Path, Path], count: int = 30, **options: object) -> SceneSet:
    return load_scenes(sources[0], "train", count, unipen=sources[1], with_fonts=False, with_uci=False, verify=False, **options)  # type: ignore[arg-type]


def test_a_scene_follows_from_its_seed(hands: Hands) -> None:
    for seed in range(20):
        first, second = make_scene(seed, hands), make_scene(seed, hands)

        np.testing.assert_array_equal(first.pixels, second.pixels)
        np.testing.assert_array_equal(first.ink, second.ink)
        assert first.digits == second.digits
        assert first.marks == second.marks


def test_boxes_lie_in_the_picture_and_hold_all_ink(hands: Hands, scenes: list[Scene]) -> None:
    windows = [make_scene(seed, hands, second_look=True) for seed in range(MANY_SCENES // 3)]
    for seed, scene in enumerate(scenes + windows):
        height, width = scene.ink.shape
        assert scene.pixels.shape == (height, width, 3)
        covered = np.zeros((height, width), np.bool_)
        for digit in scene.digits:
            x, y, w, h = digit.box
            assert 0 <= digit.label <= 9
            assert -1e-6 <= x <= x + w <= width + 1e-6
            assert -1e-6 <= y <= y + h <= height + 1e-6
            covered[max(0, int(y) - 1) : int(y + h) + 2, max(0, int(x) - 1) : int(x + w) + 2] = True
            assert scene.ink[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1].max() > 40, seed
        assert not (scene.ink[~covered] > 60).any(), seed


def test_the_ink_is_as_mnist_draws_it_whatever_the_pen(hands: Hands) -> None:
    written = next(
        w
        for w in (
            hands.sources["unipen"].hand(Dice(np.random.default_rng(s))).digit(Dice(np.random.default_rng(s)), 1)
            for s in range(9)
        )
    )
    dice = Dice(np.random.default_rng(0))

    thin, thick = (stamp(written, Spot((150, 150), 160, np.eye(2)), Pen(width), dice) for width in (0.01, 0.2))

    assert thin is not None
    assert thick is not None
    assert (thick.ink > 127).sum() > 5 * (thin.ink > 127).sum()
    assert (thin.canonical > 127).sum() == pytest.approx((thick.canonical > 127).sum(), rel=0.02)


def test_every_kind_and_every_mark_comes_up(hands: Hands, scenes: list[Scene]) -> None:
    rows = [make_scene(seed, hands, frozenset(["row"])) for seed in range(MANY_SCENES // 2)]

    assert {scene.kind for scene in scenes} == set(KINDS)
    assert {mark.kind for scene in rows for mark in scene.marks} == set(MARK_LABELS)


def test_scenes_are_turned_unless_nobody_could_read_them_then(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.compose.TURNED", 1.0)
    scenes = [make_scene(seed, hands, frozenset(["photo", "row"])) for seed in range(120)]

    assert {scene.turn for scene in scenes} == {0, 90, 180, 270}
    for scene in scenes:
        labels = {digit.label for digit in scene.digits}
        assert scene.turn == 0 or not labels <= {0, 1, 6, 8, 9}
        assert scene.turn != 180 or not labels & {6, 9}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_asked_for(kind: str, hands: Hands) -> None:
    counts = []
    for seed in range(12):
        scene = make_scene(seed, hands, frozenset([kind]))
        assert scene.kind == kind
        counts.append(len(scene.digits))
        assert len(scene.digits) + len(scene.marks) <= MOST
    assert max(counts) == (0 if kind == "none" else max(counts))
    assert kind not in MANY or max(counts) > 1
    assert kind not in {"photo", "canvas", "tight", "glyph"} or set(counts) <= {0, 1}


def test_groups_of_ingredients_can_be_left_out(hands: Hands) -> None:
    def kinds(group: str) -> set[str]:
        return {make_scene(seed, hands, without=frozenset([group])).kind for seed in range(60)}

    assert not kinds("rows") & set(MANY)
    assert not kinds("canvases") & {"canvas", "screenshot", "glyph"}
    for seed in range(60):
        scene = make_scene(seed, hands, frozenset(["none"]), frozenset(["signs", "neighbours"]))
        assert not scene.marks
    sides = {
        max(make_scene(seed, hands, frozenset(["photo"]), frozenset(["camera", "neighbours"])).ink.shape) for seed in range(30)
    }
    assert sides - set(STRETCHED_SIDES) == {192}  # the camera is what makes pictures small, and careless cropping
    assert set(GROUPS) == {"pens", "papers", "lights", "camera", "canvases", "rows", "neighbours", "signs"}


def test_short_numbers_have_many_ones_some_of_them_plain_strokes(hands: Hands) -> None:
    layouts = [LAYOUTS["few"](Dice(np.random.default_rng(seed)), hands, 192) for seed in range(100)]
    ones = [item.written for layout in layouts for item in layout.digits if item.written.label == 1]
    count = sum(len(layout.digits) for layout in layouts)

    assert {len(layout.digits) for layout in layouts} == {2, 3}
    assert 0.25 < len(ones) / count < 0.5
    assert 0.2 < sum(written.source == "made" for written in ones) / len(ones) < 0.6


@pytest.mark.parametrize("style", STYLES)
def test_every_pen_leaves_ink_near_the_strokes(style: str, hands: Hands) -> None:
    for seed in range(5):
        dice = Dice(np.random.default_rng(seed))
        written = hands.sources["unipen"].hand(dice).digit(dice)
        made = stamp(written, Spot((100, 100), 120, draw_style(dice).shape(dice)), Pen(0.08, style), dice)

        assert made is not None
        near = cv2.dilate(made.canonical, np.ones((25, 25), np.uint8)) > 0
        assert (made.ink > 127).sum() > 50
        assert not (made.ink[~near] > 127).any()


@pytest.mark.parametrize("name", papers.INGREDIENTS)
def test_every_ingredient_of_paper_shows(name: str, hands: Hands) -> None:
    ingredient, chance = papers.INGREDIENTS[name]
    changed = 0
    for seed in range(6):
        dice = Dice(np.random.default_rng(seed))
        layout = LAYOUTS["photo"](dice, hands, 128)
        paper = np.full((layout.height, layout.width, 3), 200, np.float32)
        made = ingredient(paper.copy(), layout, hands, dice)
        assert made.shape == paper.shape
        changed += bool(np.abs(made - paper).max() > 3)
    assert 0 < chance < 1
    assert changed >= (0 if name == "printed" else 3)  # print needs fonts


@pytest.mark.parametrize("name", lights.INGREDIENTS)
def test_every_light_changes_the_light(name: str) -> None:
    ingredient, _ = lights.INGREDIENTS[name]
    light = np.ones((90, 120), np.float32)

    made = ingredient(light.copy(), Layout(90, 120), Dice(np.random.default_rng(3)))

    assert made.shape == light.shape
    assert np.abs(made - 1).max() > 0.02


@pytest.mark.parametrize("name", objects.THINGS)
def test_every_thing_that_is_not_paper_shows(name: str, hands: Hands) -> None:
    thing, _ = objects.THINGS[name]
    picture = np.full((90, 120, 3), 128, np.float32)

    assert np.abs(thing(picture.copy(), Layout(90, 120), hands, Dice(np.random.default_rng(1))) - picture).max() > 20


def test_colours_of_equal_grey_differ_in_hue_alone() -> None:
    dice = Dice(np.random.default_rng(0))
    ground = np.array((120, 140, 110), np.float32)

    for _ in range(10):
        ink = canvases.equal_grey(ground, dice)
        assert float(ink @ canvases.LUMA) == pytest.approx(float(ground @ canvases.LUMA), abs=0.5)
        assert np.abs(ink - ground).max() > 60


def test_what_was_erased_leaves_little_but_something(hands: Hands) -> None:
    dice, layout = Dice(np.random.default_rng(2)), Layout(120, 120)
    white, black = np.full(3, 255, np.float32), np.zeros(3, np.float32)
    canvas = canvases.lay_ground(layout, white, Dice(np.random.default_rng(2), frozenset(["canvases"])))

    remains = [(canvases.erased(canvas.copy(), layout, hands, (white, black), dice) < 128).mean() for _ in range(20)]

    assert 0 < np.mean(remains) < 0.06


def test_pictures_are_of_many_sizes_and_none_loses_its_digits(hands: Hands, scenes: list[Scene]) -> None:
    sides = [max(scene.ink.shape) for scene in scenes]

    assert min(sides) == camera.SMALLEST
    assert max(sides) >= 192
    large = make_scene(3, hands, frozenset(["photo"]), side=2000, without=frozenset(["camera"]))
    assert max(large.ink.shape) == 2000
    assert all(max(digit.box[2:]) > 3.5 for scene in scenes for digit in scene.digits)


def test_a_second_look_shows_one_character_in_the_middle_that_fills_most_of_the_window(hands: Hands) -> None:
    shares, offsets = [], []
    for seed in range(80):
        scene = make_scene(seed, hands, frozenset(["photo", "row", "page"]), second_look=True)
        height, width = scene.ink.shape
        near = min(
            scene.digits, key=lambda d: abs(d.box[0] + d.box[2] / 2 - width / 2) + abs(d.box[1] + d.box[3] / 2 - height / 2)
        )
        shares.append(max(near.box[2] / width, near.box[3] / height))
        offsets.append(abs(near.box[0] + near.box[2] / 2 - width / 2) / width)

    assert 0.5 < np.median(shares) < 0.75
    assert np.quantile(offsets, 0.9) < 0.12


def test_turning_four_times_changes_nothing(hands: Hands) -> None:
    scene = make_scene(5, hands, frozenset(["row"]))
    again = scene
    for _ in range(4):
        again = turned(again, 90)

    np.testing.assert_array_equal(again.pixels, scene.pixels)
    for before, after in zip(scene.digits, again.digits, strict=True):
        assert after.box == pytest.approx(before.box, abs=1e-3)


def test_a_row_is_written_by_one_hand_from_left_to_right(hands: Hands) -> None:
    for seed in range(20):
        layout = LAYOUTS["row"](Dice(np.random.default_rng(seed)), hands, 192)
        digits = [item for item in layout.items if item.mark is None]
        assert len({item.written.source for item in digits}) == 1
        assert all(item.line == 0 for item in digits)


def test_a_scene_becomes_an_input_whose_objects_fit_the_picture(hands: Hands) -> None:
    scene = make_scene(1, hands, frozenset(["photo"]), frozenset(["neighbours"]))
    image, ink, objects_of, lines = to_input(scene)

    assert image.shape == (INPUT, INPUT, 3)
    assert ink.shape == (INPUT // 2, INPUT // 2)
    label, x, y, width, height = objects_of[0]
    assert label == scene.digits[0].label
    rows, columns = np.nonzero(ink > 60)
    assert x - width / 2 - 3 <= 2 * columns.min() <= 2 * columns.max() <= x + width / 2 + 3
    assert y - height / 2 - 3 <= 2 * rows.min() <= 2 * rows.max() <= y + height / 2 + 3
    assert (objects_of[1:] == -1).all()
    assert (lines == -1).all()


def test_scenes_do_not_depend_on_the_number_of_processes(sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.scenes.CHUNK", 8)
    alone = {name: np.array(getattr(load(sources, processes=1), name)) for name in SceneSet.__dataclass_fields__}
    for folder in (sources[0] / "made").iterdir():
        (folder / "complete.json").unlink()
        (folder / "done.npy").unlink()

    together = load(sources, processes=2)

    for name, column in alone.items():
        np.testing.assert_array_equal(column, getattr(together, name))


def test_splits_and_groups_have_scenes_of_their_own(sources: tuple[Path, Path]) -> None:
    train = load(sources, 12, processes=1)
    other = load_scenes(
        sources[0], "validation", 12, unipen=sources[1], with_fonts=False, with_uci=False, verify=False, processes=1
    )
    without = load(sources, 12, processes=1, without=frozenset(["papers"]))

    assert not np.array_equal(train.images, other.images)
    assert not np.array_equal(train.images, without.images)
    assert Counter(np.asarray(train.looks).tolist()).keys() <= {1, 2}
    assert max(train.kinds) < len(KIND_NAMES)


def test_what_was_made_is_kept_and_an_interrupted_run_goes_on(
    sources: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.scenes.CHUNK", 4)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(sources, 14, processes=1, report=stop)
    assert told == [(0, 14), (4, 14), (8, 14)]
    again: list[tuple[int, int]] = []
    made = load(sources, 14, processes=1, report=lambda done, total: again.append((done, total)))
    kept: list[tuple[int, int]] = []
    load(sources, 14, processes=1, report=lambda done, total: kept.append((done, total)))

    assert again == [(8, 14), (12, 14), (14, 14)]
    assert not kept
    assert len(made) == 14
    assert all(image.any() for image in made.images)
    assert json.loads(next(sources[0].glob("made/scenes-train-14-*/complete.json")).read_text())["count"] == 14


def test_the_data_step_says_where_unipen_and_fonts_are_missing(
    full_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (full_data_dir / "strokes").is_dir():
        pytest.skip("the pen strokes are not in data/")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("MNIST", "strokes"):
        (data / name).symlink_to(full_data_dir.absolute() / name)
    (data / "strokes").unlink()
    (data / "strokes").mkdir()
    for path in (full_data_dir / "strokes").glob("*.gz"):
        (data / "strokes" / path.name).symlink_to(path.absolute())
    monkeypatch.setenv("PATH", "/nowhere")

    without = training("data", "--data-dir", data, "--samples", tmp_path / "samples.png")
    collection = write_collection(tmp_path / "collection")
    given = training("data", "--data-dir", data, "--samples", tmp_path / "samples.png", "--unipen", collection)

    assert "UNIPEN is not there: training goes on without it." in without.stdout
    assert "Fonts are not complete. Made scenes need them" in without.stdout
    assert "UNIPEN is ready: 240 digits, 456 letters and signs, by 24 writers." in given.stdout


def test_a_sheet_shows_scenes_with_their_truth(mnist_dir: Path, tmp_path: Path) -> None:
    done = training("scenes", "--show", tmp_path / "sheet.png", "--split", "valid", "--data-dir", mnist_dir, status=2)

    assert "none of train, validation, test" in done.stderr


def test_pens_have_a_function_each() -> None:
    assert set(pens.INK) == set(STYLES)


def test_the_docs_name_every_kind_group_and_share() -> None:
    text = (Path(__file__).parents[3] / "docs" / "scenes.md").read_text(encoding="utf-8")

    for name in (*KINDS, *GROUPS, *MARK_LABELS):
        assert f"`{name}`" in text
    for kind, share in KINDS.items():
        row = next(line for line in text.splitlines() if line.startswith("|") and f"`{kind}`" in line.split("|")[1])
        assert f"{100 * share:.0f} %" in row, kind


def test_a_given_digit_is_what_scenes_of_one_digit_show(hands: Hands) -> None:
    penmen = hands.sources["unipen"]
    assert isinstance(penmen, Penmen)
    every = list(penmen.every())
    assert [written.label for written in every] == penmen.labels.tolist()

    for seed, digit in enumerate(every[:12]):
        scene = make_scene(seed, hands.writing(digit), frozenset(["photo", "canvas", "tight"]), frozenset(["neighbours"]))
        assert [found.label for found in scene.digits] == [digit.label]
        assert scene.turn == 0


def test_a_careless_crop_stretches_a_digit_to_a_square() -> None:
    ink = np.zeros((90, 120), np.uint8)
    ink[20:60, 40:56] = 255
    pixels = np.repeat(255 - ink[..., np.newaxis], 3, axis=2)
    scene = Scene(pixels, ink, (SceneDigit(1, (40, 20, 16, 40)),), (), "photo")

    for seed in range(8):
        square = stretch(scene, Dice(np.random.default_rng(seed)))
        side = square.ink.shape[0]
        x, y, wide, high = square.digits[0].box
        rows, columns = np.nonzero(square.ink > 127)

        assert square.pixels.shape == (side, side, 3)
        assert side in STRETCHED_SIDES
        assert min(wide, high) > 0.5 * side
        np.testing.assert_allclose((columns.min(), rows.min()), (x, y), atol=1)
        np.testing.assert_allclose((columns.max() + 1, rows.max() + 1), (x + wide, y + high), atol=1)


def test_a_bare_stem_is_not_stretched() -> None:
    ink = np.zeros((90, 120), np.uint8)
    ink[20:60, 40:44] = 255
    stem = Scene(np.repeat(ink[..., np.newaxis], 3, axis=2), ink, (SceneDigit(1, (40, 20, 4, 40)),), (), "photo")

    assert stretch(stem, Dice(np.random.default_rng(0))) is stem
