"""The pieces of a script about the rows of a table: read, look, the network (TabM), ask."""

from __future__ import annotations

from typing import Any

from quickstudy.learning.examples import headings
from quickstudy.network import Spec, build
from quickstudy.network.tabular import Tabular
from quickstudy.script import asked
from quickstudy.script.told import Told
from quickstudy.script.writing import filled, number

_READING = """
ABOUT = json.loads((RUN / "model" / "model.json").read_bytes())
WORDS, GAPS = ABOUT["network"]["table"]["words"], ABOUT["network"]["table"]["gaps"]
#: if words
LISTS = {one["name"]: one["words"] for one in ABOUT["preparation"]["columns"] if one["words"]}
#: end
#: if scaled
SCALES = {one["name"]: (one["origin"], one["unit"]) for one in ABOUT["preparation"]["columns"]}
#: end

def encode(name, cell):  # -> $encoded
#: if clashes
    name = name.removesuffix(" (column)")  # there is another one of that name in the file
#: end
    if not cell:
        return math.nan
#: if words
    if name in LISTS:  # behind its last place: a word never met
        return LISTS[name].index(cell) if cell in LISTS[name] else len(LISTS[name])
#: end
#: if scaled
    return (float(cell) - SCALES[name][0]) / SCALES[name][1] if name in SCALES else float(cell)
#: end
#: if not scaled
    return float(cell)$dates
#: end

def read(*parts):  # rows N $wide; $truth
    with (RUN / "examples.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] in parts]
    cells = [[encode(*cell) for cell in list(row.items())[4:]] for row in rows]
#: if others
$labels
#: end
    return torch.tensor(cells), $true
"""

_NETWORK = """
NUMBERS = [i for i, words in enumerate(WORDS) if not words]
CATEGORIES = [(i, words) for i, words in enumerate(WORDS) if words]
GAPPY = [place for place, i in enumerate(NUMBERS) if GAPS[i]]  # numbers that may be missing
WIDTH, MEMBERS, BINS = $width, $members, $bins
KNOWN = {}  # of the columns: middle, spread, corners of curves, codes of words

def drawn(near, *shape):
    return nn.Parameter(torch.empty(shape).uniform_(-near, near))

class TabM(nn.Module):  # rows N F -> the scores of every member, N MEMBERS $k
    def __init__(self):
        super().__init__()
        n, some = len(NUMBERS), len(NUMBERS) + len(GAPPY) + len(CATEGORIES)
        near, deep = some**-0.5, WIDTH**-0.5
        self.line, self.curve = drawn(near, n, 1, WIDTH), drawn(0, n, BINS, WIDTH)
        self.missing = drawn(near, len(GAPPY), 1, WIDTH)
        codes = (drawn(near, words + 1 + GAPS[i], WIDTH) for i, words in CATEGORIES)
        self.categories, self.bias = nn.ParameterList(codes), drawn(near, MEMBERS, 1, WIDTH)
        self.weighing = nn.Parameter(torch.randn(MEMBERS, some))
        self.body, self.head = nn.ModuleDict(), nn.ParameterDict()
        for place in $places:
            layer = {"weight": drawn(deep, WIDTH, WIDTH), "bias": drawn(deep, MEMBERS, 1, WIDTH)}
            layer["scale_in"] = nn.Parameter(torch.ones(MEMBERS, 1, WIDTH))
            self.body[place] = nn.ParameterDict(layer)
        self.head["weight"] = drawn(deep, MEMBERS, WIDTH, $k)
        self.head["bias"] = drawn(deep, MEMBERS, 1, $k)
    def forward(self, x):
        missing, centre = x[:, NUMBERS].isnan(), KNOWN["centre"]
        raw = torch.where(missing, centre, x[:, NUMBERS])
        z = ((raw - centre) / KNOWN["spread"]).clamp(-1e4, 1e4)
        z = z / (1 + (z / 3) ** 2).sqrt()  # far ones pressed together (Holzmueller et al., 2024)
        steps = ((raw.T[..., None] - KNOWN["left"]) * KNOWN["slope"]).clamp(0, 1)
        found = [z.T[..., None] * self.line + steps @ self.curve]  # a line and a curve for each
        found.append((missing[:, GAPPY] * KNOWN["had_gaps"]).T[..., None] * self.missing)
#: if words
        for (i, words), weight in zip(CATEGORIES, self.categories, strict=True):
            code = x[:, i].nan_to_num(words + 1).long()
            found.append((KNOWN[f"codes{i}"][code] @ weight)[None])
#: end
        x = torch.einsum("mc,cnw->mnw", self.weighing, torch.cat(found)) + self.bias
        for layer in self.body.values():  # shared; each member scales what goes in on its own
            x = F.dropout(x.relu(), $dropout, self.training) * layer.scale_in
            x = F.linear(x, layer.weight) + layer.bias
        x = F.dropout(x.relu(), $dropout, self.training)
        return (x @ self.head.weight + self.head.bias).transpose(0, 1)

network = TabM().to(DEVICE)  # Gorishniy et al., 2024
"""

_LOOKING = """
def look(rows):  # what must be known of the columns, from the rows learnt from alone
    numbers = rows[:, NUMBERS].double().numpy()
    low, first, middle, third, high = np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1], axis=0)
    spread = np.where(third > first, (third - first) / 1.35, (high - low) / 2)
    left, slope = np.zeros((2, len(NUMBERS), 1, BINS))
    for place, values in enumerate(numbers.T):
        edges = np.unique(values[~np.isnan(values)])  # the curve bends at every value
        if len(edges) > BINS + 1:  # or at quantiles
            edges = np.unique(np.float32(np.nanquantile(values, np.linspace(0, 1, BINS + 1))))
        left[place, 0, : len(edges) - 1] = edges[:-1]
        slope[place, 0, : len(edges) - 1] = 1 / np.diff(edges)
    known = {"centre": middle, "spread": np.where(spread > 0, spread, 1), "left": left}
    known |= {"slope": slope, "had_gaps": np.isnan(numbers[:, GAPPY]).any(0)}
#: if words
    for i, words in CATEGORIES:
        code = rows[:, i].nan_to_num(words + 1).long()
        codes = known[f"codes{i}"] = torch.eye(words + 2)[:, : words + 1 + GAPS[i]]
        codes[code.bincount(minlength=words + 2) == 0] = codes[code].mean(0)  # words no row has
#: end
    KNOWN.update({name: torch.as_tensor(x).float().to(DEVICE) for name, x in known.items()})
"""

_ANSWERING = """
@torch.inference_mode()
def $function(rows):  # N $k: the mean over the members
    network.eval()
    scores = torch.cat([network(some.to(DEVICE)).cpu() for some in rows.split(1024)])
    return $answers
"""


def reading(told: Told) -> str:
    """Return how rows are read."""
    columns = [one for one in told.model["preparation"]["columns"] if one["type"] != "left out"]
    types = {one["type"] for one in columns}
    numbers = [one for one in columns if one["type"] == "number"]
    names = [one["name"] for one in columns]
    uses = {
        "others": told.asks != "classification",
        "clashes": headings(names) != names,
        "words": "category" in types,
        "scaled": any(one["origin"] != 0 or one["unit"] != 1 for one in numbers),
    }
    place = ["a word's place in its list"] if uses["words"] else []
    return filled(
        _READING,
        uses,
        encoded=", ".join(["a number", *place, "NaN where the cell is empty"]),
        dates="  # of a date the numbers that it became are kept" if "date" in types else "",
        wide=len(told.model["network"]["table"]["columns"]),
        truth=asked.words(told),
        labels=asked.truth(told),
        true=asked.true(told),
    )


def network(told: Told) -> str:
    """Return the code that makes the network."""
    module: Any = build(Spec.from_dict(told.model["network"])).module
    assert isinstance(module, Tabular)  # `told` refuses others
    shared = [name for name, part in module.body.named_children() if list(part.parameters())]
    return filled(
        _NETWORK,
        {"words": bool(module.columns.front.categories)},
        width=module.head.weight.shape[1],
        members=module.head.weight.shape[0],
        bins=module.columns.embedding.left.shape[2],
        places="(" + "".join(f'"{place}", ' for place in shared).strip() + ")",
        dropout=number(told.recipe["network.dropout"]),
        k=len(told.classes),
    )


def learning(told: Told) -> str:
    """Return how the network is told of the training rows."""
    words = any(told.model["network"]["table"]["words"])
    return filled(_LOOKING, {"words": words})


def answering(told: Told) -> str:
    """Return how the network is asked."""
    answers = asked.scaled(told, f"{asked.shares(told, 'scores')}.mean(1)")
    function = asked.function(told)
    return filled(_ANSWERING, {}, function=function, k=len(told.classes), answers=answers)
