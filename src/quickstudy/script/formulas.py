"""A formula in the columns of a table, fitted whole: the shortest script, and the first to read."""

from __future__ import annotations

import textwrap
from pathlib import Path

from quickstudy.errors import ChoiceError
from quickstudy.functions import parse
from quickstudy.learning.examples import headings
from quickstudy.network import Spec, build
from quickstudy.network.formula import Formula
from quickstudy.script import asked
from quickstudy.script.expressions import safe, written
from quickstudy.script.told import Told
from quickstudy.script.whole import WIDTH, run_of
from quickstudy.script.writing import filled, quoted_text

_CODE = """
RUN = $run
#: if classes
$named
#: end
NAMES = $names  # of what is learnt
torch.manual_seed($seed)

def read(*parts):  # the columns that the formula uses, and what it is to say, in 64 bits
    with (RUN / "examples.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] in parts]
    columns = [[float(row[name]$empty) for row in rows] for name in $columns]
    answers = [float($truth) for row in rows]
    return torch.tensor(columns, dtype=torch.float64), torch.tensor(answers, dtype=torch.float64)

def formula($arguments):$what
#: if gaps
    usual = $usual  # for what is missing
    $inputs = (torch.where(x.isnan(), y, x) for x, y in zip(($inputs), usual, strict=True))
#: end
$body

def loss(columns, answers, parameters):  # how wrong the formula is with these parameters
    return $loss

def fit(columns, answers, start):  # downhill until it is level: L-BFGS (Liu and Nocedal, 1989)
    parameters = start.clone().requires_grad_()
    solver = torch.optim.LBFGS([parameters], max_iter=1000, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-12, tolerance_change=1e-16)

    def closure():
        solver.zero_grad()
        wrong = loss(columns, answers, parameters)
        wrong.backward()
        return wrong

    solver.step(closure)
    return parameters.detach()

#: if many
def search(columns, answers):  # the loss has several bottoms: start from many places
    def wrong(parameters):
        return loss(columns, answers, parameters).nan_to_num(math.inf).item()

    first = torch.tensor($first, dtype=torch.float64)
    wide = torch.tensor([0.3, 1, 3, 10]).double().repeat(512)[:, None]
    starts = [first, *(wide * torch.randn(2048, len(first)).double())]
    best = sorted(starts, key=wrong)[:$restarts]
    return min((fit(columns, answers, start) for start in [first, *best]), key=wrong)

#: end
def $function(columns, parameters):
#: if classes
    p = torch.sigmoid(formula(*columns, *parameters)$cooled)
    return torch.stack([1 - p, p], 1)
#: end
#: if not classes
    return formula(*columns, *parameters)
#: end

if __name__ == "__main__":
    if "--check" in sys.argv:
        weights = load_file(RUN / "model" / "weights.safetensors")
        parameters = torch.stack([weights["function." + name] for name in NAMES]).double()
    else:
#: if many
        parameters = search(*read("train", "val"))
#: end
#: if not many
        parameters = fit(*read("train", "val"), torch.tensor($first, dtype=torch.float64))
#: end
    for name, value in zip(NAMES, parameters.tolist(), strict=True):
        print(f"{name} = {value:.6g}")
    examples, labels = read("test")
$score
"""

_LOSSES = {
    "regression": {
        "mean_squared_error": "F.mse_loss(formula(*columns, *parameters), answers)",
        "mean_absolute_error": "F.l1_loss(formula(*columns, *parameters), answers)",
        "huber": "F.huber_loss(formula(*columns, *parameters), answers)",
    },
    "classification": {
        "cross_entropy": (
            "F.binary_cross_entropy_with_logits(formula(*columns, *parameters), answers)"
        ),
    },
}


def fault(told: Told) -> str:
    """Return what a script cannot say of the run, or nothing."""
    name = told.recipe["loss.name"]
    if name not in _LOSSES.get(told.asks, {}):
        return f"loss.name = {name} with a formula"
    if told.asks == "regression" and len(told.classes) != 1:
        return f"one formula for {len(told.classes)} numbers"
    if told.recipe["optimizer.name"] != "lbfgs":
        return f"optimizer.name = {told.recipe['optimizer.name']} with a formula"
    if told.asks == "classification" and told.recipe["balance"]:
        return f"balance = {told.recipe['balance']} with a formula"
    return ""


def formula(told: Told, path: Path) -> str:
    """Return the whole script but for its head; `path` is where it will lie."""
    text = told.recipe["network.name"]
    module = build(Spec.from_dict(told.model["network"])).module
    assert isinstance(module, Formula)  # by `told.formula`
    table, expression = told.model["network"]["table"], parse(text)
    used = [table["columns"][i] for i in module.places.tolist()]
    code, learnt = written(expression, used), list(module.values())
    kept = headings(table["columns"])
    arguments = ", ".join(map(safe, [*used, *learnt]))
    if len(arguments) > WIDTH - 20:
        raise ChoiceError("A script cannot write a formula of so many names yet.", "Shorten it.")
    steps = [*code.lines, f"return {code.result}"]
    classes = told.asks == "classification"
    reached = told.event(r"(\d+) of (\d+) starting points came to the same")
    gaps = any(table["gaps"][i] for i in module.places.tolist())
    return filled(
        _CODE,
        {"classes": classes, "gaps": gaps, "many": reached is None or reached[1] != reached[2]},
        run=run_of(told, path),
        named=asked.constants(told),
        names=_listed(learnt),
        seed=told.recipe["seed"],
        empty=' or "nan"' if gaps else "",
        columns=_listed([kept[i] for i in module.places.tolist()]),
        truth='row["label"] == CLASSES[1]' if classes else 'row["label"]',
        arguments=arguments,
        what="  # how much likelier the second class is" if classes else "",
        usual=_usual(told, gaps),
        inputs=", ".join(map(safe, used)) + ("," if len(used) == 1 else ""),
        body=textwrap.indent("\n".join(steps), "    "),
        loss=_LOSSES[told.asks][told.recipe["loss.name"]],
        function=asked.function(told),
        cooled=told.cooled,
        first=list(module.values().values()),
        restarts=min(16, told.recipe["optimizer.restarts"]),
        score=_score(told),
    )


def _score(told: Told) -> str:
    return asked.score(told).replace("(examples)", "(examples, parameters)")


def _listed(names: list[str]) -> str:
    return "[" + ", ".join(map(quoted_text, names)) + "]"


def _usual(told: Told, gaps: bool) -> str:
    """Return what missing numbers count as."""
    if not gaps:
        return "[]"
    from safetensors.torch import load_file

    means = load_file(told.folder / "model" / "weights.safetensors")["means"].double()
    module = build(Spec.from_dict(told.model["network"])).module
    assert isinstance(module, Formula)
    return str([float(f"{v:.9g}") for v in (means * module.units + module.origins).tolist()])
