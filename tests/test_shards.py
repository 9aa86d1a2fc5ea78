"""Shards: packed whole, read by others too, fetched within a limit, streamed in a known order."""

from __future__ import annotations

import errno
import gc
import http.server
import io
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

import quickstudy
from conftest import draw, tone
from quickstudy import cli
from quickstudy.batches import Batches
from quickstudy.catalog import Catalog, scan
from quickstudy.decoding import decode
from quickstudy.errors import ChoiceError, QuickstudyError, RunError, SourceError
from quickstudy.kinds import restored
from quickstudy.shards import Index, Names, Order, Shard, Store, pack, packing
from quickstudy.shards.index import read_index
from quickstudy.shards.order import share, window_of
from quickstudy.shards.places import expanded, is_far, open_places
from quickstudy.shards.stream import Stream
from quickstudy.tasks import Classification
from quickstudy.training import checkpoints

fsspec = pytest.importorskip("fsspec")
SIZE = 120_000  # bytes of a shard here


def packed(source: Any, folder: Path, size: int = SIZE, **how: Any) -> Catalog:
    """Pack a source; return the catalog that was packed."""
    catalog = scan(source, cache=folder.parent / "cache", **how)
    pack(catalog, folder, size=size, seed=0, each=lambda share: None)
    return catalog


def scanned(source: Any, tmp_path: Path, **how: Any) -> Catalog:
    return scan(str(source), cache=tmp_path / "cache", **how)


@pytest.fixture(scope="module")
def shards(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes in four shards or so. Copy them before changing anything."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    packed(shapes, folder)
    return folder


@pytest.fixture
def far(shards: Path) -> Iterator[str]:
    """The same in memory, which is as far away as a bucket."""
    store = fsspec.filesystem("memory")
    for file in shards.iterdir():
        store.pipe_file(f"/bucket/{file.name}", file.read_bytes())
    yield "memory://bucket"
    store.rm("/bucket", recursive=True)


def same(found: Catalog, root: Path) -> None:
    """Every example has the bytes and the class of its file."""
    for number in range(len(found)):
        name = found.names[number]
        assert found.read(number) == (root / name).read_bytes()
        assert found.classes[found.labels[number]] == name.split("/")[0]


def test_packed_shards_hold_every_file_as_it_was(
    shapes: Path, shards: Path, tmp_path: Path
) -> None:
    found = scanned(shards, tmp_path)
    assert sorted(found.names) == sorted(
        p.relative_to(shapes).as_posix() for p in shapes.rglob("*.png")
    )
    same(found, shapes)
    assert found.shards is not None and len(set(found.shards.of.tolist())) > 2
    first = found.labels[found.shards.of == 0]
    assert len(set(first.tolist())) == 3, "a shard has all classes: the order is mixed"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_them(shards: Path, shapes: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    tars = sorted(map(str, shards.glob("*.tar")))
    read = list(webdataset.WebDataset(tars, shardshuffle=False))
    gc.collect()  # it leaves its files open
    assert len(read) == 120
    for one in read:
        told = json.loads(one["json"])
        assert one["png"] == (shapes / told["name"]).read_bytes()
        assert told["label"] == ("cross", "disc", "square")[int(one["cls"])]


def test_packing_is_the_same_again_and_another_seed_mixes_anew(
    shapes: Path, shards: Path, tmp_path: Path
) -> None:
    catalog = packed(shapes, tmp_path / "again")
    other = pack(catalog, tmp_path / "other", size=SIZE, seed=1, each=lambda share: None).index
    for file in shards.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    assert list(other.names) != list(scanned(shards, tmp_path).names)


def test_groups_parts_and_several_labels_are_kept(shapes: Path, tmp_path: Path) -> None:
    lines = ["path,label,split,group"]
    for number in range(30):
        part = ("train", "val", "test")[number % 3]
        labels = ";".join(["a"] * (number % 2) + ["b"] * (number % 5 > 1))
        lines.append(f"{shapes}/disc/{number:02d}.png,{labels},{part},g{number // 4}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    before = packed(table, tmp_path / "shards", task="multilabel")
    after = scanned(tmp_path / "shards", tmp_path)
    assert after.task == "multilabel" and after.classes == before.classes
    row = {name: number for number, name in enumerate(before.names)}
    order = [row[name] for name in after.names]
    assert after.values is not None and before.values is not None
    assert (after.values == before.values[order]).all()
    assert (after.given == before.given[order]).all()
    words = [after.group_names[group] for group in after.groups]
    assert words == [before.group_names[group] for group in before.groups[order]]


def test_packing_that_was_stopped_goes_on(
    shapes: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_AHEAD", 8)
    catalog = scan(shapes, cache=tmp_path / "cache")
    folder = tmp_path / "shards"

    def stop(share: float) -> None:
        if share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(catalog, folder, size=SIZE, seed=0, each=stop)
    assert not (folder / "index.json").exists()
    made = pack(catalog, folder, size=SIZE, seed=0, each=lambda share: None)
    assert made.resumed >= 1
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {
        f.name: f.read_bytes() for f in shards.iterdir()
    }
    assert pack(catalog, folder, size=SIZE, seed=0, each=lambda s: None).resumed == len(
        made.index.shards
    )
    for size, seed in ((SIZE, 1), (2 * SIZE, 0)):
        with pytest.raises(RunError, match="holds other files"):
            pack(catalog, folder, size=size, seed=seed, each=lambda share: None)


def test_what_cannot_be_read_is_left_out_by_name(shapes: Path, tmp_path: Path) -> None:
    source = shutil.copytree(shapes, tmp_path / "source")
    catalog = scan(source, cache=tmp_path / "cache")
    (source / "disc" / "07.png").unlink()
    made = pack(catalog, tmp_path / "shards", size=SIZE, seed=0, each=lambda share: None)
    assert (made.lost, len(made.index)) == (1, 119)
    assert made.left_out == (("disc/07.png", "No such file or directory"),)


def test_a_full_disk_is_told_and_leaves_no_half_shard(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("quickstudy.shards.tars.Writer._write", full)
    with pytest.raises(RunError, match="disk is full"):
        packed(shapes, tmp_path / "shards")
    assert not list((tmp_path / "shards").glob("*.tar"))


def test_the_command_says_what_it_made(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["pack", str(shapes), str(tmp_path / "s"), "--size", "40KB"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("120 pictures in ") and f"quickstudy learn {tmp_path / 's'}" in err
    assert cli.main(["pack", str(shapes), str(tmp_path / "s"), "--size", "40KB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 120
    for words, said in (
        ([str(tmp_path / "t"), "--size", "big"], "is no size"),
        (["s3://bucket/t"], "a folder of this computer"),
        ([str(tmp_path / "s"), "--seed", "-1"], "below 0"),
    ):
        assert cli.main(["pack", str(shapes), *words]) == 2
        assert said in capsys.readouterr().err


def test_an_index_that_was_altered_is_refused(shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    with (copy / "index.npz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceError, match=r"index\.npz is not the one"):
        scanned(copy, tmp_path)
    (copy / "index.json").write_text("{}")
    with pytest.raises(SourceError, match="not what `quickstudy pack` writes"):
        scanned(copy, tmp_path)


def test_a_shard_that_is_gone_or_cut_is_named(shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    name = "shard-000001.tar"
    (copy / name).write_bytes((copy / name).read_bytes()[:5000])
    with pytest.raises(SourceError, match=f"{name} is not as it was indexed: 5,000 bytes"):
        scanned(copy, tmp_path)
    (copy / name).unlink()
    with pytest.raises(SourceError, match=f"{name} is not there"):
        scanned(copy, tmp_path)


def test_what_was_settled_cannot_be_asked_otherwise(shards: Path, tmp_path: Path) -> None:
    for how in ({"label_column": "x"}, {"kind": "sound"}, {"task": "multilabel"}):
        with pytest.raises(ChoiceError):
            scanned(shards, tmp_path, **how)


def store_of(source: str, tmp_path: Path, limit: float) -> Store:
    found = scanned(source, tmp_path)
    assert found.shards is not None and isinstance(found.shards.holder, Store)
    found.shards.holder.limit = limit
    return found.shards.holder


def test_far_shards_are_fetched_within_the_limit(far: str, shapes: Path, tmp_path: Path) -> None:
    found = scanned(far, tmp_path)
    same(found, shapes)
    store = store_of(far, tmp_path, 0)
    sizes = [one.bytes for one in store.index.shards]
    store.limit = 2.5 * max(sizes)
    for shard in (0, 1, 2, 3, 0, 2, 1):
        store.need([shard], [])
        held = sum(f.stat().st_size for f in store.folder.glob("*.tar"))
        assert held <= store.limit
        assert (store.folder / store.index.shards[shard].name).is_file()
    store.close()


def test_a_few_bytes_are_asked_for_where_few_are_wanted(far: str, tmp_path: Path) -> None:
    store = store_of(far, tmp_path, 1e9)
    raw = store.read(50)
    assert store.fetched == len(raw)
    for number in range(50, 65):
        store.read(number)
    assert store.fetched >= store.index.shards[1].bytes


def test_a_full_cache_keeps_what_waits_longest(far: str, tmp_path: Path) -> None:
    """Each shard once an epoch: dropping the longest unused would never meet what it has."""
    store = store_of(far, tmp_path, 1e9)
    n = len(store.index.shards)
    store.limit = 3.2 * max(one.bytes for one in store.index.shards)
    for _ in range(2):
        for shard in range(n):
            store.need([shard], [])
    store.close()
    whole = 2 * sum(one.bytes for one in store.index.shards)
    assert store.fetched < whole - min(one.bytes for one in store.index.shards)


def test_network_errors_are_tried_again_and_then_told(
    far: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quickstudy.shards.places.WAITS", (0.0, 0.0, 0.0))
    store = store_of(far, tmp_path, 1e9)
    chunks, failures = store.places.chunks, [2]

    def flaky(name: str) -> Iterator[bytes]:
        if failures[0]:
            failures[0] -= 1
            raise ConnectionResetError("reset by peer")
        yield from chunks(name)

    monkeypatch.setattr(store.places, "chunks", flaky)
    store.need([0])
    assert (store.folder / "shard-000000.tar").is_file()
    failures[0] = 99
    with pytest.raises(RunError, match=r"shard-000001.tar of .* reset by peer \(4 tries\)"):
        store.need([1])
    failures[0] = 0
    fsspec.filesystem("memory").pipe_file(
        "/bucket/shard-000002.tar", b"x" * store.index.shards[2].bytes
    )
    with pytest.raises(RunError, match="SHA-256 is not that of the index"):
        store.need([2])
    fsspec.filesystem("memory").rm("/bucket/shard-000003.tar")
    with pytest.raises(RunError, match=r"shard-000003\.tar of .* is not there"):
        store.need([3])
    store.close()
    assert not list(store.folder.glob("*.part"))


def test_a_full_cache_disk_is_told(
    far: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(far, tmp_path, 1e9)

    def full(name: str) -> Iterator[bytes]:
        yield b"some"
        (store.folder / "x").write_bytes(b"")
        raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open

    def no_room(self: Path, *args: Any, **more: Any) -> Any:
        if self.name.endswith(".part"):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, *args, **more)

    monkeypatch.setattr(Path, "open", no_room)
    with pytest.raises(RunError, match="disk is full: the cache of shards"):
        store.need([0])
    store.close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


class _Ranges(_Handler):
    """A server that answers parts of files, as most do and Python's own does not."""

    def do_GET(self) -> None:
        asked, file = self.headers.get("Range"), Path(self.translate_path(self.path))
        if asked is None or not file.is_file():
            super().do_GET()
            return
        first, last = (int(word) for word in asked.removeprefix("bytes=").split("-"))
        found = file.read_bytes()[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)


class _Hub(_Ranges):
    """The few answers of Hugging Face's hub that its file system asks for: one data set."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.removesuffix("/revision/main") == "/api/datasets/org/shapes":
            self._answer({"id": "org/shapes", "sha": "0" * 40, "siblings": [], "tags": []})
        elif path.startswith("/api/datasets/org/shapes/tree/main"):
            files = sorted(Path(self.directory).iterdir())
            told = [{"path": f.name, "size": f.stat().st_size, "oid": f.name} for f in files]
            self._answer([{"type": "file", **one} for one in told])
        elif path.startswith(start := "/datasets/org/shapes/resolve/main/"):
            self.path = "/" + path.removeprefix(start)
            super().do_GET()
        else:
            self._answer({}, 404)

    def _answer(self, told: Any, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", "RepoNotFound" if code == 404 else "")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())


@contextmanager
def serving(handler: type[_Handler], folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("handler", [_Handler, _Ranges])
def test_shards_of_a_web_server(
    handler: type[_Handler], shards: Path, shapes: Path, tmp_path: Path
) -> None:
    with serving(handler, shards) as web:
        same(scanned(web, tmp_path), shapes)
        named = scanned(f"{web}/shard-{{000000..000001}}.tar", tmp_path)
        assert 20 < len(named) < 120
        same(named, shapes)
        with pytest.raises(RunError, match="is not there"):
            scanned(f"{web}/none-{{0..1}}.tar", tmp_path)


def test_shards_of_hugging_face(
    shards: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(_Hub, shards) as hub:
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": hub, "token": False})
        same(scanned("hf://datasets/org/shapes", tmp_path), shapes)
        with pytest.raises(RunError, match="hf://datasets/org/none is not there"):
            scanned("hf://datasets/org/none", tmp_path)


def test_shards_of_a_bucket(
    shards: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs and moto[server]")
    moto = pytest.importorskip("moto.server", reason="needs s3fs and moto[server]")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    try:
        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        store.put(f"{shards}/", "bucket/shards/", recursive=True)
        same(scanned("s3://bucket/shards/", tmp_path), shapes)
        for nowhere in ("s3://bucket/none", "s3://none/shards"):
            with pytest.raises(QuickstudyError, match=f"{nowhere}"):
                scanned(nowhere, tmp_path)
    finally:
        server.stop()
    monkeypatch.setattr("quickstudy.shards.places.WAITS", (0.0, 0.0, 0.0))
    with pytest.raises(RunError, match=r"s3://bucket/shards.* cannot be read"):
        scanned("s3://bucket/shards", tmp_path)


def test_an_address_that_answers_nothing_is_told_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quickstudy.shards.places.WAITS", (0.0, 0.0, 0.0))
    with pytest.raises(RunError, match=r"index\.json of http"):
        scanned("http://127.0.0.1:9/shards", tmp_path)
    with pytest.raises(SourceError, match="cannot be opened"):
        scanned("nosuch://bucket/shards", tmp_path)


def test_names_of_addresses_and_braces() -> None:
    assert is_far("s3://bucket/x") and not is_far("C:\\data") and not is_far(Path("x"))
    assert expanded("a-{0..1}-{8..9}.tar") == [f"a-{i}-{j}.tar" for i in (0, 1) for j in (8, 9)]
    assert open_places("file:///data/shards").folder == "/data/shards"


def test_tars_that_webdataset_wrote(shapes: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = tmp_path / "others"
    folder.mkdir()
    files = sorted(shapes.rglob("*.png"))
    for part, some in (("train", files[::2]), ("val", files[1::2])):
        with webdataset.TarWriter(f"{folder}/set-{part}-000.tar") as out:
            for number, file in enumerate(some):
                label = {"cls": file.parent.name} if number % 2 else {}
                told = {} if number % 2 else {"json": {"label": file.parent.name}}
                key = f"{file.parent.name}_{file.stem}"
                out.write({"__key__": key, "png": file.read_bytes(), **label, **told})
    found = scanned(folder, tmp_path)
    assert found.counts() == {"cross": 40, "disc": 40, "square": 40}
    assert sorted(set(found.given.tolist())) == [0, 1]
    for number in range(0, 120, 7):
        word, stem = found.names[number].removesuffix(".png").split("_")
        assert found.read(number) == (shapes / word / f"{stem}.png").read_bytes()
        assert found.classes[found.labels[number]] == word
    assert scanned(folder, tmp_path).stamp == found.stamp  # from the index that was kept
    by_name = scanned(folder, tmp_path, label_from="{shape}_{n}", target="shape")
    assert by_name.counts() == found.counts()
    cut = folder / "set-val-000.tar"
    cut.write_bytes(cut.read_bytes()[:-12_000])
    with pytest.raises(SourceError, match=r"set-val-000.tar is damaged"):
        scanned(folder, tmp_path)


def test_parquet_of_bytes_as_hugging_face_has_it(shapes: Path, tmp_path: Path) -> None:
    """A column of bytes and path, numbers for classes whose names stand in the file's head."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    files = sorted(shapes.rglob("*.png"))
    names = ["cross", "disc", "square"]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    kept = {"huggingface": json.dumps({"info": {"features": features}})}
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    for part, some in (("train", files[::2]), ("test", files[1::2])):
        columns = {
            "image": [{"bytes": f.read_bytes(), "path": f.name} for f in some],
            "label": [names.index(f.parent.name) for f in some],
        }
        table = pyarrow.table(columns).replace_schema_metadata(kept)
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet", row_group_size=7)
    found = scanned(folder.parent, tmp_path)
    assert found.counts() == {"cross": 40, "disc": 40, "square": 40}
    assert [int((found.given == part).sum()) for part in (0, 2)] == [60, 60]
    for number in range(0, 120, 11):
        word = found.classes[found.labels[number]]
        name = found.names[number].split()[-1]
        assert found.read(number) == (shapes / word / name).read_bytes()
    (folder / "test-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match=r"test-00000-of-00001\.parquet is damaged"):
        scanned(folder.parent, tmp_path)


def test_recordings_and_arrays_are_packed_too(tmp_path: Path) -> None:
    waves = [(tone("rise", 0, n), 8000) for n in range(6)]
    labels = ["a", "b"] * 3
    for n, (wave, rate) in enumerate(waves):
        soundfile.write(tmp_path / f"{labels[n]}{n}.wav", wave, rate)
    pairs = [(tmp_path / f"{labels[n]}{n}.wav", labels[n]) for n in range(6)]
    packed(pairs, tmp_path / "sounds", learnable=False)
    found = scanned(tmp_path / "sounds", tmp_path, learnable=False)
    assert found.kind == "sound"
    assert found.read(0) == Path(found.names[0]).read_bytes()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 9, 3), np.uint8)
    before = packed((pixels, np.arange(12) % 2), tmp_path / "arrays", learnable=False)
    after = scanned(tmp_path / "arrays", tmp_path, learnable=False)
    from quickstudy.kinds.image.decode import open_picture

    row = {name: number for number, name in enumerate(before.names)}
    for number in range(12):
        shown = np.asarray(open_picture(io.BytesIO(after.read(number)).getvalue()))  # type: ignore[arg-type]
        assert (shown == pixels[row[after.names[number]]]).all()


# The order


def counted(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(1, 30, n)


@pytest.mark.parametrize("seed", range(4))
def test_every_example_once_an_epoch_in_another_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = counted(rng, 11)
    n = int(counts.sum())
    order = Order(counts, 3, seed)
    epochs = [order.at(epoch * n, n) for epoch in range(3)]
    assert all(sorted(one.tolist()) == list(range(n)) for one in epochs)
    assert not (epochs[0] == epochs[1]).all()
    for first, count in ((0, 1), (n - 3, 9), (n // 2, n), (2 * n - 1, 2)):
        whole = np.concatenate([*epochs, Order(counts, 3, seed).at(3 * n, n)])
        fresh = Order(counts, 3, seed).at(first, count)
        assert (fresh == whole[first : first + count]).all()


def test_few_shards_are_open_at_a_time_and_told_before() -> None:
    counts = np.full(20, 50)
    order = Order(counts, 4, 0)
    for first in range(0, 2000, 50):
        picked = order.at(first, 50)
        near = {*order.shards_at(first).tolist(), *order.shards_at(first + 49).tolist()}
        assert set(order.shard_of(picked).tolist()) <= near
        assert len(near) <= 8
    assert set(order.shards_after(0).tolist()) == set(order.shards_at(200).tolist())
    assert set(order.shards_after(999).tolist()) == set(order.shards_at(1000).tolist())
    inside = order.shard_of(order.at(0, 50))
    assert len(set(inside.tolist())) == 4, "a batch mixes all shards that are open"


@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_workers_share_a_batch_and_keep_to_few_shards(world: int) -> None:
    order = Order(np.full(40, 100), 8, 0)
    picked = order.at(320, 64)
    parts = [share(picked, order.shard_of(picked), rank, world) for rank in range(world)]
    assert sorted(np.concatenate(parts).tolist()) == sorted(picked.tolist())
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    if world == 8:
        assert np.mean([len(set(order.shard_of(part).tolist())) for part in parts]) < 3.5


def test_windows_are_wide_enough_to_mix_and_fit_the_cache() -> None:
    assert window_of(np.full(1000, 2000)) == 9
    assert window_of(np.full(1000, 100_000)) == 4
    assert window_of(np.full(1000, 2000), most=3) == 3
    assert window_of(np.full(2, 5)) == 2


# The stream


HOW = {
    **{"decode_size": 16, "size": 16, "fit": "squash", "mirror": True},
    **{"mean": (0.5,) * 3, "std": (0.25,) * 3},
}


def streamed(source: str, tmp_path: Path, world: int = 1, rank: int = 0, **how: Any) -> Batches:
    found = scanned(source, tmp_path)
    assert found.shards is not None
    recipe: Any = SimpleNamespace(
        seed=3,
        batch=16,
        compute=SimpleNamespace(device="cpu"),
        augment=SimpleNamespace(mirror=False, crop=1.0, rotate=0.0, colour=0.0, mixup=0, cutmix=0),
    )
    preparation = restored("image", HOW)
    there, counts = np.unique(found.shards.of, return_counts=True)
    stream = Stream(
        np.arange(len(found)),
        found.labels,
        there.astype(np.int64),
        Order(counts, 2, 3),
        how.get("read", found.read),
        preparation,
        2,
        found.shards.holder,
    )
    decoded: Any = SimpleNamespace(how=preparation, forget=lambda: None, of_rows=False)
    task = Classification(found.classes)
    stream.names = found.names
    return Batches(decoded, np.zeros(0, np.int64), found.truth, task, recipe, rank, world, stream)


def taken(made: Batches, first: int, steps: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return pictures before they are varied, and targets."""
    found = []
    with made.reading(first) as ahead:
        for _ in range(steps):
            item = ahead()
            if isinstance(item, Exception):
                raise item
            found.append((item[1][0], item[2]))
    return found


def test_a_stream_gives_what_the_files_hold_and_resumes_anywhere(
    far: str, shapes: Path, tmp_path: Path
) -> None:
    made = streamed(far, tmp_path)
    assert len(made) == 120
    found = taken(made, 0, 12)
    catalog = scanned(shapes, tmp_path)
    cached = decode(catalog, restored("image", HOW), tmp_path / "c", 1, lambda share: None)
    row = {name: number for number, name in enumerate(catalog.names)}
    names = scanned(far, tmp_path).names
    for step, (x, target) in enumerate(found):
        rows = [row[names[int(n)]] for n in made.indices(step)]
        pixels = np.concatenate([cached.piece(r) for r in rows])
        assert (x.numpy().reshape(pixels.shape) == pixels).all()
        assert (target.argmax(1).numpy() == catalog.labels[rows]).all()
    for first in (1, 7, 11):
        again = taken(streamed(far, tmp_path), first, 1)[0]
        assert all((one == other).all() for one, other in zip(again, found[first], strict=True))


def test_workers_together_see_each_example_once(far: str, tmp_path: Path) -> None:
    for world in (2, 3):
        seen: list[float] = []
        for rank in range(world):
            made = streamed(far, tmp_path, world, rank)
            steps = taken(made, 0, 15)  # two epochs of 120
            seen += [float(one.sum()) for x, _ in steps for one in x]
        alone = [float(one.sum()) for x, _ in taken(streamed(far, tmp_path), 0, 15) for one in x]
        assert np.allclose(sorted(seen), sorted(alone))


def test_a_picture_that_is_broken_is_replaced_and_named(far: str, tmp_path: Path) -> None:
    read = scanned(far, tmp_path).read
    made = streamed(far, tmp_path, read=lambda n: b"no picture" if n == 5 else read(n))
    assert all(len(x) == 16 for x, _ in taken(made, 0, 8))
    assert made.stream is not None and list(made.stream.bad) == [5]
    assert made.stream.said().startswith("1 pictures could not")
    broken = streamed(far, tmp_path, read=lambda n: b"no picture")
    with pytest.raises(RunError, match="None of the 16 pictures of a step"):
        taken(broken, 0, 1)


CHOICES = {
    **{"stream": True, "cache": 0.05, "epochs": 3, "picture.size": 16, "picture.start_size": 16},
    **{"network.name": "compact", "network.weights": "none", "network.width": 0.25, "batch": 16},
    **{"optimizer.lr": 0.02, "compute.threads": 1, "data_curve": "never", "suspects": "keep"},
}


def test_learn_streams_and_goes_on_when_a_shard_is_back(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that vanishes inside an epoch ends the run with a word; put back, it goes on there.

    It then ends as the unbroken run does, to the last bit: each example came once an epoch.
    """
    store = fsspec.filesystem("memory")
    for file in shards.iterdir():
        store.pipe_file(f"/learnt/{file.name}", file.read_bytes())
    how: Any = {"settings": CHOICES, "budget": 60, "device": "cpu"}
    whole = quickstudy.learn("memory://learnt", out=tmp_path / "whole", **how)
    notes = " ".join(whole.facts["data"]["notes"])
    assert "pictures are learnt from as they come from" in notes
    assert whole.facts["recipe"]["stream"]["value"] is True
    kept = store.cat_file("/learnt/shard-000001.tar")
    pieces = Stream.pieces

    def vanished(self: Stream, step: int, *others: Any) -> Any:
        if step == 9:  # of 5.6 an epoch
            assert self.holder is not None
            store.rm("/learnt/shard-000001.tar")
            self.holder._drop(1)
            self.holder.need([1])
        return pieces(self, step, *others)

    with monkeypatch.context() as patched:
        patched.setattr(Stream, "pieces", vanished)
        patched.setattr(
            "quickstudy.training.loop._Saver.save_if_due",
            lambda saver, loop: checkpoints.write(saver.folder, loop.state()),
        )
        with pytest.raises(QuickstudyError, match=r"shard-000001.tar .*is not there"):
            quickstudy.learn("memory://learnt", out=tmp_path / "cut", **how)
    store.pipe_file("/learnt/shard-000001.tar", kept)
    run = quickstudy.learn(resume=tmp_path / "cut")
    assert "went on from the checkpoint at step 9" in str(run.facts["events"])
    ours, theirs = (
        load_file(tmp_path / run / "model" / "weights.safetensors") for run in ("cut", "whole")
    )
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    store.rm("/learnt", recursive=True)


def test_small_shards_are_decoded_like_any_source(
    shards: Path, shapes: Path, tmp_path: Path
) -> None:
    how = restored("image", HOW)
    made = [
        decode(scanned(source, tmp_path), how, tmp_path / "c", 2, lambda share: None)
        for source in (shards, shapes)
    ]
    assert sorted(made[0].digests.tolist()) == sorted(made[1].digests.tolist())
    where = int(np.flatnonzero(made[1].digests == made[0].digests[7])[0])
    assert (made[0].piece(7) == made[1].piece(where)).all()
    found = scanned(shards, tmp_path)
    assert found.shards is not None and found.shards.contents is not None
    assert (found.shards.contents == made[0].digests).all()


# A million


def test_an_index_is_compact() -> None:
    """Under 100 bytes an example, names included: a million are no burden."""
    n = 100_000
    names = Names.of(f"train/class_{i % 1000}/picture_{i:07d}.jpg" for i in range(n))
    assert names[77_777] == "train/class_777/picture_0077777.jpg" and len(names) == n
    index = Index(
        "image",
        tuple(Shard(f"shard-{i:06d}.tar", 1000, 10**8) for i in range(100)),
        names,
        np.arange(n),
        np.full(n, 1000),
        (np.arange(n) % 1000).astype(np.int32),
        np.full(n, -1, np.int8),
        np.full(n, -1, np.int32),
        np.arange(n).astype(np.uint64),
        tuple(f"class_{i}" for i in range(1000)),
        task="classification",
    )
    arrays = [index.offset, index.size, index.label, index.given, index.group, index.content]
    held = sum(a.nbytes for a in arrays) + names.text.nbytes + names.ends.nbytes
    assert held < 100 * n
    again = read_index(*index.written(), "here")
    assert again.stamp() == index.stamp() and list(again.names[:3]) == names[:3]


def test_places_of_one_file_and_a_folder(tmp_path: Path) -> None:
    draw("disc", 0).save(tmp_path / "a.png")
    here = open_places(tmp_path)
    assert here.names() == ["a.png"]
    assert here.part("a.png", 1, 3) == b"PNG"
    assert b"".join(here.chunks("a.png")) == (tmp_path / "a.png").read_bytes()
