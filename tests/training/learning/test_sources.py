"""What a run learns from: corrections among what was learned before, most of all; and what it is judged by without that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sqlalchemy")

from app.reading.infer.store import find_model
from app.settings import Settings
from tests.versions import SHIPPED
from training.data.corrections import MOST_OF_CLIENT, CorrectionData
from training.data.found_glyphs import Glyphs
from training.data.mnist import Split
from training.learning.finder import FINDERS
from training.learning.recipes import CORRECTING, RECIPES
from training.learning.sources import CORRECTIONS, SavedFinder, Sources, load_correcting_course, load_found_course
from training.publishing.publish import Finder

NOTHING = Split(torch.zeros((0, 28, 28), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


def test_corrections_are_a_small_part_of_what_is_learned_and_no_client_more_than_a_quarter_of_it(
    mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (torch.from_numpy(part) for part in excerpt)
    sizes = {"key greedy": 300, "key phone": 20, "key web": 20}
    said = {name: Split(images[:size], labels[:size].long()) for name, size in sizes.items()}
    lessons = CorrectionData(said, Split(images[400:420], labels[400:420].long()), contradictory=0)
    finder = Finder.of_version(find_model(Settings().model_store, "digits", SHIPPED))

    saved = SavedFinder(finder.weights, finder.record.architecture)
    course = load_correcting_course(CORRECTING, lessons, saved, Sources(mnist_dir, smoke=True), lambda *_: None)

    usual = course.parts[0][1]
    taken = {name: count for name, split in said.items() for part, count in course.parts if part is split}
    assert usual == len(course.parts[0][0])  # MNIST's, each of them
    assert len(course.parts) > 1 + len(taken)  # and glyphs of the finder's
    assert set(taken) == set(sizes)
    assert sum(taken.values()) <= CORRECTIONS * usual
    assert taken["key greedy"] <= MOST_OF_CLIENT * CORRECTIONS * usual + 1


def test_what_a_run_is_judged_by_needs_none_of_what_it_learns_from(mnist_dir: Path, tmp_path: Path) -> None:
    finder = tmp_path / "finder"
    finder.mkdir()
    (finder / "config.json").write_text('{"model": "finder"}', encoding="utf-8")
    torch.save(FINDERS["finder"]().state_dict(), finder / "model.pth")
    config = replace(RECIPES["reader"], finder=str(finder))

    course = load_found_course(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)

    assert course.parts == ()
    assert {"mnist_validation", "mnist_test"} <= set(course.judged)
    assert not list((mnist_dir / "made").glob("found-train-*"))


def test_glyphs_are_cut_anew_where_other_hands_write(mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = tmp_path / "finder"
    finder.mkdir()
    (finder / "config.json").write_text('{"model": "finder"}', encoding="utf-8")
    torch.save(FINDERS["finder"]().state_dict(), finder / "model.pth")
    names: list[str] = []

    def look(_folder: Path, split: str, _count: int, _load: object, mark: str, _report: object) -> Glyphs:
        names.append(f"{split} {mark}")
        return Glyphs(NOTHING, NOTHING)

    monkeypatch.setattr("training.learning.sources.load_found", look)
    config = replace(RECIPES["reader"], finder=str(finder))
    for _ in range(2):
        load_found_course(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)
    for file in (mnist_dir / "MNIST" / "raw").glob("*-images-idx3-ubyte"):
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    load_found_course(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)

    first, again, other = names[:2], names[2:4], names[4:]
    assert first == again
    assert other[1] != first[1]  # the changed digit is one of those for the test
