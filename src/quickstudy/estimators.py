"""`Classifier` and `Regressor` for scikit-learn's pipelines: the autopilot on arrays and frames.

All rows given to `fit` are learnt from, but for a tenth to steer by: whoever uses a pipeline holds
out a test of his own. The report of the run is not kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from quickstudy.catalog import FEWEST
from quickstudy.errors import QuickstudyError
from quickstudy.learning import learn
from quickstudy.model import Model

_FEWEST_ROWS = 10
_ROWS = 20_000  # gone through in all, about, where no budget says how long
_PASSES = (10, 60)


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have: how rows are learnt from, and answered about."""

    model_: Model

    def __init__(
        self,
        budget: str | float | None = None,
        network: Any = None,
        loss: Any = None,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.budget = budget
        self.network = network
        self.loss = loss
        self.settings = settings
        self.random_state = random_state

    def _learn(self, x: Any, y: Any, task: str, repeats: NDArray[np.int64]) -> None:
        """Learn from rows, each so many times, and what is true of them."""
        asked = (x.iloc[:1], y[:1]) if hasattr(x, "iloc") else (x[:1], y[:1])
        x, group, split = _marked(x, repeats)
        y = y.repeat(repeats, axis=0)
        passes = int(np.clip(_ROWS // len(y), *_PASSES))
        given = {} if self.budget is not None else {"epochs": passes}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with tempfile.TemporaryDirectory() as folder:
            try:
                run = learn(
                    (x, y),
                    test=asked,
                    kind="table",
                    task=task,
                    group_column=group,
                    split_column=split,
                    budget=self.budget,
                    network=self.network,
                    loss=self.loss,
                    settings={"table.trees": False, **given, **(self.settings or {})},
                    seed=seed,
                    out=Path(folder) / "run",
                )
            except QuickstudyError as problem:
                raise ValueError(str(problem)) from problem
        self.model_ = run.model

    def _rows(self, x: Any, *, reset: bool, y: Any = None) -> Any:
        """Return rows checked as scikit-learn checks them; frames stay frames."""
        plain = not (hasattr(x, "iloc") and hasattr(x, "columns"))
        options: dict[str, Any] = {"reset": reset}
        if plain:
            options |= {"ensure_all_finite": "allow-nan", "dtype": "numeric"}
        else:
            options["skip_check_array"] = True
        found = validate_data(self, x, **options)
        if plain:
            return found
        named = hasattr(self, "feature_names_in_") and not reset
        return found[list(self.feature_names_in_)] if named else found

    def _answers(self, x: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        rows = self._rows(x, reset=False)
        if hasattr(rows, "iloc"):
            asked: Any = rows
        else:
            names = [column.name for column in self.model_.preparation.columns]
            asked = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
        answers = self.model_.predict(asked)
        bad = [answer for answer in answers if answer.error]
        if bad:
            raise ValueError(f"{bad[0].name}: {bad[0].error}")
        return np.array([self._numbers(answer) for answer in answers])

    def _numbers(self, answer: Any) -> list[float]:
        found = answer.values if answer.values is not None else answer.probabilities
        return [found[name] for name in self.model_.classes]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags


def _enough(x: Any) -> None:
    if len(x) < 2:
        raise ValueError("n_samples=1: there is nothing to learn from one sample.")


def _marked(x: Any, repeats: NDArray[np.int64]) -> tuple[Any, str, str]:
    """Return rows, each so many times, with two more columns, and the names of these.

    The first keeps the copies of a row on one side of the split. The second says that all rows
    are to learn from: the one row that `learn` is asked about besides would else be taken away.
    """
    places = np.arange(len(repeats)).repeat(repeats)
    groups = np.where(repeats[places] > 1, places.astype(str), "")
    if not hasattr(x, "iloc"):
        marked = np.empty((len(places), x.shape[1] + 2), object)
        marked[:, :-2], marked[:, -2], marked[:, -1] = x[places], groups, "train"
        return marked, f"x{x.shape[1]}", f"x{x.shape[1] + 1}"
    marked = x.iloc[places]
    names = [str(name) for name in x.columns]
    free = "_" * max(map(len, names), default=0)  # longer than any name
    marked = marked.set_axis(names, axis=1).assign(**{f"{free}group": groups})
    return marked.assign(**{f"{free}split": "train"}), f"{free}group", f"{free}split"


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A network that tells classes apart, as a scikit-learn classifier.

    `budget` is seconds or text (``2m``); without one it goes through the rows until `val` gets no
    better, the same way every time. `network`, `loss` and `settings` are those of `learn`.

    >>> from sklearn.datasets import load_iris
    >>> Classifier().fit(*load_iris(return_X_y=True)).score(*load_iris(return_X_y=True)) > 0.9
    True
    """

    def fit(self, X: Any, y: Any) -> Classifier:  # noqa: N803 - scikit-learn's name
        """Learn from rows ``N F`` (an array or a frame) and their classes ``N``.

        Raises `ValueError` for what cannot be learnt from.
        """
        rows, y = self._checked(X, y)
        check_classification_targets(y)
        _enough(rows)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("y holds one class: telling classes apart takes at least two.")
        repeats = -(-FEWEST // np.bincount(codes))[codes]  # two classes: `_FEWEST_ROWS` at least
        self._learn(rows, np.array([str(code) for code in codes]), "classification", repeats)
        return self

    def _checked(self, x: Any, y: Any) -> tuple[Any, Any]:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        rows = self._rows(x, reset=True)
        y = column_or_1d(y, warn=True)
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity.")
        if len(rows) != len(y):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {len(rows)}, {len(y)}"
            )
        return rows, y

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the probability of each class, ``N K``, in the order of `classes_`."""
        return self._answers(X)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the likeliest class of each row, ``N``."""
        best = self._answers(X).argmax(1)
        found: NDArray[Any] = self.classes_[best]
        return found


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A network that predicts a number, or several, as a scikit-learn regressor.

    The parameters are those of `Classifier`.

    >>> x = np.linspace(0, 1, 60)[:, None]
    >>> line = Regressor(network="m*x0 + c").fit(x, 3 * x[:, 0] - 1)
    >>> line.predict(np.array([[2.0]])).round(3).tolist()
    [5.0]
    """

    def fit(self, X: Any, y: Any) -> Regressor:  # noqa: N803 - scikit-learn's name
        """Learn from rows ``N F`` (an array or a frame) and their numbers, ``N`` or ``N T``.

        Raises `ValueError` for what cannot be learnt from.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        rows = self._rows(X, reset=True)
        given = np.asarray(y)
        if given.dtype.kind in "OUS":
            given = given.astype(np.float64)
        if given.ndim == 2 and given.shape[1] == 1:
            given = column_or_1d(given, warn=True)
        if not np.isfinite(given).all():
            raise ValueError("Input y contains NaN or infinity.")
        if len(rows) != len(given):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"{len(rows)}, {len(given)}"
            )
        _enough(rows)
        self._several = given.ndim == 2
        repeats = np.full(len(given), -(-_FEWEST_ROWS // len(given)))
        self._learn(rows, given, "regression", repeats)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the numbers of each row, ``N`` or ``N T``."""
        found = self._answers(X)
        return found if self._several else found[:, 0]
