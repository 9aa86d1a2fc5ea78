"""The lines of a script that say how wrong the network is."""

from __future__ import annotations

import re

from quickstudy.errors import ChoiceError
from quickstudy.functions import Expression, is_expression, parse
from quickstudy.functions.grammar import Call, Tree
from quickstudy.recipe import PREFIX
from quickstudy.script.expressions import written
from quickstudy.script.layers import AUXILIARY
from quickstudy.script.told import Told
from quickstudy.script.writing import number

#: Of classes: what each loses is summed over them, as one question is asked.
_OF_CLASSES = {
    "cross_entropy": "loss = F.cross_entropy({scores}, target{options})",
    "focal": (
        "logs = F.log_softmax({scores}, 1)\n"
        "loss = -({share}target * (1 - logs.exp()) ** 2 * logs).sum(1).mean()"
    ),
    "binary_cross_entropy": (
        'each = F.binary_cross_entropy_with_logits({scores}, target, reduction="none")\n'
        "loss = ({share}each).sum(1).mean()"
    ),
    "mean_squared_error": "loss = ({share}({scores}.softmax(1) - target) ** 2).sum(1).mean()",
    "mean_absolute_error": "loss = ({share}({scores}.softmax(1) - target).abs()).sum(1).mean()",
}
_OF_LABELS = {
    "focal": (
        "yes, no = F.logsigmoid({scores}), F.logsigmoid(-{scores})\n"
        "loss = -(target * no.exp() ** 2 * yes + (1 - target) * yes.exp() ** 2 * no).mean()"
    ),
    "binary_cross_entropy": "loss = F.binary_cross_entropy_with_logits({scores}, target)",
    "mean_squared_error": "loss = F.mse_loss({scores}.sigmoid(), target)",
    "mean_absolute_error": "loss = F.l1_loss({scores}.sigmoid(), target)",
}
_OF_NUMBERS = {
    "mean_squared_error": "loss = F.mse_loss({scores}, target)",
    "mean_absolute_error": "loss = F.l1_loss({scores}, target)",
    "huber": "loss = F.huber_loss({scores}, target)",
}
NAMED = {
    "classification": _OF_CLASSES,
    "multilabel": _OF_LABELS,
    "regression": _OF_NUMBERS,
}
#: What an expression may look at, as code.
_SEEN = {
    "classification": {
        "prediction": "scores.softmax(1)",
        "log_p": "(target.log() + scores.log_softmax(1)).logsumexp(1)",
        "log_not_p": "((1 - target).log() + scores.log_softmax(1)).logsumexp(1)",
    },
    "multilabel": {
        "prediction": "scores.sigmoid()",
        "log_p": "torch.logaddexp(target.log() + yes, (1 - target).log() + no)",
        "log_not_p": "torch.logaddexp(target.log() + no, (1 - target).log() + yes)",
    },
    "regression": {},
}
_LONGEST = 90  # characters of a line, before it is indented
_OF_TRUTH = ("p", "log_p", "log_not_p")


def fault(told: Told) -> str:
    """Return what a script cannot say of the loss, or nothing."""
    name = str(told.recipe["loss.name"])
    if name.startswith(PREFIX):
        return f"loss.name = {name}"
    if not is_expression(name):
        return "" if name in NAMED[told.asks] else f"loss.name = {name}"
    expression = parse(name)
    if expression.learned:
        return f"loss.name = {name}: a loss that learns (put the values of the report in it)"
    if balanced(told) and _called(expression, "mean", "sum"):
        return f"loss.name = {name} with balance = {told.recipe['balance']}"
    return ""


def balanced(told: Told) -> bool:
    """Whether rare classes count more."""
    return bool(told.asks == "classification" and told.recipe["balance"] > 0)


def _called(expression: Expression, *functions: str) -> bool:
    """Whether an expression, but for a mean around it all, uses one of these."""
    return any(isinstance(n, Call) and n.function in functions for n in _inside(expression))


def _inside(expression: Expression) -> Tree:
    *inside, last = expression.tree
    if isinstance(last, Call) and last.function == "mean" and last.arguments == (len(inside) - 1,):
        return tuple(inside)
    return expression.tree


def loss(told: Told, half: bool) -> str:
    """Return the lines of the loss, indented for the loop."""
    recipe, k = told.recipe, len(told.classes)
    name, smoothing = str(recipe["loss.name"]), recipe["loss.label_smoothing"]
    asked = {"image": "network", "sound": "hear", "table": "network"}[told.kind]
    options, lines = "", []
    if name == "cross_entropy":
        options = ", share" if balanced(told) else ""
        options += f", label_smoothing={number(smoothing)}" if smoothing else ""
    elif smoothing:
        lines.append(f"target = {number(1 - smoothing)} * target + {number(smoothing)} / {k}")
    several = recipe["network.name"] in AUXILIARY
    kept = several or (half and told.kind == "image")  # the scores have a name by then
    scores = "scores.float()" if kept else f"{asked}(x)" + (".float()" if half else "")
    if told.kind == "table":
        lines.append("target = target.repeat_interleave(MEMBERS, 0)  # each is taught on its own")
        scores = "network(x).flatten(0, 1)"
    if is_expression(name):
        first = [] if scores == "scores" else [f"scores = {scores}"]
        text = "\n".join([*first, *expression_lines(name, told.asks, balanced(told))])
    else:
        text = NAMED[told.asks][name]
        if text.count("{scores}") > 1:
            text, scores = f"scores = {scores}\n{text}" if scores != "scores" else text, "scores"
        share = "share * " if balanced(told) else ""
        text = text.format(options=options, share=share, scores=scores)
    if several:  # the main scores come first; the others count 0.3 (Szegedy et al., 2014)
        if not (half and told.kind == "image"):
            lines.append(f"every = {asked}(x)")
        lines += ["loss = 0", "for part, scores in zip((1.0, 0.3, 0.3), every, strict=False):"]
        lines += [f"    {line}" for line in text.replace("loss = ", "loss += part * ").splitlines()]
    else:
        lines += text.splitlines()
    return "\n".join(f"        {line}" for line in lines)


def expression_lines(loss_name: str, task: str, shared: bool) -> list[str]:
    """Return the lines of a loss written as an expression, of `scores` and `target`."""
    expression = parse(loss_name)
    of_truth = () if task == "regression" else _OF_TRUTH
    code = written(
        expression,
        (*of_truth, "prediction", "scores", "target"),
        tree=_inside(expression),
        names={"prediction": "scores"} if task == "regression" else None,
    )
    text = "\n".join([*code.lines, code.result])
    used = {name for name in (*_OF_TRUTH, "prediction") if _names(name, text)}
    if "p" in used:
        used.add("log_p")
    lines = []
    if task == "multilabel" and used & set(_OF_TRUTH):
        lines.append("yes, no = F.logsigmoid(scores), F.logsigmoid(-scores)")
    seen = _SEEN[task]
    lines += [f"{name} = {seen[name]}" for name in seen if name in used]
    lines += ["p = log_p.exp()  # the probability given to the truth"] * ("p" in used)
    each = f"({code.result})"
    if shared:
        each = f"({each} * {'(target @ share)' if used & set(_OF_TRUTH) else 'share'})"
    lines += [*code.lines, f"loss = {each}.mean()"]
    if len(lines[-1]) > _LONGEST:
        raise ChoiceError("A script cannot write a loss as long as that yet.", "Shorten it.")
    return lines


def _names(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w.]){name}(?!\w)", text) is not None
