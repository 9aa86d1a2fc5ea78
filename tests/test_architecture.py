"""The house rules: one direction, named rooms, short files, a frozen front door, docs that hold."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import quickstudy

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "quickstudy"
DOC = ROOT / "docs" / "architecture.md"
FILES = sorted(SOURCE.rglob("*.py"))

#: From top to bottom; a room imports only what stands before it. docs/architecture.md says why.
ORDER = (
    *("errors", "progress", "clock", "prediction", "folders", "functions", "evaluation"),
    *("calibration", "tasks", "kinds", "shards", "catalog", "checking", "splitting", "hardware"),
    *("facts",),
    *("recipe", "network", "decoding", "batches", "training", "cluster", "runtimes", "model"),
    *("loading",),
    *(
        "report",
        "explanation",
        "notebook",
        "tracking",
        "learning",
        "estimators",
        "search",
        "script",
        "export",
        "serving",
    ),
    *("terminal", "commands", "options", "cli"),
)
#: Outside the order: they hand out what the rooms hold.
DOORS = {"__init__", "__main__"}
#: (file, function) -> lines; all others have 50.
LONG_FUNCTIONS = {
    ("training/loop.py", "train"): 80,
    ("catalog/__init__.py", "scan"): 60,  # the same
    ("learning/__init__.py", "taught"): 60,  # the flow: a line or two a stage
    ("learning/asking.py", "resumed_job"): 54,
    ("recipe/plan.py", "plan"): 55,
    ("learning/__init__.py", "learn"): 75,  # most of it is the public signature and its words
    ("search/__init__.py", "tune"): 85,  # the same
}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, room) of each import of our own, wherever it stands in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            first, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if first == "quickstudy" and room in ORDER:
                yield node.lineno, room


def documented() -> dict[str, set[str]]:
    """Return the room table of docs/architecture.md: room -> rooms it may import."""
    table = DOC.read_text(encoding="utf-8").partition("## The rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) ?\|$", table, re.MULTILINE)
    rooms = [room for room, _ in rows]
    return {
        room: set(rooms[: rooms.index(room)])
        if may.strip() == "any"
        else set(re.findall(r"`(\w+)`", may))
        for room, may in rows
    }


def test_rooms_import_only_from_above() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {room_of(path)} imports {other}, which stands below it"
        for path in FILES
        if room_of(path) not in DOORS
        for line, other in imported_rooms(path)
        if ORDER.index(other) > ORDER.index(room_of(path))
    ]
    assert faults == []


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in FILES} - DOORS == set(ORDER)


def test_no_room_without_a_word_of_its_own() -> None:
    names = {part.removesuffix(".py") for p in FILES for part in p.relative_to(SOURCE).parts}
    assert not names & {"utils", "util", "common", "helpers", "helper", "core", "misc", "base"}


def test_the_docs_have_the_same_order_and_imports() -> None:
    may = documented()
    assert tuple(may) == ORDER
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {room_of(path)} imports {other}; the docs do not say so"
        for path in FILES
        if room_of(path) not in DOORS
        for line, other in imported_rooms(path)
        if other not in {*may[room_of(path)], room_of(path)}
    ]
    assert faults == []


def test_the_tree_in_the_docs_is_the_tree_on_disk() -> None:
    text = DOC.read_text(encoding="utf-8").partition("## The tree")[2]
    block = text.partition("```\nsrc/quickstudy/\n")[2].partition("```")[0]
    listed, folders = [], [""] * 9
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, *phrase = line.split(maxsplit=1)
        if name.endswith("/"):
            folders[depth] = name
        else:
            assert phrase, f"{name} has no phrase"
            listed.append("".join(folders[1:depth]) + name)
    assert sorted(listed) == sorted(p.relative_to(SOURCE).as_posix() for p in FILES)


def test_files_and_functions_are_short() -> None:
    faults = []
    for path in FILES:
        name, text = path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > 300:
            faults.append(f"{name} has {lines} lines, not 300")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > (most := LONG_FUNCTIONS.get((name, node.name), 50)):
                    faults.append(f"{name}: {node.name} has {lines} lines, not {most}")
    assert faults == []


def test_the_public_names_are_frozen() -> None:
    expected = ["Classifier", "Model", "Prediction", "Progress", "QuickstudyError", "Recipe"]
    expected += ["Regressor", "Run", "learn", "load", "tune"]
    assert quickstudy.__all__ == expected
    assert set(expected) < set(dir(quickstudy))
    assert [getattr(quickstudy, name).__name__ for name in expected] == expected
    assert not hasattr(quickstudy, "teach")


def test_the_arguments_of_learn_are_frozen() -> None:
    found = inspect.signature(quickstudy.learn).parameters
    assert {name: p.default for name, p in found.items()} == dict.fromkeys(found)
    assert [n for n, p in found.items() if p.kind is not p.KEYWORD_ONLY] == ["source"]
    assert list(found) == [
        *("source", "budget", "test", "network", "weights", "loss", "optimizer", "settings"),
        *("recipe", "out", "seed", "device", "on", "resume"),
        *("path_column", "label_column", "split_column", "group_column"),
        *("label_from", "target", "group_from", "kind", "task"),
        *("track", "listen", "started"),
    ]


def test_importing_quickstudy_imports_nothing_heavy() -> None:
    check = (
        "import sys, quickstudy; dir(quickstudy); quickstudy.QuickstudyError; "
        "sys.exit(', '.join({'torch', 'numpy', 'PIL', 'torchvision'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_names_a_registry_or_a_place_outside() -> None:
    """Where packages come from is each machine's own business, and so are its folders."""
    outside = re.compile(
        r"py[p]i\.|pytho[n]hosted|download\.pytorc[h]|conda\.anacond[a]|index[-_]ur[l]"
        r"|/wor[k]/|/roo[t]/|\bissue[s] show\b",
        re.IGNORECASE,
    )
    others = [ROOT / name for name in (".ci/run", ".pre-commit-config.yaml", "pyproject.toml")]
    others += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    others += [*(ROOT / "docs").iterdir(), *(ROOT / "tests").glob("*.py")]
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*FILES, *others]
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if outside.search(line)
    ]
    assert faults == []


def test_types_are_packaged() -> None:
    assert resources.files("quickstudy").joinpath("py.typed").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["src/quickstudy"]}  # all its files, py.typed among them
    assert settings["project"]["version"] == quickstudy.__version__


def test_the_recipes_page_is_the_recipes_own_words() -> None:
    path = ROOT / "docs" / "make_recipe.py"
    spec = importlib.util.spec_from_file_location("make_recipe", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    for section in made.SECTIONS.values():
        for kind in section.values():
            assert set(made.meanings(kind.__name__)) == set(kind.__annotations__)
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page == made.page(), "run: python docs/make_recipe.py > docs/recipe.md"


def test_the_readme_has_two_commands() -> None:
    blocks = re.findall(r"^```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks == ["pip install . && quickstudy demo", 'pip install ".[dev]" && pytest']


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []
