"""The README in Chinese says what the one in English says: the same commands, tables, links and figures."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)|(https?://[^\s`)<>,，。]+)")
FIGURE = re.compile(r"\d[\d,.]*\d|\d")
BETWEEN = {"README.md", "README.zh.md"}  # how one leads to the other


def prose(path: Path) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def tables(path: Path) -> list[list[list[str]]]:
    """Each table's rows of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", prose(path), re.MULTILINE)
    return [[row.strip("|").split("|") for row in table.splitlines()] for table in found]


def links(text: str) -> list[str]:
    return [target or bare for target, bare in LINK.findall(text) if target not in BETWEEN]


def test_commands_and_answers_are_the_same() -> None:
    english, chinese = (FENCE.findall(path.read_text(encoding="utf-8")) for path in (ENGLISH, CHINESE))

    assert len(english) >= 3
    assert chinese == english


def test_headings_are_as_many_and_as_deep() -> None:
    english, chinese = (re.findall(r"^(#+) ", prose(path), re.MULTILINE) for path in (ENGLISH, CHINESE))

    assert chinese == english


def test_tables_have_the_same_shape_figures_and_links() -> None:
    english, chinese = tables(ENGLISH), tables(CHINESE)

    assert len(english) >= 3
    assert [[len(row) for row in table] for table in chinese] == [[len(row) for row in table] for table in english]
    for ours, theirs in zip(english, chinese, strict=True):
        for row, translated in zip(ours, theirs, strict=True):
            assert [FIGURE.findall(cell) for cell in translated] == [FIGURE.findall(cell) for cell in row]
            assert [links(cell) for cell in translated] == [links(cell) for cell in row]


def test_each_section_has_the_same_links_and_figures() -> None:
    english, chinese = (re.split(r"^#+ ", prose(path), flags=re.MULTILINE) for path in (ENGLISH, CHINESE))

    for ours, theirs in zip(english, chinese, strict=True):
        assert sorted(links(theirs)) == sorted(links(ours))
        assert sorted(FIGURE.findall(theirs)) == sorted(FIGURE.findall(ours))
