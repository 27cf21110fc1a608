"""onnxruntime-web, which lets the page read in the browser: fetched from npm once, checked, and served from here.

``python -m app.web.page.onnxruntime_web`` fetches it; only the standard library is needed.
"""

import base64
import gzip
import hashlib
import io
import sys
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.30.0"
FOLDER = Path(__file__).parent / "static" / "onnxruntime-web"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class NpmPackage:
    """A release on npm: integrity is the sha512 of its archive in base64, as npm publishes it; members are paths in it."""

    name: str
    version: str
    integrity: str
    members: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where the archive lies."""
        return f"https://registry.npmjs.org/{self.name}/-/{self.name}-{self.version}.tgz"


RUNTIME = NpmPackage(
    "onnxruntime-web",
    VERSION,
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    (f"dist/{MODULE}", f"dist/{WASM}"),
)


def is_complete() -> bool:
    """Whether the runtime was fetched."""
    return all((FOLDER / f"{name}.gz").is_file() for name in (MODULE, WASM))


def fetch(package: NpmPackage) -> dict[str, bytes]:
    """The members of a release, by file name.

    Raises:
        OSError: it cannot be fetched.
        ValueError: what came is not what was pinned.
    """
    with urllib.request.urlopen(package.url, timeout=TIMEOUT) as response:  # noqa: S310  the address is ours
        return unpack(package, response.read())


def unpack(package: NpmPackage, archive: bytes) -> dict[str, bytes]:
    """The members of a release's archive, by file name.

    Raises:
        ValueError: the archive is not the one that was pinned.
    """
    if base64.b64encode(hashlib.sha512(archive).digest()).decode("ascii") != package.integrity:
        raise ValueError(f"What came from {package.url} is not the pinned release: its sha512 differs.")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {Path(name).name: tar.extractfile(f"package/{name}") for name in package.members}
        return {name: file.read() for name, file in files.items() if file}


def install(files: dict[str, bytes]) -> None:
    """Writes the files gzipped, which is how they are served: 14 MB of WebAssembly become 4."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        part = FOLDER / f"{name}.part"
        part.write_bytes(gzip.compress(data, mtime=0))
        part.rename(FOLDER / f"{name}.gz")


def main() -> None:
    """Fetches the runtime unless it is there."""
    if is_complete():
        return
    try:
        install(fetch(RUNTIME))
    except (OSError, ValueError) as error:
        sys.exit(f"onnxruntime-web cannot be fetched: {error}")


if __name__ == "__main__":
    main()
