"""How much two examples are blended: drawn alike for every kind (mixup, Zhang et al., 2017)."""

from __future__ import annotations

import torch


def larger_share(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha), the larger share: two gamma draws over their sum."""
    drawn = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    share = float(drawn[0] / drawn.sum().clamp_min(1e-30))
    return max(share, 1 - share)
