"""A formula in the columns of a table as a network: ``m*x + c`` learns m and c."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quickstudy.errors import ChoiceError
from quickstudy.functions import Function, parse


class Formula(nn.Module):
    """Rows ``N F`` -> ``N outputs``: the number itself, or the scores of two classes.

    The columns are taken as they are, in their own units, so that what is learnt can be read: names
    that are no column are learnt. A missing number counts as the mean of those learnt from. With
    two `outputs` the formula says how much the second is the likelier.

    Raises `ChoiceError` for a formula that uses no column, or a column that holds no numbers.

    `table` says of each column its name in ``columns``, how many ``words`` it has (0: numbers), and
    the ``origins`` and ``units`` its numbers are in.

    >>> table = {"columns": ["x"], "words": [0], "origins": [0.0], "units": [1.0]}
    >>> line = Formula("m*x + c", table, outputs=1)
    >>> line(torch.tensor([[2.0]])).tolist()
    [[3.0]]
    """

    def __init__(self, text: str, table: Mapping[str, Any], *, outputs: int) -> None:
        super().__init__()
        columns, words = table["columns"], table["words"]
        expression = parse(text)
        used = [name for name in columns if name in expression.names]
        if not used:
            raise ChoiceError(
                f"The network '{text}' uses none of the columns: {', '.join(columns)}.",
                "Write the columns by name; every other name is learnt.",
            )
        for name, count in zip(columns, words, strict=True):
            if name in used and count:
                raise expression.fault(
                    name, f"The column '{name}' holds words, not numbers.", "Use another column."
                )
        if outputs > 2:
            raise ChoiceError(
                f"One formula cannot tell {outputs} apart.", "Leave --network out, or give a stack."
            )
        self.function = Function(expression, used, free="learn")
        self.outputs = outputs
        self.places: Tensor
        self.means: Tensor
        self.origins: Tensor
        self.units: Tensor
        places = [columns.index(name) for name in used]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        for what in ("origins", "units"):
            of_used = torch.tensor([table[what][i] for i in places], dtype=torch.float64)
            self.register_buffer(what, of_used, persistent=False)
        self.register_buffer("means", torch.zeros(len(used), dtype=torch.float64))

    def fit_statistics(self, values: NDArray[Any]) -> None:
        """Learn what a missing number counts as from the training rows ``N F``."""
        used = values[:, self.places.tolist()].astype(np.float64)
        count = np.maximum(1, np.isfinite(used).sum(0))
        self.means.copy_(torch.from_numpy(np.nansum(used, 0) / count))

    def values(self) -> dict[str, float]:
        """Return what was learnt, by name."""
        return self.function.values()

    def forward(self, x: Tensor) -> Tensor:
        """Compute, in double precision: formulas are sensitive."""
        numbers = x[:, self.places].to(self.means.dtype)
        numbers = torch.where(numbers.isnan(), self.means, numbers) * self.units + self.origins
        found: Tensor = self.function(*numbers.unbind(1))[:, None]
        return found if self.outputs == 1 else torch.cat([torch.zeros_like(found), found], 1)
