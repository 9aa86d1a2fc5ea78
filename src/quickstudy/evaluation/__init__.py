"""Scores with error bars, the baseline of a constant guess, mistakes, and the words for them."""

from quickstudy.evaluation.classification import (
    ClassScore,
    Estimate,
    Scores,
    mistakes,
    percent,
    score,
    sentence,
    wilson,
)

__all__ = [
    "ClassScore",
    "Estimate",
    "Scores",
    "mistakes",
    "percent",
    "score",
    "sentence",
    "wilson",
]
