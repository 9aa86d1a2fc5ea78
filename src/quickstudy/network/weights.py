"""Trained weights: a file, the hubs' caches, else the hub itself with a short timeout.

Nothing here unpickles: ``.safetensors``, or ``.pth`` through torch's `weights_only`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.network import Built, standard
from quickstudy.recipe import Offer
from quickstudy.recipe.plan import IMAGENET_MEAN, IMAGENET_STD

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
    return replace(_described(network), weights=str(path.resolve()), why=f"you gave {path.name}")


def _described(network: str) -> Offer:
    """Return an offer with the size, normalisation, cost and accuracy published for `network`."""
    maker = standard.known(network)
    plain = Offer(network, "none", 0.0, 0.0, 224, IMAGENET_MEAN, IMAGENET_STD, "")
    if maker == "torchvision":
        entry = _torchvision_entry(network)
        if entry is None:
            return plain
        form = entry.transforms()
        return Offer(
            network,
            "none",
            2e9 * entry.meta["_ops"],  # published as multiply-adds
            float(entry.meta["_metrics"].get("ImageNet-1K", {}).get("acc@1", 0.0)),
            int(form.crop_size[0]),
            tuple(form.mean),
            tuple(form.std),
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

    entries = torchvision.models.get_model_weights(network)
    found = getattr(entries, "DEFAULT", None)
    # the largest published files are trained for other sizes end to end; the default is the best
    return found


def cached(network: str) -> Path | None:
    """Return the file of `network` in torchvision's or timm's hub cache, if it is there."""
    maker = standard.known(network)
    if maker == "torchvision":
        import torchvision

        for entry in torchvision.models.get_model_weights(network):
            file = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
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
    if asked == "none" or network == "compact":
        return [], "no weights asked for"
    if asked is not None:
        return [from_file(asked, network)], ""
    candidates = (network,) if network else standard.torchvision_names()
    found = [
        replace(_described(name), weights=str(file), why="found in the cache")
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
        replace(_described(name), weights=f"{_HUB}{name}", why="fetched from the hub")
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
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=patience):
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(patience)


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
        return Path(hf_hub_download(config.hf_hub_id, "model.safetensors", etag_timeout=_PATIENCE))
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
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


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name.

    Raises `WeightsError` for a file that is not weights, or that only unpickling could open.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # each format raises its own family; all mean the same here
        raise WeightsError(
            f"The weights {path} cannot be read safely: {str(problem).splitlines()[0]}.",
            "Give a .safetensors file, or a .pth that holds tensors only.",
        ) from problem
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(f"The file {path} holds no named tensors.", "Give a state dict.")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def put(network: Built, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copy trained tensors into the body; the last layer and auxiliary ones stay fresh.

    Raises `WeightsError` naming the first tensors that do not fit.
    """
    own = network.module.state_dict()
    fresh = _fresh_prefixes(network)
    ours = {k: v for k, v in own.items() if not k.startswith(fresh)}
    theirs = {k: v for k, v in tensors.items() if not _replaced(k, network, fresh)}
    faults = [f"{k} is not there" for k in ours if k not in theirs and "num_batches" not in k]
    faults += [
        f"{k} is {tuple(theirs[k].shape)}, not {tuple(v.shape)}"
        for k, v in ours.items()
        if k in theirs and theirs[k].shape != v.shape
    ]
    faults += [f"{k} is not in the network" for k in theirs if k not in own]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise WeightsError(
            f"These weights do not fit {name}: {'; '.join(faults[:3])}{more}.",
            "Name the network they were trained for: --network NAME.",
        )
    auxiliary = {
        k: v
        for k, v in tensors.items()
        if k in own and k not in ours and k not in _last_keys(network) and own[k].shape == v.shape
    }
    network.module.load_state_dict({**theirs, **auxiliary}, strict=False)


def _last_keys(network: Built) -> tuple[str, str]:
    return f"{network.head}.weight", f"{network.head}.bias"


def _fresh_prefixes(network: Built) -> tuple[str, ...]:
    return (f"{network.head}.", "aux", "AuxLogits")


def _replaced(key: str, network: Built, fresh: tuple[str, ...]) -> bool:
    """Whether a file's tensor belongs to a layer that is learnt anew here."""
    old_squeezenet_head = network.head == "classifier.2" and key.startswith("classifier.")
    return key.startswith(fresh) or old_squeezenet_head
