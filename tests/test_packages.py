"""What is built and installed: the wheel has the model and serves anywhere, under a name of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMAGE_HAS = ("app", "pyproject.toml", "LICENSE", "README.md")  # next to the Dockerfile's build of the wheel

NAMES_THE_VERSION = {
    "clients/python/pyproject.toml": r'^version = "(.*)"',
    "clients/typescript/package.json": r'^  "version": "(.*)"',
    "deploy/kubernetes/cpu/kustomization.yaml": r"numeral:(\d[\d.]*)-cpu",
    "docs/deployment.md": r"(?:numeral:|VERSION=)(\d[\d.]*\d)",
    "docs/openapi.json": r'^  "version": "(.*)"',
}


def build(root: Path, folder: Path) -> Path:
    """The wheel of a source tree, built offline."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; `make test` installs it")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what the wheel has, and nothing of the clone."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_has_every_file_of_the_model_store(wheel: Path) -> None:
    store = {f"app/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "model_store").rglob("*") if path.is_file()}

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert "app/web/page/static/index.html" in names
    assert len(store) > 5
    assert store <= names
    assert not {name.partition("/")[0] for name in names} - {
        "app",
        "training",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def test_the_installed_wheel_reads_far_from_the_clone(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "examples" / "seven.jpg", tmp_path)
    program = (
        "import app.settings; from app.cli.app import main\n"
        "print(app.settings.Settings().model_store); main(['predict', 'seven.jpg'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    store, answer = done.stdout.splitlines()
    assert store == str(installed / "app" / "model_store")
    assert json.loads(answer)["digit"] == 7


def test_the_image_builds_its_wheel_without_the_store_which_is_a_layer_of_its_own(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in IMAGE_HAS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)

    with zipfile.ZipFile(build(tree, tmp_path)) as archive:
        names = archive.namelist()

    assert "app/main.py" in names
    assert not [name for name in names if "model_store" in name]


def test_the_distribution_has_a_name_and_a_version_of_its_own(wheel: Path) -> None:
    from app import __version__  # noqa: PLC0415

    assert wheel.name == f"numeral_digits-{__version__}-py3-none-any.whl"


def test_all_that_names_the_version_names_the_same() -> None:
    from app import __version__  # noqa: PLC0415

    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES_THE_VERSION}
    named = {name: set(re.findall(pattern, texts[name], re.MULTILINE)) for name, pattern in NAMES_THE_VERSION.items()}
    wheels = {
        match
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        for match in re.findall(r"numeral_digits-([\d.]+)-py3", path.read_text(encoding="utf-8"))
    }

    assert named == {name: {__version__} for name in NAMES_THE_VERSION}
    assert wheels <= {__version__}
    assert re.findall(r"^## (\d[\d.]*) ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0] == __version__


def test_nothing_tells_anybody_to_install_a_package_of_somebody_else() -> None:
    """Neither `numeral`, which is another's on PyPI, nor a name of ours, which is not there."""
    told = re.compile(
        r"(?:pipx?|uv|npm|yarn|pnpm)\s+(?:pip\s+|tool\s+)?(?:install|add|i)\b[^\n`]*?['\" ](numeral[\w-]*)(?=[\[\s'\"`=@]|$)|install(?:ing)?\s+numeral\["
    )
    passed_over = {"data", "runs", ".git", *(path.name for path in ROOT.glob(".venv*"))}  # many thousand files each
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in passed_over]
    suffixes = {".py", ".md", ".toml", ".js", ".ts", ".html"}
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    files += [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "Makefile", ROOT / "Dockerfile"]

    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if "node_modules" not in path.parts and path != Path(__file__)
        for match in told.finditer(path.read_text(encoding="utf-8"))
    ]

    assert found == []
    assert told.search("pip install 'numeral[cpu]'")
    assert told.search("uv tool install numeral")
    assert told.search("pip install numeral-digits")
    assert told.search("Install Numeral from PyPI by installing numeral[cpu]")
    assert not told.search("pip install './numeral[cpu]'")
