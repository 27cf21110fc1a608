"""onnxruntime-web, which lets the page read in the browser: fetched from npm once, checked, and served from here.

``python -m app.web.page.onnxruntime_web`` fetches it; npm and the standard library are all that it needs.
"""

import base64
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

VERSION = "1.30.0"
FOLDER = Path(__file__).parent / "static" / "onnxruntime-web"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
TIMEOUT = 900  # seconds for a package, through a slow line


@dataclass(frozen=True)
class NpmPackage:
    """A release on npm: integrity is the sha512 of its archive in base64, as npm publishes it; members are paths in it."""

    name: str
    version: str
    integrity: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


RUNTIME = NpmPackage(
    "onnxruntime-web",
    VERSION,
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    (f"dist/{MODULE}", f"dist/{WASM}"),
)


def is_complete() -> bool:
    """Whether the runtime was fetched."""
    return all((FOLDER / f"{name}.gz").is_file() for name in (MODULE, WASM))


def fetch(package: NpmPackage, npm: str = "npm") -> dict[str, bytes]:
    """The members of a release, by file name. npm, its client, fetches it from the registry that it is configured for.

    Raises:
        OSError: npm is not installed, or cannot fetch it; why, npm has said on standard error.
        ValueError: what came is not what was pinned.
    """
    with TemporaryDirectory() as folder:
        command = [npm, "pack", "--loglevel", "error", "--pack-destination", folder, str(package)]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT)  # noqa: S603  what is pinned
        except (OSError, subprocess.SubprocessError) as error:
            raise OSError(f"npm, which comes with Node.js, could not fetch {package}: {error}") from error
        return unpack(package, (Path(folder) / f"{package.name}-{package.version}.tgz").read_bytes())


def unpack(package: NpmPackage, archive: bytes) -> dict[str, bytes]:
    """The members of a release's archive, by file name.

    Raises:
        ValueError: the archive is not the one that was pinned.
    """
    if base64.b64encode(hashlib.sha512(archive).digest()).decode("ascii") != package.integrity:
        raise ValueError(f"What npm fetched is not the pinned {package}: its sha512 differs.")
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
