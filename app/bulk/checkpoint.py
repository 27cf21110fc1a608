"""Stores the answers of a bulk run on disk, in parts: one Parquet file for every few hundred rows, complete or absent.

The names of the parts say which rows are done. A run keeps no other state: the rows that remain are the gaps between parts.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.errors import BulkError

OUTPUT_GROUP = 16_384  # rows of a row group of the output
_NAME = re.compile(r"part-(\d+)-(\d+)\.parquet")
_REFUSED = re.compile(r"refused-(\d+)-([a-z-]+)")


@dataclass(frozen=True, order=True)
class Part:
    """The answers to rows first … first + rows - 1 of the input."""

    first: int
    rows: int

    @property
    def name(self) -> str:
        """The file name; names sort in the order of the rows."""
        return f"part-{self.first:012d}-{self.rows}.parquet"


def commit(answers: pa.Table, first: int, folder: Path) -> None:
    """Writes a part. It gets its name once it is complete and on disk, so a kill leaves a whole part or none."""
    path = folder / Part(first, answers.num_rows).name
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        pq.write_table(answers, draft, compression="zstd")
        publish(draft, path)
    except OSError:  # as where the disk is full: half a part would only keep it so
        draft.unlink(missing_ok=True)
        raise


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or this user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


def full_disk(folder: Path) -> BulkError:
    """The error of a run that finds no room."""
    return BulkError(f"The disk that holds {folder} is full; make room, and the same command goes on from there.")


def publish(draft: Path, path: Path) -> None:
    """Gives a finished file its name, once its content is on disk."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def refuse(row: int, code: str, folder: Path) -> None:
    """Notes that the picture of this row is not to be read again, and the code of the reason."""
    (folder / f"refused-{row:012d}-{code}").touch()


def list_refused(folder: Path) -> dict[int, str]:
    """The rows whose pictures are not to be read, and the codes of the reasons."""
    matches = (_REFUSED.fullmatch(entry.name) for entry in os.scandir(folder))
    return {int(match[1]): match[2] for match in matches if match}


def list_parts(folder: Path) -> list[Part]:
    """The finished parts, in the order of the rows."""
    matches = (_NAME.fullmatch(entry.name) for entry in os.scandir(folder))
    return sorted(Part(int(match[1]), int(match[2])) for match in matches if match)


def count_rows(folder: Path) -> int:
    """How many rows are done."""
    return sum(part.rows for part in list_parts(folder))


def gaps(parts: Sequence[Part], rows: int) -> Iterator[range]:
    """The ranges of rows 0 … rows - 1 that no part holds. parts: in the order of the rows."""
    place = 0
    for part in parts:
        if part.first > place:
            yield range(place, part.first)
        place = max(place, part.first + part.rows)
    if place < rows:
        yield range(place, rows)


def merge(folder: Path, output: Path, rows: int, schema: pa.Schema) -> int:
    """Joins the parts into one file, in the order of the rows, and returns the number of rows that are errors.

    Raises:
        BulkError: a row is missing.
    """
    draft, errors, place = folder / "merged.tmp", 0, 0
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for table in _in_groups(folder, schema):
            writer.write_table(table, row_group_size=OUTPUT_GROUP)
            errors += pc.sum(pc.is_valid(table["code"])).as_py()
            place += table.num_rows
    if place != rows:
        raise BulkError(f"The parts hold {place:,} rows, but the input has {rows:,}.")
    publish(draft, output)
    return errors


def _in_groups(folder: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yields each row of the parts once, in tables of about OUTPUT_GROUP rows."""
    place, tables = 0, []
    for part in list_parts(folder):
        if part.first > place:
            raise BulkError(f"No part holds row {place:,}.")
        fresh = pq.read_table(folder / part.name, schema=schema, use_threads=False).slice(place - part.first)
        place += fresh.num_rows
        tables.append(fresh)
        if sum(table.num_rows for table in tables) >= OUTPUT_GROUP:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)
