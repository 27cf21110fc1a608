"""Candidates and versions: complete, all or nothing; moved into the store and selected, each as its own step."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.errors import StartupError
from app.reading.infer.record import FOLDERS, ModelRecord
from app.reading.infer.store import READER, find_model, read_pointer
from app.reading.reader import Reader
from app.settings import Settings
from benchmarks.pictures import canvas, encode
from tests.training.commands import training
from tests.versions import add_version, change_record, onnx_file
from training.data.mnist import Split
from training.errors import ExportError, RunError
from training.learning.checkpoints import FINDER_WEIGHTS
from training.learning.finder import FINDERS
from training.learning.networks import MODELS
from training.publishing.candidate import (
    Candidate,
    choose_finder,
    decide,
    make_candidate,
    promote,
    renew,
    select,
    weigh,
)
from training.publishing.gate import Samples, Verdict
from training.publishing.publish import FILES, PICTURES, Finder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run of one's own, to change."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that serves version 3."""
    add_version(tmp_path / "store", "3")
    return tmp_path / "store"


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """A candidate for version 4, made without training."""
    add_version(tmp_path / "candidates" / "digits-4", "4", threshold=0.25)
    (tmp_path / "candidates" / "digits-4" / "digits" / "served").unlink()
    (tmp_path / "candidates" / "digits-4" / "report.md").write_text("# digits-4 next to digits/3")
    return Candidate(tmp_path / "candidates" / "digits-4", "4")


def test_a_candidate_is_complete_and_serves(made: Candidate) -> None:
    folder, record = made.folder, made.model.record

    folders = [each.format("digits") for each in FOLDERS.values()]
    named = {name: {path.name for path in (folder / name / "4").iterdir()} for name in folders}
    assert named["digits"] == {"model.json", "card.md", "golden.npz", "reference.json", *FILES, *PICTURES}
    assert named["digits_finder"] == {"model.onnx", "finder.pth"}
    assert named["digits_uint8"] == {"model.uint8.onnx"}
    assert named["digits_reader"] == {"model.onnx"}
    made.model.verify()
    assert set(record.editions) == set(FOLDERS)
    assert (record.version, record.reader, record.data_sha256) == ("4", READER, {})  # a smoke run may learn any digits
    assert Reader.load(folder, version="4").read(encode(canvas(3))).model.version == "4"


def test_a_candidate_is_compared_with_what_is_served_and_changes_nothing_there(made: Candidate, publishing: Path) -> None:
    told = (publishing / "output.txt").read_text()

    assert "stays a candidate: " in told
    assert "python -m training promote" in told
    assert "| MNIST | 20 |" in (made.folder / "report.md").read_text()
    assert {path.name for path in (publishing / "store/digits").iterdir()} == {"1", "3", "served"}
    assert read_pointer(publishing / "store", "digits") == "3"


def test_commands_make_a_candidate_a_version_and_serve_it(made: Candidate, store: Path, tmp_path: Path) -> None:
    candidates = tmp_path / "candidates"
    shutil.copytree(made.folder, candidates / "digits-4")

    promoted = training("promote", candidates / "digits-4", "--store", store)
    selected = training("select", "4", "--store", store)

    assert "Version 3 is served as before. To serve this one: python -m training select 4" in promoted.stdout
    assert "digits/4 is served from the next start on" in selected.stdout
    assert (store / "digits/4/card.md").read_text().startswith("**Made by a smoke run")
    assert find_model(store, "digits", "served").record.finder is not None
    assert list(candidates.iterdir()) == []


def test_a_candidates_record_tells_of_its_finder(made: Candidate, finder: Finder) -> None:
    assert made.model.record.finder == finder.record


def test_a_finder_of_a_version_keeps_its_graph(made: Candidate, finder: Finder) -> None:
    assert finder.graph is not None
    assert made.model.path("finder").read_bytes() == finder.graph.read_bytes()
    assert made.model.path("finder").with_name(FINDER_WEIGHTS).read_bytes() == finder.weights.read_bytes()


def test_a_graph_of_another_finder_becomes_no_candidate(run: Path, finder: Finder, validation: Split, tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(FINDERS[finder.record.architecture]().state_dict(), tmp_path / "other.pth")

    with pytest.raises(ExportError, match="disagrees with torch on the finder's"):
        make_candidate(
            run, replace(finder, weights=tmp_path / "other.pth"), tmp_path / "store", tmp_path / "candidates", validation, ()
        )
    assert list((tmp_path / "candidates").iterdir()) == []


def test_tritons_config_and_the_card_say_what_the_candidate_is(made: Candidate) -> None:
    config = (made.folder / "digits" / "config.pbtxt").read_text()
    card = (made.folder / "digits" / "4" / "card.md").read_text()

    assert "versions: [ 4 ]" in config
    assert "dims: [ 1, 28, 28 ]" in config
    assert "72,666 parameters" in card
    assert "netron model.onnx" in card
    for figure in ("divided by 1.5", "at least 0.75", "at least 2.5.", "12.5% are accepted"):
        assert figure in card
    assert "the best of 2 on validation (test, over the seeds: 60.00% ± 14.14)" in card
    assert "| mnist test | 50.00% | 60.00% ± 14.14 |" in card


def test_an_unfinished_run_becomes_no_candidate(run: Path, finder: Finder, validation: Split, tmp_path: Path) -> None:
    (run / "metrics.json").unlink()

    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        make_candidate(run, finder, tmp_path / "store", tmp_path / "candidates", validation, ())
    assert not any((tmp_path / "candidates").rglob("*"))


def test_an_onnx_file_of_another_checkpoint_becomes_no_candidate(
    run: Path, finder: Finder, validation: Split, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    torch.save(MODELS["small"]().state_dict(), run / "model.pth")

    with pytest.raises(ExportError, match="disagrees with torch"):
        make_candidate(run, finder, tmp_path / "store", tmp_path / "candidates", validation, ())
    assert list((tmp_path / "candidates").iterdir()) == []


def test_a_full_disk_leaves_the_candidate_of_before(
    run: Path, finder: Finder, validation: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = add_version(tmp_path / "candidates" / "digits-1", "1")

    def fail(*_: object) -> float:
        raise OSError("No space left on device")

    monkeypatch.setattr("training.publishing.publish.write_golden", fail)
    with pytest.raises(OSError, match="No space left"):
        make_candidate(run, finder, tmp_path / "store", tmp_path / "candidates", validation, ())

    assert [path.name for path in (tmp_path / "candidates").iterdir()] == ["digits-1"]
    assert (before / "model.json").is_file()


def test_without_a_finders_run_the_served_versions_finder_is_taken(tmp_path: Path) -> None:
    add_version(tmp_path, "3")

    with pytest.raises(RunError, match="digits/3 has no checkpoint of its finder; name a finder's run by --finder"):
        choose_finder(None, tmp_path)
    with pytest.raises(RunError, match="A version needs a finder: name a finder's run by --finder"):
        choose_finder(None, tmp_path / "nowhere")
    chosen = choose_finder(None, Settings().model_store)
    assert chosen.weights.is_file()


def test_a_promoted_candidate_is_a_version_but_not_yet_served(candidate: Candidate, store: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    files = candidate.model.record.sha256

    model = promote(candidate, store)

    model.verify()
    assert (model.title, model.record.sha256) == ("digits/4", files)
    assert (store / "digits/4/report.md").read_text() == "# digits-4 next to digits/3"
    assert {path: path.read_bytes() for path in before} == before
    assert not candidate.folder.exists()
    assert find_model(store, "digits", "served").title == "digits/3"


def test_the_first_version_of_a_store_is_served(candidate: Candidate, tmp_path: Path) -> None:
    promote(candidate, tmp_path / "new")

    assert find_model(tmp_path / "new", "digits", "served").title == "digits/4"
    for folder in FOLDERS.values():
        assert "versions: [ 4 ]" in (tmp_path / "new" / folder.format("digits") / "config.pbtxt").read_text()


def test_a_version_that_is_there_is_replaced_only_when_told_so(candidate: Candidate, store: Path) -> None:
    add_version(store, "4")

    with pytest.raises(RunError, match="has a version 4 already; --replace puts the candidate in its place"):
        promote(candidate, store)
    promote(candidate, store, replace=True)

    find_model(store, "digits", "4").verify()
    assert Reader.load(store, version="4").model.metadata.threshold == 0.25
    assert sorted(path.name for path in (store / "digits").iterdir() if path.is_dir()) == ["3", "4"]


def test_a_damaged_candidate_is_not_promoted(candidate: Candidate, store: Path) -> None:
    onnx_file(candidate.folder, "4", "reader").write_bytes(b"another")

    with pytest.raises(StartupError, match="is not the file that was published"):
        promote(candidate, store)
    assert not (store / "digits" / "4").exists()


def test_selecting_a_version_makes_it_the_served_one_everywhere(candidate: Candidate, store: Path) -> None:
    promote(candidate, store)

    select(store, "4")

    assert read_pointer(store, "digits") == "4"
    assert Reader.load(store).model.record.version == "4"
    for folder in FOLDERS.values():
        assert "versions: [ 4 ]" in (store / folder.format("digits") / "config.pbtxt").read_text()


def test_what_cannot_be_served_cannot_be_selected(store: Path) -> None:
    onnx_file(store, "3", "uint8").write_bytes(b"another")
    change_record(add_version(store, "2"), reader=1)

    for number, told in (("3", "is not the file that was published"), ("2", "made for reader 1"), ("9", "is not in")):
        with pytest.raises(StartupError, match=told):
            select(store, number)
    assert read_pointer(store, "digits") == "3"


@pytest.mark.parametrize("numbers", [(), ("1", "2")], ids=["none", "two"])
def test_a_folder_that_is_not_a_candidate_is_named(tmp_path: Path, numbers: tuple[str, ...]) -> None:
    for number in numbers:
        add_version(tmp_path, number)

    with pytest.raises(RunError, match=f"is not a candidate: it has {len(numbers)} versions"):
        Candidate.open(tmp_path)


def test_a_store_that_serves_a_version_is_no_candidate_and_stays(store: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}

    for arguments in (("--replace",), ()):
        refused = training("promote", store, "--store", store, *arguments, status=1)
        assert f"{store} is a model store, not a candidate" in refused.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_store_whose_pointer_is_lost_is_not_promoted_into_itself(store: Path) -> None:
    (store / "digits" / "served").unlink()
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}

    with pytest.raises(RunError, match="is the store itself"):
        promote(Candidate.open(store), store, replace=True)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_what_else_lies_in_a_candidates_folder_stays(candidate: Candidate, store: Path) -> None:
    (candidate.folder / "notes").mkdir()
    (candidate.folder / "notes" / "why.txt").write_text("it reads sevens better")
    (candidate.folder / "digits" / "note.txt").write_text("of the classifier")

    promote(candidate, store)

    left = {path.relative_to(candidate.folder).as_posix() for path in candidate.folder.rglob("*") if path.is_file()}
    assert left == {"notes/why.txt", "digits/note.txt"}


def test_a_replacement_that_cannot_be_copied_leaves_the_version_of_before(
    candidate: Candidate, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders are exchanged only when all of them are copied."""
    add_version(store, "4")
    copytree = shutil.copytree

    def fill_up(source: Path, target: Path) -> None:
        if source.parent.name == "digits":
            raise OSError("No space left on device")
        copytree(source, target)

    monkeypatch.setattr("training.publishing.candidate.shutil.copytree", fill_up)
    with pytest.raises(OSError, match="No space left"):
        promote(candidate, store, replace=True)

    find_model(store, "digits", "4").verify()
    candidate.model.verify()


def test_renewing_mends_a_version_whose_exchange_was_interrupted(
    store: Path, validation: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes anew is tested in test_reader_export.py; here, that it finds the folder that was set aside."""
    (store / "digits" / "3").rename(store / "digits" / ".3.before")
    monkeypatch.setattr("training.publishing.candidate.complete", lambda *_: None)

    renew(store, "3", validation).verify()

    assert sorted(path.name for path in (store / "digits").iterdir() if path.is_dir()) == ["3"]


def blank(name: str) -> Samples:
    """A picture without a digit, which is read rightly where it is turned down."""
    return Samples(name, [np.full((40, 40, 3), 255, np.uint8)], np.array([-1]))


def test_no_set_takes_the_place_of_another_of_its_name(candidate: Candidate, store: Path) -> None:
    told: list[str] = []

    weigh(candidate, store, lambda: iter(map(blank, ("MNIST", "pictures", "pictures", "MNIST", "pictures"))), told.append)

    names = ["MNIST", "pictures", "pictures (2)", "MNIST (2)", "pictures (3)"]
    assert list(json.loads((candidate.folder / "report.json").read_text())) == names
    assert [each.partition(":")[0] for each in told] == names


def test_the_first_version_of_a_store_has_nothing_to_be_compared_with(candidate: Candidate, tmp_path: Path) -> None:
    verdict = weigh(candidate, tmp_path / "new", lambda: iter([blank("MNIST")]), print)

    assert verdict.passes
    assert "there is nothing to compare it with" in verdict.reason


@pytest.mark.parametrize("damaged", ["digits/3/model.json", "digits_finder/3/model.onnx", "digits/served"])
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "damaged"])
def test_a_served_version_that_cannot_be_read_lets_nothing_through(
    damaged: str, lost: bool, candidate: Candidate, store: Path
) -> None:
    if lost:
        (store / damaged).unlink()
    else:
        (store / damaged).write_bytes(b"{")

    with pytest.raises(RunError, match=r"stays a candidate, since the version that .* serves cannot be read"):
        weigh(candidate, store, lambda: iter([blank("MNIST")]), print)
    candidate.model.verify()


def test_pictures_to_compare_by_are_looked_at_before_a_candidate_is_made(finished: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "labels.csv").write_text("path,label\ngone.png,7\n")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "ward.npz").write_bytes(b"PK")
    places = ("--store", store, "--candidates", tmp_path / "candidates")

    for option, folder, told in (
        ("--pictures", "nowhere", "is not a folder"),
        ("--pictures", "own", "lacks 1 pictures that its labels.csv lists, the first is gone.png"),
        ("--hands", "nowhere", "holds no .npz file with x and y"),
        ("--hands", "sets", "cannot be read as a set with x and y"),
    ):
        refused = training("publish", "--run", finished, option, tmp_path / folder, *places, status=1)
        assert told in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "candidates").exists()


def without_golden(record: ModelRecord) -> ModelRecord:
    """golden.npz is an archive, which notes when it was written."""
    return record.model_copy(update={"sha256": {**record.sha256, record.key("golden.npz"): ""}})


def test_only_its_own_name_forces_a_candidate_that_fails(tmp_path: Path) -> None:
    candidate, fails = Candidate(tmp_path, "4"), Verdict(False, "not better on held-out corrections")

    assert decide(candidate, fails, None) is fails
    assert decide(candidate, fails, "digits-4") == Verdict(True, "forced, though not better on held-out corrections")
    with pytest.raises(RunError, match=r"The candidate is digits-4, not digits-3\."):
        decide(candidate, fails, "digits-3")
