"""The pieces of a script that learn: the last layer on frozen features, and the loop."""

from __future__ import annotations

import math

from quickstudy.errors import ChoiceError
from quickstudy.script.layers import python_path
from quickstudy.script.pictures import blends
from quickstudy.script.told import Told
from quickstudy.script.whole import why
from quickstudy.script.writing import filled, number

_MUON = '''
@torch.no_grad()
def move(p, momentum, rate):  # by the momentum made orthogonal: Muon (Jordan et al., 2024)
    momentum.lerp_(p.grad, $fresh)
    x = p.grad.lerp(momentum, $momentum).flatten(1)
    stretch, x = max(1.0, len(x) / x.shape[1]) ** 0.5, x / (x.norm() + 1e-7)
    for _ in range(3):  # Newton-Schulz
        gram = x @ x.T
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    p.mul_(1 - rate * $decay).sub_(x.view_as(p), alpha=rate * stretch)
'''

_HEAD = '''
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
'''

_TRAINING = '''
def train(examples, labels):
#: if balance
    share = torch.bincount(labels, minlength=$k) ** -$balance$why_balance
    share = (share / share[labels].mean()).to(DEVICE)
#: end
#: if muon
    last = $last.weight  # Adam moves it, and what is no matrix
    matrices = [p for p in network.parameters() if p.ndim > 1 and p is not last]
    momenta = [torch.zeros_like(p) for p in matrices]
    others = [p for p in network.parameters() if p.ndim < 2 or p is last]
    adam = torch.optim.AdamW(others, betas=($momentum, 0.99), weight_decay=$decay)
#: end
#: if not muon
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim < 2]  # norms and biases: not decayed
    optimizer = $optimizer
    optimizer.add_param_group({"params": others, "weight_decay": 0.0})
#: end
#: if averages
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
#: end
    passes = [torch.randperm(len(labels)) for _ in range(STEPS * BATCH // len(labels) + 1)]
    network.train()
    for step, picked in enumerate(torch.cat(passes).split(BATCH)[:STEPS]):
        done = $done
        rate = $falling
#: if warms
        rate = $warming if done < $warmup else rate
#: end
#: if grows
        size = min($size, max($start, 8 * round(($start + $more * done / 0.8) / 8)))  # small first
#: end
        x = $batch
        target = F.one_hot(labels[picked], $k).float().to(DEVICE)
#: if blends
        if done <= 0.9:  # the last steps see them as they are
            x, target = blend(x, target)
#: end
#: if half
        with torch.autocast(DEVICE, torch.bfloat16):
            scores = $network(x)
#: end
#: if not half
        scores = $network(x)
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
#: if not muon
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
'''

_LOSSES = {
    "cross_entropy": "loss = F.cross_entropy({scores}, target{options})",
    "focal": (
        "logs = F.log_softmax({scores}, 1)\n"
        "loss = -({share}target * (1 - logs.exp()) ** 2 * logs).sum(1).mean()"
    ),
    "binary_cross_entropy": (
        'each = F.binary_cross_entropy_with_logits({scores}, target, reduction="none")\n'
        "loss = ({share}each).sum(1).mean()"
    ),
    "mean_squared_error": (
        "loss = ({share}({scores}.softmax(1) - target) ** 2).sum(1).mean()"
    ),
}


def pieces(told: Told) -> list[str]:
    """Return what learns, in the order in which it is needed."""
    found = [_fitting(told)] if told.fits_head else []
    if told.trains and told.recipe["optimizer.name"] == "muon":
        decay, momentum = told.recipe["optimizer.weight_decay"], told.recipe["optimizer.momentum"]
        values = {"decay": number(decay), "momentum": number(momentum)}
        found.append(filled(_MUON, {}, fresh=number(1 - momentum), **values))
    return [*found, *([_training(told)] if told.trains else [])]


def _last(told: Told) -> str:
    """Return the last layer as Python says it."""
    from quickstudy.network import Spec, build

    return python_path("network", build(Spec.from_dict(told.model["network"])).head)


def _fitting(told: Told) -> str:
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
        last=_last(told),
        k=len(told.classes),
        seed=told.recipe["seed"],
        spare=fewer[1].replace(",", "") if fewer else 0,
        balance=number(balance),
        why_balance=why(told, "balance", 50),
        weighted=", share" if balance else "",
        strength=f"{strength:.4g}",
    )


def _training(told: Told) -> str:
    recipe = told.recipe
    name, lr = recipe["optimizer.name"], recipe["optimizer.lr"]
    warmup, momentum = recipe["schedule.warmup"], recipe["optimizer.momentum"]
    shape, grows = recipe["schedule.shape"], _grows(told)
    pictures, half = told.kind == "image", recipe["compute.precision"] == "bfloat16"
    auxiliary = recipe["network.name"] in ("googlenet", "inception_v3")
    made = {
        "adamw": f"torch.optim.AdamW(matrices, betas=({number(momentum)}, 0.99), "
        f"weight_decay={number(recipe['optimizer.weight_decay'])})",
        "sgd": f"torch.optim.SGD(matrices, 0.1, {number(momentum)}, nesterov={momentum > 0}, "
        f"weight_decay={number(recipe['optimizer.weight_decay'])})",
    }
    after = f"(done - {number(warmup)}) / {number(1 - warmup)}" if warmup else "done"
    falling = {
        "cosine": f"{number(lr / 2)} * (1 + math.cos(math.pi * {after}))",
        "linear": f"{number(lr)} * (1 - {after})",
    }
    size = "size" if grows else str(recipe.get("picture.size"))
    of_one = "torch.stack([vary(examples[i]) for i in picked.tolist()]).to(DEVICE)"
    return filled(
        _TRAINING,
        {
            "balance": recipe["balance"] > 0,
            "muon": name == "muon",
            "warms": warmup > 0,
            "grows": grows,
            "blends": blends(told),
            "half": half and pictures,
            "averages": recipe["averaging"] > 0,
        },
        last=_last(told),
        k=len(told.classes),
        balance=number(recipe["balance"]),
        why_balance=why(told, "balance", 50),
        momentum=number(momentum),
        decay=number(recipe["optimizer.weight_decay"]),
        optimizer=made.get(name, ""),
        done=_done(told),
        network="network" if pictures else "hear",
        warmup=number(warmup),
        warming=f"{number(lr)} * max(0.01, done / {number(warmup or 1)})",
        falling=falling.get(shape, number(lr)),
        size=recipe.get("picture.size"),
        start=recipe.get("picture.start_size"),
        more=recipe.get("picture.size", 0) - recipe.get("picture.start_size", 0),
        batch=f"vary(examples[picked], {size})" if pictures else of_one,
        loss=_loss(told, half and pictures, auxiliary),
        averaging=number(recipe["averaging"]),
        why_averaging=why(told, "averaging", 36),
    )


def _grows(told: Told) -> bool:
    return told.kind == "image" and told.recipe["picture.start_size"] < told.recipe["picture.size"]


def _done(told: Told) -> str:
    """Return how much of the run is behind at a step.

    Where the clock decided and the pictures grew, the early steps were quicker: the log says.
    """
    curves = told.report["curves"]
    if told.recipe["epochs"] is not None or not _grows(told) or len(curves) < 10:
        return "step / STEPS"
    first, last = curves[0], curves[-1]
    begin = first["seconds"] - 1.0
    knots = [0]
    for eighth in range(1, 8):
        at = begin + eighth / 8 * (last["seconds"] - begin)
        knots.append(int(min(curves, key=lambda one: abs(one["seconds"] - at))["step"]))
    return f"np.interp(step, {[*knots, int(last['step'])]}, np.linspace(0, 1, 9))  # by the clock"


def _loss(told: Told, half: bool, auxiliary: bool) -> str:
    """Return the lines of the loss, indented for the loop."""
    recipe, k = told.recipe, len(told.classes)
    name, smoothing = recipe["loss.name"], recipe["loss.label_smoothing"]
    scores, balanced = "scores.float()" if half else "scores", recipe["balance"] > 0
    lines = []
    if name == "cross_entropy":
        options = ", share" if balanced else ""
        options += f", label_smoothing={number(smoothing)}" if smoothing else ""
    else:
        options = ""
        if smoothing:
            spread = f"{number(smoothing)} / {k}"
            lines.append(f"target = {number(1 - smoothing)} * target + {spread}")
    values = {"options": options, "share": "share * " if balanced else ""}
    text = _LOSSES[name]
    if auxiliary:  # the main scores come first; the others count 0.3 (Szegedy et al., 2014)
        lines.append("loss = 0")
        lines.append("for part, scores in zip((1.0, 0.3, 0.3), scores, strict=False):")
        inner = text.format(scores="scores.float()", **values).replace("loss = ", "loss += part * ")
        lines += [f"    {line}" for line in inner.splitlines()]
    else:
        lines += text.format(scores=scores, **values).splitlines()
    return "\n".join(f"        {line}" for line in lines)
