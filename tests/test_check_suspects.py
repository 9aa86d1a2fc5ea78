"""`quickstudy check` and labels that are probably wrong: rows, and why not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from quickstudy import cli
from quickstudy.learning import mislabelled

pytestmark = pytest.mark.usefixtures("one_thread")


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def wine(file: Path, share: float = 0.05, seed: int = 0) -> set[str]:
    """Write wine's rows, a share of the labels moved to another class; return which rows."""
    data = load_wine()
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(data.target))[: round(share * len(data.target))]
    labels = data.target.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 3, len(wrong))) % 3
    with file.open("w", newline="") as text:
        out = csv.writer(text)
        out.writerow([*data.feature_names, "kind"])
        for row, label in zip(data.data.tolist(), labels.tolist(), strict=True):
            out.writerow([*row, "abc"[label]])
    return {str(number) for number in wrong.tolist()}


def test_flipped_rows_are_listed_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = wine(tmp_path / "wine.csv")
    words = (
        "check",
        tmp_path / "wine.csv",
        "--target",
        "kind",
        "--out",
        tmp_path / "o",
        "--strict",
    )
    code, out, err = run(capsys, *words)
    assert code == 1 and "labelled '" in out and "not doubted" not in err
    with (tmp_path / "o" / "check.csv").open(newline="", encoding="utf-8") as text:
        found = [row for row in csv.DictReader(text) if row["check"] == "label"]
    top = found[: round(0.06 * 178)]
    data = load_wine()
    hits = 0
    for one in top:
        assert one["severity"] == "warning"
        number = int(one["file"].split()[-1])
        if str(number) in wrong:
            hits += 1
            truth = "abc"[data.target[number]]
            assert f"probably '{truth}'" in one["problem"]
    assert hits >= 0.7 * len(wrong) and len(found) <= 0.1 * 178
    page = (tmp_path / "o" / "check.html").read_text(encoding="utf-8")
    assert top[0]["file"] in page and "probably" in page


def test_labels_at_random_accuse_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{x:.4f},{y:.4f},{'uv'[i % 2]}" for i, (x, y) in enumerate(rng.normal(size=(80, 2)))]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *rows]))
    words = ("check", tmp_path / "t.csv", "--target", "kind", "--out", tmp_path / "o")
    code, out, err = run(capsys, *words)
    assert code == 0 and "labelled" not in out
    assert "not doubted: trees tell these classes apart no better than by guessing." in err


@pytest.mark.parametrize(
    ("weights", "code", "why"),
    [
        ("none", 0, "not doubted: no weights asked for; `learn` doubts"),
        ("no/such.safetensors", 2, "There is no weights file"),
        ("mine.safetensors", 2, "Let the file's name begin with the network's"),
    ],
)
def test_without_weights_it_says_why_not(
    shapes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    weights: str,
    code: int,
    why: str,
) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"")
    asked = weights if weights != "mine.safetensors" else tmp_path / weights
    found = run(capsys, "check", shapes, "--weights", asked, "--out", tmp_path / "o")
    assert found[0] == code and why in found[2]


def test_numbers_and_sounds_are_not_doubted(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["a,b", *(f"{i * 37 % 101},{i / 7}" for i in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    words = ("--target", "b", "--task", "regression", "--json", "--out", tmp_path / "o")
    _, out, _ = run(capsys, "check", tmp_path / "t.csv", *words)
    assert json.loads(out)["labels_not_doubted"].startswith("only classes can be doubted")
    code, _, err = run(capsys, "check", tones, "--out", tmp_path / "p")
    assert code == 0 and "not doubted: no trained weights are for recordings" in err
    code, _, err = run(capsys, "check", tones, "--weights", __file__, "--out", tmp_path / "q")
    assert code == 2


def test_ctrl_c_leaves_the_doubting_and_keeps_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, goes_on: Any, **how: Any) -> Any:
        import signal

        assert goes_on()
        signal.raise_signal(signal.SIGINT)
        assert not goes_on()

    monkeypatch.setattr(mislabelled, "of_rows", interrupted)
    wine(tmp_path / "wine.csv")
    words = ("check", tmp_path / "wine.csv", "--target", "kind", "--out", tmp_path / "o")
    code, _, err = run(capsys, *words)
    assert code == 0 and "not doubted: you stopped that." in err
    assert (tmp_path / "o" / "check.html").is_file()
