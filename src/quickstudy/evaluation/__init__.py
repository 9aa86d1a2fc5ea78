"""Scores with error bars, the baseline of a constant guess, mistakes, and the words for them."""

from quickstudy.evaluation.classification import (
    ClassScore,
    Scores,
    mistakes,
    score,
    sentence,
)
from quickstudy.evaluation.enough import Enough, enough
from quickstudy.evaluation.intervals import Estimate, Scored, wilson
from quickstudy.evaluation.multilabel import (
    LabelScore,
    LabelScores,
    mistakes_labels,
    score_labels,
)
from quickstudy.evaluation.paired import Compared, compared, differing
from quickstudy.evaluation.ranking import mean_average_precision
from quickstudy.evaluation.regression import NumberScores, TargetScore, score_numbers, worst
from quickstudy.evaluation.rivals import no_better_than_guess, rival
from quickstudy.evaluation.slices import (
    Part,
    Slice,
    quarters,
    slices_of_errors,
    slices_of_shares,
)
from quickstudy.evaluation.telling import sentence_labels, sentence_numbers
from quickstudy.evaluation.words import figure, fraction, percent

__all__ = [
    "ClassScore",
    "Compared",
    "Enough",
    "Estimate",
    "LabelScore",
    "LabelScores",
    "NumberScores",
    "Part",
    "Scored",
    "Scores",
    "Slice",
    "TargetScore",
    "compared",
    "differing",
    "enough",
    "figure",
    "fraction",
    "mean_average_precision",
    "mistakes",
    "mistakes_labels",
    "no_better_than_guess",
    "percent",
    "quarters",
    "rival",
    "score",
    "score_labels",
    "score_numbers",
    "sentence",
    "sentence_labels",
    "sentence_numbers",
    "slices_of_errors",
    "slices_of_shares",
    "wilson",
    "worst",
]
