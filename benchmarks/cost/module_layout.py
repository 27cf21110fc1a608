"""Measures the layout of app/: ``python -m benchmarks.cost.module_layout [CHECKOUT]``, also for another checkout.

Prints the number of import levels, the files that one canvas request runs through and how often it changes file, and the CPU
time and memory of the import that a bulk worker needs.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

HERE = Path(__file__).parents[2]
TURNS = 5  # processes that import, of which the median counts

CANVAS = """
import base64, io, json, sys, threading
from PIL import Image, ImageDraw

entered, on = [], False

def follow(frame, event, _):
    name = frame.f_code.co_filename.partition("/app/")[2]
    if on and event == "call" and name and "site-packages" not in frame.f_code.co_filename:
        if not entered or entered[-1] != name:
            entered.append(name)

threading.setprofile(follow)  # the event loop's thread and the workers', which start below
from fastapi.testclient import TestClient
from app.main import create_app

image = Image.new("RGB", (280, 280), "white")
ImageDraw.Draw(image).line([(140, 50), (140, 230)], fill="black", width=18)
file = io.BytesIO()
image.save(file, "PNG")
body = json.dumps({"image": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()})
with TestClient(create_app()) as client:
    assert client.post("/predict/canvas", content=body).status_code == 200
    on = True
    client.post("/predict/canvas", content=body)
    on = False
print(len(set(entered)), len(entered) - 1)
"""

IMPORT = """
import resource, time
began = time.process_time()
{imports}
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main(checkout: Annotated[Path, typer.Argument(help="A checkout of the project.")] = HERE) -> None:
    """Prints the figures of a checkout."""
    console = Console(highlight=False, soft_wrap=True)
    levels = import_levels(checkout)
    console.print(f"modules {len(levels)}, levels of imports {max(levels.values())}")
    console.print(f"levels of rooms: {max(room_levels(checkout).values())}")
    files, changes = _run(checkout, CANVAS).split()
    console.print(f"a canvas request runs through {files} files of app/ and changes file {changes} times")
    imports = "import app.bulk.processes" if (checkout / "app" / "bulk").is_dir() else "import app.processes"
    seconds, kilobytes = import_cost(checkout, imports)
    console.print(f"a bulk worker's import: {seconds:.2f} s of CPU, {kilobytes / 1024:.0f} MiB")


def import_levels(checkout: Path) -> dict[str, int]:
    """The level of each module of app/: 1 for one that imports no other, else one more than the highest that it imports."""
    return _levels(_graph(checkout))


def room_levels(checkout: Path) -> dict[str, int]:
    """The same of rooms: what lies in app/ itself, be it a module or a package."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for name, imported in _graph(checkout).items():
        rooms[_room(name)] |= {_room(each) for each in imported} - {_room(name)}
    return _levels(rooms)


def _graph(checkout: Path) -> dict[str, set[str]]:
    """What each module of app/ imports of app/."""
    modules = {_name(path.relative_to(checkout)): path for path in (checkout / "app").rglob("*.py")}
    return {name: _imports(path, modules) - {name, "app"} for name, path in modules.items()}


def _levels(imported: Mapping[str, set[str]]) -> dict[str, int]:
    @cache
    def level(name: str) -> int:
        return 1 + max(map(level, imported[name]), default=0)

    return {name: level(name) for name in imported}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def import_cost(checkout: Path, imports: str) -> tuple[float, int]:
    """Median CPU seconds and peak memory in KiB of a process that does nothing but import."""
    runs = sorted(_run(checkout, IMPORT.format(imports=imports)).split() for _ in range(TURNS))
    seconds, kilobytes = runs[TURNS // 2]
    return float(seconds), int(kilobytes)


def _run(checkout: Path, program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout  # noqa: S603  ours


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that a module imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules.keys()


if __name__ == "__main__":
    typer.run(main)
