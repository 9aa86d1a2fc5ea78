"""What the pages are filled with as the site is built: numbers, figures, the README.

``{{ neuron.m:.3f }}`` is a number that examples/guide/neuron.py kept, ``{{ figure neuron }}`` a
drawing of its, ``{{ readme }}`` the README. Nothing of it is typed by hand; what is missing ends
the build. Links from docs/ to other files of the repository, which a site has not, become text.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

GUIDE = Path(__file__).parent
NUMBER = re.compile(r"\{\{ (\w+)\.(\w+)(?::([^}]*?))? \}\}")
FIGURE = re.compile(r"<p>\{\{ figure ([\w-]+) \}\}</p>")
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)*)([^)#:\s]+)(#[^)]*)?\)")
MAKE = "Make it: python examples/guide/make.py"


@cache
def _numbers(script: str) -> dict[str, Any]:
    file = GUIDE / "numbers" / f"{script}.json"
    if not file.is_file():
        raise PluginError(f"The numbers of {script} are not there. {MAKE} {script}")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _number(match: re.Match[str]) -> str:
    script, key, form = match.groups()
    if key not in _numbers(script):
        raise PluginError(f"examples/guide/{script}.py keeps no number '{key}'.")
    return format(_numbers(script)[key], form or "")


def _figure(match: re.Match[str]) -> str:
    file = GUIDE / "figures" / f"{match[1]}.html"
    if not file.is_file():
        raise PluginError(f"The figure {match[1]} is not there. {MAKE}")
    return file.read_text(encoding="utf-8")


def _readme() -> str:
    text = (GUIDE.parents[1] / "README.md").read_text(encoding="utf-8")
    text = text.replace("# Quickstudy", "# In short", 1)

    def shorter(match: re.Match[str]) -> str:
        words, _, path, anchor = match.groups()
        inside = path.startswith("docs/") and (GUIDE.parents[1] / path).is_file()
        return f"[{words}]({path.removeprefix('docs/')}{anchor or ''})" if inside else words

    return LINK.sub(shorter, text)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the README and the numbers, and take links out of docs/ away."""
    if markdown.strip() == "{{ readme }}":
        return _readme()
    markdown = LINK.sub(_inside, markdown)
    return NUMBER.sub(_number, markdown)


def _inside(match: re.Match[str]) -> str:
    outside = match[2] and re.match(r"(src|tests|benchmarks|examples)\b|[A-Z]+\.md$", match[3])
    return match[1] if outside else match[0]


def on_page_content(html: str, **_: Any) -> str:
    """Put the drawings in: into the finished page, as Markdown would take them apart."""
    return FIGURE.sub(_figure, html)
