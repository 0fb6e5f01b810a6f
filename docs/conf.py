"""How Sphinx builds the documentation."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gameservers import __version__  # noqa: E402 - found through the line above

project = "gameservers"
author = "The gameservers authors"
copyright = f"2026, {author}"  # noqa: A001 - the name is Sphinx's
release = version = __version__

highlight_language = "none"
extensions = ["sphinx.ext.autodoc"]
autodoc_member_order = "bysource"
exclude_patterns = ["build"]
html_theme = "alabaster"

#: Marks of epytext, in which the docstrings are written: L{...}, C{...} and the like.
MARK = re.compile(r"\b([LCBIUM])\{([^{}]*)\}")
QUOTES = {"B": "**", "I": "*", "U": "", "M": ""}


def to_rest(app, what, name, obj, options, lines):
    """Turn the epytext marks of a docstring into those of reStructuredText."""
    text = MARK.sub(
        lambda mark: f"{QUOTES.get(mark[1], '``')}{mark[2]}{QUOTES.get(mark[1], '``')}",
        "\n".join(lines),
    )
    lines[:] = re.sub(r"^@(\w+)( \w+)?:", r":\1\2:", text, flags=re.M).split("\n")


def setup(app):
    """Sphinx's hook."""
    app.connect("autodoc-process-docstring", to_rest)
