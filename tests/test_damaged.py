"""Models and runs whose files are whole, but say what no run has written."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quickstudy as qs
from quickstudy import tasks
from quickstudy.errors import ChoiceError, ModelError, QuickstudyError, RunError
from quickstudy.kinds import restored
from quickstudy.kinds.table.columns import Column, described
from quickstudy.learning.asking import seconds
from quickstudy.model import Model, folder, load, untrained
from quickstudy.network import Spec, build

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("a", "b", "c")
COLUMNS = [Column("x", "number"), Column("day", "date"), Column("of", "category", ("p", "q"))]
SPECTRA = {"rate": 8000, "fft": 256, "hop": 80, "mels": 32, "low": 20.0, "high": 4000.0}
STACK = [{"conv": 8}, "norm", "relu", {"pool": "average"}, {"dense": "classes"}]
PICTURE = {"decode_size": 32, "size": 32, "fit": "squash", "mirror": False}
PICTURE |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


def made(spec: Spec, kind: str, kept: Mapping[str, Any]) -> Model:
    return Model(build(spec).module, spec, tasks.Classification(CLASSES), restored(kind, kept))


def pictures(**changed: Any) -> Model:
    return made(Spec(**{"name": "compact", "classes": 3, "size": 32} | changed), "image", PICTURE)


def sounds() -> Model:
    kept = {"rate": 8000, "size": 4000, "span": 2000, "long": 8000}
    return made(Spec("compact", 3, 4000, sound=SPECTRA), "sound", kept)


def rows(name: str = "tabm", **changed: Any) -> Model:
    table = {**described(COLUMNS), "members": 4, "bins": 3}
    kept = {"columns": [column.as_dict() for column in COLUMNS]}
    return made(Spec(name, 3, 1, table=table, **changed), "table", kept)


def member(weight: float, **changed: Any) -> dict[str, Any]:
    spec = Spec(**{"name": "stack", "classes": 3, "size": 32, "stack": STACK} | changed)
    return {"weight": weight, "temperature": 1.5, "network": {**spec.as_dict(), "depth": []}}


MODELS: dict[str, Callable[[], Model]] = {
    "compact": pictures,
    "narrow": lambda: pictures(name="resnet18", width=0.25, depth=(1, 1, 1, 1), activation="gelu"),
    "published": lambda: pictures(name="squeezenet1_1"),
    "stack": lambda: pictures(name="stack", stack=STACK),
    "sound": sounds,
    "tabm": rows,
    "rows": lambda: rows("stack", stack=[{"dense": 8}, "relu", {"dense": "classes"}]),
    "ensemble": lambda: pictures(
        name="ensemble",
        ensemble={
            "task": "classification",
            "members": [member(0.25), member(0.75, stack=STACK[2:])],
        },
    ),
}
"""Of every way to build a network."""


def rewritten(path: Path, content: bytes) -> None:
    """Put another description into a model's folder, with the checksum that goes with it."""
    file, sums = path / "model.json", path / "checksums.sha256"
    digests = [hashlib.sha256(one).hexdigest() for one in (file.read_bytes(), content)]
    file.write_bytes(content)
    sums.write_text(sums.read_text().replace(*digests))


def changed(path: Path, where: str, value: Any) -> None:
    described = json.loads((path / "model.json").read_bytes())
    *parents, last = where.split(".")
    inner = described
    for name in parents:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    rewritten(path, json.dumps(described).encode())


@pytest.mark.parametrize("name", MODELS)
def test_every_sort_of_model_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = MODELS[name]()
    again = load(model.save(tmp_path / "m"))
    old, new = model.network.state_dict(), again.network.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)
    assert (again.spec, again.task, again.preparation) == (
        model.spec,
        model.task,
        model.preparation,
    )
    x = torch.rand_like(model.blank(4))
    with torch.inference_mode():
        theirs, ours = again.network.eval()(x), model.network.eval()(x)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b"5", b"null", b"[" * 100_000, b"\xff", b'{"format": "new"}', b""],
    ids=lambda content: content[:12].decode("latin-1"),
)
def test_a_description_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = pictures().save(tmp_path / "m")
    rewritten(path, content)
    with pytest.raises(ModelError, match="not what Quickstudy writes") as caught:
        load(path)
    assert caught.value.hint


WRONG: list[tuple[str, str, Any]] = [
    ("compact", "format", None),
    ("compact", "network", None),
    ("compact", "network", []),
    ("compact", "network.more", 1),
    ("compact", "network.name", 5),
    ("compact", "network.depth", [200] * 4),
    ("compact", "network.depth", [10**9, 1, 1, 1]),
    ("compact", "network.width", 300),
    ("compact", "network.width", 1e300),
    ("compact", "network.width", math.nan),
    ("compact", "network.classes", 10**9),
    ("compact", "network.size", 10**6),
    ("compact", "network.channels", 10**9),
    ("compact", "network.sound", SPECTRA),
    ("compact", "kind", "video"),
    ("compact", "kind", ["image"]),
    ("compact", "kind", "sound"),
    ("compact", "facts", 3),
    ("compact", "task.name", "guessing"),
    ("compact", "task.outputs", ["a", "b"]),
    ("compact", "task.outputs", "abc"),
    ("compact", "task.outputs", [1, 2, 3]),
    ("compact", "task.temperature", 0),
    ("compact", "task.temperature", math.nan),
    ("compact", "task.more", 1),
    ("compact", "preparation.mean", [0.5]),
    ("compact", "preparation.mean", [math.nan, 0, 0]),
    ("compact", "preparation.std", [0, 1, 1]),
    ("compact", "preparation.size", 64),
    ("compact", "preparation.decode_size", 10**6),
    ("compact", "preparation.fit", "bend"),
    ("stack", "network.stack", [{"dense": 60_000}, {"dense": 30_000}, {"dense": "classes"}]),
    ("stack", "network.stack", [{"pool": "average"}, {"dense": 30_000}, {"dense": "classes"}]),
    ("stack", "network.stack", 5),
    ("sound", "network.sound.rate", None),
    ("sound", "network.sound.hop", 0),
    ("sound", "network.sound.high", 1e9),
    ("sound", "network.size", 10**9),
    ("sound", "preparation.rate", 10**9),
    ("tabm", "network.table.words", [10**9]),
    ("tabm", "network.table.members", 10**9),
    ("tabm", "preparation.columns", []),
    ("tabm", "preparation.columns", [{"name": "x", "type": "colour", "words": []}]),
    ("ensemble", "network.ensemble.task", "regression"),
    ("ensemble", "network.ensemble.members", []),
    ("ensemble", "network.ensemble.members", None),
    ("ensemble", "network.ensemble.members", [member(0.0)]),
    ("ensemble", "network.ensemble.members", [member(1) | {"temperature": math.nan}]),
    ("ensemble", "network.ensemble.members", [member(1) | {"network": {"name": "compact"}}]),
    ("ensemble", "network.ensemble.members", [member(1, classes=4)]),
    ("ensemble", "network.ensemble.members", [member(1, size=64)]),
    ("ensemble", "network.ensemble.members", [member(1, name="python:net", stack=None)]),
    ("ensemble", "network.ensemble.members", [member(1, ensemble={"members": []})]),
    ("ensemble", "network.ensemble.members", [member(1, stack=[{"dense": 60_000}] * 2 + STACK)]),
]


@pytest.mark.parametrize(("model", "where", "value"), WRONG, ids=lambda v: str(v)[:24])
def test_a_description_with_a_fault_is_refused_at_once(
    model: str, where: str, value: Any, tmp_path: Path
) -> None:
    path = MODELS[model]().save(tmp_path / "m")
    changed(path, where, value)
    began = time.process_time()
    with pytest.raises(QuickstudyError) as caught:
        load(path)
    assert caught.value.hint
    assert time.process_time() - began < 5


def test_what_is_too_large_is_never_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with memory is asked for only once its size is known to be that of the file."""
    path = pictures().save(tmp_path / "m")
    changed(path, "network.width", 30)
    built = []
    monkeypatch.setattr(
        "quickstudy.model.described.build",
        lambda spec, own=None: built.append(torch.empty(0).is_meta) or build(spec, own),
    )
    with pytest.raises(ModelError, match="numbers"):
        load(path)
    assert built == [True]


def test_code_is_still_asked_for_and_given(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 3))
    spec = Spec("python:net", 3, 32)
    model = Model(network, spec, tasks.Classification(CLASSES), restored("image", PICTURE))
    path = model.save(tmp_path / "m")
    with pytest.raises(ChoiceError, match="is code"):
        load(path)
    fresh = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 3))
    again = load(path, network=fresh)
    assert torch.equal(again.network.get_parameter("1.weight"), network[1].weight)


def test_numbers_need_a_scale_for_each(tmp_path: Path) -> None:
    model = untrained(("a", "b"), size=32)
    scaled = tasks.Regression(("u", "v"), (1.0, 2.0), (3.0, 4.0))
    path = Model(model.network, model.spec, scaled, model.preparation).save(tmp_path / "m")
    assert load(path).task == scaled
    for where, value in (("task.std", [1.0, 0.0]), ("task.mean", [1.0]), ("task.std", [])):
        folder.write(path, model.network, json.loads((path / "model.json").read_bytes()))
        kept = (path / "model.json").read_bytes()
        changed(path, where, value)
        with pytest.raises(ModelError):
            load(path)
        rewritten(path, kept)


# What somebody asks for


@pytest.mark.parametrize(
    "options",
    [
        {"settings": "epochs=1"},
        {"settings": {1: 2}},
        {"settings": {"seed": 10**5000}},
        {"settings": {"loss.name": 5}},
        {"settings": {"network.name": [[[[1]]]]}},
        {"budget": 10**5000},
        {"budget": object()},
        {"budget": timedelta(seconds=1)},
        {"budget": math.nan},
        {"seed": "many"},
        {"seed": 10**5000},
        {"recipe": 5},
        {"settings": {"network.stack": STACK}, "network": "resnet18"},
        {"settings": {"network.stack": STACK, "network.name": "tabm"}},
        {"settings": {"network.name": "stack"}},
    ],
    ids=lambda options: "-".join(options),
)
def test_whatever_is_asked_for_wrongly_gets_a_hint(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ChoiceError) as caught:
        qs.learn(tmp_path, out=tmp_path / "r", **options)
    assert caught.value.hint
    assert len(str(caught.value)) < 2000
    assert not (tmp_path / "r").exists()


def test_a_budget_may_be_a_timedelta() -> None:
    assert seconds(timedelta(minutes=2)) == 120
    assert seconds(np.float64(60)) == seconds(np.int64(60)) == 60  # type: ignore[arg-type]


def test_layers_alone_are_a_stack(shapes: Path, tmp_path: Path) -> None:
    settings = {"network.stack": STACK, "epochs": 1, "compute.threads": 1, "picture.size": 16}
    run = qs.learn(shapes, settings=settings, out=tmp_path / "r", device="cpu")
    assert run.recipe.network.name == "stack"
    assert "conv0.weight" in run.model.network.state_dict()
    again = qs.load(run.folder)
    assert again.predict(shapes / "disc" / "00.png").label in ("cross", "disc", "square")


def test_a_network_is_built_from_layers_only_under_their_name() -> None:
    with pytest.raises(ChoiceError, match="layers of its own"):
        build(Spec("resnet18", 3, 32, stack=STACK))
    with pytest.raises(ChoiceError, match="no layers"):
        build(Spec("stack", 3, 32))


# Runs


@pytest.mark.parametrize("given", [{"seed": 0}, {"budget": 0}, {"settings": {"batch": 8}}])
def test_a_run_that_goes_on_takes_no_zero_either(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="keeps its choices"):
        qs.learn(resume=tmp_path, **given)


def test_nothing_set_is_no_choice(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        qs.learn(resume=tmp_path, settings={})


KEPT: dict[str, Any] = {
    **{"source": "d", "test": None, "columns": {}, "own": {}, "budget": 60, "seed": 0},
    **{"device": None, "spent": 0.0, "most": 0, "later": None, "stamp": "", "tested": False},
    **{"recipe": None},
}


@pytest.mark.parametrize(
    "content",
    [
        *("{", "{}", "[]", "5", "[" * 100_000, "\0"),
        *(json.dumps({**KEPT, "recipe": recipe}) for recipe in ({}, [], {"kind": ["image", ""]})),
        *(json.dumps({**KEPT, "own": own}) for own in ({"epochs": 3}, {"epochs": [1]}, [])),
        *(json.dumps({**KEPT, key: "x"}) for key in ("budget", "spent", "seed", "columns")),
    ],
    ids=lambda content: content[-30:],
)
def test_a_damaged_run_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match="not what a run writes") as caught:
        qs.learn(resume=tmp_path)
    assert caught.value.hint


def test_older_formats_are_taken_and_newer_ones_named(tmp_path: Path) -> None:
    model = untrained(("a", "b"), size=32)
    path = model.save(tmp_path / "m")
    kept = json.loads((path / "model.json").read_bytes())
    first = {**kept, "format": 1, "classes": ["a", "b"]}
    del first["task"]
    first["preparation"] = {**kept["preparation"], "temperature": 2.0}
    del first["preparation"]["channels"]
    wanted = ("name", "classes", "size", "width", "dropout", "auxiliary")
    first["network"] = {key: kept["network"][key] for key in wanted}
    rewritten(path, json.dumps(first).encode())
    assert load(path).task == tasks.Classification(("a", "b"), 2.0)
    changed(path, "format", 99)
    with pytest.raises(ModelError, match="newer"):
        load(path)
