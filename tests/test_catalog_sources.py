"""Every source but a folder: tables, archives, lists, arrays, frames, data sets; good and bad."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quickstudy.catalog import FREE, TEST, TRAIN, VAL, Catalog, archives, scan
from quickstudy.errors import ExampleError, MissingExtra, SourceError
from quickstudy.kinds.image.decode import open_picture

CLASSES = ["cat"] * 6 + ["dog"] * 6


def pictures(root: Path) -> list[str]:
    """Twelve small pictures; the names are relative to `root`."""
    (root / "p").mkdir(parents=True, exist_ok=True)
    for number in range(12):
        Image.new("RGB", (4, 4), (number * 20, 0, 0)).save(root / "p" / f"{number}.png")
    return [f"p/{number}.png" for number in range(12)]


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], sep: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=sep).writerows([header, *rows])
    return path


def rows(root: Path) -> list[list[str]]:
    return [[name, label] for name, label in zip(pictures(root), CLASSES, strict=True)]


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Catalog]:
    def call(source: object, **options: object) -> Catalog:
        return scan(source, cache=tmp_path / "cache", **options)  # type: ignore[arg-type]

    return call


@pytest.fixture
def fault(look: Callable[..., Catalog]) -> Callable[..., SourceError]:
    def call(source: object, **options: object) -> SourceError:
        with pytest.raises(SourceError) as caught:
            look(source, **options)
        assert caught.value.hint
        return caught.value

    return call


Look = Callable[..., Catalog]
Fault = Callable[..., SourceError]


def reds(found: Catalog) -> list[int]:
    """The red of each example's first pixel, which tells the pictures apart."""
    return [int(np.asarray(open_picture(found.read(i)))[0, 0, 0]) for i in range(len(found))]


# --- tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("header", [("path", "label"), ("File Name", "Class"), ("image", "y")])
def test_csv(tmp_path: Path, look: Look, sep: str, header: tuple[str, str]) -> None:
    found = look(table(tmp_path / "t.csv", header, rows(tmp_path), sep))
    assert found.counts() == {"cat": 6, "dog": 6}
    assert found.names[0] == "p/0.png" and reds(found) == [n * 20 for n in range(12)]


def test_csv_with_a_byte_order_mark_and_odd_names(tmp_path: Path, look: Look) -> None:
    data = rows(tmp_path)
    odd = 'p/a "b"\nc,é.png'
    (tmp_path / data[0][0]).rename(tmp_path / odd)
    data[0][0] = odd
    path = table(tmp_path / "t.csv", ("path", "label"), data)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert look(path).names[0] == odd


def test_parquet(tmp_path: Path, look: Look) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "t.parquet"
    columns = {"file_name": pictures(tmp_path), "label": [0] * 6 + [1] * 6}
    parquet.write_table(pa.table(columns), path)
    found = look(path)
    assert found.classes == ("0", "1") and reds(found)[11] == 220


def test_parquet_without_pyarrow(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match="quickstudy\\[tables\\]"):
        look(tmp_path / "t.parquet")


def test_corrupt_parquet(tmp_path: Path, fault: Fault) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"not parquet at all")
    assert "cannot be read" in fault(tmp_path / "t.parquet").message


def test_columns_that_cannot_be_guessed(tmp_path: Path, fault: Fault) -> None:
    path = table(tmp_path / "t.csv", ("foo", "bar"), rows(tmp_path))
    error = fault(path)
    assert "foo, bar" in error.message
    assert "--path-column" in error.hint and "--label-column" in error.hint


def test_named_columns(tmp_path: Path, look: Look, fault: Fault) -> None:
    path = table(tmp_path / "t.csv", ("foo", "bar"), rows(tmp_path))
    assert len(look(path, path_column="foo", label_column="bar")) == 12
    error = fault(path, path_column="fooo", label_column="bar")
    assert "'fooo'" in error.message and "Did you mean 'foo'?" in error.hint


def test_rows_that_cannot_be_used_are_named(tmp_path: Path, look: Look) -> None:
    more = [["p/none.png", "cat"], ["p/0.png", " "], ["", "cat"], ["http://a/b.png", "cat"]]
    more += [["p", "cat"], ["a\0b.png", "cat"], ["x" * 5000, "cat"]]
    found = look(table(tmp_path / "t.csv", ("path", "label"), rows(tmp_path) + more))
    assert len(found) == 12
    told = {one.name: one.reason for one in found.left_out}
    assert len(told) == 7
    assert told["p/none.png"] == "no such file" and told["p/0.png"] == "no label"
    assert "no path" in told.values() and told["p"] == "not a file"
    assert told["http://a/b.png"] == "a web address, not a file on this computer"


def test_no_file_of_the_table_exists(tmp_path: Path, fault: Fault) -> None:
    path = table(tmp_path / "t.csv", ("path", "label"), [["a.png", "cat"], ["b.png", "dog"]])
    error = fault(path)
    assert "None of the files" in error.message and str(tmp_path) in error.hint


def test_split_and_group_columns(tmp_path: Path, look: Look, fault: Fault) -> None:
    words = ["train"] * 2 + ["", "", "", "dev"]
    data = [
        [*row, words[n % 6], f"person {n // 2}" if n else ""]
        for n, row in enumerate(rows(tmp_path))
    ]
    path = table(tmp_path / "t.csv", ("path", "label", "split", "group"), data)
    found = look(path)
    assert found.given.tolist()[:6] == [TRAIN, TRAIN, FREE, FREE, FREE, VAL]
    assert found.groups[0] == -1 and found.groups[2] == found.groups[3] != found.groups[4]
    data[3][2] = "holdout"
    assert "'holdout'" in fault(table(path, ("path", "label", "split", "group"), data)).message
    named = table(path, ("path", "label", "part", "who"), [[*row[:2], "", "x"] for row in data])
    assert set(look(named, split_column="part", group_column="who").groups.tolist()) == {0}


def test_csv_that_is_not_utf8(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,label\ncaf\xe9.png,cat\n")
    assert "UTF-8" in fault(tmp_path / "t.csv").hint


def test_empty_csv(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "t.csv").write_text("")
    assert "is empty" in fault(tmp_path / "t.csv").message
    (tmp_path / "t.csv").write_text("path,label\n")
    assert "no examples" in fault(tmp_path / "t.csv").message


def test_a_file_that_is_no_source(tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "t.docx").write_text("x")
    assert "neither" in fault(tmp_path / "t.docx").message


def test_a_source_that_cannot_be_opened(
    tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("x")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "no permission" in fault(tmp_path / "t.csv").message
    assert "cannot be read" in fault("x" * 5000).message


# --- archives -------------------------------------------------------------------------------


def tree(root: Path) -> Path:
    for name in ("cat", "dog"):
        (root / "set" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (4, 4)).save(root / "set" / name / f"{number}.png")
    return root


def pack(folder: Path, path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for one in sorted(folder.rglob("*")):
                archive.write(one, one.relative_to(folder))
    else:
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            archive.add(folder, ".")
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_archives(tmp_path: Path, look: Look, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tree(tmp_path / "in"), tmp_path / f"a{suffix}")
    found = look(path)
    assert found.counts() == {"cat": 5, "dog": 5} and found.source == str(path)
    assert all(isinstance(one := found.read(i), Path) and one.is_file() for i in range(10))

    def never(*_: object) -> None:
        raise AssertionError("extracted twice")

    monkeypatch.setattr(archives, "_extract_into", never)
    assert look(path).stamp
    assert len(list((tmp_path / "cache" / "archives").iterdir())) == 1


def test_a_killed_extraction_is_not_taken_for_whole(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tree(tmp_path / "in"), tmp_path / "a.zip")
    write, count = archives._write, 0

    def dies(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(archives, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        look(path)
    monkeypatch.undo()
    assert len(look(path)) == 10


def test_an_archive_with_a_table(tmp_path: Path, look: Look) -> None:
    table(tmp_path / "in.csv", ("path", "label"), [])
    data = [*rows(tmp_path / "in"), ["../../secret.png", "cat"]]
    table(tmp_path / "in" / "labels.csv", ("path", "label"), data)
    Image.new("RGB", (1, 1)).save(tmp_path / "secret.png")
    found = look(pack(tmp_path / "in", tmp_path / "a.zip"))
    assert found.counts() == {"cat": 6, "dog": 6}
    assert found.left_out[0].reason in ("lies outside the archive", "no such file")


def test_another_table_in_an_archive_is_no_matter(tmp_path: Path, look: Look) -> None:
    table(tree(tmp_path / "in") / "set" / "licences.csv", ("who", "what"), [["a", "b"]])
    assert len(look(pack(tmp_path / "in", tmp_path / "a.zip"))) == 10


def tar_with(path: Path, *entries: tuple[str, bytes, str]) -> Path:
    """A tar of hostile entries: name, sort, target of a link."""
    with tarfile.open(path, "w") as archive:
        for name, sort, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = sort, target
            archive.addfile(info, io.BytesIO(b""))
    return path


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "x/../../a.png", "C:\\a.png", "..\\a.png"])
def test_entries_that_land_outside(tmp_path: Path, fault: Fault, name: str) -> None:
    error = fault(tar_with(tmp_path / "a.tar", (name, tarfile.REGTYPE, "")))
    assert repr(name) in error.message and "outside" in error.message
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    assert "outside" in fault(tmp_path / "a.zip").message
    assert not list((tmp_path / "cache" / "archives").iterdir())
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("sort", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
def test_links_that_lead_outside(tmp_path: Path, fault: Fault, sort: bytes, target: str) -> None:
    error = fault(tar_with(tmp_path / "a.tar", ("d/x.png", sort, target)))
    assert "'d/x.png'" in error.message and "outside" in error.message


def test_zip_links(tmp_path: Path, fault: Fault, look: Look) -> None:
    info = zipfile.ZipInfo("set/cat/x.png")
    info.external_attr = 0o120777 << 16
    for target, fine in (("../../../etc/passwd", False), ("0.png", True)):
        path = pack(tree(tmp_path / str(fine)), tmp_path / f"{fine}.zip")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, target)
        if fine:
            assert look(path).counts() == {"cat": 6, "dog": 5}
        else:
            assert "outside" in fault(path).message


def test_tar_links_inside_become_copies(tmp_path: Path, look: Look) -> None:
    root = tree(tmp_path / "in")
    (root / "set" / "cat" / "link.png").symlink_to("0.png")
    os.link(root / "set" / "cat" / "1.png", root / "set" / "cat" / "hard.png")
    (root / "set" / "dog" / "folder").symlink_to("../cat")
    found = look(pack(root, tmp_path / "a.tar.gz"))
    assert found.counts() == {"cat": 7, "dog": 5}
    assert not any(one.is_symlink() for one in (tmp_path / "cache").rglob("*"))


def test_devices_are_refused(tmp_path: Path, fault: Fault) -> None:
    for sort in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        assert "is a device" in fault(tar_with(tmp_path / "a.tar", ("d", sort, ""))).message


def test_bombs_are_refused(tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "GROWTH_FROM", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 1_000_000)
    assert "200 times" in fault(tmp_path / "a.zip").message


def test_no_room(tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tree(tmp_path / "in"), tmp_path / "a.zip")
    usage = type("Usage", (), {"free": 50})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    assert "does not fit" in fault(path).message


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_corrupt_archives(tmp_path: Path, fault: Fault, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"this is no archive" * 100)
    assert "corrupt" in fault(path).message
    whole = pack(tree(tmp_path / "in"), path).read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    assert "corrupt" in fault(path).message


def test_encrypted_zip(tmp_path: Path, fault: Fault) -> None:
    path = pack(tree(tmp_path / "in"), tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in fault(path).message


# --- lists and arrays -----------------------------------------------------------------------


def test_a_list_of_paths(tmp_path: Path, look: Look) -> None:
    pairs: list[tuple[Any, Any]] = [
        (tmp_path / name, label) for name, label in zip(pictures(tmp_path), CLASSES, strict=True)
    ]
    pairs[0] = (str(pairs[0][0]), pairs[0][1])
    found = look([*pairs, ("none.png", "cat"), (pairs[1][0], None)])
    assert found.counts() == {"cat": 6, "dog": 6} and reds(found)[3] == 60
    assert [one.reason for one in found.left_out] == ["no such file", "no label"]
    assert look(pairs).stamp == look(pairs).stamp != look(pairs[:-1]).stamp


def test_a_list_of_pictures_and_arrays(look: Look) -> None:
    pairs = [(np.full((2, 2), n, dtype=np.uint8), n % 2) for n in range(10)]
    assert reds(look(pairs)) == list(range(10))
    images = [(Image.fromarray(array), label) for array, label in pairs]
    assert reds(look(images)) == list(range(10))


def test_lists_that_are_no_pairs(fault: Fault) -> None:
    assert "Item 1" in fault([("a.png", "cat"), "b.png"]).message
    assert "no examples" in fault([]).message


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_arrays(look: Look, channels: tuple[int, ...]) -> None:
    x = np.full((15, 5, 6, *channels), 255, dtype=np.uint8)
    y = np.array([0, 10, 2] * 5)
    found = look((x, y))
    assert found.classes == ("0", "2", "10") and found.names[3] == "row 3"
    first = found.read(0)
    assert isinstance(first, np.ndarray) and first.shape == (5, 6, *channels)
    assert look((x.copy(), list(y))).stamp == found.stamp
    x[11, 0, 0] = 1
    assert look((x, y)).stamp != found.stamp


def test_arrays_that_do_not_fit(fault: Fault, look: Look) -> None:
    x, y = np.zeros((10, 8, 8), np.uint8), np.arange(10) % 2
    assert "9 labels" in fault((x, y[:9])).message
    assert "transpose" in fault((np.zeros((10, 3, 8, 8)), y)).hint
    assert "argmax" in fault((x, np.eye(2)[y])).hint
    assert "N H W" in fault((np.zeros((10, 8)), y), kind="image").hint
    assert "type" in fault((x.astype(str), y)).message
    assert "source" in fault(x).message
    assert "source" in fault({"a": 1}).message
    assert "source" in fault(3).message
    nan = np.where(np.arange(10) == 0, np.nan, y.astype(float))
    with pytest.raises(SourceError, match="'0' \\(4\\)"):
        look((x, nan))


# --- frames and data sets -------------------------------------------------------------------


def test_a_pandas_frame(tmp_path: Path, look: Look, fault: Fault) -> None:
    pd = pytest.importorskip("pandas")
    names = [str(tmp_path / name) for name in pictures(tmp_path)] * 2
    frame = pd.DataFrame({"path": names, "label": pd.Series([*CLASSES, *CLASSES])})
    frame.loc[3, "label"] = None
    found = look(frame)
    assert found.counts() == {"cat": 11, "dog": 12} and found.left_out[0].reason == "no label"
    numbers = pd.DataFrame({"path": names, "label": [0.0, 1.0] * 12})
    assert look(numbers).classes == ("0", "1")
    assert "Did you mean 'label'" in fault(frame, label_column="lable").hint


@pytest.fixture
def hub(tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    names = [str(tmp_path / name) for name in pictures(tmp_path)]
    features = datasets.Features(
        {"photo": datasets.Image(), "what": datasets.ClassLabel(names=["dog", "cat", "yak"])}
    )
    columns = {"photo": names, "what": [0] * 6 + [1] * 6}
    return datasets.Dataset.from_dict(columns, features=features)


def test_a_hub_data_set(hub: Any, look: Look) -> None:
    found = look(hub)
    assert found.classes == ("dog", "cat") and any("'yak'" in note for note in found.notes)
    assert reds(found) == [n * 20 for n in range(12)]
    assert look(hub).stamp == found.stamp
    embedded = hub.map(lambda row: row)  # rewritten with the files' bytes
    assert reds(look(embedded)) == reds(found)


def test_a_hub_data_set_with_parts(hub: Any, look: Look, fault: Fault) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {"train": hub, "validation": hub.select([0, 11]), "test": hub.select([1])}
    found = look(datasets.DatasetDict({**parts, "unsupervised": hub}))
    assert [int((found.given == part).sum()) for part in (TRAIN, VAL, TEST)] == [12, 2, 1]
    assert found.names[-1] == "test[0]" and reds(found)[-2:] == [220, 20]
    assert any("'unsupervised'" in note for note in found.notes)
    assert "No part" in fault(datasets.DatasetDict({"a": hub})).message
    grouped = hub.add_column("group", [f"g{row % 3}" for row in range(12)])
    found = look(datasets.DatasetDict({"train": hub, "test": grouped}))
    assert found.groups.tolist() == [-1] * 12 + [0, 1, 2] * 4
    found = look(datasets.DatasetDict({"train": grouped, "test": hub}))
    assert found.groups.tolist() == [0, 1, 2] * 4 + [-1] * 12


def test_a_hub_data_set_with_strings_and_bad_bytes(look: Look) -> None:
    datasets = pytest.importorskip("datasets")
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    image = [{"bytes": file.getvalue(), "path": None}] * 11 + [{"bytes": b"bad", "path": None}]
    found = look(datasets.Dataset.from_dict({"image": image, "label": ["x", "y"] * 6}))
    assert open_picture(found.read(0)).size == (4, 4)
    with pytest.raises(ExampleError, match="not a picture"):
        found.read(11)


def test_what_is_asked_of_a_hub_data_set(hub: Any, look: Look) -> None:
    datasets = pytest.importorskip("datasets")
    wide = hub.remove_columns("what").add_column("bright", [n / 7 for n in range(12)])
    wide = wide.add_column("size", [float(n) for n in range(12)])
    one = look(wide, target="bright")
    assert (one.task, one.classes) == ("regression", ("bright",))
    assert one.values[:, 0].tolist() == pytest.approx([n / 7 for n in range(12)])
    both = look(wide, target="bright,size")
    assert (both.task, both.classes) == ("regression", ("bright", "size"))
    lists = [[0], [0, 1], [], [2]] * 3
    names = datasets.Sequence(datasets.ClassLabel(names=["dog", "cat", "yak"]))
    several = wide.add_column("in it", lists).cast_column("in it", names)
    found = look(several, target="in it")
    assert (found.task, found.classes) == ("multilabel", ("cat", "dog", "yak"))
    assert found.values.sum(0).tolist() == [3, 6, 3]
    parts = datasets.DatasetDict({"train": several, "test": several.select([1])})
    assert look(parts, target="in it").values.sum(0).tolist() == [4, 7, 3]


def test_what_is_asked_of_a_torch_data_set(look: Look, fault: Fault) -> None:
    def labelled(labels: list[Any]) -> Any:
        pixels = np.zeros((4, 4, 3), np.uint8)

        class Pairs:
            def __len__(self) -> int:
                return len(labels)

            def __getitem__(self, row: int) -> Any:
                return pixels + row, labels[row]

        return Pairs()

    numbers = look(labelled([n / 7 for n in range(12)]))
    assert numbers.task == "regression" and numbers.values[7, 0] == 1.0
    places = look(labelled([np.array([n / 7, float(n)]) for n in range(12)]))
    assert (places.task, places.classes) == ("regression", ("y0", "y1"))
    known = {"learnable": False, "outputs": ("top", "left"), "task": "regression"}
    same = look(labelled([np.array([n / 7, float(n)]) for n in range(12)]), **known)
    assert same.classes == ("top", "left") and (same.values == places.values).all()
    hot = look(labelled([np.array([n % 2, n % 3 == 0]) for n in range(12)]))
    assert hot.task == "multilabel" and hot.values.sum(0).tolist() == [6, 4]
    words = look(labelled([["a"], ["a", "b"], [], ["b"]] * 3))
    assert words.task == "multilabel" and words.values.sum(0).tolist() == [6, 6]
    assert "vectors of 1 to 2" in fault(labelled([np.ones(1 + n % 2) for n in range(12)])).message


def test_a_hub_stream_is_refused(fault: Fault) -> None:
    stream = type("IterableDataset", (), {"features": {}, "column_names": []})  # has no length
    assert "stream" in fault(stream()).message


class FakeTensor:
    """What a torch tensor can do, without torch."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def detach(self) -> FakeTensor:
        return self

    def cpu(self) -> FakeTensor:
        return self

    def numpy(self) -> np.ndarray:
        return self.array


class Data:
    """A torch data set of tensors ``3 2 4``; counts what is fetched."""

    fetched = 0

    def __init__(self, scale: float = 1 / 255, dtype: type = np.float32) -> None:
        self.scale, self.dtype = scale, dtype

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> tuple[FakeTensor, int]:
        self.fetched += 1
        return FakeTensor((np.full((3, 2, 4), row) * self.scale).astype(self.dtype)), row % 2


class WithTargets(Data):
    classes = ("even", "odd", "neither")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.targets = [row % 2 for row in range(10)]


def test_a_torch_data_set(look: Look) -> None:
    for data in (Data(), Data(scale=1, dtype=np.uint8)):
        found = look(data)
        first = found.read(7)
        assert isinstance(first, np.ndarray)
        assert first.shape == (2, 4, 3) and first.dtype == np.uint8 and first[0, 0, 0] == 7
        assert found.classes == ("0", "1") and look(data).stamp == found.stamp


def test_a_torch_data_set_with_targets_is_not_decoded(look: Look) -> None:
    data = WithTargets()
    found = look(data)
    assert found.classes == ("even", "odd") and data.fetched <= 16
    subset = type("Subset", (), {})
    subset.__len__ = lambda self: 10  # type: ignore[attr-defined]
    subset.__getitem__ = lambda self, i: data[self.indices[i]]  # type: ignore[attr-defined]
    part = subset()
    part.dataset, part.indices = data, list(range(9, -1, -1))  # type: ignore[attr-defined]
    assert look(part).labels.tolist() == [1, 0] * 5


def test_torch_data_sets_that_fail(look: Look) -> None:
    class Fails(Data):
        def __getitem__(self, row: int) -> tuple[FakeTensor, int]:
            if row == 3:
                raise RuntimeError("disk on fire")
            return super().__getitem__(row)

        def __len__(self) -> int:
            return 12

    found = look(Fails())
    assert len(found) == 11 and "disk on fire" in found.left_out[0].reason
    normalised = look(WithTargets(scale=1.0))
    with pytest.raises(ExampleError, match=r"outside 0\.\.1"):
        normalised.read(9)


def test_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "pandas", "datasets", "pyarrow")
    code = f"import sys, quickstudy.catalog; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
