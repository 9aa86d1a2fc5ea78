"""A network in parts, one for each process, learns what it does whole, and is left as ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed.fsdp  # here, so that no process imports it again
from torch import nn

import quickstudy as qs
from crews import Processes, dying_at, learn, same
from quickstudy.cluster.sharding import blocks, decided, needs
from quickstudy.network.compact import Gate

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes")

SHARD = {"compute.sharding": "shard", "epochs": 2}


def test_parts_learn_what_the_whole_does(shapes: Path, tmp_path: Path) -> None:
    """With a rate found in parts, too."""
    settings = {**SHARD, "optimizer.name": "adamw", "optimizer.lr": None}
    (alone,) = Processes(lambda: learn(shapes, tmp_path / "1", settings=settings), 1).results()
    assert isinstance(alone, dict), alone
    first, second = Processes(lambda: learn(shapes, tmp_path / "2", settings=settings)).results()
    assert isinstance(first, dict), first
    assert second == "SystemExit: 0"
    assert first["steps"] == alone["steps"] == 12
    same(first, alone, 1e-4)
    ours, theirs = (sorted(f.name for f in (tmp_path / n).rglob("*")) for n in "12")
    assert ours == theirs


def test_one_goes_on_with_what_two_had_in_parts(shapes: Path, tmp_path: Path) -> None:
    """With an optimiser that must see whole matrices."""
    out, launch = tmp_path / "run", {"TORCHELASTIC_RUN_ID": "test"}
    how = {"settings": {**SHARD, "optimizer.name": "muon"}}
    lost, killed = Processes(lambda: dying_at(8, shapes, out, **how), **launch).results()
    assert killed == "killed"
    assert str(lost).startswith("LostError"), lost
    (first,) = Processes(lambda: learn(shapes, out, **how), 1, **launch).results()
    assert "went on from the checkpoint at step 7" in first["events"], first
    (alone,) = Processes(lambda: learn(shapes, tmp_path / "1", **how), 1).results()
    same(first, alone, 1e-4)


def test_memory_decides() -> None:
    network = nn.Linear(1000, 1000, bias=False)  # 4 MB
    whole, part = needs(network, "adamw", 4)
    assert whole == 7 * 4e6  # weights, gradients, two of Adam, average, best, present
    assert part == (5 / 4 + 1) * 4e6
    assert decided(network, "adamw", 4, 40.1e6)[0] == "replicate"
    how, why = decided(network, "adamw", 4, 39e6)
    assert how == "shard"
    assert "0.028 GB of the 0.039 GB that each has" in why
    assert "in 4 parts, 0.009 GB" in why
    assert decided(network, "sgd", 4, 39e6)[0] == "replicate"
    with pytest.raises(qs.QuickstudyError, match=r"a part of 4 takes 0\.009 GB"):
        decided(network, "adamw", 4, 8.9e6)
    network.register_parameter("single", nn.Parameter(torch.zeros(())))
    assert decided(network, "adamw", 4, 39e6)[0] == "replicate"


def test_blocks_are_what_is_called_one_after_another() -> None:
    block = Gate(8)
    network = nn.Sequential(nn.Sequential(block, nn.ReLU()), nn.Flatten(), nn.Linear(8, 2))
    assert blocks(network, 20) == [block]
    assert blocks(network, 18) == [block, network[2]]
