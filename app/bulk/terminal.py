"""Runs a bulk reading with a progress bar and a final summary on the terminal."""

from functools import partial
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from app.bulk.processes import answer_in_processes
from app.bulk.run import Engine, open_run
from app.settings import Settings


class RateColumn(ProgressColumn):
    """Recent pictures per second."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing until it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def choose_engine(workers: int | None, *, ray: bool) -> Engine:
    """Chooses Ray, which is imported only here, or the processes of this machine.

    Raises:
        ImportError: Ray is requested but not installed.
    """
    if ray:
        from app.bulk.ray_data import answer_on_ray  # noqa: PLC0415  an extra

        return partial(answer_on_ray, workers=workers)
    return partial(answer_in_processes, workers=workers)


def predict_with_progress(  # noqa: PLR0913  each argument is an option
    source: str, output: Path, settings: Settings, engine: Engine, *, restart: bool, numbers: bool = False
) -> None:
    """Reads every picture of the source into the output. Progress and a summary go to standard error.

    Raises:
        BulkError, StartupError, OSError: as app.bulk.run.open_run.
    """
    console, started = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True), monotonic()
    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        with open_run(source, output, settings, restart=restart, numbers=numbers) as run:
            before, rows = run.done, run.source.rows
            bar.update(task, completed=before, total=rows)
            engine(run.task, run.remaining(), lambda: bar.update(task, completed=run.done))
            errors = run.finish()
    seconds = monotonic() - started
    earlier = f", {before:,} of them in an earlier run" if before else ""
    rate = f"{(rows - before) / seconds:,.0f} a second"
    pictures = "picture" if rows == 1 else "pictures"
    console.print(f"{rows:,} {pictures}{earlier}, {errors:,} without an answer, {rate}: {output}")
