"""Pen strokes: read from UNIPEN, split by writer, drawn with many pens."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from training.data import pen_strokes
from training.data.pen_strokes import FILE, load_strokes, parse_unipen, split_writers
from training.errors import DataError

UNIPEN = """\
.INCLUDE dene.doc
.LEXICON "0" "1"
.SEGMENT DIGIT 0 ? "4"
.COMMENT 4 12 224
.PEN_DOWN
 10 90
 10 50
 40 50
.PEN_UP
.DT 100
.PEN_DOWN
 30 80
 30 10
.PEN_UP
.SEGMENT DIGIT 1 ? "1"
.COMMENT 1 13 225
.PEN_DOWN
 5 9
 5 1
.PEN_UP
"""


def test_unipen_is_read_stroke_by_stroke() -> None:
    four, one = parse_unipen(UNIPEN.splitlines())

    assert (four.label, four.writer, len(four.strokes)) == (4, 12, 2)
    assert (one.label, one.writer, len(one.strokes)) == (1, 13, 1)
    np.testing.assert_array_equal(four.strokes[1], [[30, -80], [30, -10]])  # y counts downwards


TEXT = "".join(UNIPEN.replace(" 12 ", f" {writer} ").replace(" 13 ", f" {writer} ") for writer in range(1, 11)).encode()


def write(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts ten writers' fours and ones where the real file would be."""
    (data_dir / "strokes").mkdir(parents=True, exist_ok=True)
    (data_dir / "strokes" / FILE).write_bytes(gzip.compress(TEXT))
    monkeypatch.setattr(pen_strokes, "SHA256", hashlib.sha256(TEXT).hexdigest())


def test_nobody_writes_in_two_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch)

    splits = split_writers(load_strokes(tmp_path))

    writers = [{digit.writer for digit in split} for split in splits]
    assert [len(split) for split in splits] == [12, 4, 4]
    assert len(set.union(*writers)) == sum(map(len, writers)) == 10


def test_another_file_is_not_taken_for_pen_strokes(tmp_path: Path) -> None:
    (tmp_path / "strokes").mkdir()
    (tmp_path / "strokes" / FILE).write_bytes(gzip.compress(UNIPEN.encode()))

    with pytest.raises(DataError, match="is not the known file"):
        load_strokes(tmp_path)


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "strokes").mkdir()
    (tmp_path / "strokes" / FILE).write_bytes(gzip.compress(TEXT)[:-9])

    with pytest.raises(DataError, match="is damaged"):
        load_strokes(tmp_path)
