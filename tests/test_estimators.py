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

FEW = {"table.members": 4, "epochs": 20, "compute.threads": 1}
QUICK = {"table.members": 4, "epochs": 20, "compute.threads": 1}


def expected(estimator: Any) -> dict[str, str]:
    return {"check_methods_subset_invariance": "float32 sums differ by 1e-7 with the batch's size"}


@parametrize_with_checks(
    [qs.Classifier(settings=FEW), qs.Regressor(settings=FEW)], expected_failed_checks=expected
)
def test_the_contract_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


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
