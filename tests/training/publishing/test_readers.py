"""How the gate asks versions, and what it asks them: held-out glyphs as they were cut, and pictures of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.errors import LabelsError
from app.reading.infer.store import find_model
from app.reading.reader import Reader
from app.reading.trace import Trace
from app.settings import Settings
from benchmarks.pictures import canvas, encode
from tests.versions import SHIPPED
from training.data.mnist import BACKGROUND, Split
from training.errors import DataError
from training.learning.sources import Sources
from training.publishing.candidate import Reads
from training.publishing.gate import NO_ANSWER, Comparison, Paired, Samples, compare
from training.publishing.readers import check_hands, correction_samples, open_own, own_samples, row_label, row_samples


def test_a_held_out_glyph_is_read_as_it_was_when_it_was_corrected() -> None:
    """The finder has cut it already: it would find another glyph in it."""
    model = find_model(Settings().model_store, "digits", SHIPPED)
    reader = Reader.load(version=SHIPPED)
    traces = [Trace() for _ in range(10)]
    answers = [reader.read(encode(canvas(number)), trace=trace) for number, trace in enumerate(traces)]
    glyphs = np.stack([trace.steps.glyph.pixels for trace in traces if trace.steps])
    glyphs = np.concatenate([glyphs, np.roll(glyphs, 14, axis=2)])  # halves of two digits, which a finder would part
    samples = correction_samples(Split(torch.from_numpy(glyphs), torch.full((20,), BACKGROUND)))

    read = Reads.of(model, model.record.strings).which(samples)
    digits, accepted = read(samples.pictures)

    scores = reader.classifier.predict(glyphs)
    assert digits[:10].tolist() == [answer.digit for answer in answers]
    assert accepted[:10].tolist() == [answer.accepted for answer in answers]
    assert digits.tolist() == scores.probabilities.argmax(axis=1).tolist()
    assert not accepted[10:].all()
    assert compare(samples, read, read).read.candidate == int((~accepted).sum())


def test_a_row_is_read_rightly_if_all_of_it_is() -> None:
    """Zeros at its beginning count, and a version is asked with the weights of strings that it is given."""
    model = find_model(Settings().model_store, "digits", SHIPPED)
    pictures = [np.asarray(canvas(3).convert("RGB")), np.full((100, 200, 3), 255, np.uint8)]
    row = np.concatenate([np.asarray(canvas(digit).convert("RGB")) for digit in (0, 0, 3)], axis=1)
    labels = [row_label("3"), row_label("7"), row_label("003")]
    samples = Samples("rows", [*pictures, row], np.array(labels), kind="row")

    read = Reads.of(model, model.record.strings).which(samples)
    blind = Reads.of(model, model.record.strings.model_copy(update={"features": (0.0,) * 9 + (-20.0,)})).which(samples)

    assert read(samples.pictures)[0].tolist() == [13, NO_ANSWER, 1003]
    assert compare(samples, read, blind) == Comparison(read=Paired(3, 2, 1, 1, 0), accepted=None)
    assert row_label("1" * 18) == 0


def test_rows_are_pictures_by_validations_hands(mnist_dir: Path) -> None:
    hands = Sources(mnist_dir, smoke=True).hands("validation")

    one, again = row_samples(hands, 6), row_samples(hands, 6)

    assert 0 < len(one.pictures) <= 6
    assert all(str(label).startswith("1") and label > 9 for label in one.labels)
    assert (one.labels == again.labels).all()


def own(folder: Path, labels: str) -> Path:
    """A folder of pictures, each a grey of its own, with what labels.csv says of them."""
    folder.mkdir(parents=True)
    lines = [line for line in labels.splitlines() if line]
    (folder / "labels.csv").write_text("\n".join(["path,label,kind,notes", *lines]))
    for number, line in enumerate(lines):
        Image.fromarray(np.full((20, 20, 3), 10 * number, np.uint8)).save(folder / line.partition(",")[0])
    return folder


def test_only_an_empty_label_and_none_are_no_digit(tmp_path: Path) -> None:
    rows = [
        "0.png,7",
        "1.png,",
        "2.png,None",
        "3.png,0522/1859",
        "4.png,12",
        "5.png,A",
        "6.png,five",
        "7.png,4,,ambiguous",
        "8.png,5.0",
    ]
    told: list[str] = []

    opened = open_own(own(tmp_path / "own", "\n".join(rows)), told.append)
    (samples,) = own_samples(opened, told.append)

    assert samples.name == "own"
    assert samples.labels.tolist() == [7, NO_ANSWER, NO_ANSWER, 5]
    assert [picture[0, 0, 0] for picture in samples.pictures] == [0, 10, 20, 80]
    assert told == [f"{tmp_path / 'own'}: 4 pictures are left out, whose labels are neither a digit nor empty nor none."]


def test_a_damaged_picture_is_left_out_and_named(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", "0.png,7,photo\n1.png,8,photo\n2.png,9,scan")
    opened = open_own(folder, print)
    told: list[str] = []
    (folder / "1.png").write_bytes(b"not a picture")
    (folder / "2.png").unlink()

    (samples,) = own_samples(opened, told.append)

    assert (samples.name, samples.labels.tolist()) == ("own: photo", [7])
    assert [each.partition(" is left out: ")[0] for each in told] == [str(folder / "1.png"), str(folder / "2.png")]


@pytest.mark.parametrize(
    ("labels", "error", "told"),
    [
        ("", LabelsError, "lists no pictures"),
        ("0.png,12", DataError, "lists no picture of one digit or of none"),
        ("0.png,4,,ambiguous", DataError, "lists no picture of one digit or of none"),
    ],
    ids=["no pictures", "several digits alone", "ambiguous ones alone"],
)
def test_a_folder_without_pictures_to_judge_by_is_refused(
    labels: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        open_own(own(tmp_path / "own", labels), print)


def test_sets_of_another_shape_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "ward.npz", x=np.zeros((3, 28, 28, 3), np.uint8), y=np.zeros(3, np.int64))

    with pytest.raises(DataError, match=r"ward\.npz has x of uint8 \(3, 28, 28, 3\)"):
        check_hands(tmp_path)
