"""How Sphinx makes the site of docs/*.md: ``make docs``."""

import re

from sphinx.application import Sphinx

from app import __version__

project = "Numeral"
project_copyright = "the authors of Numeral, MIT licence"
release = version = __version__

extensions = ["myst_parser"]
exclude_patterns = ["examples"]

# Pages are read on GitHub, too: links name files, anchors are those that GitHub gives headings.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "Numeral"
html_copy_source = False
html_show_sphinx = False

ALL_PAGES = "## All pages\n"
GROUP = re.compile(r"^\| ([^|]+) \| (\[.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[([^]]+)\]\(([\w-]+)\.md\)")


def setup(app: Sphinx) -> None:
    """Sphinx calls this when it begins."""
    app.connect("source-read", list_pages)


def list_pages(_: Sphinx, page: str, source: list[str]) -> None:
    """Makes the table of all pages, with which the index ends on GitHub, the sidebar of the site."""
    if page == "index":
        head, _found, table = source[0].partition(ALL_PAGES)
        source[0] = head + "\n".join(to_toctree(caption, links) for caption, links in GROUP.findall(table))


def to_toctree(caption: str, links: str) -> str:
    """A row of the table as Sphinx's directive for a group in the sidebar."""
    pages = "\n".join(f"{title} <{name}>" for title, name in LINK.findall(links))
    return f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{pages}\n```\n"
