"""Reads millions of pictures into one Parquet file, in constant memory. A run that was killed continues where it stopped.

    folder, pattern or Parquet files ─► source: Parquet files with one row per picture ─► pieces: the rows without an answer
    ─► processes, or Ray's workers: read some rows, answer them, commit a part ─► merge ─► output

During the run, a folder next to the output holds the state: job.json, the list of the files found, and the finished parts.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from app.bulk import checkpoint
from app.bulk.find_files import find_files
from app.bulk.parquet_rows import Chunk, Piece, Source, open_source, read_chunks
from app.errors import BulkError, DecoderCrashed, DecodingTimedOut, InvalidRequest, RequestError, known_error
from app.reading.answer import Reading
from app.reading.decode import opencv
from app.reading.decode.limits import read_bytes
from app.reading.infer.store import find_model
from app.reading.numbers.read import NumberOptions
from app.reading.reader import Reader
from app.reading.requests import PictureRequest, Predictions
from app.runtime.loading import load_reader
from app.settings import Settings

logger = logging.getLogger(__name__)

LOCK = "lock"
LISTED_TOGETHER = 65_536  # paths in one row group of the list of files

ANSWER = pa.schema(
    [
        ("path", pa.string()),
        ("digit", pa.int8()),
        ("confidence", pa.float64()),
        ("probabilities", pa.list_(pa.float64())),
        ("accepted", pa.bool_()),
        ("warnings", pa.list_(pa.string())),
        ("box", pa.struct([(side, pa.int32()) for side in ("x", "y", "width", "height")])),
        ("code", pa.string()),
        ("detail", pa.string()),
    ]
)  # an answer has neither code nor detail; an error has only these
NUMBER_ANSWER = pa.schema(
    [
        ("path", pa.string()),
        ("text", pa.string()),
        ("confidence", pa.float64()),
        ("accepted", pa.bool_()),
        ("alternatives", pa.list_(pa.string())),
        ("warnings", pa.list_(pa.string())),
        ("code", pa.string()),
        ("detail", pa.string()),
    ]
)  # the same, of all digits of a picture


class InputFile(BaseModel):
    """A Parquet file of the input, with the size and time that show whether it has changed."""

    path: str
    size: int
    modified: int  # nanoseconds since 1970


class Job(BaseModel):
    """The input and the model of a run. A run continues only with the same ones. files: empty if the input is pictures."""

    model_config = ConfigDict(frozen=True)

    input: str
    folder: str  # relative paths of pictures start here
    files: tuple[InputFile, ...]
    model: str
    sha256: str  # of its classifier
    finder_sha256: str
    numbers: bool = False  # whether all digits of a picture are read


@dataclass(frozen=True)
class Task:
    """All that a worker needs to answer pieces. It is sent to other processes and machines."""

    settings: Settings
    folder: str
    work: str
    numbers: bool = False

    def load(self) -> Reader:
        """Loads the model in the process that will use it.

        Raises:
            StartupError: the model cannot be used there.
        """
        opencv.tune()
        return load_reader(self.settings)

    def answer(self, reader: Reader, piece: Piece, note: "Note" = lambda _: None) -> None:
        """Reads the pictures of a piece and commits their answers, a chunk a part; what is committed already stays.

        note: told the row of each picture before it is opened, and None when those that were opened are read.
        """
        work = Path(self.work)
        for chunk in read_chunks(piece):
            if not (work / checkpoint.Part(chunk.first, len(chunk.ids)).name).exists():
                checkpoint.commit(answer_chunk(reader, chunk, self, note), chunk.first, work)


REFUSALS: dict[str, RequestError] = {
    error.code: error
    for error in (
        DecodingTimedOut("Decoding the picture took too long; its process was ended."),
        DecoderCrashed("The picture made the process that read it crash."),
    )
}  # of pictures that cost a process its life

Note = Callable[[int | None], None]
Engine = Callable[[Task, Sequence[Piece], Callable[[], None]], None]  # the last one is called now and then


@dataclass(frozen=True)
class Run:
    """An open bulk run: its input, its output, and its progress."""

    source: Source
    schema: pa.Schema
    output: Path
    task: Task

    @property
    def done(self) -> int:
        """The number of rows that have an answer."""
        return checkpoint.count_rows(Path(self.task.work))

    def remaining(self) -> list[Piece]:
        """The rows without an answer."""
        return list(self.source.pieces(checkpoint.gaps(checkpoint.list_parts(Path(self.task.work)), self.source.rows)))

    def finish(self) -> int:
        """Merges the parts into the output and returns the number of rows that are errors.

        Raises:
            BulkError: a row has no answer yet.
        """
        return checkpoint.merge(Path(self.task.work), self.output, self.source.rows, self.schema)


@contextmanager
def open_run(source: str, output: Path, settings: Settings, *, restart: bool = False, numbers: bool = False) -> Iterator[Run]:
    """Begins a run over a folder, a pattern or Parquet files, or continues an interrupted one. restart: discards that one.

    numbers: whether all digits of a picture are read, instead of the most prominent one.

    Raises:
        BulkError: there is nothing to read, the output already exists or is being written, the disk is full, or the
            interrupted run had another input or model.
        StartupError: there is no such model.
        OSError: a file or a folder cannot be read or written.
    """
    if output.exists():
        raise BulkError(f"{output} already exists; remove it or choose another name.")
    job = _describe(source, settings, numbers=numbers)
    work = output.absolute().with_name(f".{output.name}.parts")
    with _naming_full_disk(work), _alone(work, output):
        if restart:
            _clear(work)
        rows = open_source(_open_job(job, work))
        if rows.rows:
            yield Run(rows, _schema(rows, job), output, Task(settings, job.folder, str(work), numbers))
        if not rows.rows or output.exists():
            shutil.rmtree(work)
    if not rows.rows:
        raise BulkError(f"{source} contains no pictures; check the folder or the pattern.")


def _describe(source: str, settings: Settings, *, numbers: bool) -> Job:
    record = find_model(settings.model_store, settings.model_name, settings.model_version).record
    tables = sorted(find_files(source)) if source.endswith(".parquet") else []
    files = tuple(
        InputFile(path=str(path.absolute()), size=path.stat().st_size, modified=path.stat().st_mtime_ns) for path in tables
    )
    if source.endswith(".parquet") and not files:
        raise BulkError(f"{source} does not exist; check the path.")
    folder = str(tables[0].absolute().parent if tables else Path.cwd())
    title = f"{record.name}/{record.version}"
    networks = {"sha256": record.editions.get("float32", ""), "finder_sha256": record.editions.get("finder", "")}
    return Job(input=source, folder=folder, files=files, model=title, **networks, numbers=numbers)


def _open_job(job: Job, work: Path) -> list[Path]:
    """The Parquet files to read: those of the input, or the list of its pictures, which is written once."""
    listing, record = work / "listing.parquet", work / "job.json"
    if not record.exists():
        if not job.files:
            _list_files(job.input, listing)
        draft = work / "job.tmp"
        draft.write_text(job.model_dump_json(indent=2), encoding="utf-8")
        checkpoint.publish(draft, record)
    _check_same(job, record)
    return [Path(file.path) for file in job.files] or [listing]


def _check_same(job: Job, record: Path) -> None:
    try:
        begun = Job.model_validate_json(record.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BulkError(f"{record} is damaged; start again with --restart.") from error
    for name in Job.model_fields:
        if getattr(begun, name) != getattr(job, name):
            shown = f"a different {name} ({getattr(begun, name)}, not {getattr(job, name)})"
            found = "different files" if name == "files" else shown
            raise BulkError(f"The interrupted run had {found}; use the same, or start again with --restart.")


def _list_files(source: str, listing: Path) -> None:
    draft = listing.with_suffix(".tmp")
    schema = pa.schema([("path", pa.binary())])  # file names need not be UTF-8
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        names: list[bytes] = []
        for path in find_files(source):
            names.append(os.fsencode(path))
            if len(names) == LISTED_TOGETHER:
                writer.write_table(pa.table([names], schema=schema))
                names = []
        writer.write_table(pa.table([names], schema=schema))
    checkpoint.publish(draft, listing)


@contextmanager
def _naming_full_disk(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if checkpoint.is_full(error):
            raise checkpoint.full_disk(work) from error
        raise


@contextmanager
def _alone(work: Path, output: Path) -> Iterator[None]:
    """Makes the folder and locks it against a second run."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / LOCK, timeout=0):
            yield
    except Timeout as error:
        raise BulkError(f"{output} is being written by another run; wait for it or choose another output.") from error


def _clear(work: Path) -> None:
    for path in work.iterdir():
        if path.name != LOCK:
            path.unlink()


def _schema(source: Source, job: Job) -> pa.Schema:
    """The schema of the output: the id and the answer; the metadata names the model."""
    about = {"model": job.model, "model_sha256": job.sha256, "finder_sha256": job.finder_sha256}
    return pa.schema([pa.field("id", source.id_type), *(NUMBER_ANSWER if job.numbers else ANSWER)], about)


def answer_chunk(reader: Reader, chunk: Chunk, task: Task, note: Note) -> pa.Table:
    """A row for each picture of a chunk: its answer, or the code and the detail of why there is none."""
    refused = checkpoint.list_refused(Path(task.work))

    def open_row(row: int, image: bytes | None, path: str | None) -> bytes:
        if row in refused:
            raise REFUSALS[refused[row]]
        note(row)
        return _open(image, path, Path(task.folder), task.settings)

    pictures = list(zip(range(chunk.first, chunk.first + len(chunk.ids)), chunk.images, chunk.paths, strict=True))
    answers: list[dict[str, Any]] = []
    for start in range(0, len(pictures), task.settings.batch_size):
        some = pictures[start : start + task.settings.batch_size]
        number = NumberOptions(most=task.settings.max_digits) if task.numbers else None
        requests = [PictureRequest(partial(open_row, *picture), number=number) for picture in some]
        answers += [_to_row(outcome.result) for outcome in reader.read_together(requests)]
        note(None)
    paths = pa.array([None if path is None else _printable(path) for path in chunk.paths], pa.string())
    table = pa.Table.from_pylist(answers, (NUMBER_ANSWER if task.numbers else ANSWER).remove(0))
    return table.add_column(0, "path", paths).add_column(0, "id", chunk.ids)


def _open(image: bytes | None, path: str | None, folder: Path, settings: Settings) -> bytes:
    """The bytes of a picture. A file above the limit is not read."""
    if image is not None:
        return image
    if not path or "\0" in path:
        raise InvalidRequest("The row has neither a picture nor a path.")
    file = folder / path
    if not S_ISREG(file.stat().st_mode):  # reading a pipe could block forever
        raise OSError("This is not a regular file.")
    return read_bytes(file, settings)


def _to_row(result: Predictions | Reading | Exception) -> dict[str, Any]:
    if isinstance(result, Reading):
        return {
            "text": result.text,
            "confidence": result.confidence,
            "accepted": result.accepted,
            "alternatives": [each.text for each in result.alternatives],
            "warnings": [warning.code for warning in result.warnings],
        }
    if isinstance(result, tuple):
        prediction = result[0]
        return {
            "digit": prediction.digit,
            "confidence": prediction.confidence,
            "probabilities": prediction.probabilities,
            "accepted": prediction.accepted,
            "warnings": [warning.code for warning in prediction.warnings],
            "box": vars(prediction.box),
        }
    known = known_error(result, "a picture", logger)
    return {"code": known.code, "detail": known.detail}


def _printable(path: str) -> str:
    """The path, with escapes for bytes that are not valid UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
