"""A server on this machine, asked over real sockets: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import http.client
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import quickstudy as qs
from quickstudy.errors import ChoiceError, ExampleError, MissingExtra, ModelError
from quickstudy.model import untrained
from quickstudy.serving import Limits, Place, Ready, models, serve
from quickstudy.serving.batching import Pace, Queue
from quickstudy.serving.given import given_in
from quickstudy.serving.metrics import Metrics
from quickstudy.serving.opening import is_large
from quickstudy.serving.refusing import Refused

pytestmark = pytest.mark.usefixtures("one_thread")
TOKEN = "a-token-for-the-tests"


def picture(seed: int, side: int = 40) -> bytes:
    rng, out = np.random.default_rng(seed), io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def saved(folder: Path, seed: int = 0, classes: tuple[str, ...] = ("dark", "light")) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return untrained(classes, size=32).save(folder)


@contextmanager
def running(*folders: Path, place: Place | None = None, **limits: Any) -> Iterator[Ready]:
    """Lend a server in a thread; at the end it stops, and well."""
    begun: list[Ready] = []
    event, codes = threading.Event(), []

    def ready(told: Ready) -> None:
        begun.append(told)
        event.set()

    def run() -> None:
        try:
            where = place or Place(port=0)
            codes.append(serve(folders, where, Limits(**limits), ready=ready))
        finally:
            event.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert event.wait(60) and begun
    try:
        yield begun[0]
    finally:
        begun[0].stop()
        thread.join(20)
        assert codes == [0]


class Answer:
    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.body = reply.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def port_of(server: Ready) -> int:
    return int(server.url.rpartition(":")[2])


def ask(
    server: Ready, path: str, body: bytes | None = None, kind: str = "image/png", **headers: str
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            given.setdefault("Content-Type", kind)
        connection.request("GET" if body is None else "POST", path, body, given)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def form(*files: tuple[str, bytes], field: str = "files") -> tuple[bytes, str]:
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="{field}"; '
        f'filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


def document(**said: Any) -> tuple[bytes, str]:
    return json.dumps(said).encode(), "application/json"


def raw(server: Ready, sent: bytes, seconds: float = 10) -> bytes:
    """Send bytes; return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=seconds) as line:
        line.sendall(sent)
        found = b""
        while more := line.recv(65536):
            found += more
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("run") / "shades" / "model")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Ready]:
    with running(folder, upload=1 << 20, together=4 << 20, patience=0.6, headers=16 << 10) as one:
        yield one


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return qs.load(folder)


# What it answers.


def test_the_answers_are_those_of_predict(server: Ready, model: Any) -> None:
    files = [picture(seed, 20 + seed) for seed in range(9)]
    expected = [one.as_dict() for one in model.predict(files)]
    body, kind = form(*((f"{n}.png", raw) for n, raw in enumerate(files)))
    of_form = ask(server, "/predict", body, kind).json
    examples = [{"base64": base64.b64encode(raw).decode()} for raw in files]
    of_json = ask(server, "/predict?model=shades", *document(examples=examples)).json
    alone = [ask(server, "/predict", raw).json["predictions"][0] for raw in files]
    assert of_form["model"] == of_json["model"] == "shades"
    for found in (of_form["predictions"], of_json["predictions"], alone):
        for one, right in zip(found, expected, strict=True):
            assert one["label"] == right["label"]
            assert one["probabilities"] == pytest.approx(right["probabilities"], abs=1e-6)
            assert one.keys() == right.keys()
    assert [one["name"] for one in of_form["predictions"]] == [f"{n}.png" for n in range(9)]


def test_many_at_once_share_batches(server: Ready, model: Any) -> None:
    files = [picture(seed) for seed in range(60)]
    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda raw: ask(server, "/predict", raw).json, files))
    for one, right in zip(found, model.predict(files), strict=True):
        assert one["predictions"][0]["probabilities"] == pytest.approx(
            right.probabilities, abs=1e-6
        )


def test_what_cannot_be_read_is_named(server: Ready, model: Any) -> None:
    files = [("good.png", picture(1)), ("cut.png", picture(2)[:200]), ("no.txt", b"hello")]
    found = ask(server, "/predict", *form(*files))
    assert found.status == 200
    good, cut, no = found.json["predictions"]
    assert good["error"] is None and "truncated" in cut["error"] and no["error"] == "not a picture"
    for content in (files[1][1], b"hello", b""):
        single = ask(server, "/predict", content)
        assert single.status == 422 and single.json["error"]
    assert ask(server, "/predict", *form(files[2])).json["predictions"][0]["label"] is None
    with pytest.raises(ExampleError, match="not a picture"):
        model.predict(b"hello")


def test_an_explanation_with_its_pictures(server: Ready, model: Any) -> None:
    from quickstudy.explanation import explain

    found = ask(server, "/explain?of=dark", picture(3))
    right = explain(model, picture(3), of="dark").as_dict()
    assert found.status == 200
    assert found.json["of"] == "dark" and found.json["sentence"] == right["sentence"]
    assert np.allclose(found.json["map"], right["map"], atol=1e-5)
    for name in ("picture", "overlay"):
        head, _, data = found.json[name].partition(",")
        assert head == "data:image/png;base64"
        assert min(Image.open(io.BytesIO(base64.b64decode(data))).size) > 100
    assert found.json["neighbours"] == [] and "folder of its run" in found.json["about"]
    assert ask(server, "/explain?of=green", picture(3)).status == 422
    assert ask(server, "/explain", b"hello").status == 422


def test_neighbours_where_the_run_is_beside(shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "shapes"
    saved(run / "model", classes=("cross", "disc"))
    files = [shapes / label / f"{n:02d}.png" for label in ("cross", "disc") for n in range(6)]
    lines = [f"{one.name},{one},{one.parent.name},train" for one in files]
    (run / "examples.csv").write_text("\n".join(["name,path,label,part", *lines]))
    with running(run) as server:
        for _ in range(100):
            found = ask(server, "/explain", files[3].read_bytes()).json
            if found["neighbours"]:
                break
            assert "ask again" in found["about"]
            time.sleep(0.1)
    first = found["neighbours"][0]
    assert (first["name"], first["label"]) == ("03.png", "cross") and first["alike"] > 0.99
    assert first["thumbnail"].startswith("data:image/") and found["compared"] == 12


def test_rows_of_a_table(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    run = qs.learn(
        (x, x[:, 0] - 2 * x[:, 1]), kind="table", network="a*x0 + b*x1", out=tmp_path / "line",
        settings={"epochs": 2, "compute.threads": 1, "optimizer.lr": 0.025}, budget="5s",
    )  # fmt: skip
    rows = [{"x0": 1.0, "x1": 0.5}, {"x0": "2", "x1": None}, {"x0": None, "x1": None}]
    right = [one.as_dict() for one in run.model.predict(rows)]
    with running(tmp_path / "line") as server:
        found = ask(server, "/predict", *document(rows=rows)).json["predictions"]
        wrong = ask(server, "/predict", *document(rows=[{"x0": 1, "z": 2}]))
        raw_body = ask(server, "/predict", b"1,2", "text/csv")
        told = ask(server, "/explain", *document(rows=rows[:1])).json
        sure = ask(server, "/predict?coverage=0.9", *document(rows=rows[:1])).json
    assert found[0]["values"] == pytest.approx(right[0]["values"], abs=1e-5)
    assert found[2]["error"] == right[2]["error"] == "every cell is empty"
    assert wrong.status == 422 and "no column 'z'" in wrong.json["error"]
    assert raw_body.status == 415
    assert [one["column"] for one in told["columns"]] == ["x0", "x1"]
    low, high = sure["predictions"][0]["ranges"]["y"]
    assert low < found[0]["values"]["y"] < high


def test_several_models_and_what_is_told_of_them(folder: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "shades", 5, ("a", "b", "c"))
    with running(folder, other) as server:
        found = {one["name"]: one for one in ask(server, "/models").json}
        assert list(found) == ["shades", "shades-2"]
        assert found["shades-2"]["classes"] == ["a", "b", "c"]
        assert found["shades"]["kind"] == "image" and found["shades"]["explains"]
        assert found["shades"]["limits"]["bytes"] == 32 << 20
        answer = ask(server, "/predict?model=shades-2", picture(1)).json
        assert answer["model"] == "shades-2" and len(answer["predictions"][0]["probabilities"]) == 3
        wrong = ask(server, "/predict?model=shade", picture(1))
        assert wrong.status == 404 and "shades" in wrong.json["hint"]


def test_what_is_wrong_with_options(server: Ready) -> None:
    for path in ("/predict?coverage=0.9", "/predict?coverage=much", "/predict?coverage=nan"):
        found = ask(server, path, picture(1))
        assert found.status == 422 and found.json["error"], path
    nowhere, got = ask(server, "/nowhere"), ask(server, "/predict")
    assert nowhere.status == 404 and "/docs" in nowhere.json["hint"]
    assert got.status == 405 and got.headers["allow"] == "POST" and "POST" in got.json["hint"]


def test_a_monitor_may_ask_for_the_headers_alone(server: Ready) -> None:
    ends = "Host: localhost\r\nConnection: close\r\n\r\n"
    for path in ("/healthz", "/readyz", "/"):
        found = raw(server, f"HEAD {path} HTTP/1.1\r\n{ends}".encode())
        assert found.startswith(b"HTTP/1.1 200") and found.endswith(b"\r\n\r\n"), path


# What a browser is given.


def test_the_page_and_the_documentation_come_from_here(server: Ready) -> None:
    page, docs = ask(server, "/"), ask(server, "/docs")
    assert page.status == docs.status == 200
    for one in (page, docs):
        assert "default-src 'self'" in one.headers["content-security-policy"]
        text = one.body.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|https?://", text)
        linked = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', text)
        assert linked
        for name in linked:
            assert ask(server, "/" + name).status == 200, name
    assert ask(server, "/page/..%2f__init__.py").status == 404
    assert ask(server, "/page/__init__.py").status == 404
    schema = ask(server, "/openapi.json").json
    assert {"/predict", "/explain", "/models", "/healthz", "/readyz"} <= schema["paths"].keys()
    assert "Predictions" in schema["components"]["schemas"]


def test_what_is_counted(server: Ready) -> None:
    ask(server, "/predict", picture(1))
    ask(server, "/predict", b"GIF89a", "text/html")
    ask(server, "/a-name-that-a-client-made-up")
    text = ask(server, "/metrics").body.decode()
    for line in (
        r'quickstudy_requests_total{path="/predict",status="200"} [1-9]',
        r'quickstudy_refusals_total{reason="type"} [1-9]',
        r'quickstudy_request_seconds_bucket{le="[\d.]+",path="/predict"}',
        r'quickstudy_batch_size_count{model="shades"} [1-9]',
        r'quickstudy_waiting{model="shades"} 0',
    ):
        assert re.search(line, text), line
    assert "made-up" not in text


# What it refuses.


def claiming(wide: int, high: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        said = name + data
        return struct.pack(">I", len(data)) + said + struct.pack(">I", zlib.crc32(said))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(2_000_000)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


def test_a_picture_that_claims_a_billion_pixels(server: Ready) -> None:
    for bomb in (claiming(32_000, 32_000), claiming(9_000, 9_000)):
        found = ask(server, "/predict", bomb)
        assert found.status == 422 and "50,000,000 pixels" in found.json["error"]
    passes = b"\xff\xd8" + b"\xff\xda\x00\x08" * 200
    assert "passes" in ask(server, "/predict", passes).json["error"]


def test_bodies_that_are_too_large(server: Ready) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    found = raw(server, head + b"Content-Length: 10000000000\r\n\r\n" + bytes(300_000))
    assert found.startswith(b"HTTP/1.1 413 ") and b"larger than 1 MB" in found
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    ends = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = raw(server, head + ends + chunk * 17 + b"0\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")
    # longer than announced: what is too much is no request
    found = raw(server, head + b"Content-Length: 5\r\n\r\n" + b"x" * 500)
    assert b"HTTP/1.1 400 " in found
    found = raw(server, head + b"Content-Length: -5\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 400 ")
    assert ask(server, "/predict", *form(*[("a", b"x")] * 65)).status == 413


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[" * 100_000, "application/json", 413),
        (b"[" * 15_000, "application/json", 400),
        (b'{"examples": [', "application/json", 400),
        (b'{"examples": [{"base64": "a b"}]}', "application/json", 422),
        (b'{"examples": [{"base64": 3}]}', "application/json", 422),
        (b'{"examples": [{"name": "\\ud800", "base64": "aGVsbG8="}]}', "application/json", 422),
        (b'{"examples": []}', "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 400),
        (b'{"examples": NaN}', "application/json", 400),
        (b"x", "text/plain", 415),
        (b"x", "", 415),
        (b"--xyz\r\n", "multipart/form-data", 400),
        (b"nonsense", "multipart/form-data; boundary=xyz", 400),
        (form(("a", b"x"))[0][:-9], "multipart/form-data; boundary=xyz", 400),
        (form(("a", b"x"), field="other")[0], "multipart/form-data; boundary=xyz", 422),
    ],
)
def test_bodies_that_are_not_what_they_say(
    server: Ready, body: bytes, kind: str, status: int
) -> None:
    found = ask(server, "/predict", body, kind)
    assert found.status == status and found.json["error"]


def test_what_comes_too_slowly(server: Ready) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    began = time.monotonic()
    assert raw(server, head + b"Content-Length: 100\r\n\r\nab").startswith(b"HTTP/1.1 408 ")
    assert raw(server, head).startswith(b"HTTP/1.1 408 ")
    assert raw(server, b"") == b""
    assert time.monotonic() - began < 9
    endless = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000
    assert raw(server, endless).startswith(b"HTTP/1.1 431 ")
    assert raw(server, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(server: Ready) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as line:
        line.sendall(head + b"Content-Length: 100000\r\n\r\n")
        line.settimeout(0.05)
        found = b""
        while not found and time.monotonic() - began < 8:
            line.sendall(b"a")
            try:
                found = line.recv(100)
            except TimeoutError:
                continue
    assert found.startswith(b"HTTP/1.1 408 ")


def test_other_sites_and_other_names(server: Ready) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[evil"},
    ):
        assert ask(server, "/predict", picture(1), **headers).status == 403, headers
    own = {"Host": "localhost:9", "Origin": "http://localhost:9"}
    found = ask(server, "/predict", picture(1), **own)
    assert found.status == 200
    assert not [name for name in found.headers if name.lower().startswith("access-control")]


def test_a_token(folder: Path) -> None:
    with running(folder, place=Place("0.0.0.0", 0, TOKEN)) as server:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/models", "/metrics"):
                assert ask(server, path, **given).status == 401
            found = ask(server, "/predict", picture(1), **given)
            assert found.status == 401 and found.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/page/page.js", "/docs", "/healthz", "/readyz", "/openapi.json"):
            assert ask(server, path).status == 200
        right = {"Authorization": f"Bearer {TOKEN}", "Host": "any.name"}
        assert ask(server, "/predict", picture(1), **right).status == 200


def test_other_machines_need_a_word(folder: Path) -> None:
    with pytest.raises(ChoiceError, match="other machines could ask"):
        serve([folder], Place("0.0.0.0", 0))
    with pytest.raises(ChoiceError, match="shorter than"):
        serve([folder], Place("127.0.0.1", 0, "short"))
    Place("0.0.0.0", 0, open=True).check()
    with pytest.raises(ModelError, match="no model at"):
        serve([folder / "nowhere"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ChoiceError, match="cannot be used") as told:
            serve([folder], Place(port=taken.getsockname()[1]))
        assert "--port 0" in told.value.hint


def test_what_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    with pytest.raises(MissingExtra, match=re.escape('pip install "quickstudy[serve]"')):
        serve([folder])


def test_sound_that_is_too_long() -> None:
    def silence(seconds: float, kind: str) -> bytes:
        out = io.BytesIO()
        soundfile.write(out, np.zeros(round(seconds * 8000), np.float32), 8000, format=kind)
        return out.getvalue()

    few = Limits(seconds=60)
    for kind in ("FLAC", "WAV", "MP3"):
        assert is_large("sound", silence(59, kind), few) is False
        with pytest.raises(ExampleError, match="longer than 60 s"):
            is_large("sound", silence(62, kind), few)
    unsaid = bytearray(silence(62, "FLAC"))
    unsaid[21:26] = bytes([unsaid[21] & 0xF0, 0, 0, 0, 0])  # a length that its header does not say
    with pytest.raises(ExampleError, match="longer than 60 s"):
        is_large("sound", bytes(unsaid), few)


def test_rows_that_would_become_far_larger() -> None:
    few = Limits(rows=10)
    kind = "application/json"
    with pytest.raises(Refused, match="More than 10 rows"):
        given_in(b'{"rows": [' + b"{}," * 10 + b"{}]}", kind, "table", few)
    for cell in (b"1e999", b"1" + b"0" * 400, b"[]"):
        with pytest.raises(Refused, match="neither a number nor a text"):
            given_in(b'{"rows": [{"a": ' + cell + b"}]}", kind, "table", few)


# What it does when there is much to do.


class Held:
    """A model that answers only when it may, and keeps how many it was asked about at once."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.gate = threading.Event()
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def answered(self, pairs: Any, coverage: float | None) -> Any:
        self.sizes.append(len(pairs))
        assert self.gate.wait(30)
        return self._model.answered(pairs, coverage)


@pytest.fixture
def held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    found = Held(models.load_and_warm(folder))
    monkeypatch.setattr(models, "load_and_warm", lambda _: found)
    return found


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_queue_and_batches(folder: Path, held: Held) -> None:
    with running(folder, waiting=5) as server, ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, server, "/predict", picture(0))
        until(lambda: held.sizes == [1])
        others = [pool.submit(ask, server, "/predict", picture(n)) for n in range(4)]
        until(lambda: b'waiting{model="shades"} 5' in ask(server, "/metrics").body)
        full = ask(server, "/predict", picture(9))
        assert full.status == 503 and int(full.headers["retry-after"]) >= 1
        assert "wait already" in full.json["error"]
        held.gate.set()
        assert [one.result().status for one in (first, *others)] == [200] * 5
        assert held.sizes == [1, 4]
        assert ask(server, "/predict", picture(9)).status == 200


def test_an_answer_that_takes_too_long(folder: Path, held: Held) -> None:
    with running(folder, timeout=0.3) as server:
        found = ask(server, "/predict", picture(0))
        assert found.status == 503 and found.headers["retry-after"]
        assert "longer than 0.3 s" in found.json["error"]
        held.gate.set()
        until(lambda: ask(server, "/predict", picture(0)).status == 200)
        text = ask(server, "/metrics").body
        assert b"upload_bytes 0.0" in text and b'waiting{model="shades"} 0.0' in text


def test_no_room_for_more_uploads(folder: Path, held: Held) -> None:
    with running(folder, together=10_000) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "/predict", picture(0))
        until(lambda: held.sizes == [1])
        found = ask(server, "/predict", bytes(9_000))
        assert found.status == 503 and "uploads" in found.json["error"]
        held.gate.set()
        assert first.result().status == 200


def test_a_stop_answers_what_it_took(folder: Path, held: Held) -> None:
    with running(folder) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, "/predict", picture(0))
        until(lambda: held.sizes == [1])
        assert ask(server, "/readyz").status == 200
        server.stop()
        late, state = ask(server, "/predict", picture(1)), ask(server, "/readyz")
        assert late.status == 503 and "stops" in late.json["error"]
        assert state.status == 503 and state.json == {"state": "stopping"}
        assert ask(server, "/healthz").status == 200
        held.gate.set()
        assert first.result().status == 200


def test_hundreds_of_connections(folder: Path) -> None:
    def asked(line: socket.socket) -> bytes:
        try:
            line.sendall(b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return line.recv(12)
        except OSError:  # refused and closed before it could ask
            return b""

    with running(folder, connections=80) as server:
        where = ("127.0.0.1", port_of(server))
        lines = [socket.create_connection(where, timeout=20) for _ in range(350)]
        try:
            found = [asked(line) for line in lines]
            said = [one[9:] for one in found]
            assert set(said) <= {b"200", b"503", b""}
            assert b"503" in said and said.count(b"200") <= 80  # the answered stay open
        finally:
            for line in lines:
                line.close()
        until(lambda: ask(server, "/models").status == 200)


def test_one_alone_is_not_delayed_and_others_are_waited_for() -> None:
    class Counting:
        sizes: ClassVar[list[int]] = []

        def answered(self, pairs: Any, coverage: float | None) -> Any:
            self.sizes.append(len(pairs))
            return [name for name, _ in pairs]

    async def both() -> None:
        queue, model = Queue("one", "image", Limits(window=5), Metrics()), Counting()
        queue.start()
        began = time.monotonic()
        queue.take(1)
        queue.decoded()
        assert await queue.answered(model, [("a", "")], None) == ["a"]
        assert time.monotonic() - began < 3
        for _ in range(2):
            queue.take(1)
        queue.decoded()
        first = asyncio.create_task(queue.answered(model, [("b", "")], None))
        await asyncio.sleep(0.05)
        queue.decoded()
        assert await queue.answered(model, [("c", "")], None) == ["c"]
        assert await first == ["b"] and Counting.sizes == [1, 2]
        assert time.monotonic() - began < 5
        queue.stop()

    asyncio.run(both())


# What changes while it serves.


def test_replacing_a_model_loses_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "_EVERY", 0.05)
    place, other = saved(tmp_path / "one", 1), saved(tmp_path / "two", 2)
    raw = picture(7)
    old, new = (qs.load(one).predict(raw).probability for one in (place, other))
    assert abs(old - new) > 1e-4
    stop, statuses = threading.Event(), []

    def go_on(server: Ready) -> None:
        while not stop.is_set():
            statuses.append(ask(server, "/predict", raw).status)

    def now(server: Ready) -> float:
        return float(ask(server, "/predict", raw).json["predictions"][0]["probability"])

    with running(place) as server:
        threads = [threading.Thread(target=go_on, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert now(server) == pytest.approx(old, abs=1e-6)
        for file in other.iterdir():
            shutil.copy(file, place / file.name)
        until(lambda: abs(now(server) - new) < 1e-6)
        assert ask(server, "/models").json[0]["replaced"] == 1
        (place / "weights.safetensors").write_bytes(b"broken")
        (place / "checksums.sha256").write_text("another")
        until(lambda: b'result="failed"' in ask(server, "/metrics").body)
        assert now(server) == pytest.approx(new, abs=1e-6)
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200} and len(statuses) > 3
    assert "the old one stays" in capfd.readouterr().err


def test_a_server_of_its_own_stops_at_a_signal_and_writes_nothing(
    folder: Path, tmp_path: Path
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*"))
    command = [sys.executable, "-m", "quickstudy", "serve", str(folder), "--port", "0", "--json"]
    process = subprocess.Popen(
        command, cwd=here, env={**os.environ, "TMPDIR": str(temporary)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        told = json.loads(process.stdout.readline())
        assert told["models"] == ["shades"]
        server = Ready(told["url"], [], lambda: None)
        large = picture(1, 1200)  # 4 MB: form parsers put such into a file
        assert (
            ask(server, "/predict", *form(("../../evil.png", large))).json["predictions"][0]["name"]
            == "evil.png"
        )
        idle = socket.create_connection(("127.0.0.1", port_of(server)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        idle.close()
        said = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert "shades" in said and "To stop: Ctrl-C" in said and "32 MB" in said
    assert list(here.iterdir()) == list(temporary.iterdir()) == []
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*")) == before


def test_what_is_announced_keeps_nobody_out(server: Ready) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    lines = [socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(5)]
    for line in lines:
        line.sendall(head + b"Content-Length: 1000000\r\n\r\nab")
    assert ask(server, "/predict", picture(1)).status == 200
    for line in lines:  # gone before their request had come
        line.close()
    until(lambda: b'refusals_total{reason="gone"}' in ask(server, "/metrics").body)
    assert b"upload_bytes 0.0" in ask(server, "/metrics").body


def test_long_words_are_not_looked_for(server: Ready) -> None:
    long = base64.b64encode(picture(1)).decode()
    for of in ("x" * 2_000, ["dark"]):
        found = ask(server, "/explain", *document(of=of, examples=[{"base64": long}]))
        assert found.status == 422 and found.json["error"].startswith("of ")
    with pytest.raises(Refused, match="1,000 characters"):
        given_in(
            json.dumps({"rows": [{"x" * 2_000: 1}]}).encode(), "application/json", "table", Limits()
        )
    assert len(Refused(400, "form", "x" * 10_000).body()) < 3_000


def test_an_explanation_tells_no_path_of_this_machine(shapes: Path, tmp_path: Path) -> None:
    run = tmp_path / "shapes"
    saved(run / "model", classes=("cross", "disc"))
    files = [shapes / label / f"{n:02d}.png" for label in ("cross", "disc") for n in range(3)]
    lines = [f"{one},{one},{one.parent.name},train" for one in files]  # named by their paths
    (run / "examples.csv").write_text("\n".join(["name,path,label,part", *lines]))
    with running(run) as server:
        content = files[1].read_bytes()
        until(lambda: bool(ask(server, "/explain", content).json["neighbours"]))
        found = ask(server, "/explain", content)
        assert found.json["neighbours"][0]["name"] == "cross/01.png"
    with running(saved(tmp_path / "other")) as server:
        shutil.rmtree(tmp_path / "other")
        gone = ask(server, "/explain", content)
        assert gone.status == 503 and gone.headers["retry-after"]
    for one in (found, gone):
        assert str(tmp_path) not in one.body.decode() and str(shapes) not in one.body.decode()


def test_the_limits_that_are_asked_for_are_kept(folder: Path) -> None:
    assert replace(Limits(), pixels=10).as_dict()["pixels"] == 10
    with running(folder, pixels=100) as server:
        assert "100 pixels" in ask(server, "/predict", picture(0)).json["error"]


def test_together_only_where_that_is_quicker() -> None:
    pace = Pace()
    assert pace.most(32) == 32  # nothing is known
    for _ in range(8):
        pace.took(0.02, 1)
        pace.took(0.16, 8)
    assert pace.most(32) == 1  # 20 ms each, alone or not
    assert [pace.most(32) for _ in range(100)].count(32) == 1  # now and then it looks again
    for _ in range(32):
        pace.took(0.02, 8)
    assert pace.most(32) == 32  # 2.5 ms each
