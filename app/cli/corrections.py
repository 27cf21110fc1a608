"""``numeral corrections``: looks over what people said answers should have been."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from app.cli.common import (
    AsJson,
    ModelVersion,
    fail,
    opened,
    parse_settings,
    plural,
    print_table,
    read_settings,
    start,
    wants_json,
)
from app.corrections.entry import NO_DIGIT_TEXT, Corrected, Correction, Entry, Status, epoch_seconds
from app.corrections.folder import is_export, read_folder, write_folder, write_pictures
from app.errors import LabelsError, NoDigitFound, RequestError, StartupError, to_request_error
from app.evaluation.labels import NO_DIGIT_LABEL, Row, read_labels
from app.reading.decode.limits import Limits, read_bytes
from app.reading.reader import Reader
from app.reading.trace import Trace

if TYPE_CHECKING:  # its packages are an extra
    from app.corrections.journal import Journal

DAY = 86_400  # seconds
SHADES = " ░▒▓█"
COLUMNS = ("id", "answer", "confidence", "should be", "client", "status", "disputed")
OPERATOR = "operator"  # the client of what the operator imports
NAMED = 3  # skipped pictures that are named for each reason

corrections = typer.Typer(help="Looks over what people said answers should have been.", no_args_is_help=True)

Only = Annotated[str | None, typer.Option("--status", help="Only these: new, accepted or refused.")]


@corrections.command("list")
def list_corrections(
    status: Only = None,
    most: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = None,
) -> None:
    """Lists corrections, the disputed and the most doubtful answers first."""
    with _opened() as journal:
        found, amounts = journal.corrected(_status(status), most), journal.amounts()
    if wants_json(as_json):
        for each in found:
            typer.echo(json.dumps(_describe(each)))
        return
    print_table(COLUMNS, map(_to_cells, found))
    counts = ", ".join(f"{count} {name}" for name, count in amounts.corrections.items()) or "none"
    answers = plural(amounts.answers, "answer is", "answers are")
    typer.echo(f"{answers} kept, in {amounts.bytes / 2**20:.1f} MiB. Corrections: {counts}.")


@corrections.command()
def review(
    accept: Annotated[list[str] | None, typer.Option(help="Id of a correction to accept; may be given several times.")] = None,
    refuse: Annotated[list[str] | None, typer.Option(help="Id of a correction to refuse.")] = None,
) -> None:
    """Shows each new correction with its glyphs, and takes a key: a accepts, r refuses, s skips, q ends."""
    with _opened() as journal:
        if accept or refuse:
            _review_named(journal, dict.fromkeys(accept or (), "accepted") | dict.fromkeys(refuse or (), "refused"))
            return
        waiting = journal.corrected("new")
        for number, each in enumerate(waiting, start=1):
            typer.echo(f"\n{number} of {len(waiting)}: {_in_words(each)}")
            for glyph in each.entry.glyphs:
                typer.echo(draw(glyph))
            key = _ask()
            if key == "q":
                return
            if key in ("a", "r") and not journal.review(each.entry.id, each.correction.truth, _STATUS[key]):
                typer.echo("It was changed or deleted meanwhile.")


@corrections.command("export")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the glyphs and labels.csv; created if missing.")],
    status: Annotated[str, typer.Option(help="Which: new, accepted or refused.")] = "accepted",
    pictures: Annotated[bool, typer.Option("--pictures", help="The pictures that were kept, in place of glyphs.")] = False,
) -> None:
    """Writes corrected glyphs into a folder that `numeral evaluate` reads."""
    with _opened() as journal:
        if pictures:
            count = write_pictures(journal.corrected(_status(status), oldest_first=True, pictures=True), folder)
            typer.echo(f"{folder}: {plural(count, 'picture', 'pictures')}.")
            return
        exported = write_folder(journal.corrected(_status(status), oldest_first=True), folder)
    typer.echo(f"{folder}: {plural(exported.glyphs, 'glyph', 'glyphs')}.")
    if exported.left_out:
        left_out = plural(exported.left_out, "correction was", "corrections were")
        typer.echo(f"{left_out} left out, with more or fewer digits than the answer.")


@corrections.command("import")
def import_folder(
    folder: Annotated[Path, typer.Argument(help="An export, or any folder of pictures of one digit each with a labels.csv.")],
    accepted: Annotated[bool, typer.Option("--accepted", help="Your own pictures need no review.")] = False,
    model_version: ModelVersion = None,
) -> None:
    """Adds an export, or your own labelled pictures, which the served version reads first. Nothing is added twice."""
    with _opened() as journal:
        if is_export(folder):
            found = read_folder(folder)
        else:
            rows = read_labels(folder)
            settings = parse_settings(model_version=model_version)
            with opened(settings) as reader:
                status: Status = "accepted" if accepted else "new"
                read = [_read(reader, folder, row, status, settings) for row in rows]
            found = [each for each in read if isinstance(each, Corrected)]
            _tell_skipped(each for each in read if isinstance(each, Skipped))
        added = journal.restore(found)
        typer.echo(f"{plural(added, 'correction was', 'corrections were')} added, {len(found) - added} known before.")


@corrections.command()
def purge(
    older_than: Annotated[float | None, typer.Option(min=0, help="Days: deletes the answers that are older.")] = None,
    client: Annotated[str | None, typer.Option(help="Key's name: deletes the answers that it got.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Deletes all that is kept.")] = False,
) -> None:
    """Deletes answers and their corrections."""
    if sum((older_than is not None, client is not None, everything)) != 1:
        raise typer.BadParameter("give one of --older-than, --client and --all")
    with _opened() as journal:
        if client is not None:
            count = journal.forget_client(f"key {client}")
        else:
            count = journal.purge(before=None if older_than is None else epoch_seconds() - older_than * DAY)
    typer.echo(f"{plural(count, 'answer was', 'answers were')} deleted.")


def draw(glyph: NDArray[np.uint8]) -> str:
    """A glyph in characters, two rows of pixels a line."""
    pairs = glyph.reshape(-1, 2, glyph.shape[1]).max(axis=1)
    index = np.ceil(pairs / 255 * (len(SHADES) - 1)).astype(int)
    return "\n".join("".join(SHADES[level] for level in row) for row in index.tolist())


_STATUS: dict[str, Status] = {"a": "accepted", "r": "refused"}
_STATUSES: dict[str, Status] = {"new": "new", "accepted": "accepted", "refused": "refused"}


def _status(name: str | None) -> Status | None:
    if name is not None and name not in _STATUSES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(_STATUSES)}", param_hint="--status")
    return None if name is None else _STATUSES[name]


@contextmanager
def _opened() -> "Iterator[Journal]":
    """The database that the settings name. What goes wrong ends in one line."""
    settings = read_settings()
    journal = start(lambda: _open(settings))
    try:
        yield journal
    except (RequestError, LabelsError, OSError) as error:
        fail(str(error))
    finally:
        journal.close()


def _open(settings: Any) -> "Journal":
    try:
        from app.corrections.journal import Journal  # noqa: PLC0415  an extra
    except ImportError as error:
        raise StartupError(f"Corrections need numeral-digits[corrections]: {error.name} is not installed.") from error
    return Journal.open(settings)


def _review_named(journal: "Journal", wanted: dict[str, str]) -> None:
    there = {each.entry.id: each for each in journal.corrected()}
    for identity, status in wanted.items():
        if identity not in there:
            fail(f"{identity} has no correction.")
        journal.review(identity, there[identity].correction.truth, _STATUSES[status])
    typer.echo(f"{len(wanted)} reviewed.")


def _ask() -> str:
    """Reads one key press from the terminal, without Enter."""
    typer.echo("a accept, r refuse, s skip, q quit: ", nl=False)
    while (key := typer.getchar(echo=False).lower()) not in ("a", "r", "s", "q"):
        if key in ("", "\x04"):  # the end of the input
            return "q"
    typer.echo(key)
    return key


def _in_words(corrected: Corrected) -> str:
    entry, said = corrected.entry, corrected.correction
    disputed = ", disputed" if said.disputed else ""
    return f"{entry.text!r} with {entry.confidence:.2%}; {said.client} says {said.truth or 'no digit'!r}{disputed}"


def _to_cells(corrected: Corrected) -> tuple[str, ...]:
    entry, said = corrected.entry, corrected.correction
    answer = (entry.id, entry.text, f"{entry.confidence:.2%}")
    return (*answer, said.truth or "no digit", said.client, said.status, "yes" if said.disputed else "")


def _describe(corrected: Corrected) -> dict[str, Any]:
    entry, said = corrected.entry, corrected.correction
    return {
        "id": entry.id,
        "answer": entry.text,
        "confidence": entry.confidence,
        "truth": said.truth or None,
        "reason": corrected.reason,
        "client": said.client,
        "sent": said.sent,
        "status": said.status,
        "disputed": said.disputed,
        "model": entry.model,
    }


@dataclass(frozen=True)
class Skipped:
    """A picture that is not imported. reason: common to several; what: its name, and what is special about it."""

    reason: str
    what: str


def _tell_skipped(skipped: Iterable[Skipped]) -> None:
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for each in skipped:
        by_reason[each.reason].append(each.what)
    for reason, names in by_reason.items():
        named = ", ".join([*names[:NAMED], *["…"][: len(names) - NAMED]])
        typer.echo(f"{plural(len(names), 'picture was', 'pictures were')} skipped, {reason}: {named}", err=True)


def _read(reader: Reader, folder: Path, row: Row, status: Status, limits: Limits) -> Corrected | Skipped:
    """A picture as an entry, as if a client had sent it. limits: a larger file is not read."""
    if row.ambiguous:
        return Skipped("marked as ambiguous", row.path)
    truth = _to_truth(row)
    if truth is None:
        return Skipped(f"labelled neither with one digit nor with {NO_DIGIT_LABEL}", f"{row.path} ({row.label})")
    trace = Trace()
    try:
        data = read_bytes(row.file(folder), limits)
        prediction = reader.read(data, trace=trace)
    except NoDigitFound:
        return Skipped("without a digit that could be found", row.path)
    except (OSError, RequestError) as error:
        return Skipped("which cannot be read", f"{row.path} ({to_request_error(error, of_file=True).detail})")
    if trace.steps is None:
        return Skipped("without a digit that could be found", row.path)
    entry = Entry(
        id=sha256(data + row.label.encode()).hexdigest()[:32],
        created=epoch_seconds(),
        client=OPERATOR,
        model=f"{prediction.model.name}/{prediction.model.version}",
        text=str(prediction.digit),
        single=True,
        confidence=prediction.confidence,
        accepted=prediction.accepted,
        boxes=(prediction.box,),
        glyphs=trace.steps.glyph.pixels[np.newaxis],
    )
    return Corrected(entry, Correction(entry.id, truth, OPERATOR, entry.created, status))


def _to_truth(row: Row) -> str | None:
    """What a label says; None where it is neither one digit nor no digit. 05 may be one digit or two, so it is neither."""
    if row.says_none:
        return NO_DIGIT_TEXT
    several = len(row.label) > 1 and row.label.isdecimal()
    return None if row.digit is None or several else str(row.digit)
