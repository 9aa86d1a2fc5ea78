"""`quickstudy bench`: what is timed, what is kept of it, what is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quickstudy import cli
from quickstudy.export import benching
from quickstudy.runtimes.choosing import quickest
from quickstudy.runtimes.timing import busy, interleaved


@pytest.fixture(scope="module")
def run(exported_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with an export, which no run's examples lie beside."""
    root = tmp_path_factory.mktemp("bench")
    shutil.copytree(exported_digits / "model", root / "model")
    shutil.rmtree(root / "model" / "exports" / "onnx-int8")
    return root


def test_it_tells_all_that_runs_here_and_keeps_the_times(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benching, "_COLD", 1)
    monkeypatch.setattr(benching, "_SECONDS", 0.1)
    assert cli.main(["bench", str(run / "model"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["runtime"]: row for row in told["runtimes"]}
    assert set(rows) == {"torch", "onnx"} and not told["real_examples"]
    assert told["fastest"] == min(rows, key=lambda name: rows[name]["one"]["median"])
    assert rows["torch"]["difference"] == 0 and rows["onnx"]["difference"] < 1e-4
    for row in rows.values():
        assert 0 < row["one"]["least"] <= row["one"]["median"] < 1000 * row["cold"]
    measured = json.loads((run / "model/exports/onnx/export.json").read_text())["measured"]
    assert measured["milliseconds"] == rows["onnx"]["one"]["median"]
    assert measured["milliseconds_torch"] == rows["torch"]["one"]["median"]
    through, why = quickest(run / "model")
    assert through is not None and not why  # still what was exported, to its last byte


def test_what_may_hold_code_is_not_opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = run / "model/exports/pt2"
    place.mkdir()
    told = json.loads((run / "model/exports/onnx/export.json").read_text())
    (place / "export.json").write_text(json.dumps({**told, "to": "pt2"}))
    monkeypatch.setattr(benching, "_COLD", 0)
    monkeypatch.setattr(benching, "_cold", lambda folder, names, piece: dict.fromkeys(names, 1.0))
    monkeypatch.setattr(benching, "_SECONDS", 0.0)
    found = benching.bench(run / "model")
    assert "run code" in found.left_out["pt2"]
    assert [row.runtime for row in found.rows if row.runtime == "pt2"] == []


def test_calls_are_timed_in_turn() -> None:
    seen: list[str] = []
    found = interleaved({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 3)
    assert "".join(seen) == "ab" * 4
    assert found["a"].rounds == 3 and found["a"].least <= found["a"].median


def test_a_busy_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickstudy.runtimes.timing.usable_cores", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (0.4, 0, 0))
    assert not busy()
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 0, 0))
    assert "load 3.0 on 2 cores" in busy()
