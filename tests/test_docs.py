"""Every command in the README and the tutorial works, in its order; what was moved from the README is tested where it is."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from math import ceil
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from app.cli.app import cli
from app.evaluation.labels import read_labels
from app.settings import MIB, Settings
from app.web.endpoints import TABLE
from tests.servers import serving
from tests.training.commands import training
from tests.versions import SHIPPED

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ADDRESS = "127.0.0.1:8000"
TRAINING = "python -m training "
MOST_BYTES, MOST_PICTURE_BYTES = 8_000, 600_000  # of the README and of its moving picture


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[str]:
    return [
        line.removeprefix("$ ") for block in blocks(path, "console") for line in block.splitlines() if line.startswith("$ ")
    ]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the service really listens, for commands that call it."""
    with serving(Settings(model_version=SHIPPED, cors_origins=["https://draw.example"])) as port:
        yield f"127.0.0.1:{port}"


def run(command: str, folder: Path, address: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = shlex.split(command.replace(ADDRESS, address))
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_the_tutorials_commands_work_in_their_order(
    mnist_dir: Path, excerpt: tuple[np.ndarray, np.ndarray], tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a few digits; ``make`` says what it would do, and the service already runs, at another port."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMERAL_DATA_DIR", str(mnist_dir))
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    (tmp_path / "pictures").mkdir()  # the reader's own
    Image.fromarray(excerpt[0][0]).save(tmp_path / "pictures" / "one.png")
    (tmp_path / "pictures" / "labels.csv").write_text(f"path,label\none.png,{excerpt[1][0]}\n", encoding="utf-8")
    outputs = {step: follow(step, tmp_path, address) for step in steps(ROOT / "docs" / "tutorial.md")}

    assert len(outputs) >= 14
    assert all(
        '"digit":7' in text.replace(" ", "") for step, text in outputs.items() if re.match("(curl|numeral p).*seven", step)
    )
    assert outputs["numeral explain docs/examples/seven.jpg --output steps.png"].startswith("7, ")
    assert "agrees with torch" in outputs["python -m training export --run runs/cnn-0"]
    assert (tmp_path / "steps.png").is_file()
    assert '"mistakes": []' in outputs["numeral evaluate pictures"]


def steps(path: Path) -> Iterator[str]:
    """A document's commands and pieces of Python, in their order."""
    for language, block in re.findall(
        r"^```(console|python)\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        yield from [block] if language == "python" else re.findall(r"^\$ (.*)", block, re.MULTILINE)


def follow(step: str, folder: Path, address: str) -> str:
    """Does what a tutorial says, in this process where that spares time; gives what was printed."""
    if step.startswith("make "):
        subprocess.run(["make", "--dry-run", *step.split()[1:]], cwd=ROOT, check=True, capture_output=True)
        return ""
    if step in ("source .venv/bin/activate", "numeral serve"):
        return ""
    if step.startswith(TRAINING):
        smoke = " --smoke" if step.split()[3] in ("data", "train") else ""
        return training(*shlex.split(step.removeprefix(TRAINING) + smoke)).stdout
    if step.startswith("numeral "):
        done = CliRunner().invoke(cli, shlex.split(step)[1:])
        assert done.exit_code == 0, done.output
        return done.stdout
    if step.startswith("import "):
        with redirect_stdout(StringIO()) as out:
            exec(step, {})
        return out.getvalue()
    return run(step, folder, address)


def test_the_readmes_calls_are_answered(address: str, tmp_path: Path) -> None:
    first, *others = commands(ROOT / "README.md")
    (tmp_path / "docs").symlink_to(ROOT / "docs")

    answers = [run(command, tmp_path, address) for command in others]

    assert first == "make serve"
    assert len(answers) >= 1
    assert '"digit":7' in answers[0]


def test_the_documented_python_works(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "httpx", httpx2)
    monkeypatch.chdir(ROOT)

    for path in ("docs/http.md", "docs/architecture.md", "docs/numbers.md"):
        for code in blocks(ROOT / path, "python"):
            exec(code.replace(ADDRESS, address), {})
            assert "7" in capsys.readouterr().out


def test_the_readme_stays_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= MOST_BYTES
    assert (ROOT / "docs" / "images" / "demo.webp").stat().st_size <= MOST_PICTURE_BYTES


def test_the_readmes_answer_is_the_answer(client: TestClient) -> None:
    (shown,) = blocks(ROOT / "README.md", "json")
    expected = json.loads(shown)

    answer = client.post("/predict", content=(ROOT / "docs/examples/seven.jpg").read_bytes()).json()

    assert answer.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-3)  # decoders and kernels round
    assert answer.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-3)
    assert answer == expected


def test_the_documented_labels_are_read(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(ROOT / "docs" / "accuracy.md", r"\w+") if block.startswith("path,label"))
    (tmp_path / "labels.csv").write_text(shown, encoding="utf-8")

    rows = read_labels(tmp_path)

    assert [row.digit for row in rows] == [7, 4, 3, None, None]
    assert [row.ambiguous for row in rows] == [False, True, False, False, False]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in targets
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_tests_that_are_named_exist(path: Path) -> None:
    defined = {
        name
        for module in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", module.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert set(re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8"))) - defined == set()


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/reliability.md"])
def test_each_row_of_what_is_promised_names_a_test(name: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    promises = [row for table in tables if "tested by" in table.partition("\n")[0] for row in table.splitlines()[2:]]

    assert len(promises) > 5
    assert [row for row in promises if "`test_" not in row.rsplit("|", 2)[1]] == []


def test_no_proxy_keeps_a_connection_that_the_service_has_closed_by_the_settings_that_the_docs_name() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    kept = dict(re.findall(r"^\| ([^|]+) \| (\d+) s \|", text, re.MULTILINE))
    told = re.findall(r"It uses an idle connection for up to (\d+) seconds: set `NUMERAL_KEEP_ALIVE_SECONDS=(\d+)`", text)

    assert set(kept) == {"nginx", "ingress-nginx", "AWS Application Load Balancer", "Cloudflare"}
    assert {name for name, seconds in kept.items() if int(seconds) >= Settings().keep_alive_seconds} == {"Cloudflare"}
    assert [(kept["Cloudflare"], int(seconds) > int(kept["Cloudflare"])) for _, seconds in told] == [(told[0][0], True)]


def test_the_docs_name_the_largest_bodies_for_proxies() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    form = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
    most = {path: TABLE.find(path).limit(form, Settings()) for path in ("/predict", "/predict/batch")}
    most["/predict/canvas"] = TABLE.find("/predict/canvas").limit({"type": "http", "headers": []}, Settings())

    named = dict(re.findall(r"(\d+)(?: MiB)? for\s+`(/predict[a-z/]*)`", text))
    assert {path: int(size) for size, path in named.items()} == {path: ceil(size / MIB) for path, size in most.items()}


def test_the_tree_of_folders_names_what_is_there() -> None:
    (tree,) = blocks(ROOT / "CONTRIBUTING.md", "text")
    named = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    folders = {path.parts[0] for path in map(Path, tracked()) if len(path.parts) > 1 and not path.parts[0].startswith(".")}

    assert folders <= named
    assert all((ROOT / name).exists() for name in named)


def test_the_architecture_names_each_room_and_the_rows_that_are_kept() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {
        f"{path.parent.relative_to(ROOT)}/"
        for package in ("app", "training")
        for path in ROOT.glob(f"{package}/**/__init__.py")
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    rows = [row for contract in contracts for row in contract.get("layers", ())]

    assert {room for room in rooms - {"app/", "training/"} if f"`{room}`" not in text} == set()
    assert len(rows) > 10
    assert [row for row in rows if row not in text] == []


def tracked() -> list[str]:
    """The repository's files; those of the working tree where this is not a clone."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    found = done.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.glob("*/*")]
    return [name for name in found if (ROOT / name).exists()]


def test_every_test_that_a_document_names_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", document.read_text(encoding="utf-8"))}

    assert len(named) > 9
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
