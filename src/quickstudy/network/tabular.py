"""A network for tables: one ensemble of small networks that share their weights (TabM).

Gorishniy et al., "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", 2024
(arXiv 2410.24210), the best of the deep networks in its comparison on 46 tables. Numbers go in
through piecewise-linear embeddings (Gorishniy et al., 2022, arXiv 2203.05556). What is known of the
training rows (middle, spread, edges, which words were met) is part of the network that is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

_FAR = 1e4  # spreads from the middle: what is beyond counts as that far
_BEND = 3.0  # spreads from the middle at which numbers begin to be pressed together


class Front(nn.Module):
    """Rows ``N F`` (NaN is missing; categories are codes) -> features ``N width``.

    `words` says for each of the ``F`` columns how many words a category has, 0 for a number; `gaps`
    whether values are missing where was learnt. A code from `words` on is a word never met. The
    features are the numbers, standardised (middle and spread by quantiles; far values are pressed
    together smoothly: Holzmüller et al., 2024, arXiv 2407.04491), a 1 for each number that is
    missing where there are `gaps`, and a one-hot code for each category.

    >>> front = Front([0, 2], [True, False])
    >>> front.fit_statistics(np.array([[1, 0], [2, 1], [3, 1], [np.nan, 0]], np.float32))
    >>> front(torch.tensor([[2.0, 1.0], [torch.nan, 0.0]])).tolist()
    [[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0]]
    """

    numbers: Tensor
    centre: Tensor
    spread: Tensor
    gappy: Tensor
    had_gaps: Tensor

    def __init__(self, words: Sequence[int], gaps: Sequence[bool]) -> None:
        super().__init__()
        self.words, self.gaps = list(words), [bool(gap) for gap in gaps]
        numbers = [i for i, n in enumerate(words) if not n]
        self.categories = [i for i, n in enumerate(words) if n]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.register_buffer("centre", torch.zeros(len(numbers)))
        self.register_buffer("spread", torch.ones(len(numbers)))
        with_gaps = [place for place, i in enumerate(numbers) if self.gaps[i]]
        self.register_buffer("gappy", torch.tensor(with_gaps, dtype=torch.long), persistent=False)
        self.register_buffer("had_gaps", torch.ones(len(with_gaps)))
        for i in self.categories:
            self.register_buffer(f"codes{i}", _codes(self.words[i], self.gaps[i]))
        ones = sum(self.words[i] + 1 + self.gaps[i] for i in self.categories)
        self.width = len(numbers) + len(with_gaps) + ones

    def fit_statistics(self, values: NDArray[Any]) -> None:
        """Learn middle, spread and met words from the training rows ``N F``, and from no others."""
        numbers = values[:, self.numbers.cpu().numpy()].astype(np.float64)
        found = [_middle(column) for column in numbers.T]
        _put(self.centre, [centre for centre, _ in found])
        _put(self.spread, [spread for _, spread in found])
        missing = np.atleast_1d(np.isnan(numbers).any(0))[self.gappy.cpu().numpy()]
        _put(self.had_gaps, missing.astype(np.float64))
        for i in self.categories:
            codes = self.get_buffer(f"codes{i}")
            _put(codes, _fitted(values[:, i], self.words[i], self.gaps[i]))

    def filled(self, x: Tensor) -> Tensor:
        """Return the numbers of rows ``N F`` as they are, the middle for those missing."""
        numbers = x[:, self.numbers]
        return torch.where(numbers.isnan(), self.centre, numbers)

    def standardised(self, numbers: Tensor) -> Tensor:
        """Return what `filled` gave, standardised."""
        z = ((numbers - self.centre) / self.spread).clamp(-_FAR, _FAR)
        return z / (1 + (z / _BEND).square()).sqrt()

    def missing(self, x: Tensor) -> Tensor:
        """Return 1 for what is missing in the numbers of rows ``N F`` that have gaps."""
        found = x[:, self.numbers[self.gappy]].isnan().to(self.had_gaps)
        return found * self.had_gaps

    def codes(self, x: Tensor) -> list[Tensor]:
        """Return the one-hot codes of the categories of rows ``N F``, ``N words`` each."""
        found = []
        for i in self.categories:
            n = self.words[i]
            code = torch.nan_to_num(x[:, i], nan=n + 1.0).clamp(0, n + 1).long()
            found.append(F.embedding(code, self.get_buffer(f"codes{i}")))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return torch.cat([self.standardised(self.filled(x)), self.missing(x), *self.codes(x)], 1)


def _codes(words: int, gaps: bool) -> Tensor:
    """Return the one-hot row of each word, of one never met, and of nothing: ``words+2 .``."""
    rows = torch.eye(words + 2)[:, : words + 1 + gaps].clone()
    if not gaps:
        rows[-1] = rows[-2]
    return rows


def _fitted(values: NDArray[Any], words: int, gaps: bool) -> NDArray[np.float64]:
    """Return the same, from training values ``N``.

    A word that they do not have (and, if they have none, the lack of a word) gets the mean of
    those they have: weights that nothing has trained would say anything.
    """
    code = np.where(np.isnan(values), words + 1, np.minimum(values, words)).astype(np.int64)
    counts = np.bincount(code, minlength=words + 2).astype(np.float64)
    rows = _codes(words, gaps).double().numpy()
    mean = counts @ rows / max(1.0, counts.sum())
    rows[: words + 1][counts[: words + 1] == 0] = mean if not counts[words] else rows[words]
    if not counts[words + 1]:
        rows[words + 1] = mean
    return rows


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return middle and spread of one column's training values ``N``."""
    found = values[np.isfinite(values)]
    if not len(found):
        return 0.0, 1.0
    low, first, centre, third, high = np.quantile(found, [0, 0.25, 0.5, 0.75, 1]).tolist()
    spread = (third - first) / 1.35 or (high - low) / 2
    tiny = float(np.finfo(np.float32).tiny)
    return centre, spread if spread > tiny else 1.0


def _put(buffer: Tensor, values: Any) -> None:
    buffer.copy_(torch.as_tensor(np.asarray(values, np.float64)).to(buffer))


class PiecewiseLinear(nn.Module):
    """Numbers ``N F`` -> embeddings ``F N width``: a line and a curve with corners at quantiles.

    The line is in the numbers as the front standardises them, the curve in those as they are, so
    that it can bend anywhere in a column that spans many powers of ten. It begins flat and is
    learnt. Gorishniy et al., 2022; line plus curve as in their package's version "B".
    """

    left: Tensor
    slope: Tensor

    def __init__(self, numbers: int, bins: int, width: int) -> None:
        super().__init__()
        self.register_buffer("left", torch.zeros(numbers, 1, bins))
        self.register_buffer("slope", torch.zeros(numbers, 1, bins))
        self.line = nn.Parameter(torch.zeros(numbers, 1, width))
        self.curve = nn.Parameter(torch.zeros(numbers, bins, width))

    def fit_statistics(self, values: NDArray[Any]) -> None:
        """Put the corners at the quantiles of the training values ``N F``.

        A column with few different values has a corner at each.
        """
        left, slope = np.zeros(self.left.shape), np.zeros(self.left.shape)
        for i, column in enumerate(values.T):
            edges = _edges(column[np.isfinite(column)], left.shape[2])
            left[i, 0, : len(edges) - 1] = edges[:-1]
            slope[i, 0, : len(edges) - 1] = 1 / np.diff(edges)
        _put(self.left, left)
        _put(self.slope, np.minimum(slope, np.finfo(np.float32).max))

    def forward(self, numbers: Tensor, z: Tensor) -> Tensor:
        """Compute."""
        steps = ((numbers.T[..., None] - self.left) * self.slope).clamp(0, 1)
        inputs = torch.cat([z.T[..., None], steps], 2)
        return torch.bmm(inputs, torch.cat([self.line, self.curve], 1))


def _edges(values: NDArray[Any], bins: int) -> NDArray[np.float64]:
    """Return at most `bins` + 1 different edges of `bins` parts of equally many values."""
    if not len(values):
        return np.zeros(1)
    different = np.unique(values.astype(np.float32))
    if len(different) > bins + 1:
        edges = np.quantile(values.astype(np.float64), np.linspace(0, 1, bins + 1))
        different = np.unique(edges.astype(np.float32))
    return different.astype(np.float64)


class SharedLinear(nn.Module):
    """A linear layer for each of `members`, ``M N ins`` -> ``M N outs``, of one shared matrix.

    Each member scales what goes in (BatchEnsemble, Wen et al., 2020; what comes out is not scaled
    as it is there: behind a ReLU the next layer's scales do that).
    """

    def __init__(self, ins: int, outs: int, members: int) -> None:
        super().__init__()
        bound = ins**-0.5
        self.weight = nn.Parameter(torch.empty(outs, ins).uniform_(-bound, bound))
        self.scale_in = nn.Parameter(torch.ones(members, 1, ins))
        self.bias = nn.Parameter(torch.empty(members, 1, outs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return F.linear(x * self.scale_in, self.weight) + self.bias


class Heads(nn.Module):
    """A linear layer of its own for each member: ``M N ins`` -> ``N M outs``."""

    def __init__(self, ins: int, outs: int, members: int) -> None:
        super().__init__()
        bound = ins**-0.5
        self.weight = nn.Parameter(torch.empty(members, ins, outs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return torch.baddbmm(self.bias, x, self.weight).transpose(0, 1)


class Columns(nn.Module):
    """Rows ``N F`` -> what each of `members` makes of them, ``M N width``.

    Every column is embedded in `width` numbers, and each member weighs the columns in its own way
    before it adds them up: TabM's first layer with the embeddings before it, multiplied out, so
    that the columns are embedded once for all members.
    """

    def __init__(self, front: Front, width: int, members: int, bins: int) -> None:
        super().__init__()
        self.front = front
        self.embedding = PiecewiseLinear(len(front.numbers), bins, width)
        self.missing = nn.Parameter(torch.empty(len(front.gappy), 1, width))
        sizes = [front.get_buffer(f"codes{i}").shape[1] for i in front.categories]
        self.categories = nn.ParameterList(torch.empty(size, width) for size in sizes)
        columns = len(front.numbers) + len(front.gappy) + len(sizes)
        self.weighing = nn.Parameter(torch.randn(members, columns))
        bound = max(1, columns) ** -0.5
        self.bias = nn.Parameter(torch.empty(members, 1, width).uniform_(-bound, bound))
        for weight in (self.embedding.line, self.missing, *self.categories):
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        numbers = self.front.filled(x)
        found = [self.embedding(numbers, self.front.standardised(numbers))]
        found.append(self.front.missing(x).T[..., None] * self.missing)
        codes = self.front.codes(x)
        found += [(c @ w)[None] for c, w in zip(codes, self.categories, strict=True)]
        columns = torch.cat([one for one in found if len(one)])
        added = self.weighing @ columns.flatten(1)
        return added.reshape(-1, *columns.shape[1:]) + self.bias


class Tabular(nn.Module):
    """Rows ``N F`` -> the scores of every member, ``N members outputs``.

    `words` and `gaps` describe the columns: see `Front`. Each member is learnt by its own loss, on
    the same rows; the answer is the mean of the members' answers (of probabilities, not scores).
    """

    def __init__(
        self,
        words: Sequence[int],
        gaps: Sequence[bool],
        outputs: int,
        *,
        width: int = 128,
        blocks: int = 2,
        members: int = 16,
        dropout: float = 0.1,
        bins: int = 16,
    ) -> None:
        super().__init__()
        self.columns = Columns(Front(words, gaps), width, members, bins)
        layers: list[nn.Module] = [nn.ReLU(), nn.Dropout(dropout)]
        for _ in range(blocks - 1):
            layers += [SharedLinear(width, width, members), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.head = Heads(width, outputs, members)

    def fit_statistics(self, values: NDArray[Any]) -> None:
        """Learn what is needed of the training rows ``N F``, and of no others."""
        front = self.columns.front
        front.fit_statistics(values)
        self.columns.embedding.fit_statistics(values[:, front.numbers.cpu().numpy()])

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        out: Tensor = self.head(self.body(self.columns(x)))
        return out
