"""How the rows of a table are learnt: the network, and for how long."""

from __future__ import annotations

import math

from quickstudy.facts import Facts
from quickstudy.recipe.draft import PREFIX, Draft, is_formula

_SMALL = 2_000  # rows up to which the whole table is one step of L-BFGS
_PATIENCE = 16  # passes, and so many steps at least:
_PATIENT_STEPS = 150


def network(p: Draft, facts: Facts) -> None:
    """Step 2: an ensemble of small networks in one, with trees beside it to be measured against."""
    wanted = p.own.get("network.name", ("tabm", ""))[0]
    p.choose(
        "network.name",
        wanted,
        "an ensemble of small networks that share their weights: the best of the deep ones on "
        "small tables (Gorishniy et al., 2024)",
    )
    p.choose("network.weights", "none", "tables have columns of their own")
    p.choose("network.width", 1.0, "suits two cores and thousands of rows")
    p.choose("table.members", 16, "more are seldom better")
    p.choose("table.bins", 16, "a curve for each number, with corners at its quantiles")
    p.choose("table.trees", True, "what is hardest to beat on tables")
    if not wanted.startswith(PREFIX):
        p.choose("compute.threads", 1, "layers so small gain nothing from more")


def training(p: Draft, facts: Facts, learnt: int) -> None:
    """Step 5: how the network is taught, where that differs from pictures and sound."""
    name = str(p.values["network.name"])
    formula = is_formula(name, "table")
    whole = name == "stack" and learnt <= _SMALL
    batch = 256 if learnt >= 8_000 else 128 if learnt >= 2_000 else 64 if learnt >= 500 else 32
    p.choose("batch", batch, f"{learnt:,} rows: {max(1, learnt // batch)} steps a pass")
    if whole or formula:
        p.choose("optimizer.name", "lbfgs", "few parameters: all rows at once, to the very bottom")
        if p.values["optimizer.name"] == "lbfgs":
            p.choose("optimizer.lr", None, "L-BFGS finds out how far to go at each step")
            p.choose("optimizer.weight_decay", 0.0, "nothing holds the parameters back")
            p.choose("averaging", 0.0, "it ends where the loss is lowest")
    else:
        method = p.choose("optimizer.name", "adamw", "each weight at its own rate")
        if not str(method).startswith(PREFIX):  # a function gives its optimiser a rate itself
            p.choose("optimizer.lr", 0.002, "suits this network on tables of any size")
        p.choose("optimizer.weight_decay", 0.0003, "the ensemble regularises")
        p.choose("network.dropout", 0.1, "few rows, many weights")
        p.choose("schedule.shape", "constant", "the end is not known beforehand: val decides")
        p.choose("averaging", 0.99, "the average of the last steps is better than the last one")
        p.choose("loss.label_smoothing", 0.0, "an ensemble is not too sure of itself")
        passes = max(_PATIENCE, math.ceil(_PATIENT_STEPS * batch / max(1, learnt)))
        p.choose("patience", passes, "more passes would learn the rows by heart")
    p.choose("patience", None, "ends where the loss has its lowest")
    p.choose("network.dropout", 0.0, "a formula has nothing to drop")
    p.choose("loss.label_smoothing", 0.0, "what was seen is taken at its word")
