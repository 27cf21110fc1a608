from pathlib import Path

import numpy as np
import pytest

from tests.training.data.collection import SIGNS, WRITERS, write_collection
from training.data.unipen import SPLITS, find_unipen, load_unipen, prepare_unipen
from training.errors import DataError

ONE_FILE = """.VERSION 1.0
.INCLUDE abc/ink.dat
.SEGMENT CHARACTER {span} OK "{label}"
"""
INK = """.X_POINTS_PER_INCH 254
.Y_POINTS_PER_INCH 508
.WRITER_ID Some One
.PEN_DOWN
0 0
100 0
100 0
.PEN_UP
.PEN_DOWN
50 300
50 -100
.PEN_UP
7 7
8 8
.PEN_DOWN
0 0
0 0
.PEN_DOWN 10 10
20 60
30 90
40 10
"""


def one_file(folder: Path, span: str, label: str = "7", ink: str = INK, category: str = "1a") -> Path:
    for path, text in (
        (folder / "data" / category / "abc" / "abc1.dat", ONE_FILE.format(span=span, label=label)),
        (folder / "include" / "abc" / "ink.dat", ink),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    (folder / "data" / "1a").mkdir(exist_ok=True)
    return folder


def test_the_collection_is_read_as_it_is_distributed(tmp_path: Path) -> None:
    both = load_unipen(write_collection(tmp_path))

    assert len(both.digits) == 10 * len(WRITERS)
    assert sorted(set(both.others.label.tolist())) == sorted(SIGNS)
    assert set(both.digits.provider.tolist()) == {"zzz"}


def test_strokes_keep_their_proportions_in_units_of_a_thousandth_with_y_down(tmp_path: Path) -> None:
    digits = load_unipen(one_file(tmp_path, "0-1")).digits

    bar, stem = digits.strokes(0)

    # 100 points at 254 an inch are 10 mm, 400 points at 508 an inch 20 mm
    np.testing.assert_array_equal(bar, [(0, 750), (500, 750)])  # a repeated point is gone
    np.testing.assert_array_equal(stem, [(250, 0), (250, 1000)])
    assert digits.size[0] == 200  # tenths of a millimetre


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ("3", "all its points are 0, 0: blanked"),
        ("4:0-4:0", "cut out of a longer stroke"),
        ("2", "the pen was up"),
        ("9", "there is no such part"),
    ],
)
def test_what_is_not_a_whole_character_is_left_out(span: str, why: str, tmp_path: Path) -> None:
    assert not len(load_unipen(one_file(tmp_path, span)).digits), why


def test_a_segment_may_begin_and_end_within_a_part(tmp_path: Path) -> None:
    digits = load_unipen(one_file(tmp_path, "4:0-4:2")).digits  # one point of four is left out

    assert len(digits.strokes(0)[0]) == 3


def test_pieces_of_characters_at_the_end_of_ibms_files_are_left_out(tmp_path: Path) -> None:
    folder = write_collection(tmp_path, WRITERS[:1])
    (path,) = (folder / "data" / "1a").rglob("*.dat")
    lines = path.read_text(encoding="latin-1").splitlines()
    spans = ["0-2", "3", "4", "5", "6"]  # the first has several parts, the two 4s are halves
    lines = [*lines[:2], *(f'.SEGMENT CHARACTER {span} OK "{label}"' for span, label in zip(spans, "74418", strict=True))]
    path.with_name("ibm1.dat").write_text("\n".join(lines), encoding="latin-1")
    path.unlink()

    assert load_unipen(folder).digits.label.tolist() == ["7", "1", "8"]


def test_letters_that_look_like_digits_are_marked(tmp_path: Path) -> None:
    others = load_unipen(one_file(tmp_path, "4", label="O", category="1b")).others

    assert others.label.tolist() == ["O"]
    assert others.mistakable.tolist() == [True]


def test_no_writer_is_in_two_splits_and_every_split_has_some(tmp_path: Path) -> None:
    both = load_unipen(write_collection(tmp_path))

    for inked in (both.digits, both.others):
        by_split = [set(inked.writer[inked.split == number].tolist()) for number in range(len(SPLITS))]
        assert all(by_split)
        assert len(set.union(*by_split)) == sum(map(len, by_split)) == len(WRITERS)


def test_writers_become_numbers_and_their_names_are_nowhere(tmp_path: Path) -> None:
    prepare_unipen(write_collection(tmp_path / "raw", ["Ada Example"]), tmp_path / "data")

    for path in (tmp_path / "data").rglob("*.npz"):
        with np.load(path) as file:
            assert not any(b"xample" in file[name].tobytes().replace(b"\0", b"") for name in file.files)


def test_what_was_prepared_is_found_and_reads_the_same(tmp_path: Path) -> None:
    assert find_unipen(tmp_path / "data") is None
    raw = prepare_unipen(write_collection(tmp_path / "raw"), tmp_path / "data")

    folder = find_unipen(tmp_path / "data")
    assert folder is not None
    prepared = load_unipen(folder)

    for before, after in ((raw.digits, prepared.digits), (raw.others, prepared.others)):
        for name in ("label", "writer", "split", "size", "points", "mistakable", "stroke_ends", "point_ends"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_another_folder_is_refused_with_the_place_where_unipen_is_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not UNIPEN(.|\n)*zenodo\.1195803(.|\n)*leave out --unipen"):
        load_unipen(tmp_path)


def test_ink_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = one_file(tmp_path, "0")
    (folder / "include" / "abc" / "ink.dat").unlink()

    with pytest.raises(DataError, match=r"include/abc/ink\.dat of the UNIPEN collection cannot be read"):
        load_unipen(folder)


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    prepare_unipen(write_collection(tmp_path / "raw", WRITERS[:2]), tmp_path)
    (tmp_path / "strokes" / "unipen" / "unipen_digits.npz").write_bytes(b"PK not really")

    with pytest.raises(DataError, match=r"unipen_digits\.npz is damaged"):
        load_unipen(tmp_path / "strokes" / "unipen")
