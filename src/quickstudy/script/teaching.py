"""The pieces of a script that train: the loop, and Muon."""

from __future__ import annotations

from quickstudy.script import asked, losses
from quickstudy.script.layers import AUXILIARY, last_layer
from quickstudy.script.pictures import blends
from quickstudy.script.told import Told
from quickstudy.script.whole import WIDTH, steps, why
from quickstudy.script.writing import filled, number

_BELOW = 0.3  # share of warm-up up to which the lesser of climb and fall is the right one
_FEWEST_POINTS = 10  # of the log, to tell the pace of the run by

_MUON = """
@torch.no_grad()
def move(p, momentum, rate):  # by the momentum made orthogonal: Muon (Jordan et al., 2024)
    momentum.lerp_(p.grad, $fresh)
    x = p.grad.lerp(momentum, $momentum).flatten(1)
    stretch, x = max(1.0, len(x) / x.shape[1]) ** 0.5, x / (x.norm() + 1e-7)
    for _ in range(3):  # Newton-Schulz
        gram = x @ x.T
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    p.mul_(1 - rate * $decay).sub_(x.view_as(p), alpha=rate * stretch)
"""

_TRAINING = """
def train(examples, labels):
#: if balance
    share = torch.bincount(labels, minlength=$k) ** -$balance$why_balance
    share = (share / share[labels].mean()).to(DEVICE)
#: end
#: if muon and compact
    *matrices, last = [p for p in network.parameters() if p.ndim > 1]  # Adam moves the last layer
#: end
#: if muon and not compact
    last = $last.weight  # Adam moves it, and what is no matrix
    matrices = [p for p in network.parameters() if p.ndim > 1 and p is not last]
#: end
#: if muon
    momenta = [torch.zeros_like(p) for p in matrices]
    others = [p for p in network.parameters() if p.ndim < 2 or p is last]
    adam = torch.optim.AdamW(others, betas=($momentum, 0.99), weight_decay=$decay)
#: end
#: if not muon and rows
    optimizer = $optimizer
#: end
#: if not muon and not rows
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim < 2]  # norms and biases: not decayed
    optimizer = $optimizer
    optimizer.add_param_group({"params": others, "weight_decay": 0.0})
#: end
#: if averages
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
#: end
    passes = [torch.randperm(len(labels)) for _ in range(STEPS * BATCH // len(labels) + 1)]
#: if fits_head
    network.train()
#: end
    for step, picked in enumerate(torch.cat(passes).split(BATCH)[:STEPS]):
        done = $done
$rate
#: if grows
        size = min($size, max($start, 8 * round(($start + $more * done / 0.8) / 8)))  # small first
#: end
$batch
#: if blends
        if done <= 0.9:  # the last steps see them as they are
#: end
#: if blends and pictures
            x, target = blend(x, target)
#: end
#: if blends and not pictures
            x = x / x.square().mean(1, keepdim=True).sqrt().clamp_min(1e-7)  # all at one level
            other, keep = torch.randperm(BATCH), torch.distributions.Beta($mixup, $mixup).sample()
            x, target = (torch.lerp(y[other], y, keep.to(DEVICE)) for y in (x, target))  # mixup
#: end
#: if half
        with torch.autocast(DEVICE, torch.bfloat16):
            $scores = network(x)
#: end
$loss
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
#: if muon
        for p, momentum in zip(matrices, momenta, strict=True):
            move(p, momentum, rate)
        adam.param_groups[0]["lr"] = rate / 10
        adam.step()
#: end
#: if not muon and rows
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
#: end
#: if not muon and not rows
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
#: end
#: if averages
        keep = min($averaging, (step + 1) / (step + 21))$why_averaging
        for name, now in network.state_dict().items():
            average[name] = torch.lerp(now, average[name], keep) if now.is_floating_point() else now
    network.load_state_dict(average)
#: end
"""


def training(told: Told) -> str:
    """Return the loop, and the optimiser where torch has it not."""
    recipe, loop = told.recipe, _loop(told)
    if recipe["optimizer.name"] != "muon":
        return loop
    decay, momentum = recipe["optimizer.weight_decay"], recipe["optimizer.momentum"]
    values = {"decay": number(decay), "momentum": number(momentum)}
    return f"{filled(_MUON, {}, fresh=number(1 - momentum), **values)}\n\n{loop}"


def _loop(told: Told) -> str:
    recipe, grows = told.recipe, _grows(told)
    name, momentum = recipe["optimizer.name"], recipe["optimizer.momentum"]
    pictures, half = told.kind == "image", recipe["compute.precision"] == "bfloat16"
    decay = number(recipe["optimizer.weight_decay"])
    what = "network.parameters()" if told.kind == "table" else "matrices"  # none is a vector
    made = {
        "adamw": f"AdamW({what}, betas=({number(momentum)}, 0.99), weight_decay={decay})",
        "sgd": f"SGD({what}, 0.1, {number(momentum)}, 0.0, {decay}, {momentum > 0})",
    }
    return filled(
        _TRAINING,
        {
            "balance": losses.balanced(told),
            "muon": name == "muon",
            "compact": recipe["network.name"] == "compact",
            "pictures": pictures,
            "rows": told.kind == "table",
            "fits_head": told.fits_head,
            "grows": grows,
            "blends": blends(told),
            "half": half and pictures,
            "averages": recipe["averaging"] > 0,
        },
        last=last_layer(told) if name == "muon" else "",
        k=len(told.classes),
        balance=number(recipe["balance"]),
        why_balance=why(told, "balance", 50),
        momentum=number(momentum),
        decay=decay,
        optimizer=f"torch.optim.{made.get(name, '')}",
        done=_done(told),
        scores="every" if recipe["network.name"] in AUXILIARY else "scores",
        rate=_rate(told),
        size=recipe.get("picture.size"),
        start=recipe.get("picture.start_size"),
        more=recipe.get("picture.size", 0) - recipe.get("picture.start_size", 0),
        batch=_batch(told, grows),
        loss=losses.loss(told, half),
        mixup=number(recipe.get("augment.mixup", 0.0)),
        averaging=number(recipe["averaging"]),
        why_averaging=why(told, "averaging", 36),
    )


def _grows(told: Told) -> bool:
    return told.kind == "image" and told.recipe["picture.start_size"] < told.recipe["picture.size"]


def _batch(told: Told, grows: bool) -> str:
    """Return the lines that make a step's input and target, indented for the loop."""
    target = asked.target(told)
    if told.kind == "table":
        return f"        x = examples[picked].to(DEVICE)\n        target = {target}"
    if told.kind == "image":
        size = "size" if grows else told.recipe["picture.size"]
        return f"        x, target = vary(examples[picked], {size}), {target}"
    return (
        "        x = torch.stack([vary(examples[i]) for i in picked.tolist()]).to(DEVICE)\n"
        f"        target = {target}"
    )


def _rate(told: Told) -> str:
    """Return the lines of the learning rate, indented for the loop: it climbs, then falls."""
    recipe = told.recipe
    lr, warmup = number(recipe["optimizer.lr"]), recipe["schedule.warmup"]
    after = f"(done - {number(warmup)}) / {number(1 - warmup)}" if warmup else "done"
    falling = {
        "cosine": f"0.5 + 0.5 * math.cos(math.pi * {after})",
        "linear": f"1 - {after}",
        "constant": "1",
    }[recipe["schedule.shape"]]
    climbing = f"max(0.01, done / {number(warmup)})"
    if not warmup:
        return f"        rate = {lr} * ({falling})"
    short = f"        rate = {lr} * min({climbing}, {falling})"
    if warmup <= _BELOW and len(short) <= WIDTH:
        return short
    return (
        f"        rate = {lr} * ({falling})\n"
        f"        rate = {lr} * {climbing} if done < {number(warmup)} else rate"
    )


def _done(told: Told) -> str:
    """Return how much of the run is behind at a step.

    Where the clock decided and the pictures grew, the early steps were quicker: the log says.
    """
    curves = told.report["curves"]
    if told.recipe["epochs"] is not None or not _grows(told) or len(curves) < _FEWEST_POINTS:
        return "step / STEPS"
    begin = curves[0]["seconds"] - 1.0  # the first point is told within a second
    took, knots = curves[-1]["seconds"] - begin, [0]
    for eighth in range(1, 8):
        at = begin + eighth / 8 * took
        knots.append(int(min(curves, key=lambda one: abs(one["seconds"] - at))["step"]))
    return f"np.interp(step, {[*knots, steps(told)]}, np.linspace(0, 1, 9))  # by the clock"
