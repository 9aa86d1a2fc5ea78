"""What each command does, once its arguments are known."""

from __future__ import annotations

import argparse
import fnmatch
import glob
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickstudy.commands import telling
from quickstudy.commands.benching import bench as bench
from quickstudy.commands.checking import check as check
from quickstudy.commands.columns import columns, learning
from quickstudy.commands.comparing import compare as compare
from quickstudy.commands.explaining import explain as explain
from quickstudy.commands.explaining import say_how
from quickstudy.commands.exporting import export as export
from quickstudy.commands.opening import opened
from quickstudy.commands.packing import pack as pack
from quickstudy.commands.recipes import list_recipes
from quickstudy.commands.result import told_run
from quickstudy.commands.serving import serve as serve
from quickstudy.commands.telling import print_json, printable
from quickstudy.commands.tuning import tune as tune
from quickstudy.errors import QuickstudyError, RunError, SourceError

if TYPE_CHECKING:
    from rich.console import Console

    from quickstudy.loading import Answers
    from quickstudy.prediction import Prediction

_DEMO_BUDGET = "50s"
_COUNTED = 40  # networks whose FLOPs are counted for one listing: about a tenth of a second each


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def fail(problem: QuickstudyError, as_json: bool) -> int:
    """Say what is wrong and how to mend it; return the exit code 2."""
    if as_json:
        print_json({"error": problem.message, "hint": problem.hint})
    sys.stderr.write(printable(f"error: {problem.message}\n"))
    if problem.hint:
        sys.stderr.write(printable(f"hint:  {problem.hint}\n"))
    return 2


def demo(asked: argparse.Namespace, started: float) -> int:
    """Learn a small data set that needs no download, by the same path as any other source."""
    from quickstudy.folders import new_folder
    from quickstudy.kinds import NOUNS

    out = asked.out or new_folder(Path("runs"), "demo")
    if (out / "run.json").exists():
        raise RunError(f"{out} holds a run already.", "Choose another --out.")
    source, said = {"image": _digits, "sound": _instruments, "table": _tumours}[asked.kind](out)
    console = _console()
    if not asked.json:
        console.print(said, highlight=False)
    target = "diagnosis" if asked.kind == "table" else None
    code = _run(asked, started, source=source, budget=_DEMO_BUDGET, out=out, target=target)
    if not asked.json:
        table = asked.kind == "table"
        how = "and the column to learn" if table else "a folder per class"
        console.print(f"Now your own {NOUNS[asked.kind][1]}, {how}:", highlight=False)
        what = "TABLE.csv --target COLUMN" if table else "FOLDER"
        console.print(f"  quickstudy learn {what} --budget 10m", highlight=False)
    return code


def _tumours(out: Path) -> tuple[Any, str]:
    """Write a table as a user would have one: to look at, and to see what is asked for."""
    import csv

    from sklearn.datasets import load_breast_cancer

    from quickstudy.folders import disk_errors

    data = load_breast_cancer()
    file = out / "tumours.csv"
    with disk_errors("the table of the demo"):
        out.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="", encoding="utf-8") as lines:
            rows = csv.writer(lines)
            rows.writerow([*map(str, data.feature_names), "diagnosis"])
            for numbers, label in zip(data.data.tolist(), data.target.tolist(), strict=True):
                rows.writerow([*numbers, str(data.target_names[label])])
    said = "Learning to tell benign from malignant in 569 rows (scikit-learn's breast cancer data)."
    return file, f"{said}\nThe table: {file}."


def _digits(out: Path) -> tuple[Any, str]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = (digits.images * (255 / 16)).round().astype("uint8")
    said = "Learning to read 1,797 handwritten digits (scikit-learn's, 8 x 8 pixels)."
    return (pictures, digits.target), said


def _instruments(out: Path) -> tuple[Any, str]:
    """Write a folder as a user would have one: to listen to, and to see what is asked for."""
    import soundfile

    from quickstudy.folders import disk_errors
    from quickstudy.kinds.sound.instruments import instruments, instruments_said

    folder = out / "synthesised_instruments"
    with disk_errors("the sounds of the demo"):
        for number, ((samples, rate), label) in enumerate(instruments()):
            (folder / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / label / f"{number:03d}.wav", samples, rate)
    return folder, f"{instruments_said()}\nListen to them in {folder}."


def learn(asked: argparse.Namespace, started: float) -> int:
    """Learn from a source."""
    if asked.recipe == "help":
        return list_recipes(asked.json)
    return _run(asked, started, **learning(asked), track=asked.track)


def _run(asked: argparse.Namespace, started: float, **options: Any) -> int:
    from quickstudy.learning import learn as learn_from

    return told_run(asked.json, learn_from, started=started, **options)


def predict(asked: argparse.Namespace, started: float) -> int:
    """Say what files show or sound like; exit code 1 where some could not be read."""
    from quickstudy.runtimes.believed import promised

    model = opened(asked)
    promised(model.calibration, asked.coverage)  # refused before anything is printed
    files = found_files(asked.files, model.kind)
    names = [str(file) for file in files]
    answers: Iterable[Prediction]
    if model.kind == "table":
        _say_doubts(model, files)
        answers = (one for file in files for one in model.predict(file, asked.coverage))
    else:
        answers = model.predictions(files, asked.coverage)
    if asked.json:
        return telling.as_json(answers)
    if asked.csv:
        timed = model.kind == "sound" and model.task.name == "classification"
        how: Any = {"timeline": timed, "coverage": asked.coverage}
        return telling.as_csv(answers, model.task.name, model.classes, **how)
    return say_how(asked.model, files, model.kind, telling.as_words(answers, names))


def _say_doubts(model: Answers, sources: Iterable[Any]) -> None:
    for source in sources:
        for line in model.doubts(source):
            sys.stderr.write(printable(f"note: {source}: {line}\n"))


def found_files(words: Sequence[str], kind: str) -> list[Path]:
    """Return the files that words name: a file, a folder's files of a kind, or a pattern's.

    Raises `SourceError` for a word that names nothing.
    """
    from quickstudy.kinds import NOUNS, files_in

    found: list[Path] = []
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            inside = files_in(path, kind)
            if not inside:
                raise SourceError(
                    f"There are no {NOUNS[kind][1]} in {word}.", "Give a file or a folder."
                )
            found += inside
        elif path.exists() or not glob.has_magic(word):
            found.append(path)  # one that is not there is named among the answers
        else:
            matched = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
            if not matched:
                raise SourceError(f"Nothing matches '{word}'.", "Check the pattern.")
            found += map(Path, matched)
    return found


def evaluate(asked: argparse.Namespace, started: float) -> int:
    """Score a model on labelled pictures."""
    from quickstudy.kinds import NOUNS

    model = opened(asked)
    scores = model.evaluate(asked.source, **columns(asked))
    _say_doubts(model, [asked.source])
    if asked.json:
        left_out = [{"name": name, "reason": reason} for name, reason in scores.left_out]
        print_json({**scores.as_dict(), "left_out": left_out})
        return 0
    one, many = NOUNS[model.kind]
    for line in model.task.said(scores, one, many):
        sys.stdout.write(f"{line}\n")
    for name, reason in scores.left_out:
        sys.stderr.write(printable(f"left out: {name}: {reason}\n"))
    for name, row in scores.as_dict().get("per_class", {}).items():
        recall, precision = (_share(row[key]) for key in ("recall", "precision"))
        sys.stdout.write(f"  {name}: found {recall}, right when said {precision}, n {row['n']}\n")
    return 0


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def script(asked: argparse.Namespace, started: float) -> int:
    """Write a run out as plain PyTorch."""
    from quickstudy.script import write_script

    path = write_script(asked.run, asked.out)
    if asked.json:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        print_json({"script": str(path), "lines": lines})
        return 0
    sys.stdout.write(printable(f"{path}\n"))
    sys.stderr.write(printable(f"Run it: python {shlex.quote(str(path))}\n"))
    return 0


def networks(asked: argparse.Namespace, started: float) -> int:
    """List networks by name."""
    from quickstudy.network import listing, names

    pattern = asked.pattern if any(c in asked.pattern for c in "*?[") else f"*{asked.pattern}*"
    matched = [n for n in names() if fnmatch.fnmatch(n, pattern)]
    if not matched:
        raise SourceError(f"No network matches '{asked.pattern}'.", "Try: quickstudy networks")
    rows = listing.describe(matched, count=len(matched) <= _COUNTED)
    if asked.json:
        print_json(rows)
        return 0
    sys.stdout.write(f"{'network':<36} {'parameters':>12} {'GFLOPs':>8} {'px':>5}  weights\n")
    for row in rows:
        size = f"{row['parameters'] / 1e6:.2f} M" if row["parameters"] else "-"
        flops = f"{row['flops'] / 1e9:.2f}" if row["flops"] else "-"
        sys.stdout.write(
            f"{row['name']:<36} {size:>12} {flops:>8} {row['size']:>5}  {row['weights']}\n"
        )
    if any(row["flops"] is None for row in rows):
        sys.stderr.write(f"Name fewer than {_COUNTED} to have what is missing counted.\n")
    return 0
