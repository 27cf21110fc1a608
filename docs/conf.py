"""How Sphinx makes the site of docs/*.md: ``make docs``."""

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
