"""The command line: words out, one JSON document with --json, exit code 2 with the fix."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quickstudy import cli, commands, tasks
from quickstudy.kinds import NOUNS
from quickstudy.model import untrained
from quickstudy.options import KINDS, TASKS

FEW = ["--set", "epochs=2", "picture.size=16", "picture.start_size=16", "network.width=0.25"]
FEW += ["optimizer.lr=0.025"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(("cat", "dog"), size=16).save(tmp_path_factory.mktemp("m") / "model")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "with space.png", "new\nline.png", "ünï.png"):
        Image.fromarray(np.full((9, 7, 3), 120, np.uint8)).save(folder / name)
    (folder / "bad.jpg").write_bytes(b"not a picture")
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from quickstudy.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'rich') if m in sys.modules])"
    )
    took = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        took.append(time.perf_counter() - began)
    assert done.stdout.strip().endswith("[]")
    for command in cli.COMMANDS:
        assert command in done.stdout
    assert min(took) < 1.0  # 0.1 s on a quiet machine; asked 0.4


def test_options_are_frozen() -> None:
    """A new option is a decision: it changes this list."""
    grammar = cli.parser()
    (commands_,) = (a for a in grammar._actions if a.dest == "command")
    options = {
        name: sorted(o for a in sub._actions for o in a.option_strings if o.startswith("--"))
        for name, sub in commands_.choices.items()  # type: ignore[union-attr]
    }
    columns = ["--group-column", "--label-column", "--path-column", "--split-column"]
    names = ["--label-from", "--target", "--group-from"]
    assert options == {
        "demo": ["--help", "--json", "--kind", "--out"],
        "check": sorted(
            [
                "--help", "--json", "--test", "--strict", "--weights", "--apply", "--out", "--kind",
                "--task",
                *columns, *names,
            ]
        ),
        "learn": sorted(
            [
                "--help", "--json", "--test", "--budget", "--network", "--weights", "--loss",
                "--set", "--recipe", "--out", "--seed", "--device", "--resume", "--kind", "--task",
                "--optimizer", "--on", "--track",
                *columns, *names,
            ]
        ),
        "tune": sorted(
            [
                "--help", "--json", "--test", "--budget", "--network", "--weights", "--loss",
                "--set", "--recipe", "--out", "--seed", "--device", "--resume", "--kind", "--task",
                "--optimizer", "--space", "--trials", "--storage", "--join", "--ensemble",
                "--distil", "--on",
                *columns, *names,
            ]
        ),
        "predict": ["--coverage", "--csv", "--device", "--help", "--json", "--runtime"],
        "explain": ["--device", "--help", "--json", "--of", "--out", "--row", "--run"],
        "compare": ["--help", "--json", "--out"],
        "evaluate": sorted(["--device", "--help", "--json", "--runtime", *columns, *names]),
        "script": ["--help", "--json", "--out"],
        "networks": ["--help", "--json"],
        "pack": sorted(
            ["--help", "--json", "--kind", "--seed", "--size", "--task", *columns, *names]
        ),
        "export": ["--examples", "--help", "--install-tools", "--int8", "--json", "--max-loss",
                   "--out", "--to"],
        "bench": ["--code", "--help", "--json", "--make"],
        "serve": ["--help", "--host", "--json", "--max-pixels", "--max-seconds", "--max-upload",
                  "--no-token", "--port", "--timeout", "--token"],
    }  # fmt: skip


def test_words_that_stand_twice_are_the_same() -> None:
    assert tuple(NOUNS) == KINDS
    assert tuple(tasks.TASKS) == TASKS


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["lern"], "no command 'lern'", "'learn'"),
        (["learn", "x", "--budgt", "3"], "no option '--budgt'", "'--budget'"),
        (["learn"], "No source", "quickstudy learn"),
        (["learn", "no/such/folder"], "does not exist", ""),
        (["learn", ".", "--set", "batch"], "no '='", "KEY=VALUE"),
        (["learn", ".", "--set", "optimiser.lr=1"], "optimiser.lr", "'optimizer.lr'"),
        (["learn", ".", "--resume", "no/run"], "holds no run", "runs/"),
        (["tune"], "No source", "quickstudy"),
        (["tune", ".", "--spce", "x"], "no option '--spce'", "'--space'"),
        (["tune", "--join", "no/run"], "holds no search", "quickstudy tune"),
        (["predict", "no/model", "x.jpg"], "not a Quickstudy model", "RUN/model"),
        (["script", "no/run"], "holds no run", "run's folder"),
        (["networks", "resnet9999"], "No network matches", "networks"),
    ],
)
def test_mistakes_are_one_sentence_with_the_fix(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str, hint: str
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    first, second = (line for line in err.splitlines() if line.startswith(("error:", "hint:")))
    assert said in first
    assert hint in second


def test_a_mistake_with_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "learn", "no/such/folder", "--json")
    assert code == 2
    assert set(json.loads(out)) == {"error", "hint"}


def test_learn_speaks_on_stderr_and_json_on_stdout(
    capsys: pytest.CaptureFixture[str], shapes: Path, tmp_path: Path
) -> None:
    code, out, err = run(capsys, "learn", shapes, "--out", tmp_path / "r", *FEW)
    assert code == 0
    assert out == ""
    for word in ("Found 120 pictures in 3 classes", "Plan", "Result:", "Report", "Next"):
        assert word in err
    code, out, err = run(capsys, "learn", shapes, "--out", tmp_path / "j", "--json", *FEW)
    assert code == 0
    assert json.loads(out)["test"]["n"] == 18
    assert err == ""


def test_script_writes_a_file_and_says_where(
    capsys: pytest.CaptureFixture[str], shapes: Path, tmp_path: Path
) -> None:
    assert run(capsys, "learn", shapes, "--out", tmp_path / "r", *FEW)[0] == 0
    code, out, err = run(capsys, "script", tmp_path / "r")
    assert code == 0
    assert out == f"{tmp_path / 'r' / 'train.py'}\n"
    assert "python" in err
    code, out, _ = run(capsys, "script", tmp_path / "r", "--out", tmp_path / "m.py", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["script"] == str(tmp_path / "m.py")
    assert told["lines"] == len((tmp_path / "m.py").read_text().splitlines()) < 150


def test_predict_prints_a_table_and_says_what_it_cannot_read(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path
) -> None:
    code, out, err = run(capsys, "predict", model, photos)
    assert code == 1
    assert len(out.splitlines()) == 5
    assert "cannot be read: not a picture" in out
    assert "1 of 5" in err


def test_predict_csv_and_json_hold_every_file(
    capsys: pytest.CaptureFixture[str], model: Path, photos: Path
) -> None:
    _, out, _ = run(capsys, "predict", model, photos, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {Path(r["file"]).name for r in rows} == {p.name for p in photos.iterdir()}
    good = [r for r in rows if not r["error"]]
    assert all(abs(float(r["cat"]) + float(r["dog"]) - 1) < 1e-5 for r in good)
    _, out, _ = run(capsys, "predict", model, photos / "*.png", "--json")
    answers = json.loads(out)
    assert len(answers) == 4
    assert {a["label"] for a in answers} <= {"cat", "dog"}


def test_predict_one_missing_file(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    code, out, _ = run(capsys, "predict", model, "nowhere.jpg")
    assert code == 1
    assert "cannot be read" in out


def test_evaluate(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    for label, value in (("cat", 10), ("dog", 240)):
        (tmp_path / "d" / label).mkdir(parents=True)
        for i in range(6):
            pixels = np.full((8, 8, 3), value + i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / label / f"{i}.png")
    code, out, _ = run(capsys, "evaluate", model, tmp_path / "d", "--json")
    assert code == 0
    assert json.loads(out)["n"] == 12
    code, out, _ = run(capsys, "evaluate", model, tmp_path / "d")
    assert "% correct on 12 pictures" in out


def test_networks_lists_size_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "networks", "resnet152", "--json")
    (row,) = (r for r in json.loads(out) if r["name"] == "resnet152")
    assert row["parameters"] == 60_192_808
    assert row["flops"] == pytest.approx(23.0e9, rel=0.02)  # 11.5 G multiply-adds
    assert row["weights"] == "on the hub"
    _, out, _ = run(capsys, "networks", "compact")
    assert "learns from scratch" in out


def test_files_are_found(photos: Path) -> None:
    found = commands.found_files([str(photos), str(photos / "*.jpg"), "missing.png"], "image")
    assert len(found) == 7
