"""Files that are whole or not there: written beside, then renamed."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file beside path, forces it to disk, and renames it to path.

    On any error, a full disk included, path stays what it was and nothing is left beside it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    beside = Path(name)
    try:
        write(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes whole or not at all."""
    write_with(path, lambda beside: beside.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes indented JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")
