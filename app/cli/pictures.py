"""The pictures that a command's arguments name: files, folders, patterns and standard input."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from app.bulk.find_files import MAGIC, find_files
from app.errors import BulkError, InternalError, UnreadableFile, to_request_error

logger = logging.getLogger(__name__)

STDIN = "-"


def expand(names: Iterable[str]) -> list[str]:
    """The files of each folder or pattern, which not every shell expands, in order of their names; other names unchanged."""
    return [file for name in names for file in _expand(name)]


def _expand(name: str) -> list[str]:
    path = Path(name)
    if name == STDIN or path.is_file() or not (path.is_dir() or MAGIC.search(name)):
        return [name]
    try:
        return sorted(map(str, find_files(name))) or [name]
    except (BulkError, OSError):
        return [name]  # reading it tells what is wrong


def read_expanded(name: str) -> bytes:
    """The bytes of a file, or of standard input. name: one of those that expand returns.

    Raises:
        UnreadableFile: it is a folder or a pattern without any file.
        OSError: the file cannot be read.
    """
    if name != STDIN and Path(name).is_dir():
        raise UnreadableFile("The folder has no file that can be read.")
    if MAGIC.search(name) and not Path(name).exists():
        raise UnreadableFile("No file has this name, and none fits it as a pattern.")
    return read_file(name)


def read_file(name: str) -> bytes:
    """The bytes of a file, or of standard input.

    Raises:
        OSError: the file cannot be read.
    """
    return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()


def to_refusal(name: str, error: Exception) -> dict[str, str]:
    """The path of a picture that could not be read, with the code and detail of its error. A fault of ours is logged."""
    known = to_request_error(error, of_file=True)
    if isinstance(known, InternalError):
        logger.error("%s could not be read", name, exc_info=error)
    return {"path": name, "code": known.code, "detail": known.detail}
