"""What `learn` says of its data before it learns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import quickstudy as qs
from quickstudy.checking import Finding, grouped
from quickstudy.learning.looking import _lines
from quickstudy.progress import Progress

FEW = {"epochs": 1, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
FEW |= {"optimizer.lr": 0.025}


@pytest.fixture(scope="module")
def told(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[str], Path]:
    source = tmp_path_factory.mktemp("in") / "shapes"
    shutil.copytree(shapes, source)
    first = sorted((source / "disc").iterdir())[0]
    shutil.copy(first, source / "square" / f"wrong{first.suffix}")
    Image.new("RGB", (64, 64), (30, 90, 30)).save(source / "disc" / "blank.png")
    (source / "cross" / "empty.png").write_bytes(b"")
    said: list[Progress] = []
    out = tmp_path_factory.mktemp("out") / "run"
    run = qs.learn(source, settings=FEW, out=out, listen=said.append)
    report = json.loads((run.folder / "report.json").read_text())
    return report, [one.said for one in said if one.said], run.folder


def test_a_run_finds_says_and_reports_what_is_wrong(told: tuple[dict, list[str], Path]) -> None:
    report, said, folder = told
    found = {one["check"]: one for one in report["data"]["findings"]}
    assert {"contradiction", "blank", "unreadable"} <= set(found)
    (pair,) = found["contradiction"]["findings"]
    assert Path(pair["file"]).name == "wrong.png" and pair["other"].startswith("disc")
    assert pair["picture"].startswith("data:image/") and pair["other_picture"]
    assert found["unreadable"]["findings"][0]["file"] == str(Path("cross/empty.png"))
    lines = [line.strip() for line in said]
    worst = next(i for i, line in enumerate(lines) if line.startswith("serious:"))
    assert lines[worst + 1].startswith("->")
    assert sum("blank.png" in line for line in lines) == 1
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "What is odd about the data" in page and "wrong.png" in page
    assert 0 < report["seconds"]["check"] < report["seconds"]["total"]


def test_only_the_worst_is_said() -> None:
    findings = [Finding(f"sort {i}", "a", f"is {i}", "warning", "Mend it.") for i in range(8)]
    findings += [Finding("small", "a", "is small", "note", "Never mind.")]
    lines = _lines(grouped(findings))
    assert len(lines) == 11 and lines[-1] == "  and 3 more sorts of findings, in the report"
    assert not any("small" in line for line in lines)
