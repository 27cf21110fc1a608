"""The pictures that a command's arguments name: files, folders, patterns and standard input."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from app.bulk.find_files import MAGIC, find_files
from app.errors import BulkError, UnreadableFile, known_error
from app.reading.decode.limits import Limits, read_bytes, read_stream

logger = logging.getLogger(__name__)

STDIN = "-"
NO_FILE = "The folder has no file that can be read."
NO_MATCH = "No file has this name, and none fits it as a pattern."


def expand(names: Iterable[str]) -> list[str]:
    """The files of each folder or pattern, which not every shell expands, in order of their names; other names unchanged.

    Folders that may not be listed are among them: reading them tells so.
    """
    return [file for name in names for file in _expand(name)]


def _expand(name: str) -> list[str]:
    path, locked = Path(name), set[Path]()
    try:
        if name in ("", STDIN) or path.is_file() or not (path.is_dir() or MAGIC.search(name)):
            return [name]
        files = list(find_files(name, locked.add))
    except (BulkError, OSError):
        return [name]  # reading it tells what is wrong
    return sorted(map(str, (*files, *locked))) or [name]


def read_expanded(name: str, limits: Limits) -> bytes:
    """The bytes of a file, or of standard input. name: one of those that expand returns.

    Raises:
        UnreadableFile: it is a folder or a pattern without any file, or a wrong pattern.
        UploadTooLarge: there are more bytes than the limits allow.
        OSError: the file or the folder cannot be read.
    """
    path = Path(name)
    if name not in ("", STDIN) and (path.is_dir() or (MAGIC.search(name) and not path.exists())):
        raise _no_file(name)
    return read_file(name, limits)


def _no_file(name: str) -> UnreadableFile:
    """Why a folder or a pattern stands for no file.

    Raises:
        OSError: the folder, or one in it, cannot be listed.
    """
    try:
        list(find_files(name))
    except BulkError as error:
        return UnreadableFile(str(error))
    except (FileNotFoundError, NotADirectoryError):
        return UnreadableFile(NO_MATCH)
    return UnreadableFile(NO_FILE if Path(name).is_dir() else NO_MATCH)


def read_file(name: str, limits: Limits) -> bytes:
    """The bytes of a file, or of standard input.

    Raises:
        UnreadableFile: the name is empty.
        UploadTooLarge: there are more bytes than the limits allow.
        OSError: the file cannot be read.
    """
    if not name:
        raise UnreadableFile("The name of the picture is empty.")
    return read_stream(sys.stdin.buffer, limits) if name == STDIN else read_bytes(Path(name), limits)


def to_refusal(name: str, error: Exception) -> dict[str, str]:
    """The path of a picture that could not be read, with the code and detail of its error. A fault of ours is logged."""
    known = known_error(error, name, logger)
    return {"path": name, "code": known.code, "detail": known.detail}
