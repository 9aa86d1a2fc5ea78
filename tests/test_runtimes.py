"""Exported files answer as said, without torch; what is altered, stale or hostile is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import external_data_helper
from PIL import Image

import quickstudy
from exports import (
    LIMIT,
    SOUND,
    described,
    picture_graph,
    pictures_of,
    row_graph,
    sound_graph,
    sounds_of,
    write_export,
)
from quickstudy.errors import ChoiceError, ExampleError, MissingExtra, ModelError
from quickstudy.kinds import restored
from quickstudy.kinds.sound import frontend, resampling
from quickstudy.loading import answering
from quickstudy.model import Model, untrained
from quickstudy.runtimes import sessions
from quickstudy.runtimes.answering import Answering
from quickstudy.runtimes.exported import Exported, sha256
from quickstudy.runtimes.quiet import quietly

pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(6)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("e"), picture_graph(), described("image"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("e"), sound_graph(), described("sound"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("e"), row_graph(), described("table"))


def patches(n: int) -> np.ndarray:
    """Pictures of 8 x 8: what the preparation leaves as they are."""
    levels = RNG.integers(0, 256, (n, 1, 1, 3))
    return np.clip(levels + RNG.integers(-20, 20, (n, 8, 8, 3)), 0, 255).astype(np.uint8)


def shares(found: list[Any]) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in found])


# --- the answers ---------------------------------------------------------------------------------


def test_pictures_are_answered_as_the_graph_says(pictures: Path) -> None:
    given = patches(70)  # more than are looked at together
    answers, unlike = pictures_of(given)
    found = quickstudy.load(pictures).predict(given)
    assert np.abs(shares(found) - answers).max() < 1e-6
    assert [one.label for one in found] == [("warm", "cold")[k] for k in answers.argmax(1)]
    assert [one.unknown for one in found] == (unlike > LIMIT).tolist()
    assert len({one.unknown for one in found}) == len({one.label for one in found}) == 2


def test_every_way_to_give_a_picture(pictures: Path, tmp_path: Path) -> None:
    model = quickstudy.load(pictures / "model.onnx")
    (values,) = patches(1)
    file, packed = tmp_path / "one.png", BytesIO()
    Image.fromarray(values).save(file)
    Image.fromarray(values).save(packed, "PNG")
    wanted = pictures_of(values[None])[0][0]
    ways = [file, str(file), packed.getvalue(), Image.fromarray(values), values]
    for way in ways:
        assert np.abs(shares([model.predict(way)]) - wanted).max() < 1e-6
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    listed = model.predict(tmp_path)
    assert [one.name for one in listed] == [str(tmp_path / n) for n in ("broken.png", "one.png")]
    assert listed[0].error is not None and listed[1].error is None
    assert len(model.predict(ways)) == len(ways)
    with pytest.raises(ExampleError, match=r"broken\.png"):
        model.predict(tmp_path / "broken.png")


def test_an_onnx_file_alone_says_what_it_is(tmp_path: Path) -> None:
    graph, alone = picture_graph(), tmp_path / "cats.onnx"
    onnx.save_model(graph, alone)
    with pytest.raises(ModelError, match="not exported by Quickstudy"):
        quickstudy.load(alone)
    onnx.helper.set_model_props(graph, {"quickstudy": json.dumps(described("image"))})
    onnx.save_model(graph, alone)
    given = patches(3)
    model = quickstudy.load(alone)
    assert np.abs(shares(model.predict(given, 0.9)) - pictures_of(given)[0]).max() < 1e-6
    onnx.helper.set_model_props(graph, {"quickstudy": json.dumps(described("sound"))})
    onnx.save_model(graph, alone)
    with pytest.raises(ModelError, match="inputs"):
        quickstudy.load(alone)


def test_a_file_beside_an_export_is_not_taken_for_it(pictures: Path, tmp_path: Path) -> None:
    place = copied(pictures, tmp_path / "e", lambda told: None)
    onnx.save_model(sound_graph(), place / "other.onnx")
    with pytest.raises(ModelError, match=r"it is of model\.onnx"):
        quickstudy.load(place / "other.onnx")


def test_an_export_promises_what_its_model_did(pictures: Path) -> None:
    given, ordered = patches(40), np.array(described("image")["calibration"]["sets"]["ordered"])
    answers, _ = pictures_of(given)
    limit = ordered[math.ceil(0.9 * 41) - 1]  # of least ambiguous sets: 1 - p of the true class
    for one, row in zip(quickstudy.load(pictures).predict(given, 0.9), answers, strict=True):
        among = [k for k in np.argsort(-row) if 1 - row[k] <= limit]
        assert one.coverage == 0.9
        assert one.labels_set == tuple(("warm", "cold")[k] for k in among)
    with pytest.raises(ChoiceError, match="share between 0 and 1"):
        quickstudy.load(pictures).predict(given, 95)


def test_nothing_is_promised_or_unknown_where_nothing_was_kept(tmp_path: Path) -> None:
    told = described("image", calibration={"sets": None, "unknown": None})
    model = quickstudy.load(write_export(tmp_path, picture_graph(unlike=False), told))
    assert model.predict(patches(1)[0]).unknown is None
    with pytest.raises(ModelError, match="cannot promise"):
        model.predict(patches(1)[0], 0.9)


def test_a_graph_for_one_at_a_time_is_given_one_at_a_time(tmp_path: Path) -> None:
    graph = picture_graph()
    for one in (*graph.graph.input, *graph.graph.output):
        one.type.tensor_type.shape.dim[0].dim_value = 2
    model = quickstudy.load(write_export(tmp_path, graph, described("image")))
    given = patches(5)
    assert np.abs(shares(model.predict(given)) - pictures_of(given)[0]).max() < 1e-6


def test_a_short_recording_lies_in_silence_a_longer_one_goes_whole(sounds: Path) -> None:
    model = quickstudy.load(sounds)
    short, longer = (RNG.normal(0, 0.1, n).astype(np.float32) for n in (300, 3_000))
    padded = np.pad(short, (250, 250))
    for given, seen in ((short, padded), (longer, longer)):
        found = model.predict((given, 8000))
        assert np.abs(shares([found]) - sounds_of(seen[None, :, None])).max() < 1e-3  # float16
        assert found.unknown is False and found.timeline == ()
    both = model.predict([(short, 8000), (longer, 8000), (short, 8000)])
    alone = [model.predict((x, 8000)).probability for x in (short, longer, short)]
    assert [one.probability for one in both] == pytest.approx(alone)


def test_a_very_long_recording_goes_by_windows(sounds: Path) -> None:
    model, how = quickstudy.load(sounds), restored("sound", SOUND)
    loud = np.repeat([0.02, 0.4], 60_000) * np.where(np.arange(120_000) % 2, 1, -1)
    values = loud.astype(np.float16)
    windows = np.stack([how.view(values, start) for start in how.starts(len(values)).tolist()])
    assert len(windows) > 256
    found = model.predict((loud.astype(np.float32), 8000))
    wanted = sounds_of(windows[..., None].astype(np.float32)).mean(0)
    assert np.abs(shares([found])[0] - wanted).max() < 1e-3
    assert np.abs(wanted - sounds_of(values[None, :, None])[0]).max() > 0.01  # whole it is another
    assert found.unknown is None
    assert [one.label for one in found.timeline] == ["quiet", "loud"]
    assert abs(found.timeline[0].end - 7.5) < 0.1


def test_recordings_at_other_rates_are_resampled(sounds: Path, tmp_path: Path) -> None:
    model = quickstudy.load(sounds)
    wave = 0.3 * np.sin(2 * np.pi * 200 * np.arange(6_000) / 24_000)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, wave], 1), 24_000, subtype="FLOAT")
    same = frontend.resample(torch.from_numpy(wave.astype(np.float32))[None], 24_000, 8_000)
    found = model.predict(tmp_path / "a.wav")
    assert np.abs(shares([found]) - sounds_of(same.numpy()[..., None])).max() < 1e-3


def test_rows_are_answered_with_ranges(rows: Path, tmp_path: Path) -> None:
    model = quickstudy.load(rows)
    found = model.predict({"rooms": 2, "area": 5}, 0.9)
    assert found.value == pytest.approx(2 * 2 + 3 * 5)
    ordered = described("table")["calibration"]["sets"]["ordered"]
    half = ordered[math.ceil(0.9 * 41) - 1][0]
    assert found.ranges == {"price": pytest.approx((19 - half, 19 + half))}
    (tmp_path / "t.csv").write_text("area,rooms\n5,2\n1,1\n")
    assert [one.value for one in model.predict(tmp_path / "t.csv")] == pytest.approx([19, 5])
    many = model.predict(np.ones((1500, 2), np.float32))
    assert {one.value for one in many} == {5.0}


def test_an_export_can_be_scored(rows: Path, pictures: Path, tmp_path: Path) -> None:
    lines = "".join(f"{a},{b},{2 * a + 3 * b + (a - b) % 2}\n" for a in range(4) for b in range(4))
    (tmp_path / "t.csv").write_text("rooms,area,price\n" + lines)
    scores = quickstudy.load(rows).evaluate(tmp_path / "t.csv", target="price")
    assert scores.as_dict()["n"] == 16
    given = patches(12)
    wanted = pictures_of(given)[0].argmax(1)
    said = [("warm", "cold")[k] for k in wanted]
    said[0] = "cold" if said[0] == "warm" else "warm"
    found = quickstudy.load(pictures).evaluate((given, np.array(said)))
    assert found.as_dict()["accuracy"] == pytest.approx(11 / 12)


# --- without torch -------------------------------------------------------------------------------


def test_torch_is_not_imported(pictures: Path, sounds: Path, rows: Path, tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    export_into(model)
    Image.fromarray(patches(1)[0]).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", RNG.normal(0, 0.1, 4_410), 44_100)
    (tmp_path / "t.csv").write_text("rooms,area\n1,2\n")
    check = f"""
import sys
import quickstudy.kinds, quickstudy.tasks, quickstudy.calibration, quickstudy.catalog
import quickstudy.kinds.image.preparation, quickstudy.kinds.sound.preparation
import quickstudy as qs
def free(what):
    assert "torch" not in sys.modules, what
free("imports")
assert qs.load({str(pictures)!r}).predict({str(tmp_path / "a.png")!r}).label
assert qs.load({str(pictures)!r}).predict([{str(tmp_path / "a.png")!r}] * 3)[2].label
free("a picture")
assert qs.load({str(sounds)!r}).predict({str(tmp_path / "a.wav")!r}).label
free("a recording")
assert qs.load({str(rows)!r}).predict({str(tmp_path / "t.csv")!r})[0].value == 8
free("a row")
from quickstudy.cli import main
assert main(["predict", {str(model)!r}, {str(tmp_path / "a.png")!r}]) == 0
free("quickstudy predict")
heavy = {{"scipy", "sklearn", "pandas", "rich", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
assert sys.modules["openvino_telemetry"] is None
import os
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "a.png"))


@pytest.mark.parametrize("pair", [(44_100, 16_000), (48_000, 16_000), (8_000, 22_050), (9, 9)])
def test_files_are_resampled_as_tensors_are(pair: tuple[int, int]) -> None:
    x = np.random.default_rng(pair[0]).standard_normal(50_000).astype(np.float32)
    stream = resampling.Resampler(*pair)
    cuts = np.split(x, [1, 700, 701, 30_000])
    found = np.concatenate([*(stream.push(part) for part in cuts), stream.rest()])
    wanted = frontend.resample(torch.from_numpy(x)[None], *pair)[0].numpy()
    assert found.shape == wanted.shape == (math.ceil(len(x) * pair[1] / pair[0]),)
    assert np.abs(found - wanted).max() < 5e-6  # of samples up to 4.5: 1e-6 of them


def test_values_are_those_of_decode(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (30, 50, 3), np.uint8)).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", RNG.normal(0, 0.1, 9_000), 11_025)
    for name, kind in (("a.png", "image"), ("a.wav", "sound")):
        how = restored(kind, described(kind)["preparation"])
        assert np.array_equal(how.values(tmp_path / name), how.decode(tmp_path / name).values)


def test_a_short_recording_lies_in_the_middle_of_its_window() -> None:
    how = restored("sound", SOUND)
    values = np.arange(1, 302, dtype=np.float16)
    assert np.array_equal(how.view(values, 0), np.pad(values, (249, 250)))
    assert np.array_equal(how.view(np.arange(900), 100), np.arange(100, 900))


# --- what is refused -----------------------------------------------------------------------------


def copied(folder: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    told = json.loads((folder / "export.json").read_text())
    change(told)
    to.mkdir()
    (to / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (to / "export.json").write_text(json.dumps(told))
    return to


def test_an_altered_file_is_refused(pictures: Path, tmp_path: Path) -> None:
    place = copied(pictures, tmp_path / "e", lambda told: None)
    assert quickstudy.load(place).kind == "image"
    content = bytearray((place / "model.onnx").read_bytes())
    content[-1] ^= 1
    (place / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        quickstudy.load(place)
    (place / "model.onnx").unlink()
    with pytest.raises(ModelError, match="missing"):
        quickstudy.load(place)


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], object]:
    def change(told: dict[str, Any]) -> None:
        for name in path[:-1]:
            told = told[name]
        told[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("format", to=2), "newer"),
        (_set("format", to="x"), "not what Quickstudy writes"),
        (_set("to", to="nothing"), "Nothing here runs"),
        (_set("sha256", to={}), "the files"),
        (_set("sha256", to={"../model.onnx": "0"}), "the file"),
        (_set("inputs", to={}), "inputs"),
        (_set("inputs", to=3), "not what Quickstudy writes"),
        (_set("described", "kind", to="smell"), "the kind 'smell'"),
        (_set("described", "task", "outputs", to=["only"]), "not answers"),
        (_set("described", "task", "outputs", to=[]), "no outputs"),
        (_set("described", "task", "temperature", to=-1), "temperature"),
        (_set("described", "preparation", "decode_size", to=10**6), "decode_size"),
        (_set("described", "preparation", "size", to="8"), "size"),
        (_set("described", "preparation", "fit", to="../.."), "fit"),
        (_set("described", "preparation", "code", to="import os"), "code"),
        (_set("described", "calibration", "sets", "ordered", to=[3, 1]), "order"),
        (_set("described", "calibration", "sets", "method", to="x"), "method"),
        (_set("described", "calibration", "unknown", "threshold", to="high"), "high"),
        (_set("described", to=[]), "not what Quickstudy writes"),
    ],
)
def test_a_wrong_description_is_refused(
    pictures: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    place = copied(pictures, tmp_path / "e", change)
    with pytest.raises((ModelError, ChoiceError), match=said):
        quickstudy.load(place).predict(patches(1)[0])


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    place = write_export(tmp_path, picture_graph(), described("image"))
    (place / "model.onnx").write_bytes(b"nothing of the sort")
    change = _set("sha256", to={"model.onnx": sha256(place / "model.onnx")})
    with pytest.raises(ModelError, match="cannot be opened"):
        quickstudy.load(copied(place, tmp_path / "e", change))
    with pytest.raises(ModelError, match="is missing"):
        sessions.open_session("onnx", tmp_path / "none.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no export"):
        Exported.open(tmp_path / "empty")


@pytest.mark.parametrize("where", ["../secret", "{}/secret", "link"])
def test_weights_outside_the_files_folder_are_not_read(tmp_path: Path, where: str) -> None:
    """What a file says its weights are in may be any file of this machine."""
    graph = picture_graph()
    (tmp_path / "secret").write_bytes(np.ones((3, 2), np.float32).tobytes())
    kept = next(one for one in graph.graph.initializer if one.name == "weights")
    external_data_helper.set_external_data(kept, location=where.format(tmp_path), length=24)
    kept.ClearField("raw_data")
    kept.data_location = onnx.TensorProto.EXTERNAL
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "e" / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="cannot be opened"):
        sessions.open_session("onnx", tmp_path / "e" / "model.onnx")


def test_an_operator_of_somebodys_own_is_refused(tmp_path: Path) -> None:
    graph = picture_graph()
    graph.graph.node[4].domain = "own.code"
    graph.opset_import.append(onnx.helper.make_opsetid("own.code", 1))
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="cannot be opened"):
        sessions.open_session("onnx", tmp_path / "model.onnx")


@pytest.mark.parametrize("to", ["pt2", "native"])
def test_what_may_hold_code_is_opened_only_by_name(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    opened: list[str] = []
    for name in ("_Program", "_Compiled"):
        monkeypatch.setattr(sessions, name, lambda file, n: opened.append(str(file)) or 1 / 0)
    place = copied(pictures, tmp_path / "e", _set("to", to=to))
    with pytest.raises(ModelError, match="may hold code"):
        quickstudy.load(place)
    assert opened == []
    with pytest.raises(ModelError, match="cannot be opened"):
        quickstudy.load(place, runtime=to)
    assert opened == [str(place / "model.onnx")]
    model = saved(tmp_path / "model")
    export_into(model, name=to, change=_set("to", to=to))
    assert quickstudy.load(model).runtime == "torch"
    assert len(opened) == 1
    with pytest.raises(ModelError, match="cannot be opened"):
        quickstudy.load(model, runtime=to)


def test_an_export_takes_no_other_device_runtime_or_network(pictures: Path) -> None:
    with pytest.raises(ChoiceError, match="cannot be run by openvino"):
        quickstudy.load(pictures, runtime="openvino")
    with pytest.raises(ChoiceError, match="the device 'cuda'"):
        quickstudy.load(pictures, device="cuda")
    with pytest.raises(ChoiceError, match="another network"):
        quickstudy.load(pictures, network=torch.nn.Identity())


def test_what_only_a_model_can_do_is_said_so_of_an_export(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from quickstudy.cli import main

    Image.fromarray(patches(1)[0]).save(tmp_path / "a.png")
    words = [str(pictures), str(tmp_path / "a.png")]
    assert main(["predict", *words]) == 0
    assert capsys.readouterr().err == ""  # no word of `explain`
    assert main(["explain", *words]) == 2
    assert "it is an export, which gives answers alone" in capsys.readouterr().err


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra) as caught:
        quietly("openvino")
    assert 'pip install "quickstudy[openvino]"' in caught.value.hint


# --- a model that answers through its exports ----------------------------------------------------


def saved(folder: Path) -> Path:
    return untrained(("warm", "cold"), size=8).save(folder)


def export_into(
    model: Path, name: str = "onnx", change: Callable[[dict[str, Any]], object] = lambda told: None
) -> Path:
    """Put the graph written by hand into a model's folder as if made of it."""
    digest = sha256(model / "checksums.sha256")
    place = model / "exports" / name
    write_export(place, picture_graph(), described("image"), model=digest)
    told = json.loads((place / "export.json").read_text())
    change(told)
    (place / "export.json").write_text(json.dumps(told))
    return place


def test_a_model_answers_through_its_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path / "model")
    assert quickstudy.load(model).runtime == "torch"
    export_into(model)
    found, given = quickstudy.load(model), patches(5)
    assert isinstance(found, Model) and found.runtime == "onnx" and found.why == ""
    wanted, unlike = pictures_of(given)
    assert np.abs(shares(found.predict(given)) - wanted).max() < 1e-6
    assert np.abs(found.answers(given[:, None]) - wanted).max() < 1e-6
    assert [one.unknown for one in found.predict(given)] == (unlike > LIMIT).tolist()
    assert isinstance(answering(model), Exported)
    assert quickstudy.load(model, runtime="onnx").runtime == "onnx"
    for plain in (quickstudy.load(model, runtime="torch"), quickstudy.load(model, device="cpu")):
        assert plain.runtime == "torch"
        assert np.abs(shares(plain.predict(given)) - wanted).max() > 1e-3
        assert plain.predict(given[0]).unknown is None
    with monkeypatch.context() as patched:
        patched.setattr("quickstudy.loading._graphics_driver", lambda: True)
        assert isinstance(answering(model), Model)  # torch knows whether a GPU would be quicker
    (tmp_path / "run").mkdir()
    model.rename(tmp_path / "run" / "model")
    assert answering(tmp_path / "run").runtime == "onnx"  # a run's folder will do


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_set("model", to="0" * 64), "was made of another model"),
        (_set("parity", "passed", to=False), "has not passed parity"),
        (_set("parity", "passed", to="yes"), "has not passed parity"),
        (_set("to", to="coreml"), "coreml is not installed"),
        (_set("sha256", to={"model.onnx": "0"}), "altered"),
        (_set("format", to=9), "newer Quickstudy"),
        (_set("parity", to=None), "not what Quickstudy writes"),
    ],
)
def test_an_export_that_cannot_be_believed_is_not_used_and_that_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], object],
    why: str,
) -> None:
    model = saved(tmp_path / "model")
    export_into(model, change=change)
    found = quickstudy.load(model)
    assert found.runtime.startswith("torch (exports/onnx") and why in found.runtime
    assert found.predict(patches(1)[0]).label in ("warm", "cold")
    Image.fromarray(patches(1)[0]).save(tmp_path / "a.png")
    from quickstudy.cli import main

    assert main(["predict", str(model), str(tmp_path / "a.png")]) == 0
    assert why in capsys.readouterr().err
    with pytest.raises((ChoiceError, ModelError)):
        quickstudy.load(model, runtime="onnx")


def test_the_quickest_measured_answers(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    for name, took in (("b", 3.0), ("a", 5.0), ("c", 1.0)):
        export_into(model, name, _set("measured", to={"milliseconds": took}))
    assert answering(model).file.parent.name == "c"
    (model / "exports" / "c" / "model.onnx").write_bytes(b"")
    found = quickstudy.load(model)
    assert found.through.file.parent.name == "b" and "altered" in found.why


def test_a_runtime_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    export_into(model)
    with pytest.raises(ChoiceError, match="no export 'onxn'") as caught:
        quickstudy.load(model, runtime="onxn")
    assert "onnx" in caught.value.hint
    with pytest.raises(ModelError, match="not a Quickstudy model"):
        quickstudy.load(tmp_path / "none")


def test_the_commands_take_a_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quickstudy.cli import main

    model = saved(tmp_path / "model")
    export_into(model)
    for number, patch in enumerate(patches(6)):
        side = tmp_path / "photos" / ("warm", "cold")[number % 2]
        side.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch).save(side / f"{number}.png")
    ran: list[str] = []
    real = Exported.told
    monkeypatch.setattr(Exported, "told", lambda self, x: ran.append("export") or real(self, x))
    monkeypatch.setattr(Model, "_asked", lambda self, *x: ran.append("torch") or 1 / 0)
    photos = str(tmp_path / "photos")
    for words in (["predict", str(model), photos, "--csv"], ["evaluate", str(model), photos]):
        assert main(words) == 0
        assert main([*words, "--runtime", "onnx"]) == 0
        assert set(ran) == {"export"}
        with pytest.raises(ZeroDivisionError):
            main([*words, "--runtime", "torch"])
        assert main([*words, "--runtime", "openvino"]) == 2
        assert "has no export 'openvino'" in capsys.readouterr().err
        ran.clear()
    assert main(["predict", photos, photos, "--runtime", "onnx"]) == 2
    assert "is not a Quickstudy model" in capsys.readouterr().err


# --- other runtimes ------------------------------------------------------------------------------


def test_openvino_answers_the_same(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    openvino = quietly("openvino")
    made = openvino.convert_model(str(pictures / "model.onnx"))
    openvino.save_model(made, str(tmp_path / "model.xml"), compress_to_fp16=False)
    told = json.loads((pictures / "export.json").read_text())
    told |= {"to": "openvino"}
    told["sha256"] = {name: sha256(tmp_path / name) for name in ("model.xml", "model.bin")}
    (tmp_path / "export.json").write_text(json.dumps(told))
    model, given = quickstudy.load(tmp_path), patches(9)
    answers, unlike = pictures_of(given)
    assert model.runtime == "openvino"
    assert np.abs(shares(model.predict(given)) - answers).max() < 1e-6
    assert [one.unknown for one in model.predict(given)] == (unlike > LIMIT).tolist()
    assert np.abs(shares(model.predict(given[:2])) - answers[:2]).max() < 1e-6


def test_a_program_of_torch_answers_the_same(pictures: Path, tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean = pictures.float().mean((1, 2)) / 255
            scores = torch.stack([mean.sum(1), -mean.sum(1)], 1)
            return scores.softmax(1), mean.mean(1)

    some = torch.from_numpy(patches(2))
    dynamic = ({0: torch.export.Dim("n", min=1, max=64)},)
    torch.export.save(
        torch.export.export(Mean(), (some,), dynamic_shapes=dynamic), tmp_path / "model.pt2"
    )
    told = json.loads((pictures / "export.json").read_text())
    told |= {"to": "pt2", "sha256": {"model.pt2": sha256(tmp_path / "model.pt2")}}
    (tmp_path / "export.json").write_text(json.dumps(told))
    model, given = quickstudy.load(tmp_path, runtime="pt2"), patches(9)
    with torch.inference_mode():
        answers, unlike = Mean()(torch.from_numpy(given))
    assert np.abs(shares(model.predict(given)) - answers.numpy()).max() < 1e-6
    assert [one.unknown for one in model.predict(given)] == (unlike > LIMIT).tolist()


def test_what_a_model_and_an_export_have_alike_is_one_class(pictures: Path) -> None:
    found = quickstudy.load(pictures)
    assert isinstance(found, Answering) and issubclass(Model, Answering)
    assert replace(found, threshold=None).predict(patches(1)[0]).unknown is None
