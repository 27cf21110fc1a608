"""What a run learns from: corrections among what was learned before, most of all; and what it is judged by without that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sqlalchemy")

from app.settings import Settings
from tests.versions import SHIPPED, add_version
from training.data.corrections import MOST_OF_CLIENT, CorrectionData
from training.data.found_glyphs import Glyphs
from training.data.mnist import Split
from training.errors import RunError
from training.learning.checkpoints import METRICS
from training.learning.finder import FINDERS
from training.learning.recipes import CORRECTING, RECIPES
from training.learning.sources import CORRECTIONS, Sources, load_correcting_data, load_found_data, open_finder

VERSION = Settings().model_store / "digits" / SHIPPED
NOTHING = Split(torch.zeros((0, 28, 28), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


def write_finder(folder: Path) -> Path:
    """The folder of a finished run of a finder."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model": "finder"}', encoding="utf-8")
    (folder / METRICS).write_text("{}", encoding="utf-8")
    torch.save(FINDERS["finder"]().state_dict(), folder / "model.pth")
    return folder


def test_a_finder_is_that_of_a_finished_run_or_of_a_version(tmp_path: Path) -> None:
    run = write_finder(tmp_path / "run")
    without_checkpoint = add_version(tmp_path / "store", "5")

    opened, shipped = open_finder(run), open_finder(VERSION)

    assert (opened.weights, opened.architecture) == (run / "model.pth", "finder")
    assert (shipped.weights.name, shipped.architecture) == ("finder.pth", "finder")
    with pytest.raises(RunError, match="digits/5 has no checkpoint of its finder; name a finder's run by --finder"):
        open_finder(without_checkpoint)
    (run / METRICS).unlink()
    with pytest.raises(RunError, match=r"metrics\.json is missing: train the run to its end first"):
        open_finder(run)


def test_corrections_are_a_small_part_of_what_is_learned_and_no_client_more_than_a_quarter_of_it(
    mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (torch.from_numpy(part) for part in excerpt)
    sizes = {"key greedy": 300, "key phone": 20, "key web": 20}
    said = {name: Split(images[:size], labels[:size].long()) for name, size in sizes.items()}
    lessons = CorrectionData(said, Split(images[400:420], labels[400:420].long()), contradictory=0)
    config = replace(CORRECTING, finder=str(VERSION), corrections=lessons.digest)

    data = load_correcting_data(config, lessons, Sources(mnist_dir, smoke=True), lambda *_: None)

    usual = data.parts[0][1]
    taken = {name: count for name, split in said.items() for part, count in data.parts if part is split}
    assert usual == len(data.parts[0][0])  # MNIST's, each of them
    assert len(data.parts) > 1 + len(taken)  # and glyphs of the finder's
    assert set(taken) == set(sizes)
    assert sum(taken.values()) <= CORRECTIONS * usual
    assert taken["key greedy"] <= MOST_OF_CLIENT * CORRECTIONS * usual + 1


def test_what_a_run_is_judged_by_needs_none_of_what_it_learns_from(mnist_dir: Path, tmp_path: Path) -> None:
    finder = write_finder(tmp_path / "finder")
    config = replace(RECIPES["reader"], finder=str(finder))

    data = load_found_data(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)

    assert data.parts == ()
    assert {"mnist_validation", "mnist_test"} <= set(data.judged)
    assert not list((mnist_dir / "made").glob("found-train-*"))


def test_glyphs_are_cut_anew_where_other_hands_write(mnist_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = write_finder(tmp_path / "finder")
    names: list[str] = []

    def look(_folder: Path, split: str, _count: int, _load: object, mark: str, _report: object) -> Glyphs:
        names.append(f"{split} {mark}")
        return Glyphs(NOTHING, NOTHING)

    monkeypatch.setattr("training.learning.sources.load_found", look)
    config = replace(RECIPES["reader"], finder=str(finder))
    for _ in range(2):
        load_found_data(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)
    for file in (mnist_dir / "MNIST" / "raw").glob("*-images-idx3-ubyte"):
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    load_found_data(config, Sources(mnist_dir, smoke=True), lambda *_: None, learn=False)

    first, again, other = names[:2], names[2:4], names[4:]
    assert first == again
    assert other[1] != first[1]  # the changed digit is one of those for the test
