"""The estimators keep scikit-learn's own contract, and work in its pipelines."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import quickstudy as qs
from quickstudy import splitting

FEW = {"table.members": 4, "epochs": 12, "compute.threads": 1}
QUICK = {"table.members": 2, "epochs": 12, "compute.threads": 1}


def expected(estimator: Any) -> dict[str, str]:
    return {"check_methods_subset_invariance": "float32 sums differ by 1e-7 with the batch's size"}


@parametrize_with_checks(
    [qs.Classifier(settings=FEW), qs.Regressor(settings=FEW)], expected_failed_checks=expected
)
def test_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", ["array", "frame"])
@pytest.mark.parametrize("rare", [1, 4])
def test_copies_of_a_rare_row_stay_on_one_side(
    kind: str, rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pd = pytest.importorskip("pandas")
    seen: list[Any] = []
    real = splitting.split

    def spied(labels: Any, **rest: Any) -> Any:
        seen.append((labels, rest["duplicates"], real(labels, **rest)))
        return seen[-1][-1]

    monkeypatch.setattr(splitting, "split", spied)
    y = np.repeat(range(9), [*[rare] * 8, 12])  # most of what is learnt from are copies
    x = np.random.default_rng(0).normal(size=(len(y), 2))
    given = pd.DataFrame(x, columns=["group", "split"]) if kind == "frame" else x
    made = qs.Classifier(settings={**QUICK, "epochs": 1}).fit(given, y)
    ((labels, _, parts),) = seen
    each = 5 if rare == 1 else 2
    one = rare * each
    assert np.bincount(labels).tolist() == [one + 1, *[one] * 7, 12]  # one more is asked about
    row = np.repeat(np.arange(len(y)), np.where(y < 8, each, 1))
    assert len(parts.val) and not set(row[parts.train]) & set(row[parts.val])
    assert set(row[parts.train]) | set(row[parts.val]) == set(range(len(y)))
    assert parts.test.tolist() == [len(row)]
    assert made.predict_proba(given).shape == (len(y), 9)


def test_every_row_a_class_of_its_own() -> None:
    x = np.random.default_rng(0).normal(size=(12, 3))
    made = qs.Classifier(settings=QUICK).fit(x, np.arange(12))
    assert made.predict_proba(x).shape == (12, 12)


def test_names_of_a_frame_do_not_collide() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["x", "y", "split", "group"])
    y = np.where(frame["split"] > 0, "yes", "no")
    made = qs.Classifier(settings={**QUICK, "epochs": 2}).fit(frame, y)
    names = [column.name for column in made.model_.preparation.columns]
    assert names == ["x", "y", "split", "group"] and made.predict(frame).shape == (40,)


def test_in_a_pipeline() -> None:
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), qs.Classifier(settings=QUICK))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.85
    x, y = load_diabetes(return_X_y=True)
    assert qs.Regressor(settings=QUICK).fit(x, y).score(x, y) > 0.3


def test_frames_with_words_and_holes() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"word": rng.choice(["a", "b"], 120), "n": rng.normal(size=120)})
    y = np.where(frame["word"] == "a", "yes", "no")
    frame.loc[::9, "n"] = np.nan
    made = qs.Classifier(settings=QUICK).fit(frame, y)
    assert (made.predict(frame) == y).mean() > 0.95
    assert made.predict_proba(frame).sum(1) == pytest.approx(1)
    again = pickle.loads(pickle.dumps(made))
    assert (again.predict_proba(frame) == made.predict_proba(frame)).all()
    assert clone(made).get_params() == made.get_params()
