"""Reads Parquet files with one row per picture: as ranges of rows to distribute, and as rows, a few hundred at a time."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import BulkError
from app.settings import MIB

CHUNK_ROWS = 256  # read, answered and committed together
CHUNK_BYTES = 32 * MIB  # a chunk has fewer rows if the file's rows are so large, on average, that it would exceed this
PIECE_ROWS = 512  # least rows that one process takes at once
MOST_PIECES = 64  # per row group, because a process reads the group from its start up to the piece
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)  # what pyarrow raises for a damaged file, without its name
BUFFER = MIB  # bytes of a column to read at once; without it, pyarrow loads a whole row group


@dataclass(frozen=True)
class Group:
    """A row group of a file. first: the number of its first row, counted over all files."""

    file: str
    number: int
    first: int
    rows: int


@dataclass(frozen=True)
class Piece:
    """Rows of one group, numbered over all files."""

    group: Group
    first: int
    rows: int


@dataclass(frozen=True)
class Chunk:
    """Rows to answer together. Each has the bytes of a picture or its path.

    ids: in the file's own type, or the numbers of the rows if the file has no ids.
    """

    first: int
    ids: pa.Array
    images: Sequence[bytes | None]
    paths: Sequence[str | None]


@dataclass(frozen=True)
class Source:
    """All row groups of the files, and the type of their ids."""

    groups: tuple[Group, ...]
    id_type: pa.DataType

    @property
    def rows(self) -> int:
        """The number of pictures."""
        return sum(group.rows for group in self.groups)

    def pieces(self, wanted: Iterable[range]) -> Iterator[Piece]:
        """Yields the wanted rows in pieces. Each piece is read by one process."""
        for some in wanted:
            for group in self.groups:
                first, end = max(some.start, group.first), min(some.stop, group.first + group.rows)
                step = max(PIECE_ROWS, ceil(group.rows / MOST_PIECES))
                for place in range(first, end, step):
                    yield Piece(group, place, min(step, end - place))


def open_source(files: Iterable[Path]) -> Source:
    """Reads the footers of Parquet files.

    Raises:
        BulkError: a file is not a Parquet file or is damaged, has unsuitable columns, or has ids of another type than the
            other files.
    """
    groups: list[Group] = []
    id_types: set[pa.DataType] = set()
    first = 0
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                id_types.add(_check_columns(path, file.schema_arrow))
                sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        except pa.ArrowInvalid as error:
            raise BulkError(f"{path} is not a Parquet file: {error}") from error
        except UNREADABLE as error:  # of a damaged footer
            raise BulkError(f"{path} cannot be read: {_first_line(error)}.") from error
        for number, rows in enumerate(sizes):
            groups.append(Group(str(path), number, first, rows))
            first += rows
    if len(id_types) > 1:
        raise BulkError(f"The ids of the files have different types: {', '.join(sorted(map(str, id_types)))}. Use one type.")
    return Source(tuple(groups), id_types.pop() if id_types else pa.int64())


def _check_columns(path: Path, schema: pa.Schema) -> pa.DataType:
    """Checks the columns and returns the type of the ids."""
    types = {field.name: field.type for field in schema}
    if not types.keys() & {"image", "path"}:
        raise BulkError(f"{path} has neither a column `image`, with the bytes of pictures, nor a column `path`.")
    if "image" in types and not _is_bytes(_image_type(types["image"])):
        raise BulkError(f"{path}: the column `image` has the type {types['image']}; it must be bytes or a struct with `bytes`.")
    if "path" in types and not (_is_bytes(types["path"]) or _is_text(types["path"])):
        raise BulkError(f"{path}: the column `path` has the type {types['path']}; it must be text.")
    return types.get("id", pa.int64())


def _image_type(column: pa.DataType) -> pa.DataType:
    """The type of the pictures' bytes. Hugging Face stores them in a struct together with the path."""
    names = [field.name for field in column] if pa.types.is_struct(column) else []
    return column.field("bytes").type if "bytes" in names else column


def _is_bytes(column: pa.DataType) -> bool:
    return column in (pa.binary(), pa.large_binary())


def _is_text(column: pa.DataType) -> bool:
    return column in (pa.string(), pa.large_string())


def read_chunks(piece: Piece) -> Iterator[Chunk]:
    """Streams the rows of a piece, chunk by chunk.

    Raises:
        BulkError: the rows are damaged, or the file cannot be read.
    """
    group = piece.group
    try:
        yield from _read_chunks(piece)
    except UNREADABLE as error:
        told = f"Row group {group.number} of {group.file} cannot be read: {_first_line(error)}"
        raise BulkError(f"{told}. If the file is damaged, write it anew and start again with --restart.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _read_chunks(piece: Piece) -> Iterator[Chunk]:
    group = piece.group
    with pq.ParquetFile(group.file, buffer_size=BUFFER, pre_buffer=False) as file:
        columns = [name for name in ("id", "image", "path") if name in file.schema_arrow.names]
        bytes_a_row = max(1, file.metadata.row_group(group.number).total_byte_size // max(1, group.rows))
        size = min(CHUNK_ROWS, max(1, CHUNK_BYTES // bytes_a_row))
        place, end = group.first, piece.first + piece.rows
        for batch in file.iter_batches(size, row_groups=[group.number], columns=columns, use_threads=False):
            start, stop = max(place, piece.first), min(place + batch.num_rows, end)
            if start < stop:
                yield _to_chunk(batch.slice(start - place, stop - start), start)
            place += batch.num_rows
            if place >= end:
                return


def _to_chunk(batch: pa.RecordBatch, first: int) -> Chunk:
    names, nothing = batch.schema.names, [None] * batch.num_rows
    ids = batch["id"] if "id" in names else pa.array(range(first, first + batch.num_rows), pa.int64())
    images = batch["image"].to_pylist() if "image" in names else nothing
    paths = batch["path"].to_pylist() if "path" in names else nothing
    return Chunk(first, ids, [_to_bytes(image) for image in images], [path and os.fsdecode(path) for path in paths])


def _to_bytes(image: Any) -> bytes | None:
    data: bytes | None = image.get("bytes") if isinstance(image, dict) else image
    return data
