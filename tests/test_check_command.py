"""`quickstudy check`: words and exit codes, the page, the list, and a table that can be learnt."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from quickstudy import cli
from quickstudy.catalog import scan
from quickstudy.commands.checking import _cell as cell


def run(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def spoilt(shapes: Path, tmp_path: Path) -> Path:
    """Shapes with given parts, a picture of each fault in them, and names that need care."""
    root = tmp_path / "spoilt"
    for label in ("cross", "disc"):
        for n, file in enumerate(sorted((shapes / label).iterdir())):
            part = root / ("test" if n < 10 else "train") / label
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part / file.name)
    train, test = root / "train", root / "test"
    shutil.copy(test / "disc" / "03.png", train / "disc" / "leak.png")
    shutil.copy(train / "disc" / "20.png", train / "cross" / "contra.png")
    shutil.copy(train / "disc" / "21.png", train / "disc" / "copy <b>.png")
    Image.new("RGB", (24, 24), (9, 9, 9)).save(train / "disc" / "blank.png")
    (train / "disc" / "cut.png").write_bytes((train / "disc" / "22.png").read_bytes()[:200])
    return root


def state(root: Path) -> dict[str, str]:
    return {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


def test_all_is_found_said_written_and_nothing_is_changed(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(spoilt)
    clean, out_ = tmp_path / "clean.csv", tmp_path / "out"
    code, out, _err = run(capsys, "check", spoilt, "--strict", "--apply", clean, "--out", out_)
    assert code == 1 and state(spoilt) == before
    lines = out.splitlines()
    severities = [line.partition(":")[0] for line in lines if not line.startswith(" ")]
    order = ["serious", "warning", "note"]
    assert severities == sorted(severities, key=order.index)
    assert all(line.strip().startswith("-> ") for line in lines[1::2])
    with (out_ / "check.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["check"]: row for row in csv.DictReader(file)}
    assert {"blank", "contradiction", "leak", "copy", "unreadable"} <= set(rows)
    assert rows["leak"]["severity"] == "serious" and "leak.png" in (
        rows["leak"]["file"] + rows["leak"]["other"]
    )
    page = (out_ / "check.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") >= 7  # one each, and the other of three pairs
    assert "copy &lt;b&gt;.png" in page and "<b>.png" not in page
    assert not re.search(r"<script|https?://", page)
    learnt = scan(clean, cache=tmp_path)
    kept = {Path(name).name for name in map(str, learnt.names)}
    assert len(learnt) == 79  # 80, less the one that was contradicted
    assert not kept & {"leak.png", "contra.png", "blank.png", "cut.png"}
    assert (learnt.given == 2).sum() == 20 and (learnt.given == 0).sum() == 59


def test_clean_data_pass_strict_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "noise" / ("left", "right")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")  # a BMP's size tells nothing
    source = tmp_path / "noise"
    code, out, _ = run(capsys, "check", source, "--strict", "--json", "--out", tmp_path / "o")
    found = json.loads(out)
    assert (code, found["examples"], found["findings"]) == (0, 40, [])
    code, out, _ = run(capsys, "check", source, "--strict", "--out", tmp_path / "p")
    assert (code, out) == (0, "Nothing was found wrong.\n")
    shutil.copytree(source / "left", source / "lefts")
    code, out, _ = run(capsys, "check", source, "--strict", "--out", tmp_path / "q")
    assert code == 1 and "differ only by a plural" in out


def test_sounds_can_be_played(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "tones"
    shutil.copytree(tones, source)
    soundfile.write(source / "fall" / "silent.wav", np.zeros(4000), 8000)
    file = next((source / "rise").iterdir())
    wave, rate = soundfile.read(file)
    soundfile.write(source / "rise" / "loud.flac", (9 * wave / abs(wave).max()).clip(-1, 1), rate)
    code, out, _ = run(capsys, "check", source, "--out", tmp_path / "o")
    assert code == 0
    assert "silent" in out and "clipped" in out
    page = (tmp_path / "o" / "check.html").read_text(encoding="utf-8")
    assert "data:audio/mpeg" in page and "<audio controls" in page


def test_rows_of_a_table_contradict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = ["a,b,kind"] + [f"{x:.4f},{y:.4f},{'uv'[i % 2]}" for i, (x, y) in
                            enumerate(rng.normal(size=(60, 2)))]  # fmt: skip
    lines.append(lines[1][:-1] + "v")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    words = ("check", tmp_path / "t.csv", "--target", "kind", "--json", "--out")
    code, out, _ = run(capsys, *words, tmp_path / "o")
    (found,) = json.loads(out)["findings"]
    assert code == 0 and found["check"] == "contradiction"
    code, out, _ = run(capsys, *words, tmp_path / "p", "--apply", tmp_path / "new.csv")
    told = json.loads(out)["applied"]
    assert code == 0 and told["left_out"] == {"contradiction": 2} and told["kept"] == 59
    kept = (tmp_path / "new.csv").read_text().splitlines()
    assert kept == [lines[0], *lines[2:-1]]


def test_cleaned_rows_keep_parts_groups_numbers_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["size,word,price,split,group"]
    lines += [f"{i}.5,{'' if i == 3 else 'w'},{i / 7:.17g},train,g{i % 3}" for i in range(12)]
    lines += [lines[4], "9.25,w,0.5,test,h"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    words = ("--target", "price", "--out", tmp_path / "o", "--apply", tmp_path / "new.csv")
    code, _, err = run(capsys, "check", tmp_path / "t.csv", *words)
    assert code == 0 and "copy (1)" in err and "--target price" in err
    head, *rows = list(csv.reader((tmp_path / "new.csv").read_text().splitlines()))
    assert head == ["size", "word", "price", "split", "group"]
    assert len(rows) == 13 and sum(row[1] == "" for row in rows) == 1
    assert [float(row[2]) for row in rows[:3]] == [0, 1 / 7, 2 / 7]
    assert rows[-1] == ["9.25", "w", "0.5", "test", "h"] and rows[1][4] == "g1"


def test_files_in_an_archive_cannot_be_named_and_it_says_so_first(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = shutil.make_archive(str(tmp_path / "shapes"), "zip", shapes)
    code, _, err = run(
        capsys, "check", packed, "--apply", tmp_path / "c.csv", "--out", tmp_path / "o"
    )
    assert code == 2 and "no path of their own" in err and "Unpack it" in err
    assert not (tmp_path / "c.csv").exists() and not (tmp_path / "o").exists()


def test_leaks_into_another_source_are_found(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for label in ("cross", "disc", "square"):
        (other / label).mkdir(parents=True)
        picture = Image.open(shapes / label / "05.png")
        picture.resize((48, 48), Image.Resampling.NEAREST).save(other / label / "big.png")
    clean = tmp_path / "clean.csv"
    _, out, _ = run(capsys, "check", shapes, "--test", other, "--json", "--apply", clean,
                    "--out", tmp_path / "o")  # fmt: skip
    found = [one for one in json.loads(out)["findings"] if one["check"] == "leak"]
    assert len(found) == 3 and all("05.png" in f["file"] + f["other"] for f in found)
    learnt = scan(clean, cache=tmp_path)
    assert (learnt.given == 2).sum() == 3 and len(learnt) == 120


def test_no_file_of_the_users_is_written_over(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    code, _, err = run(capsys, "check", shapes, "--apply", mine)
    assert code == 2 and "exists already" in err and mine.read_text() == "mine"
    (tmp_path / "check.csv").write_text("mine")
    code, _, err = run(capsys, "check", shapes, "--out", tmp_path)
    assert code == 2 and (tmp_path / "check.csv").read_text() == "mine"
    code, _, err = run(capsys, "check", shapes, "--apply", tmp_path / "out.txt")
    assert code == 2 and ".csv" in err


def test_what_cannot_be_written_or_read_again_is_refused_first(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, file, source = tmp_path / "held", tmp_path / "file", tmp_path / "source"
    held.mkdir()
    (held / "check.csv").touch()
    file.touch()
    for out in (held, file / "inside"):
        code, _, err = run(capsys, "check", tmp_path / "not looked at", "--out", out)
        assert code == 2 and ("holds a check" in err or "not a folder" in err)
    for label in ("cross", "disc "):
        shutil.copytree(shapes / label.strip(), source / label)
    words = ("check", source, "--out", tmp_path / "o", "--apply", tmp_path / "c.csv")
    code, _, err = run(capsys, *words)
    assert code == 2 and "'disc '" in err and "blank" in err
    (source / "disc ").rename(source / "disc")
    odd = os.fsdecode(bytes(source / "disc") + b"/\xff.png")
    shutil.copy(source / "disc" / "00.png", odd)
    code, _, err = run(capsys, *words)
    assert code == 2 and "xff.png" in err and "UTF-8" in err
    assert not (tmp_path / "o").exists()


def test_the_cleaned_table_is_the_same_task_and_formulas_are_text(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    for label in ("cross", "disc"):
        (source / label).mkdir(parents=True)
        for name in ("00.png", "01.png"):
            shutil.copy(shapes / label / name, source / label / name)
    (source / "cross" / "=1+1.png").write_bytes(b"no picture")
    words = ("--out", tmp_path / "o", "--apply", tmp_path / "c.csv")
    code, _, err = run(capsys, "check", source, *words)
    assert code == 0 and "c.csv --task classification\n" in err
    with (tmp_path / "o" / "check.csv").open(newline="", encoding="utf-8") as made:
        files = {row["file"] for row in csv.DictReader(made)}
    assert not any(name.startswith(("=", "+", "-", "@")) for name in files)
    assert cell("=1+1.png") == "'=1+1.png" and cell("a=1") == "a=1"


def test_mirrored_and_linked_examples_stay_and_nothing_left_is_said(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    source = tmp_path / "source"
    pixels = [np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
              for _ in range(8)]  # fmt: skip
    for i, one in enumerate(pixels):
        for part, label, made in (("train", "left", one), ("test", "right", one[:, ::-1])):
            (source / part / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(made.astype(np.uint8)).save(source / part / label / f"{i}.png")
    words = ("--out", tmp_path / "o", "--json", "--apply", tmp_path / "c.csv")
    _, out, _ = run(capsys, "check", source, *words)
    told = json.loads(out)
    assert "mirrored, another label" in {one["check"] for one in told["findings"]}
    assert told["applied"]["left_out"] == {} and told["applied"]["kept"] == 16
    same = tmp_path / "same"
    for label in ("left", "right"):
        shutil.copytree(source / "train" / "left", same / label)
    words = ("--out", tmp_path / "p", "--apply", tmp_path / "d.csv")
    _, _, err = run(capsys, "check", same, *words)
    assert "Nothing is left to learn from." in err and "Next" not in err
