"""Measures how well labelled pictures are read, by the same code that reads every picture.

rows of labels.csv -> results -> report. app.evaluation.tables prints it; app.evaluation.mistakes_sheet draws the mistakes.
"""

import csv
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import LabelsError, NoDigitFound, UnreadableFile, known_error
from app.evaluation.calibration import calibration_error
from app.evaluation.labels import DIGITS, LABELS, Row
from app.reading.answer import ModelName, Prediction
from app.reading.decode.limits import Limits, read_bytes
from app.reading.reader import LAPTOP, Reader
from app.reading.trace import Trace

logger = logging.getLogger(__name__)

SMALL = 32  # pixels of the longer side; smaller pictures were reduced for a network, as in MNIST and CIFAR
STAGES = ("decode", "find", "infer")


@dataclass(frozen=True)
class Result:
    """The result for one picture: a prediction, or the code and detail of its error.

    glyph: (28, 28) uint8, as the model saw it; side: the longer side of the picture, in pixels; seconds: CPU time by stage.
    Values of stages that the picture did not reach are missing.
    """

    row: Row
    prediction: Prediction | None
    code: str | None
    detail: str | None
    glyph: NDArray[np.uint8] | None
    side: int | None
    seconds: dict[str, float]

    @property
    def right(self) -> bool:
        """Whether the answer is the labelled digit; a refusal counts as wrong."""
        return self.prediction is not None and self.prediction.digit == self.row.digit


@dataclass(frozen=True)
class Score:
    """count out of ``of``; share: count / of, or None if ``of`` is 0."""

    count: int
    of: int
    share: float | None


@dataclass(frozen=True)
class Group:
    """How many digits were read correctly, of one kind and source; None stands for all kinds or all sources.

    small: pictures whose longer side is at most 32 pixels; larger: the others. Pictures that could not be decoded are in
    neither.
    """

    kind: str | None
    source: str | None
    score: Score
    small: Score
    larger: Score


@dataclass(frozen=True)
class TurnedDown:
    """The results for pictures of one kind that do not show exactly one digit: four counts that sum to ``of``.

    several_digits: how many have the warning of that name, accepted or not.
    """

    kind: str
    of: int
    no_digit_found: int
    other_error: int
    not_accepted: int
    accepted: int
    several_digits: int


@dataclass(frozen=True)
class Line:
    """A result in words and numbers, for the list of mistakes and for predictions.csv."""

    path: str
    label: str
    kind: str
    source: str
    digit: int | None
    confidence: float | None
    accepted: bool | None
    warnings: tuple[str, ...]
    code: str | None
    detail: str | None


@dataclass(frozen=True)
class Report:
    """All figures of an evaluation.

    coverage: how many of the digits were accepted; accuracy_of_accepted: how many of those were right.
    calibration_error: of the confidence in the answered digits, 0..1, or None if none was answered.
    confusion: rows are labels, columns are answers; an eleventh column counts missing answers.
    cpu_milliseconds: mean over the pictures that reached the stage, or None if none did.
    not_digits: the labels that are not a digit, and how many pictures have each; they should be rejected.
    mistakes: most confident first, those without an answer last. missing: files that could not be read; they are not counted.
    """

    folder: str
    model: dict[str, str]
    provider: str
    ambiguous_left_out: int
    overall: Group
    by_kind: tuple[Group, ...]
    by_kind_and_source: tuple[Group, ...]
    coverage: Score
    accuracy_of_accepted: Score
    calibration_error: float | None
    confusion: tuple[tuple[int, ...], ...]
    not_digits: dict[str, int]
    to_turn_down: tuple[TurnedDown, ...]
    cpu_milliseconds: dict[str, float | None]
    mistakes: tuple[Line, ...]
    missing: tuple[Line, ...]

    def to_json(self) -> str:
        """The content of report.json."""
        return json.dumps(asdict(self), indent=2) + "\n"


def run(reader: Reader, folder: Path, rows: Iterable[Row], limits: Limits = LAPTOP) -> Iterator[Result]:
    """Reads the pictures of the folder and yields one result per row. limits: a larger file is not read."""
    return (_read(reader, folder, row, limits) for row in rows)


def _read(reader: Reader, folder: Path, row: Row, limits: Limits) -> Result:
    trace, prediction, code, detail, file = Trace(), None, None, None, row.file(folder)
    try:
        prediction = reader.read(read_bytes(file, limits), trace=trace)
    except Exception as error:  # noqa: BLE001  a fault of ours in one picture is logged and harms no other
        known = known_error(error, row.path, logger)
        code, detail = known.code, f"{file}: {known.detail}" if isinstance(known, UnreadableFile) else known.detail
    glyph = trace.steps.glyph.pixels if trace.steps else None
    side = max(trace.picture.width, trace.picture.height) if trace.picture else None
    return Result(row, prediction, code, detail, glyph, side, trace.seconds)


def summarise(results: Sequence[Result], reader: Reader, folder: Path, left_out: int) -> Report:
    """Computes all figures from the results. left_out: the number of ambiguous pictures that were left out.

    Raises:
        LabelsError: none of the files could be read.
    """
    there = [result for result in results if result.code != UnreadableFile.code]
    if not there:
        raise LabelsError(
            f"None of the {len(results)} files that {folder / LABELS} lists can be read; check the paths. {results[0].detail}"
        )
    digits = [result for result in there if result.row.digit is not None]
    others = [result for result in there if result.row.digit is None]
    accepted = [result for result in digits if result.prediction and result.prediction.accepted]
    record = reader.model.record
    return Report(
        folder=str(folder),
        model={**ModelName(name=record.name, version=record.version).model_dump(), "sha256": record.editions["float32"]},
        provider=reader.model.provider,
        ambiguous_left_out=left_out,
        overall=_group(None, None, digits),
        by_kind=tuple(_group(kind, None, group) for (kind,), group in _split(digits, lambda row: (row.kind,))),
        by_kind_and_source=tuple(
            _group(kind, source, group) for (kind, source), group in _split(digits, lambda row: (row.kind, row.source))
        ),
        coverage=_share(len(accepted), len(digits)),
        accuracy_of_accepted=_score(accepted),
        calibration_error=_calibration_error(digits),
        confusion=_confusion(digits),
        not_digits=dict(Counter(result.row.label for result in others).most_common()),
        to_turn_down=tuple(_turned_down(kind, group) for (kind,), group in _split(others, lambda row: (row.kind,))),
        cpu_milliseconds=_milliseconds(there),
        mistakes=tuple(to_line(result) for result in find_mistakes(results)),
        missing=tuple(to_line(result) for result in results if result.code == UnreadableFile.code),
    )


def find_mistakes(results: Iterable[Result]) -> list[Result]:
    """Digits that were read wrongly or not at all: most confident first, those without an answer last."""
    wrong = [r for r in results if r.row.digit is not None and not r.right and r.code != UnreadableFile.code]
    return sorted(wrong, key=lambda result: -result.prediction.confidence if result.prediction else 1)


def to_line(result: Result) -> Line:
    """The result as a line of the report."""
    row, prediction = result.row, result.prediction
    return Line(
        path=row.path,
        label=row.label,
        kind=row.kind,
        source=row.source,
        digit=prediction.digit if prediction else None,
        confidence=prediction.confidence if prediction else None,
        accepted=prediction.accepted if prediction else None,
        warnings=tuple(warning.code for warning in prediction.warnings) if prediction else (),
        code=result.code,
        detail=result.detail,
    )


def write_predictions(results: Iterable[Result], path: Path) -> None:
    """Writes predictions.csv: one line per picture, empty cells for missing values, spaces between warnings."""
    columns = ("path", "label", "digit", "confidence", "accepted", "warnings", "code")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for line in map(to_line, results):
            accepted = {True: "true", False: "false", None: None}[line.accepted]
            writer.writerow({**asdict(line), "accepted": accepted, "warnings": " ".join(line.warnings)})


def _split(results: Iterable[Result], key: Callable[[Row], tuple[str, ...]]) -> list[tuple[tuple[str, ...], list[Result]]]:
    """Groups the results by key, in the order of the keys."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(key(result.row), []).append(result)
    return sorted(groups.items())


def _group(kind: str | None, source: str | None, results: Sequence[Result]) -> Group:
    small = [result for result in results if result.side is not None and result.side <= SMALL]
    larger = [result for result in results if result.side is not None and result.side > SMALL]
    return Group(kind, source, _score(results), _score(small), _score(larger))


def _score(results: Sequence[Result]) -> Score:
    return _share(sum(result.right for result in results), len(results))


def _share(count: int, of: int) -> Score:
    return Score(count, of, count / of if of else None)


def _confusion(digits: Iterable[Result]) -> tuple[tuple[int, ...], ...]:
    counts = Counter((r.row.digit, r.prediction.digit if r.prediction else len(DIGITS)) for r in digits)
    return tuple(tuple(counts[label, answer] for answer in range(len(DIGITS) + 1)) for label in range(len(DIGITS)))


def _turned_down(kind: str, results: Sequence[Result]) -> TurnedDown:
    predictions = [result.prediction for result in results if result.prediction]
    no_digit_found = sum(result.code == NoDigitFound.code for result in results)
    accepted = sum(prediction.accepted for prediction in predictions)
    return TurnedDown(
        kind=kind,
        of=len(results),
        no_digit_found=no_digit_found,
        other_error=len(results) - len(predictions) - no_digit_found,
        not_accepted=len(predictions) - accepted,
        accepted=accepted,
        several_digits=sum(any(w.code == "several-digits" for w in prediction.warnings) for prediction in predictions),
    )


def _calibration_error(digits: Iterable[Result]) -> float | None:
    answered = [(result.prediction.confidence, result.right) for result in digits if result.prediction]
    if not answered:
        return None
    confidence, right = (np.array(column) for column in zip(*answered, strict=True))
    return round(calibration_error(confidence, right), 4)


def _milliseconds(results: Sequence[Result]) -> dict[str, float | None]:
    """Mean CPU milliseconds of each stage."""
    means: dict[str, float | None] = {}
    for stage in STAGES:
        seconds = [result.seconds[stage] for result in results if stage in result.seconds]
        means[stage] = round(1000 * sum(seconds) / len(seconds), 3) if seconds else None
    return means
