"""learn() from end to end, on small pictures: what it leaves, and that it can be trusted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quickstudy as qs
from conftest import draw
from quickstudy.errors import ChoiceError, ModelError, RunError, SourceError
from quickstudy.learning import Run
from quickstudy.learning.asking import seconds
from quickstudy.progress import Progress

UNRATED = {"epochs": 6, "picture.size": 24, "picture.start_size": 24, "network.width": 0.25}
FEW = {**UNRATED, "optimizer.lr": 0.025}  # else it is found by 40 steps: more than are learnt by


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("out") / "run"
    return qs.learn(shapes, settings={**UNRATED, "epochs": 25}, out=out)


def test_it_learns_what_shapes_are(run: Run) -> None:
    assert run.test.n == 18
    assert run.test.accuracy >= 0.85
    assert run.test.interval[0] < run.test.accuracy < run.test.interval[1] + 1e-9


def test_the_report_holds_what_the_issue_of_a_report_is(run: Run) -> None:
    told = json.loads((run.folder / "report.json").read_text())
    assert told["test"]["accuracy"] == run.test.accuracy
    assert set(told["test"]["per_class"]) == {"cross", "disc", "square"}
    assert {"look", "plan", "decode", "train", "evaluate", "save", "total"} <= set(told["seconds"])
    assert told["network"]["parameters"] == sum(p.numel() for p in run.model.network.parameters())
    assert all(choice["why"] for choice in told["recipe"].values())
    assert told["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (run.folder / "report.html").stat().st_size > 10_000
    assert run.report == run.folder / "report.html"


def test_a_finished_run_leaves_no_scratch_files(run: Run) -> None:
    left = {p.name for p in run.folder.iterdir()}
    expected = {"model", "recipe.yaml", "run.json", "log.jsonl", "report.json", "report.html"}
    expected |= {"examples.csv", "answers.npz", "suspects.csv"}
    assert left == expected


def test_what_is_scored_is_what_is_shipped(run: Run, shapes: Path) -> None:
    """The saved model, on the test's files as a user would give them, makes the same mistakes."""
    told = json.loads((run.folder / "report.json").read_text())
    model = qs.load(run.folder / "model")
    wrong = {m["name"]: (m["predicted"], m["probability"]) for m in told["test"]["mistakes"]}
    for name, (label, sure) in wrong.items():
        answer = model.predict(shapes / name)
        assert answer.label == label
        assert answer.probability == pytest.approx(sure, abs=1e-4)
    everything = model.predict(shapes)
    mistaken = sum(Path(a.name).parent.name != a.label for a in everything)
    assert mistaken >= len(wrong)


def test_a_model_answers_alike_from_memory_and_disk(run: Run, shapes: Path) -> None:
    file = shapes / "disc" / "03.png"
    before, after = run.model.predict(file), qs.load(run.folder / "model").predict(str(file))
    assert before.probabilities == pytest.approx(dict(after.probabilities), abs=1e-6)
    picture = draw("disc", 3)
    assert run.model.predict(picture).probability == pytest.approx(before.probability, abs=1e-6)
    assert run.model.predict(np.array(picture)).label == before.label
    assert [a.label for a in run.model.predict([picture, file])] == [before.label] * 2
    assert len(run.model.predict(np.stack([np.array(picture)] * 3))) == 3


def test_evaluate_scores_a_folder(run: Run, shapes: Path) -> None:
    scores = run.model.evaluate(shapes)
    assert scores.n == 120
    assert scores.accuracy > 0.85


def test_notebook_forms(run: Run, shapes: Path) -> None:
    assert "never saw" in run._repr_html_()
    assert "<table>" in run.model.predict(shapes / "disc" / "03.png")._repr_html_()
    assert "network.name" in run.recipe._repr_html_()


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_an_altered_model_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    shutil.copytree(run.folder / "model", tmp_path / "m")
    file = tmp_path / "m" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="altered"):
        qs.load(tmp_path / "m")
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="altered"):
        qs.load(tmp_path / "m")


def test_a_model_of_a_newer_format_is_refused(run: Run, tmp_path: Path) -> None:
    import hashlib

    shutil.copytree(run.folder / "model", tmp_path / "m")
    file, sums = tmp_path / "m" / "model.json", tmp_path / "m" / "checksums.sha256"
    old = file.read_bytes()
    new = old.replace(b'"format": 4', b'"format": 99')
    file.write_bytes(new)
    digest = [hashlib.sha256(c).hexdigest() for c in (old, new)]
    sums.write_text(sums.read_text().replace(*digest))
    with pytest.raises(ModelError, match="newer"):
        qs.load(tmp_path / "m")


def test_loading_a_model_runs_none_of_its_code(run: Run) -> None:
    """Nothing in the folder is pickled: text, JSON and safetensors only."""
    kinds = {p.suffix for p in (run.folder / "model").iterdir()}
    assert kinds == {".safetensors", ".json", ".md", ".sha256"}
    assert b"pickle" not in (run.folder / "model" / "weights.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_model(shapes: Path, tmp_path: Path) -> None:
    a, b = (qs.learn(shapes, settings=UNRATED, out=tmp_path / n).model for n in "ab")
    for (name, x), y in zip(
        a.network.state_dict().items(), b.network.state_dict().values(), strict=True
    ):
        assert torch.equal(x, y), name


def test_a_recipe_can_be_edited_and_run_again(run: Run, shapes: Path, tmp_path: Path) -> None:
    text = (run.folder / "recipe.yaml").read_text()
    edited = tmp_path / "mine.yaml"
    edited.write_text(text.replace("batch: ", "batch: 16  # was "))
    again = qs.learn(shapes, recipe=edited, settings={"epochs": 1}, out=tmp_path / "r")
    assert again.recipe.batch == 16
    assert again.recipe.choices()["batch"].why == "from mine.yaml"
    assert again.recipe.choices()["epochs"].why == "you set it"
    assert again.recipe.optimizer.lr == run.recipe.optimizer.lr


def test_the_budget_is_kept_and_progress_is_told_with_a_forecast(
    shapes: Path, tmp_path: Path
) -> None:
    heard: list[Progress] = []
    settings = {k: v for k, v in UNRATED.items() if k != "epochs"}
    out = tmp_path / "r"
    run = qs.learn(shapes, budget="10s", settings=settings, out=out, listen=heard.append)
    assert run.facts["seconds"]["total"] < 10 + 10  # asked: 20 s over at most
    stages = [h.stage for h in heard if not h.said]
    assert stages.index("decode") < stages.index("train") < stages.index("evaluate")
    train = [h for h in heard if h.stage == "train" and h.left is not None]
    assert train[0].left > train[-1].left >= 0


@pytest.mark.parametrize(
    ("loss", "optimizer"), [("focal", "sgd"), ("binary_cross_entropy", "adamw")]
)
def test_losses_and_optimisers_by_name(
    shapes: Path, tmp_path: Path, loss: str, optimizer: str
) -> None:
    settings = {**UNRATED, "epochs": 20, "optimizer.name": optimizer}
    run = qs.learn(shapes, loss=loss, settings=settings, out=tmp_path / "r")
    assert run.test.accuracy > 0.5
    assert run.recipe.choices()["loss.name"].why == "you set it"


def test_arrays_learn_too(tmp_path: Path) -> None:
    labels = ["disc", "cross"] * 30
    pictures = np.stack([np.array(draw(n, i)) for i, n in enumerate(labels)])
    run = qs.learn((pictures, np.array(labels)), settings={**FEW, "epochs": 2}, out=tmp_path / "r")
    assert run.model.classes == ("cross", "disc")


def test_a_test_source_is_never_learnt_from(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "t")
    for file in (tmp_path / "t").rglob("*.png"):
        if int(file.stem) >= 10:
            file.unlink()
    learnt = tmp_path / "l"
    shutil.copytree(shapes, learnt)
    for file in learnt.rglob("*.png"):
        if int(file.stem) < 10:
            file.unlink()
    run = qs.learn(learnt, test=tmp_path / "t", settings={**FEW, "epochs": 1}, out=tmp_path / "r")
    counts = run.facts["data"]["counts"]
    assert counts["test"] == {"cross": 10, "disc": 10, "square": 10}
    assert sum(counts["train"].values()) + sum(counts["val"].values()) == 90


def test_bad_files_are_named_and_left_out(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "d")
    bad = {"empty.png": b"", "text.jpg": b"hello there, no picture", "cut.png": None}
    whole = (shapes / "disc" / "01.png").read_bytes()
    for name, content in bad.items():
        cut = whole[: len(whole) // 2] if content is None else content
        (tmp_path / "d" / "disc" / name).write_bytes(cut)
    strange = "it's \"ö\n日本.png"
    shutil.copy(shapes / "disc" / "01.png", tmp_path / "d" / "disc" / strange)
    run = qs.learn(tmp_path / "d", settings={**FEW, "epochs": 1}, out=tmp_path / "r")
    named = {Path(o["name"]).name: o["reason"] for o in run.facts["data"]["left_out"]}
    assert set(named) == set(bad)
    assert run.facts["data"]["duplicates"]["identical"] == 2  # 01.png under two names


def test_mostly_bad_files_are_an_error(shapes: Path, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "d" / label / f"{number}.jpg").write_bytes(b"no picture at all")
    with pytest.raises(SourceError, match="cannot be read"):
        qs.learn(tmp_path / "d", settings=FEW, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"network": "resnet19"}, ChoiceError),
        ({"loss": "crossentropy"}, ChoiceError),
        ({"settings": {"optimizer.lrr": 1}}, ChoiceError),
        ({"settings": {"batch": -3}}, ChoiceError),
        ({"budget": "soon"}, ChoiceError),
        ({"device": "gpu9"}, ChoiceError),
        ({"recipe": "no/such.yaml"}, ChoiceError),
        ({"resume": "no/such/run"}, RunError),
    ],
)
def test_wrong_choices_are_one_sentence_with_the_fix(
    shapes: Path, tmp_path: Path, options: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        qs.learn(shapes, **({} if "resume" in options else {"out": tmp_path / "r"}), **options)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert not (tmp_path / "r").exists()


def test_a_run_folder_is_not_overwritten(run: Run, shapes: Path) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        qs.learn(shapes, settings=FEW, out=run.folder)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise there")
def test_no_permission_is_said(shapes: Path, tmp_path: Path) -> None:
    file = tmp_path / "a_file"
    file.write_text("in the way")
    with pytest.raises((RunError, OSError)):
        qs.learn(shapes, settings=FEW, out=file / "r")


def test_budgets_are_read() -> None:
    assert [seconds(b) for b in ("90s", "10m", "2h", "1h30m", 45, "75")] == [
        90, 600, 7200, 5400, 45, 75
    ]  # fmt: skip


def test_settings_by_dotted_key_are_as_good_as_options(shapes: Path, tmp_path: Path) -> None:
    settings = {**FEW, "epochs": 1, "loss.name": "focal", "compute.device": "cpu"}
    run = qs.learn(shapes, settings={**settings, "network.weights": "none"}, out=tmp_path / "r")
    assert run.recipe.loss.name == "focal"
    assert run.recipe.choices()["network.weights"].why == "you set it"


def test_a_run_cannot_go_on_with_other_choices_or_other_data(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shapes, tmp_path / "d")

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("as if killed")

    monkeypatch.setattr("quickstudy.learning.teach", killed)
    with pytest.raises(RuntimeError, match="killed"):
        qs.learn(tmp_path / "d", settings=FEW, out=tmp_path / "r")
    monkeypatch.undo()
    with pytest.raises(ChoiceError, match="keeps its choices"):
        qs.learn(resume=tmp_path / "r", settings={"batch": 8})
    (tmp_path / "d" / "disc" / "03.png").unlink()
    with pytest.raises(RunError, match="not what it was"):
        qs.learn(resume=tmp_path / "r")


def test_the_report_of_a_run_in_python_says_how_to_repeat_it(tmp_path: Path) -> None:
    labels = ["disc", "cross"] * 20
    pictures = np.stack([np.array(draw(n, i)) for i, n in enumerate(labels)])
    run = qs.learn((pictures, np.array(labels)), settings={**FEW, "epochs": 1}, out=tmp_path / "r")
    assert run.facts["command"].startswith("quickstudy.learn(SOURCE")
    with pytest.raises(RunError, match="has ended"):
        qs.learn((pictures, labels), resume=tmp_path / "r")


def test_evaluate_names_what_it_leaves_out(run: Run, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "d")
    (tmp_path / "d" / "disc" / "bad.png").write_bytes(b"no")
    shutil.copytree(shapes / "cross", tmp_path / "d" / "star")
    scores = run.model.evaluate(tmp_path / "d")
    assert scores.n == 120
    assert len(scores.left_out) == 41


def test_a_misnamed_picture_is_read_and_named(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "d")
    draw("disc", 99).save(tmp_path / "d" / "disc" / "really_png.jpg", "PNG")
    run = qs.learn(tmp_path / "d", settings={**FEW, "epochs": 1}, out=tmp_path / "r")
    assert any("really_png.jpg" in note for note in run.facts["data"]["notes"])
    assert run.facts["data"]["left_out"] == []


def test_real_photographs_with_real_weights(shared: Path, tmp_path: Path) -> None:
    """40 + 20 cats and as many dogs, the last layer on the frozen body: a real network."""
    for part, number in (("train", 40), ("test", 20)):
        for label in ("cat", "dog"):
            source = shared / "data" / "cats_dogs" / part / label
            target = tmp_path / "d" / part / label
            target.mkdir(parents=True)
            for file in sorted(source.iterdir())[:number]:
                shutil.copy(file, target / file.name)
    run = qs.learn(
        tmp_path / "d",
        weights=shared / "weights" / "squeezenet1_0.safetensors",
        settings={"method": "head"},
        budget="60s",
        out=tmp_path / "r",
    )
    assert run.recipe.network.name == "squeezenet1_0"
    assert run.test.n == 40
    assert run.test.accuracy > 0.85
    assert run.facts["network"]["parameters"] == 735_424 + 512 * 2 + 2


def test_a_model_of_the_first_format_is_read(run: Run, shapes: Path, tmp_path: Path) -> None:
    """Format 1 knew pictures alone: its description lacks what sound brought."""
    import hashlib
    import json

    shutil.copytree(run.folder / "model", tmp_path / "m")
    file, sums = tmp_path / "m" / "model.json", tmp_path / "m" / "checksums.sha256"
    old = file.read_bytes()
    described = json.loads(old)
    described["format"] = 1
    now = described.pop("task")
    described["classes"] = now["outputs"]
    described["preparation"]["temperature"] = now["temperature"]
    del described["preparation"]["channels"]
    wanted = ("name", "classes", "size", "width", "dropout", "auxiliary")
    described["network"] = {key: described["network"][key] for key in wanted}
    new = json.dumps(described).encode()
    file.write_bytes(new)
    digest = [hashlib.sha256(c).hexdigest() for c in (old, new)]
    sums.write_text(sums.read_text().replace(*digest))
    photo = shapes / "disc" / "00.png"
    assert qs.load(tmp_path / "m").predict(photo) == run.model.predict(photo)
