"""``quickstudy compare``: what runs keep of their test, how it is matched, what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quickstudy as qs
from quickstudy import cli
from quickstudy.errors import ChoiceError, RunError
from quickstudy.learning import Run
from quickstudy.learning.answers import NAME, read_answers
from quickstudy.learning.comparing import compare
from quickstudy.report import compare_page

FEW = {"epochs": 2, "picture.size": 16, "picture.start_size": 16, "network.width": 0.25}
FEW |= {"compute.threads": 1, "optimizer.lr": 0.025}
ROWS = {"epochs": 2, "compute.threads": 1, "table.trees": False}


@pytest.fixture(scope="module")
def runs(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The same split: one that has learnt, one that hardly has."""
    out = tmp_path_factory.mktemp("out")
    good = qs.learn(shapes, settings={**FEW, "epochs": 20, "picture.size": 20}, out=out / "good")
    return qs.learn(shapes, settings=FEW, out=out / "poor"), good


def table(n: int, seed: int) -> Any:
    import pandas

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": x @ [1.0, 2.0, 0.5]})


def altered(run: Path, to: Path, **changed: Any) -> Path:
    """A copy of a run's folder with other arrays among its answers."""
    shutil.copytree(run, to)
    with np.load(to / NAME) as kept:
        arrays = {**kept, **{k: v for k, v in changed.items() if k in kept.files}}
    told = {**json.loads(bytes(arrays["told"])), **changed.get("say", {})}
    arrays["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(to / NAME, **arrays)
    return to


def test_a_run_keeps_what_its_report_counts(runs: tuple[Run, Run], shapes: Path) -> None:
    run = runs[1]
    kept = read_answers(run.folder)
    assert kept.task.outputs == ("cross", "disc", "square")
    assert len(kept.names) == run.test.n == 18
    assert (kept.answers.argmax(1) == kept.truth).mean() == run.test.accuracy
    assert len(kept.learnt) == 120 - 18
    assert not np.isin(kept.digests, kept.learnt).any()
    for name, label, answer in zip(kept.names, kept.truth, kept.answers, strict=True):
        assert Path(name).parent.name == kept.task.outputs[label]
        found = run.model.predict(shapes / name)
        assert list(found.probabilities.values()) == pytest.approx(answer.tolist(), abs=1e-5)
    assert (run.folder / NAME).stat().st_size < 20_000


def test_the_better_one_is_called_better_and_the_other_worse(runs: tuple[Run, Run]) -> None:
    poor, good = runs
    found = compare(poor.folder, good.folder)
    assert found.found.first.value == poor.test.accuracy
    assert found.found.second.value == good.test.accuracy
    assert found.found.verdict == "better"
    assert found.sentence.startswith("good is better: ")
    assert "of poor, on the same 18 pictures" in found.sentence
    back = compare(good.folder, poor.folder)
    assert back.sentence.startswith("poor is worse: ")
    assert back.found.p == found.found.p


def test_a_run_against_itself_cannot_be_told(runs: tuple[Run, Run]) -> None:
    found = compare(runs[0].folder, runs[0].folder)
    assert found.sentence.startswith("Cannot tell whether poor (second) is better: ")
    assert (
        "it would take about" in found.sentence and "a difference of 1.0 points" in found.sentence
    )
    assert found.facts["examples"] == []


def test_the_page_shows_where_they_differ(runs: tuple[Run, Run]) -> None:
    found = compare(runs[0].folder, runs[1].folder)
    page = compare_page(found.facts)
    differing = found.facts["only"]["first"] + found.facts["only"]["second"]
    assert page.count("<img") == len(found.facts["examples"]) == min(differing, 12)
    assert "What only good has right" in page
    assert "script" not in page and "http" not in page.replace("http-equiv", "")
    for one in found.facts["examples"]:
        right = one["second" if one["better"] == "second" else "first"]
        assert right["predicted"] == one["true"]
        assert Path(one["name"]).parent.name == one["true"]


def test_the_command(
    runs: tuple[Run, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "page.html"
    words = ["compare", str(runs[0].folder), str(runs[1].folder), "--out", str(out)]
    assert cli.main(words) == 0
    told = capsys.readouterr()
    assert told.out.startswith("good is better") and str(out) in told.err
    assert "good is better" in out.read_text()
    assert cli.main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "better" and "examples" not in document
    assert document["n"] == 18 and document["runs"]["second"]["name"] == "good"
    assert cli.main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_only_what_neither_has_learnt_from_is_compared(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    kept = read_answers(runs[1].folder)
    half = np.sort(np.concatenate([kept.learnt, kept.digests[:6]]))
    other = altered(runs[1].folder, tmp_path / "other", learnt=half)
    found = compare(runs[0].folder, other)
    assert (found.facts["common"], found.facts["learnt_from"], found.found.n) == (18, 6, 12)
    assert "6 of those were left out" in compare_page(found.facts)
    most = np.sort(np.concatenate([kept.learnt, kept.digests[:12]]))
    with pytest.raises(ChoiceError, match=r"18 test pictures in common, 12 of which .* 6 are left"):
        compare(altered(runs[1].folder, tmp_path / "most", learnt=most), runs[0].folder)


def test_other_labels_are_left_out_and_other_orders_of_classes_are_not(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    kept = read_answers(runs[1].folder)
    task = {**kept.task.as_dict(), "outputs": ["square", "cross", "disc"]}
    place = [2, 0, 1]
    turned = altered(
        runs[1].folder,
        tmp_path / "turned",
        say={"task": task},
        truth=np.array([1, 2, 0])[kept.truth],
        answers=kept.answers[:, place],
    )
    assert compare(runs[0].folder, turned).found == compare(runs[0].folder, runs[1].folder).found
    mended = kept.truth.copy()
    mended[:3] = (mended[:3] + 1) % 3
    found = compare(runs[0].folder, altered(runs[1].folder, tmp_path / "mended", truth=mended))
    assert (found.found.n, found.facts["labelled_otherwise"]) == (15, 3)


def test_runs_that_share_nothing_are_refused_in_words(
    runs: tuple[Run, Run], shapes: Path, tmp_path: Path
) -> None:
    kept = read_answers(runs[1].folder)
    other = altered(
        runs[1].folder, tmp_path / "a", digests=kept.learnt[:18].copy(), learnt=kept.digests
    )
    with pytest.raises(ChoiceError, match="no test pictures in common; 36 that one was") as problem:
        compare(runs[0].folder, other)
    assert "--seed" in problem.value.hint and "--test" in problem.value.hint
    task = {**kept.task.as_dict(), "outputs": ["cross", "disc", "star"]}
    with pytest.raises(
        ChoiceError, match="different classes: only one of them has 'square', 'star'"
    ):
        compare(runs[0].folder, altered(runs[1].folder, tmp_path / "b", say={"task": task}))
    with pytest.raises(ChoiceError, match="classification of pictures, and classification of rows"):
        compare(runs[0].folder, altered(runs[1].folder, tmp_path / "c", say={"kind": "table"}))


@pytest.mark.parametrize("how", ["absent", "cut", "shape", "pickle", "nan"])
def test_answers_that_are_no_answers_are_refused(
    runs: tuple[Run, Run], tmp_path: Path, how: str
) -> None:
    kept = read_answers(runs[1].folder)
    bad = {"shape": {"truth": kept.truth[:5]}, "nan": {"answers": kept.answers * np.nan}}
    other = altered(runs[1].folder, tmp_path / "bad", **bad.get(how, {}))
    if how == "absent":
        (other / NAME).unlink()
    elif how == "cut":
        (other / NAME).write_bytes((other / NAME).read_bytes()[:700])
    elif how == "pickle":
        with np.load(other / NAME) as arrays:
            np.savez(other / NAME, **{**arrays, "truth": np.array([object()] * 18, object)})
    with pytest.raises(RunError, match="kept no answers" if how == "absent" else "not what a run"):
        compare(runs[0].folder, other)


def test_numbers_are_compared_row_by_row(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    data = table(300, 0)
    one = qs.learn(data, target="y", settings={**ROWS, "epochs": 1}, out=tmp_path / "one")
    two = qs.learn(data, target="y", settings={**ROWS, "epochs": 30}, out=tmp_path / "two")
    found = compare(one.folder, two.folder)
    assert found.found.metric == "R2" and found.found.n == two.test.n
    assert found.found.second.value == pytest.approx(two.test.main.value)
    assert found.found.verdict == "better"
    page = compare_page(found.facts)
    assert "Where two is better" in page and "data:image/svg" in page
    # another seed: another test, of which some rows are common and not learnt from by either
    other = qs.learn(data, target="y", settings=ROWS, seed=1, out=tmp_path / "other")
    first, second = read_answers(two.folder), read_answers(other.folder)
    common = np.isin(first.digests, second.digests).sum()
    if common < 10:
        with pytest.raises(ChoiceError, match=f"{common} test rows in common"):
            compare(two.folder, other.folder)
    else:
        assert compare(two.folder, other.folder).found.n == common


def test_labels_are_compared_by_mean_average_precision(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    labels = [";".join(n for n, v in zip("uv", row, strict=True) if v > 0) for row in x]
    data = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": labels})
    how: Any = {"target": "label", "task": "multilabel"}
    one = qs.learn(data, settings={**ROWS, "epochs": 0.2}, out=tmp_path / "one", **how)
    two = qs.learn(data, settings={**ROWS, "epochs": 20}, out=tmp_path / "two", **how)
    found = compare(one.folder, two.folder)
    assert found.found.metric == "mAP" and found.found.log_loss is not None
    assert found.found.second.value == pytest.approx(two.test.main.value)
    assert "mAP" in found.sentence
    assert "mean average precision" in compare_page(found.facts).lower()


def test_few_cases_which_recur_are_compared_all_the_same(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 200))
    data = pandas.DataFrame({"a": a, "b": b, "y": np.where(a > b, "yes", "no")})
    runs = [
        qs.learn(data, target="y", settings={**ROWS, "epochs": e}, out=tmp_path / str(e))
        for e in (1, 3)
    ]
    assert read_answers(runs[0].folder).recurs
    assert compare(runs[0].folder, runs[1].folder).found.n == runs[0].test.n
