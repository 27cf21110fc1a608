"""Prints a report as tables."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from app.evaluation.labels import DIGITS
from app.evaluation.report import SMALL, Group, Line, Report, Score, TurnedDown

MOST_LINES = 200  # mistakes listed; predictions.csv has the others
MOST_LABELS = 20  # that are not a digit


def print_report(report: Report, console: Console) -> None:
    """Prints all figures of a report."""
    for part in _parts(report):
        console.print(part)


def _parts(report: Report) -> Iterator[RenderableType]:
    score, others = report.overall.score, sum(row.of for row in report.to_turn_down)
    yield f"[bold]{report.model['name']}/{report.model['version']}[/bold] on {report.provider}, {escape(report.folder)}"
    yield f"Pictures of one digit: {score.of}; of none or several: {others}"
    yield f"Left out: {report.ambiguous_left_out} ambiguous, {len(report.missing)} with unreadable files"
    if score.of:
        kinds = [((_name(group.kind),), group) for group in report.by_kind]
        yield _accuracy(("kind",), [*kinds, (("[bold]all[/bold]",), report.overall)])
        sources = [((_name(group.kind), _name(group.source)), group) for group in report.by_kind_and_source]
        if any(group.source for _, group in sources):
            yield _accuracy(("kind", "source"), sources)
        yield _confusion(report.confusion)
        yield f"Accepted: {_words(report.coverage)}; correct among these: {_words(report.accuracy_of_accepted)}"
    if report.calibration_error is not None:
        yield f"Calibration error of the confidence: {report.calibration_error:.1%}"
    if report.not_digits:
        labels = (f"{escape(label) or '(empty)'} ({count})" for label, count in report.not_digits.items())
        yield f"Labels that are not a digit, so the pictures should be rejected: {_first(labels)}"
    if report.to_turn_down:
        yield _turned_down(report.to_turn_down)
    means = [(stage, mean) for stage, mean in report.cpu_milliseconds.items() if mean is not None]
    yield "Mean CPU time per picture: " + ", ".join(f"{stage} {mean:.1f} ms" for stage, mean in means)
    if report.mistakes:
        yield _mistakes(report.mistakes)
    if report.missing:
        yield _missing(report.missing)


def _accuracy(by: Sequence[str], groups: Sequence[tuple[Sequence[str], Group]]) -> Table:
    table = _table(f"Read correctly, by {' and '.join(by)}", *by)
    for name in ("all", f"up to {SMALL} px", "larger"):
        table.add_column(name, justify="right")
        table.add_column("", justify="right")
    for names, group in groups:
        table.add_row(*names, *(text for score in (group.score, group.small, group.larger) for text in _figures(score)))
    return table


def _confusion(confusion: Sequence[Sequence[int]]) -> Table:
    table = _table("Labels (rows) and answers (columns)", "")
    for answer in [*DIGITS, "no answer"]:
        table.add_column(answer, justify="right")
    for label, counts in enumerate(confusion):
        cells = [_count(count, right=label == answer) for answer, count in enumerate(counts)]
        table.add_row(f"[bold]{label}[/bold]", *cells)
    return table


def _count(count: int, *, right: bool) -> str:
    if not count:
        return "[dim]·[/dim]"
    return str(count) if right else f"[bold red]{count}[/bold red]"


def _turned_down(rows: Sequence[TurnedDown]) -> Table:
    """The first four columns, and the others if they are not all zero."""
    columns = {
        "pictures": [row.of for row in rows],
        "no-digit-found": [row.no_digit_found for row in rows],
        "not accepted": [row.not_accepted for row in rows],
        "accepted": [row.accepted for row in rows],
        "other error": [row.other_error for row in rows],
        "several-digits": [row.several_digits for row in rows],
    }
    shown = [name for index, name in enumerate(columns) if index < 4 or any(columns[name])]
    table = _table("Pictures to reject: no digit, or several", "kind")
    for name in shown:
        table.add_column(name, justify="right")
    for index, row in enumerate(rows):
        table.add_row(_name(row.kind), *(str(columns[name][index]) for name in shown))
    return table


def _mistakes(mistakes: Sequence[Line]) -> Table:
    table = _table(f"Mistakes, most confident first: {len(mistakes)}", "picture", "label", "answer", "confidence", "remarks")
    for line in mistakes[:MOST_LINES]:
        answer = "–" if line.digit is None else str(line.digit)
        confidence = "–" if line.confidence is None else f"{line.confidence:.2%}"
        table.add_row(escape(line.path), line.label, answer, confidence, line.code or ", ".join(line.warnings))
    return _capped(table, len(mistakes))


def _missing(missing: Sequence[Line]) -> Table:
    table = _table(f"Unreadable files: {len(missing)}", "picture", "reason")
    for line in missing[:MOST_LINES]:
        table.add_row(escape(line.path), escape(line.detail or ""))
    return _capped(table, len(missing))


def _capped(table: Table, lines: int) -> Table:
    if lines > MOST_LINES:
        table.caption = f"{lines - MOST_LINES} more are not shown; use --json or --output to get them all."
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", caption_justify="left")


def _first(words: Iterable[str]) -> str:
    """The first of many words, and an ellipsis for the others."""
    first = [*islice(words, MOST_LABELS + 1)]
    return ", ".join(first[:MOST_LABELS] + ["…"] * (len(first) > MOST_LABELS))


def _name(text: str | None) -> str:
    return escape(text or "") or "–"


def _figures(score: Score) -> tuple[str, str]:
    return (f"{score.count} of {score.of}", f"{score.share:.1%}") if score.share is not None else ("–", "–")


def _words(score: Score) -> str:
    return f"{score.count} of {score.of}" + (f" ({score.share:.1%})" if score.share is not None else "")
