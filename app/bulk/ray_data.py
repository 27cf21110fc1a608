"""Answers the pieces of a bulk run with Ray Data, on all machines of a cluster that share the input and output folders."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import ray
import ray.data

from app.bulk.parquet_rows import Group, Piece
from app.bulk.run import Task
from app.runtime.loading import open_reader


class Answerer:
    """Ray's worker: the model is loaded once, then come pieces. A process of its own decodes: Ray would repeat what dies."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._open = ExitStack()
        self._reader = self._open.enter_context(open_reader(task.settings))

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Answers each piece of the batch and yields its number of rows."""
        for row in batch.to_pylist():
            piece = Piece(Group(**row["group"]), row["first"], row["rows"])
            self._task.answer(self._reader, piece)
            yield pa.table({"rows": [piece.rows]})


def _connect() -> None:
    """Joins the cluster, or starts one. The run shows the progress, so Ray does not."""
    local = {} if "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
    ray.init(ignore_reinit_error=True, log_to_driver=False, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False


def answer_on_ray(task: Task, pieces: Sequence[Piece], tick: Callable[[], None], workers: int | None = None) -> None:
    """Answers every piece in Ray's workers, by default one per CPU of the cluster. tick: called now and then, for progress.

    The cluster is the one at RAY_ADDRESS, or one that is started on this machine. If a machine is lost, another one answers
    the rows that it had not committed.
    """
    _connect()
    most = workers or max(1, int(ray.cluster_resources()["CPU"]))
    options: dict[str, Any] = {"num_gpus": 1} if task.settings.provider == "cuda" else {"num_cpus": 1}
    rows = [{"group": vars(piece.group), "first": piece.first, "rows": piece.rows} for piece in pieces]
    answered = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Answerer,
        fn_constructor_args=(task,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        **options,
    )
    for _ in answered.iter_batches(batch_size=None, prefetch_batches=0):
        tick()
    tick()
