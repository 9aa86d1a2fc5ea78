"""Where trained weights can be had: a file, the hubs' caches, else the hub itself.

The hub is only asked where the caches hold nothing, and only for a few seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.network import standard
from quickstudy.recipe import Offer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: Networks offered from the hub when the cache is empty, by rising cost.
LADDER = ("mobilenet_v3_large", "resnet18", "resnet50", "convnext_tiny", "resnet152")
_PATIENCE = 4.0  # seconds until a hub that does not answer counts as out of reach
_HUB = "hub:"


def from_file(path: str | Path, network: str | None) -> Offer:
    """Return what a weights file offers; `network` is guessed from the file's name if None.

    Raises `WeightsError` where the file is missing, `ChoiceError` where nobody says the network.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}.", "Give --weights FILE, or none.")
    if network is None:
        stem = path.stem.lower()
        guesses = [n for n in standard.names() if stem.startswith(n.lower())]
        if not guesses:
            raise ChoiceError(
                f"Nobody says which network the weights {path.name} are for.",
                "Name it: --network NAME (quickstudy networks lists them).",
            )
        network = max(guesses, key=len)
    return replace(described(network), weights=str(path.resolve()), why=f"you gave {path.name}")


def described(network: str) -> Offer:
    """Return an offer with the size, normalisation, cost and accuracy published for `network`."""
    maker = standard.known(network)
    plain = Offer(network, "none", 0.0, 0.0, 224, IMAGENET_MEAN, IMAGENET_STD, "")
    if maker == "torchvision":
        entry = _torchvision_entry(network)
        if entry is None:
            return plain
        form = entry.transforms()
        mean, std = tuple(form.mean), tuple(form.std)
        if network in ("googlenet", "inception_v3"):  # trained in TensorFlow on -1 to 1
            mean = std = (0.5, 0.5, 0.5)
        return Offer(
            network,
            "none",
            2e9 * entry.meta["_ops"],  # published as multiply-adds
            float(entry.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", 0.0)),
            int(form.crop_size[0]),
            mean,
            std,
            "",
        )
    if maker == "timm":
        import timm

        config = timm.get_pretrained_cfg(network)
        if config is None:
            return plain
        size = int(config.input_size[-1])
        return Offer(network, "none", 0.0, 0.0, size, tuple(config.mean), tuple(config.std), "")
    return plain


def _torchvision_entry(network: str) -> Any:
    import torchvision

    return getattr(torchvision.models.get_model_weights(network), "DEFAULT", None)


def published(network: str) -> bool:
    """Return whether anybody publishes weights for `network`."""
    return _url(network) is not None


def cached(network: str) -> Path | None:
    """Return the file of `network` in torchvision's or timm's hub cache, if it is there."""
    maker = standard.known(network)
    if maker == "torchvision":
        import torchvision

        for entry in torchvision.models.get_model_weights(network):
            file: Path = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
            if file.is_file():
                return file
    if maker == "timm":
        import timm
        from huggingface_hub import try_to_load_from_cache

        config = timm.get_pretrained_cfg(network)
        if config is not None and config.hf_hub_id:
            found = try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
            if isinstance(found, str):
                return Path(found)
    return None


def offers(
    network: str | None, asked: str | None, *, reach: bool = True
) -> tuple[list[Offer], str]:
    """Return the networks whose weights can be had, and a sentence if there are none.

    `asked` is a file, ``none``, or None for "see what is there". Tries the hub only where the
    caches hold nothing, and waits a few seconds at most.
    """
    if network == "compact" and asked not in (None, "none"):
        raise ChoiceError(
            "The compact network learns from scratch; it takes no weights.",
            "Name the network that the weights are for, or leave --weights out.",
        )
    if asked == "none" or network == "compact":
        return [], "no weights asked for"
    if asked is not None and asked.startswith(_HUB):  # a recipe of a run that fetched them
        name = asked.removeprefix(_HUB)
        return [replace(described(name), weights=asked, why="fetched from the hub")], ""
    if asked is not None:
        return [from_file(asked, network)], ""
    candidates = (network,) if network else standard.torchvision_names()
    found = [
        replace(described(name), weights=str(file), why="found in the cache")
        for name in candidates
        if (file := cached(name)) is not None
    ]
    if found:
        return found, ""
    if not reach:
        return [], "no weights in the cache, and the hub is out of reach"
    wanted = (network,) if network else LADDER
    urls = [u for name in wanted if (u := _url(name))]
    if not urls:
        return [], f"nobody publishes weights for {network}"
    if not reachable(urls[0]):
        return [], "no weights in the cache, and the hub is out of reach (offline)"
    return [
        replace(described(name), weights=f"{_HUB}{name}", why="fetched from the hub")
        for name in wanted
    ], ""


def _url(network: str) -> str | None:
    maker = standard.known(network)
    if maker == "torchvision":
        entry = _torchvision_entry(network)
        return None if entry is None else str(entry.url)
    if maker == "timm":
        import timm

        config = timm.get_pretrained_cfg(network)
        if config is not None and config.hf_hub_id:
            from huggingface_hub import hf_hub_url

            return str(hf_hub_url(config.hf_hub_id, "model.safetensors"))
    return None


def reachable(url: str, patience: float = _PATIENCE) -> bool:
    """Ask for the head of `url`; False after `patience` seconds, name look-up included."""
    ended, answers = threading.Event(), []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=patience):
                answers.append(True)
        finally:
            ended.set()

    threading.Thread(target=ask, daemon=True).start()
    ended.wait(patience)
    return bool(answers)


def fetch(weights: str, said: Callable[[str], None]) -> Path:
    """Return the local file of `weights`, fetching it first where it names the hub.

    Raises `WeightsError` when the hub fails half-way; nothing incomplete is left behind.
    """
    if not weights.startswith(_HUB):
        return Path(weights)
    network = weights.removeprefix(_HUB)
    url = _url(network)
    if url is None:
        raise WeightsError(f"Nobody publishes weights for {network}.", "Use --weights none.")
    if standard.known(network) == "timm":
        import timm
        from huggingface_hub import hf_hub_download

        config = timm.get_pretrained_cfg(network)
        try:
            file = hf_hub_download(config.hf_hub_id, "model.safetensors", etag_timeout=_PATIENCE)
        except (OSError, RuntimeError) as problem:  # the hub's errors are of both families
            raise WeightsError(
                f"Fetching {network} failed: {_first(problem)}.", "Use --weights none."
            ) from problem
        return Path(file)
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if target.is_file():  # planning fetched it already
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".part{os.getpid()}")
    try:
        _download(url, part, lambda done: said(f"fetching {target.name}: {done / 2**20:.0f} MB"))
        part.replace(target)
    except OSError as problem:
        raise WeightsError(
            f"Fetching {target.name} failed: {problem}.", "Try again, or use --weights none."
        ) from problem
    finally:
        part.unlink(missing_ok=True)
    return target


def _first(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)


def _download(url: str, target: Path, each: Callable[[int], None]) -> None:
    done = 0
    with urllib.request.urlopen(url, timeout=_PATIENCE) as source, target.open("wb") as out:
        expected = source.headers.get("Content-Length")
        while block := source.read(1 << 22):
            out.write(block)
            done += len(block)
            each(done)
    if expected is not None and done != int(expected):
        raise urllib.error.ContentTooShortError(f"{done} of {expected} bytes came", (str(target),))  # type: ignore[arg-type]
