"""The site of docs/: it builds without a warning, each page can be reached, and nothing is loaded from elsewhere."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

from tests.page.hand import installed_browser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LOADED = {  # what a browser fetches by itself, by tag
    "audio": ["src"],
    "embed": ["src"],
    "iframe": ["src"],
    "img": ["src", "srcset"],
    "link": ["href"],
    "object": ["data"],
    "script": ["src"],
    "source": ["src", "srcset"],
    "video": ["src", "poster"],
}
FROM_CSS = re.compile(r"@import\s+[\"']?([^\"')\s;]+)|url\(\s*[\"']?([^\"')]+)")

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("furo", "myst_parser", "sphinx")), reason="`make install` brings Sphinx"
)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds as `make docs` does."""
    recipe = re.search(
        r"^docs:.*\n\t\$\(BIN\)/python (.*) docs dist/site$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert recipe
    command = [sys.executable, *recipe[1].split(), str(source), str(site)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from installed_browser()


class Page(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value for name, value in attrs if value}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        self.loads += [told[name] for name in LOADED.get(tag, ()) if name in told]
        self.loads += from_css(told.get("style", ""))


def from_css(text: str) -> list[str]:
    return [first or second for first, second in FROM_CSS.findall(text)]


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_broken_links_fail_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    broken = ["[a page](gone.md)", "[a heading](index.md#away)", "![a picture](lost.png)"]
    (source / "index.md").write_text("\n\n".join(["# Index", *broken]), encoding="utf-8")

    done = build(source, tmp_path / "site")

    assert done.returncode != 0
    assert [name for name in ("gone", "away", "lost") if name not in done.stderr] == []


def test_each_page_can_be_reached_from_the_index(site: Path) -> None:
    reached, waiting = set[Path](), [site / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = [urlsplit(link) for link in Page(page.read_text("utf-8")).links]
        targets = [(page.parent / unquote(link.path)).resolve() for link in links if not link.netloc]
        waiting += [target for target in targets if target.suffix == ".html"]

    assert {page.stem for page in reached} >= {path.stem for path in DOCS.glob("*.md")}


def test_the_index_lists_the_same_pages_on_github_and_in_the_sidebar(site: Path) -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = re.findall(r"\]\(([\w-]+)\.md\)", index.partition("## All pages")[2])
    sidebar = (site / "faq.html").read_text("utf-8").partition('class="sidebar-tree"')[2].partition("</aside>")[0]

    assert "```{" not in index  # a directive, which GitHub shows as it stands
    assert [link.removesuffix(".html") for link in Page(sidebar).links if link != "#"] == [
        page for page in listed if page != "faq"
    ]
    assert sorted(listed) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")
    assert "All pages" not in (site / "index.html").read_text("utf-8")


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    loads = [load for page in pages for load in Page(page.read_text("utf-8")).loads]
    loads += [load for sheet in site.rglob("*.css") for load in from_css(sheet.read_text("utf-8"))]

    assert len(pages) > 30
    assert any(load.endswith(".css") or ".css?" in load for load in loads)
    assert [load for load in loads if is_elsewhere(load)] == []


@pytest.mark.page
def test_in_a_browser_no_page_asks_another_host(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    for path in sorted(site.glob("*.html")):
        page.goto(path.as_uri(), wait_until="load")
    page.close()

    assert len(asked) > 100
    assert [address for address in asked if is_elsewhere(address)] == []
