"""How the manual is built: `make docs`."""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "circuitcheck"
extensions = ["myst_parser", "tools.docstrings"]
html_theme = "furo"
html_title = "circuitcheck"
exclude_patterns = ["_build"]
# Links to headings, `page.md#a-heading`, are checked like those to pages.
myst_heading_anchors = 4
# GitHub draws this language; here its text is shown.
lexers["mermaid"] = TextLexer()
