"""Quickstudy: point it at labelled examples, and it learns the rule.

>>> import quickstudy as qs
>>> run = qs.learn("cats_and_dogs/", budget="10m")  # doctest: +SKIP
>>> run.model.predict("photo.jpg")  # doctest: +SKIP
Prediction('cat', 0.97)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy.errors import QuickstudyError
    from quickstudy.estimators import Classifier, Regressor
    from quickstudy.learning import Run, learn
    from quickstudy.loading import load
    from quickstudy.model import Model
    from quickstudy.prediction import Prediction
    from quickstudy.progress import Progress
    from quickstudy.recipe import Recipe
    from quickstudy.search import tune

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "Model",
    "Prediction",
    "Progress",
    "QuickstudyError",
    "Recipe",
    "Regressor",
    "Run",
    "learn",
    "load",
    "tune",
]

# Imported when first used: torch takes seconds, and `--help` must not wait for it.
_ROOMS = {
    "Classifier": "estimators",
    "Regressor": "estimators",
    "learn": "learning",
    "Run": "learning",
    "load": "loading",
    "Model": "model",
    "Prediction": "prediction",
    "Progress": "progress",
    "Recipe": "recipe",
    "QuickstudyError": "errors",
    "tune": "search",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'quickstudy' has no attribute '{name}'")
    return getattr(importlib.import_module(f"quickstudy.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
