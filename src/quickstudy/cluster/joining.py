"""Whether this process was started together with others, and how they find each other."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
import zlib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from quickstudy.cluster.group import Group
from quickstudy.errors import RunError
from quickstudy.training.crew import Crew

#: Set where this program itself starts others.
LAUNCH = "QUICKSTUDY_LAUNCH"
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(minutes=10)  # for gradients: the others may be compiling
_LOOK = 0.05  # seconds between looks for who has come
WAITING = timedelta(days=7)  # for what process 0 tells: it may be decoding millions of pictures
_TOLD = 64  # bytes
_left = False
_here: Group | None = None


def joined() -> Crew:
    """Return the processes that were started with this one, by torchrun, Ray or ourselves.

    Alone where there are none, or where they have learnt together already: all but the first of
    them have then ended. Raises `RunError` where one does not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1")) if _asked() else 1
    if world < 2 or _left:
        return Crew()
    return group()


def _asked() -> bool:
    return dist.is_initialized() or all(name in os.environ for name in _NEEDED)


def group(store: Store | None = None, rank: int = -1, world: int = -1) -> Group:
    """Return the group of all processes, once they have come: to a `store`, or the environment's.

    Raises `RunError` where one does not come.
    """
    try:
        if not dist.is_initialized():
            both = torch.cuda.is_available() and dist.is_nccl_available()
            backend = "cpu:gloo,cuda:nccl" if both else "gloo"
            if store is None:
                store, rank, world = next(rendezvous("env://", timeout=_PATIENCE))
                store = _met(store, rank, world)
            dist.init_process_group(
                backend, timeout=_PATIENCE, store=store, rank=rank, world_size=world
            )
        talk = dist.new_group(backend="gloo", timeout=WAITING)
    except (dist.DistError, RuntimeError, ValueError) as problem:
        many = world if world > 0 else os.environ.get("WORLD_SIZE", "")
        first = next(iter(str(problem).splitlines()), "")[:160]
        raise RunError(
            f"Not all of the {many} workers have come: {first}",
            "Are all started, and can they reach $MASTER_ADDR at $MASTER_PORT?",
        ) from problem
    made = Group(dist.get_rank(), dist.get_world_size(), talk=talk)
    told = _gathered(made, f"{platform.node()[:40]} {zlib.crc32(repr(_cores()).encode())}")
    made.machines = tuple(one.rpartition(" ")[0] for one in told)
    if not os.environ.get(LAUNCH, "").startswith("ray"):  # there each has been given its cores
        made.sharing = told.count(told[made.rank])
    global _here
    _here = made
    return made


def _met(store: Store, rank: int, world: int) -> Store:
    """Return a part of the store that those alone know who are there now.

    Torchrun's store outlives a restart: there the lost ones still have addresses. Nor do machines
    agree on how often they have started. So the first gives each that is there a name of its own
    making, and a follower that has come late gives another one than that which was lost.
    """
    own = uuid.uuid4().hex
    if rank:
        store.set(f"here {rank} of {world}", own)
        store.wait([f"start {own}"], _PATIENCE)
        name = store.get(f"start {own}").decode()
        store.set(f"came {name} {rank}", "")
        return PrefixStore(name, store)
    began, missing = time.monotonic(), set(range(1, world))
    while missing:
        for other in sorted(missing):
            if store.check([here := f"here {other} of {world}"]):
                store.set(f"start {store.get(here).decode()}", own)
            if store.check([f"came {own} {other}"]):
                missing.remove(other)
        if time.monotonic() - began > _PATIENCE.total_seconds():
            raise RuntimeError(f"worker {min(missing)} did not come")
        time.sleep(_LOOK)
    return PrefixStore(own, store)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _gathered(among: Group, text: str) -> list[str]:
    """Return what every process says of itself."""
    mine = torch.zeros(_TOLD, dtype=torch.uint8)
    data = text.encode()[:_TOLD]
    mine[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    found = [torch.zeros_like(mine) for _ in range(among.world)]
    with among.together():
        dist.all_gather(found, mine, group=among.talk)
    return [bytes(one.numpy()).rstrip(b"\0").decode(errors="replace") for one in found]


def follows() -> bool:
    """Whether this process was started to follow another."""
    return _asked() and int(os.environ.get("RANK", "0")) > 0 and not _left


def left(crew: Crew) -> None:
    """Let the others go, and forget them: what this process does later it does alone."""
    global _left
    if not isinstance(crew, Group):
        return
    crew.leave()
    _left = True
    if dist.is_initialized() and not crew.broken:
        dist.destroy_process_group()


def leave_all() -> None:
    """Let the others go, if there are any that still wait: a run may have failed before it led."""
    if _here is not None and not _left:
        left(_here)


def device_of(told: str) -> str:
    """Return where this process computes: process 0 has told where it does."""
    if not told.startswith("cuda"):
        return told
    own = int(os.environ.get("LOCAL_RANK", "0")) % max(1, torch.cuda.device_count())
    torch.cuda.set_device(own)
    return f"cuda:{own}"


def launch() -> str:
    """Return what names this start of processes, the same after one was lost; '' where none does.

    With torchrun that is its ``--rdzv-id``, or the folder that it makes for each start.
    """
    named = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if named != "none":
        return named
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE", "")
    if errors:
        return Path(errors).parents[2].name  # NAME_RANDOM/attempt_0/0/error.json
    return os.environ.get(LAUNCH, "")


def unfinished(folders: Iterable[Path]) -> Path | None:
    """Return which of the runs this start of processes has begun and not ended."""
    name = launch()
    for folder in folders if name else ():
        try:
            kept = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # no run, or one cut short while it began
        if isinstance(kept, dict) and kept.get("launch") == name:
            return folder
    return None
