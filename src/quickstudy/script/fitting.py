"""The piece of a script that learns the last layer on what the frozen body says."""

from __future__ import annotations

import math

from quickstudy.errors import ChoiceError
from quickstudy.script.layers import last_layer
from quickstudy.script.told import Told
from quickstudy.script.whole import why
from quickstudy.script.writing import filled, number

_HEAD = """
def fit_head(pictures, labels):  # logistic regression on what the frozen body says
#: if fewer
    some = torch.from_numpy(np.random.default_rng($seed).permutation(len(labels))[:$spare])
    pictures, labels = pictures[some], labels[some]  # the run had time for these
#: end
    last, $last = $last, nn.Identity()
    network.to(DEVICE).eval()
    with torch.no_grad():
        x = [network(prepare(some)).flatten(1).cpu() for some in pictures.split(32)]
#: if mirror
        x += [network(prepare(some).flip(-1)).flatten(1).cpu() for some in pictures.split(32)]
    labels = labels.repeat(2)  # of the mirror images too
#: end
    $last, x = last, torch.cat(x)
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x = (x - mean) / std
#: if balance
    share = torch.bincount(labels, minlength=$k) ** -$balance$why_balance
    share = share / share[labels].mean()
#: end
    weight = torch.zeros($k, x.shape[1], requires_grad=True)
    bias = torch.zeros($k, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=60, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, labels$weighted)
        loss = loss + $strength * weight.square().sum()  # by 5-fold cross-validation
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():  # the standardisation becomes part of the layer
        last.weight.copy_(weight / std)
        last.bias.copy_(bias - (weight / std) @ mean)
"""


def fitting(told: Told) -> str:
    """Return the function that fits the last layer."""
    said = told.event(r"L2 strength (\S+) by")
    if said is None:
        raise ChoiceError(
            "That run does not say how strongly its last layer was held back.", "Learn again."
        )
    strength = 10 ** (round(2 * math.log10(float(said[1]))) / 2)  # the grid it was chosen from
    fewer = told.event(r"sufficed for the features of ([\d,]+) of")
    balance = told.recipe["balance"]
    return filled(
        _HEAD,
        {
            "mirror": told.model["preparation"]["mirror"],
            "balance": balance > 0,
            "fewer": fewer is not None,
        },
        last=last_layer(told),
        k=len(told.classes),
        seed=told.recipe["seed"],
        spare=fewer[1].replace(",", "") if fewer else 0,
        balance=number(balance),
        why_balance=why(told, "balance", 50),
        weighted=", share" if balance else "",
        strength=f"{strength:.4g}",
    )
