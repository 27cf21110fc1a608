"""`make stale` names the documents whose figures are older than what they measure."""

import re
import subprocess
from pathlib import Path

import pytest

from docs.stale import NOTHING, ROOT, TABLE, Figures, digest, main, read_table, renew, write_table

KNOWN = read_table(ROOT / TABLE)


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.invalid"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two measured documents."""
    write(tmp_path / "code" / "fast.py", "fast = 1\n")
    write(tmp_path / "code" / "slow.py", "slow = 1\n")
    write(tmp_path / ".gitignore", "__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begun")
    speed = Figures("docs/speed.md", "make speed", "", {"code": "", "setup.cfg": NOTHING})
    size = Figures("docs/size.md#files", "make size", "", {"code/slow.py": ""})
    (tmp_path / "docs").mkdir()
    write_table(tmp_path / TABLE, [renew(tmp_path, each) for each in (speed, size)])
    return tmp_path


def stale(root: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is printed, after a look at the exit status."""
    status = main([], root)
    lines = capsys.readouterr().out.splitlines()
    assert status == bool(lines)
    return lines


def test_figures_are_fresh_as_long_as_nothing_that_they_measure_changes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "other.py", "other = 1\n")
    write(root / "code" / "__pycache__" / "fast.pyc", "compiled")

    assert stale(root, capsys) == []


def test_comments_and_docstrings_do_not_age_a_figure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "code" / "fast.py", '"""How fast.\n\n# not a comment\n"""\n\n\nfast = 1  # a second\n')

    assert stale(root, capsys) == []


@pytest.mark.parametrize("text", ['fast = "# 1"\n', 'fast = """\n1\n"""\n', "if True:\n    fast = 1\n"])
def test_all_other_text_of_a_program_counts(text: str, root: Path) -> None:
    before = digest(root, "code")
    write(root / "code" / "fast.py", text)

    assert digest(root, "code") != before


@pytest.mark.parametrize("kept", ["working tree", "index", "commit"])
def test_a_change_makes_those_figures_stale_that_measure_it(kept: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "code" / "fast.py", "fast = 2\n")
    if kept != "working tree":
        git(root, "add", ".")
    if kept == "commit":
        git(root, "commit", "--quiet", "--message", "Changed")

    heading, *paths = stale(root, capsys)

    assert heading.startswith("docs/speed.md, measured at ")
    assert "make speed" in heading
    assert paths == ["  code"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_files_that_come_go_or_move_are_changes(change: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = root / "code" / "slow.py"
    if change == "added":
        write(root / "code" / "new.py", "")
    elif change == "removed":
        slow.unlink()
    else:
        slow.rename(slow.with_name("slower.py"))

    assert "  code" in stale(root, capsys)


def test_a_path_that_was_not_there_is_told_apart(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root / "setup.cfg", "")

    assert stale(root, capsys)[1:] == ["  setup.cfg (new, or moved)"]


def test_a_measured_document_is_fresh_again_and_the_others_stay_as_they_are(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root / "code" / "slow.py", "slow = 2\n")

    assert main(["--renew", "docs/size.md"], root) == 0

    heading, *_ = stale(root, capsys)
    assert heading.startswith("docs/speed.md")
    assert len(read_table(root / TABLE)) == 2


def test_figures_of_an_earlier_commit_have_the_hashes_of_then(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = git(root, "rev-parse", "HEAD").strip()
    before = digest(root, "code")
    write(root / "code" / "fast.py", "fast = 2\n")
    git(root, "commit", "--quiet", "--all", "--message", "Changed")

    assert main(["--renew", "docs/speed.md", "--at", begun], root) == 0

    assert digest(root, "code", begun) == before != digest(root, "code") == digest(root, "code", "HEAD")
    assert stale(root, capsys)[1:] == ["  code"]


def test_a_document_that_is_not_in_the_table_cannot_be_renewed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--renew", "docs/sped.md"], root)

    assert "docs/size.md#files" in capsys.readouterr().err


@pytest.mark.parametrize("figures", KNOWN, ids=lambda figures: figures.document)
def test_the_table_names_documents_sections_paths_and_commands_that_exist(figures: Figures) -> None:
    document, _, section = figures.document.partition("#")
    text = (ROOT / document).read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert not section or section in headings
    assert [path for path in figures.paths if not (ROOT / path).exists()] == []
    assert set(re.findall(r"make ([a-z-]+)", figures.command)) <= targets
    for module in re.findall(r"(?:benchmarks|tests)\.[\w.]+", figures.command):
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file()
