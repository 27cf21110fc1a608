"""The sheet of numbers that a version misreads: only misread ones are on it, the surest first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from app.reading.reader import Reader
from training.data.compose import Scene
from training.data.hands import Hands
from training.publishing.misread import Misread, draw_misread, find_misread
from training.publishing.strings import in_order, make_scenes


def numbers(full_data_dir: Path, count: int) -> Sequence[Scene]:
    hands = Hands.load(full_data_dir, "validation", None, with_fonts=False, with_uci=False)
    return list(make_scenes(hands, count))


def test_only_misread_numbers_are_found_and_the_surest_first(full_data_dir: Path, reader: Reader) -> None:
    scenes = numbers(full_data_dir, 40)

    misread = find_misread(reader, scenes)

    assert misread
    assert all(each.written != each.read for each in misread)
    assert all(len(each.written) > 1 for each in misread)
    sure = [each.confidence for each in misread]
    assert sure == sorted(sure, reverse=True)
    there = {"".join(map(str, in_order(scene)[0])) for scene in scenes}
    assert {each.written for each in misread} <= there


def test_the_sheet_is_a_picture(tmp_path: Path, full_data_dir: Path) -> None:
    pictures = [Misread(scene.pixels, "12", "17", 0.5) for scene in numbers(full_data_dir, 3)]

    draw_misread(pictures, tmp_path / "misread.png")

    with Image.open(tmp_path / "misread.png") as sheet:
        assert sheet.width > sheet.height
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 10
