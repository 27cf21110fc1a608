"""Fetches and unpacks a file of UCI's public archive of data sets."""

import zipfile
import zlib
from collections.abc import Sequence
from http.client import HTTPException
from io import BytesIO
from urllib.request import urlopen

from unlzw3 import unlzw

from training.errors import DataError

LIMIT = 8 * 2**20  # bytes; the files fetched here have about two million
TIMEOUT = 30  # seconds without an answer


def fetch(urls: Sequence[str], name: str) -> bytes:
    """Fetches ``name``, a .Z file of compress, from the first URL that has it, bare or in a zip, and unpacks it.

    Raises:
        DataError: no URL has it; the message names each URL and its error.
    """
    failures = []
    for url in urls:
        try:
            return _unpack(_download(url), name)
        except (OSError, HTTPException, zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
    raise DataError("\n".join(failures))


def _download(url: str) -> bytes:
    with urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - the URLs are constants
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
