"""A file of UCI's public archive of data sets: fetched, and unpacked."""

import zipfile
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from io import BytesIO
from urllib.request import urlopen

from unlzw3 import unlzw

from training.errors import DataError

LIMIT = 8 * 2**20  # bytes; what is fetched here has some two millions
TIMEOUT = 30  # seconds without an answer


def fetch(urls: Sequence[str], name: str) -> bytes:
    """The content of ``name``, a .Z file of compress, unpacked, from the first url that has it, bare or in a zip.

    Raises:
        DataError: none has it; the message names each url and what was wrong with it.
    """
    failures = []
    for url in urls:
        try:
            return _unpack(_download(url), name)
        except (OSError, HTTPException, zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
    raise DataError("\n".join(failures))


def _download(url: str) -> bytes:
    with urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the urls are constants
        data: bytes = answer.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise ValueError(f"more than {LIMIT:,} bytes")
    return data


def _unpack(data: bytes, name: str) -> bytes:
    if zipfile.is_zipfile(BytesIO(data)):
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if archive.getinfo(name).file_size > LIMIT:
                raise ValueError(f"{name} has more than {LIMIT:,} bytes")
            data = archive.read(name)
    unpacked: bytes = unlzw(data)
    return unpacked
