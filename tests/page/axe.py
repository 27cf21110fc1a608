"""axe-core, which judges the accessibility of the page. ``python -m tests.page.axe`` fetches it once."""

import sys
from pathlib import Path

from app.web.page.onnxruntime_web import NpmPackage, fetch

FILE = Path(__file__).parent / "axe.min.js"
AXE = NpmPackage(
    "axe-core",
    "4.14.1",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    ("axe.min.js",),
)


def main() -> None:
    """Fetches it unless it is there."""
    if not FILE.is_file():
        try:
            FILE.write_bytes(fetch(AXE)[FILE.name])
        except (OSError, ValueError) as error:
            sys.exit(f"axe-core cannot be fetched: {error}")


if __name__ == "__main__":
    main()
