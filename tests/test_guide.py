"""The guide's pages, scripts and commands fit each other. Nothing is trained here: CI does that."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml

from quickstudy.cli import parser
from quickstudy.recipe import settings

ROOT = Path(__file__).resolve().parents[1]
DOCS, SCRIPTS = ROOT / "docs", ROOT / "examples" / "guide"
PAGES = sorted((DOCS / "guide").glob("*.md"))
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
#: Where a script asks for quick settings, a reader need not.
QUICK = ", settings=QUICK"


def source(script: str) -> str:
    return (SCRIPTS / f"{script}.py").read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """(what follows the language, the text), without the indentation of a box it stands in."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [(more, textwrap.dedent(text)) for _, said, more, text in found if said == language]


def commands() -> list[str]:
    return [
        line.removeprefix("$ ")
        for page in [*PAGES, DOCS / "index.md"]
        for _, text in blocks(page, "console")
        for line in text.splitlines()
        if line.startswith("$ ")
    ]


def pages_in(nav: list[object]) -> list[str]:
    found = []
    for one in nav:
        inside = next(iter(one.values())) if isinstance(one, dict) else one
        found += pages_in(inside) if isinstance(inside, list) else [str(inside)]
    return found


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(pages_in(nav)) == sorted(there)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_numbers_and_figures_have_a_script_that_makes_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for script, key in re.findall(r"\{\{ (\w+)\.(\w+)", text):
        named = rf'"{key}"|\b{key}=|"{{\w+}}_|\*\*learnt'  # settings.py builds its names
        assert re.search(named, source(script)), f"{script}.py keeps no {key}"
    everything = "".join(source(file.stem) for file in SCRIPTS.glob("*.py"))
    for figure in re.findall(r"\{\{ figure ([\w-]+) \}\}", text):
        stem, _, knob = figure.partition("-")
        assert f'"{figure}"' in everything or (
            f'f"{stem}-{{' in everything and f'"{knob}"' in everything
        )
    assert text.count("{{") == len(
        re.findall(r"\{\{ (?:figure [\w-]+|\w+\.\w+(?::[^}]*)?) \}\}", text)
    )


def test_every_script_is_run_and_has_its_page() -> None:
    tree = ast.parse(source("make"))
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SCRIPTS"
    )
    assert {page.stem for page in PAGES} == {*listed, "index"}
    for script in listed:
        assert f"docs/guide/{script}.md" in ast.get_docstring(ast.parse(source(script)))
        assert len(source(script).splitlines()) < 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_is_what_the_script_runs(page: Path) -> None:
    """Blocks without a title stand in the page's script; those with one are for trying."""
    for more, text in blocks(page, "python"):
        ast.parse(text)
        if "title" not in more:
            ran = {line.strip() for line in source(page.stem).replace(QUICK, "").splitlines()}
            missing = [line for line in text.splitlines() if line.strip() not in ran]
            assert missing == []


def test_the_pages_lead_on_to_each_other() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    order = [Path(one).name for one in pages_in(nav) if one.startswith("guide/")]
    for page, following in itertools.pairwise(order):
        last = (DOCS / "guide" / page).read_text(encoding="utf-8").rstrip().splitlines()[-1]
        assert last.endswith(f"]({following})"), page


def test_there_are_commands() -> None:
    assert sum(command.startswith("quickstudy ") for command in commands()) >= 8


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "quickstudy"
    asked = parser().parse_args(words)
    settings(getattr(asked, "set", []))


@pytest.mark.parametrize("page", [*PAGES, DOCS / "index.md"], ids=lambda page: page.stem)
def test_yaml_in_the_pages_is_a_network(page: Path) -> None:
    from quickstudy.network.stack import build_stack

    for _, text in blocks(page, "yaml"):
        build_stack(text, (3, 8, 8), 10)


def test_the_two_stacks_of_the_page_on_depth_differ_in_the_skip_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import torch

    from depth import STACK, stack
    from quickstudy.network.stack import build_stack

    def layers(text: str) -> list[str]:
        with torch.device("meta"):
            network, _ = build_stack(text, (3, 8, 8), 10)
        return [str(m) for m in network.modules() if not list(m.children())]

    assert layers(stack(skip=True)) == layers(stack(skip=False))
    for skip in (True, False):
        bare = layers(stack(skip=skip, norm=False))
        assert bare == [one for one in layers(stack(skip=skip)) if "Norm" not in one]
    convs = [one for one in layers(stack(skip=False)) if "Conv2d" in one]
    assert len(convs) + 1 == 34
    assert "residual" in stack(skip=True) and "residual" not in stack(skip=False)
    (shown,) = (text for _, text in blocks(DOCS / "guide" / "depth.md", "yaml"))
    assert shown.strip() == STACK.replace("TIMES", "16").strip()
