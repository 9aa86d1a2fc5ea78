"""`quickstudy serve`: models asked over HTTP, and a page to ask them by hand."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from quickstudy.commands.telling import printable
from quickstudy.errors import ChoiceError

if TYPE_CHECKING:
    from quickstudy.serving import Place, Ready


#: Seconds that a thread which decodes may keep the interpreter from the one that answers.
_SWITCH = 0.001


def serve(asked: argparse.Namespace, started: float) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    # read by OpenMP as torch is loaded: threads that wait would keep those that decode waiting
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from quickstudy.hardware import keep_memory
    from quickstudy.serving import Place
    from quickstudy.serving import serve as run
    from quickstudy.serving.memory import share_memory

    token = asked.token if asked.token is not None else os.environ.get("QUICKSTUDY_TOKEN", "")
    if asked.token is not None and not asked.token:
        raise ChoiceError("The token is empty.", "Give one, or --no-token.")
    if asked.token and asked.no_token:
        raise ChoiceError("--token and --no-token exclude each other.", "Leave one out.")
    place = Place(asked.host, asked.port, "" if asked.no_token else token, asked.no_token)
    limits = _limits(asked)
    sys.setswitchinterval(_SWITCH)
    share_memory()
    keep_memory()

    def ready(told: Ready) -> None:
        if asked.json:
            line = {"url": told.url, "models": [one["name"] for one in told.models]}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        _say(told.url, told.models, place, limits)

    return run(asked.models, place, limits, ready=ready)


def _limits(asked: argparse.Namespace) -> Any:
    from quickstudy.serving.limits import Limits, bytes_of

    usual = Limits()
    upload = bytes_of(asked.max_upload) if asked.max_upload else usual.upload
    for name in ("max_pixels", "max_seconds", "timeout"):
        value = getattr(asked, name)
        if value is not None and not 0 < value < math.inf:
            raise ChoiceError(f"--{name.replace('_', '-')} is {value}.", "Give a number above 0.")
    return Limits(
        upload=upload,
        together=max(usual.together, 4 * upload),
        pixels=asked.max_pixels or usual.pixels,
        seconds=asked.max_seconds or usual.seconds,
        timeout=asked.timeout or usual.timeout,
    )


def _say(url: str, models: list[dict[str, Any]], place: Place, limits: Any) -> None:
    """Say what is served, where, and how to stop."""
    lines = [f"{one['name']}: {one['facts'] or one['task']} ({one['runtime']})" for one in models]
    lines += [f"At most: {limits.said()}."]
    if not place.loopback and not place.token:
        lines += ["WARNING: anybody who can reach this machine may ask, without a token."]
    if place.token:
        lines += ["Who asks needs the token; the page asks for it."]
    if not place.loopback:
        lines += ["What is sent is not encrypted: across networks, put a proxy with TLS before it."]
    lines += [f"The page: {url}/   For programs: {url}/docs   To stop: Ctrl-C"]
    sys.stderr.write(printable("\n".join(lines) + "\n"))
    sys.stderr.flush()
