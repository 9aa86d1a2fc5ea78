"""The report page: safe with any name, whole in itself, well formed, and nothing left unsaid."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quickstudy.report import SCHEMA, page, verdict, words, write

CARDS = 10
NASTY = '<script>alert("x")</script>&\'"'
VOID = {"br", "col", "img", "meta"}


def picture(seed: int) -> str:
    """Return a small made-up photo as a data URI."""
    y, x = np.mgrid[0:96, 0:128]
    waves = [127 + 120 * np.sin((x * (seed % 5 + 1) + y * c) / 30 + seed) for c in (1, 2, 3)]
    file = io.BytesIO()
    Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def resnet(blocks: int) -> list[dict[str, Any]]:
    """Return layers shaped like a deep residual network, eight to a block."""
    found = [layer("conv1", "Conv2d", "3 -> 64, 7x7, stride 2", [64, 112, 112], 9408, 236e6)]
    for n in range(blocks):
        stage = f"layer{1 + 4 * n // max(blocks, 1)}"
        for i in range(1, 4):
            at, size = f"{stage}.{n}", [256, 28, 28]
            found.append(layer(f"{at}.conv{i}", "Conv2d", "256 -> 256, 3x3", size, 590080, 231e6))
            found.append(layer(f"{at}.bn{i}", "BatchNorm2d", "256", size, 512, 0.4e6))
        found.append(layer(f"{at}.relu", "ReLU", "", size, 0, 0.2e6))
        found.append(layer(f"{at}.add", "Add", "residual", size, 0, 0.2e6))
    found.append(layer("avgpool", "AdaptiveAvgPool2d", "1x1", [256, 1, 1], 0, 0.2e6))
    return [*found, layer("fc", "Linear", "256 -> 10", [10], 2570, 5120)]


def layer(
    path: str, function: str, detail: str, output: Any, held: int, cost: float
) -> dict[str, Any]:
    return {
        "path": path,
        "function": function,
        "detail": detail,
        "output": output,
        "parameters": held,
        "flops": int(cost),
    }


def scores(classes: list[str], each: int) -> dict[str, Any]:
    """Return a made-up test: most right, each class worse than the one before."""
    k = len(classes)
    confusion = np.zeros((k, k), int)
    for i in range(k):
        confusion[i, i] = each - (wrong := min(each, 1 + 7 * i // k))
        confusion[i, (i + 1) % k] += wrong
    right = int(np.trace(confusion))
    n = k * each
    spread = 1.96 * math.sqrt(right / n * (1 - right / n) / n)
    mistakes = [
        {
            "name": f"{classes[i % k]}/{i} {NASTY}.jpg",
            "true": classes[i % k],
            "predicted": classes[(i + 1) % k],
            "probability": 0.9999 - 0.02 * i,
            "picture": picture(i),
            "sound": None,
        }
        for i in range(CARDS)
    ]

    def one(i: int) -> dict[str, Any]:
        recall = confusion[i, i] / each
        low, high = max(0.0, recall - 0.05), min(1.0, recall + 0.03)
        return {
            "n": each,
            "precision": recall,
            "precision_interval": [low, high],
            "recall": recall,
            "recall_interval": [low, high],
            "f1": recall,
        }

    score = {"value": right / n, "interval": [right / n - spread, right / n + spread]}
    return {
        "task": "classification",
        "n": n,
        "accuracy": right / n,
        "interval": [right / n - spread, right / n + spread],
        "baseline": {"class": classes[0], "accuracy": 1 / k},
        "balanced_accuracy": score,
        "macro_f1": score,
        "log_loss": {"value": 0.112, "interval": [0.071, 0.158]},
        "top5": score,
        "per_class": {name: one(i) for i, name in enumerate(classes)},
        "confusion": confusion.tolist(),
        "mistakes": mistakes,
    }


def curves(points: int = 60, end: float = 420.0) -> list[dict[str, Any]]:
    found = []
    for i in range(1, points + 1):
        share = i / points
        val = i % 5 == 0
        found.append(
            {
                "seconds": end * share,
                "step": 40 * i,
                "epoch": 0.2 * i,
                "loss": 0.05 + 0.64 * math.exp(-4 * share) + 0.03 * math.sin(9 * i),
                "lr": 0.1 * math.sin(math.pi * share**0.5),
                "size": 64 if share < 0.4 else 128 if share < 0.8 else 224,
                "val_loss": 0.12 + 0.5 * math.exp(-4 * share) if val else None,
                "val_score": 0.967 - 0.4 * math.exp(-4 * share) if val else None,
            }
        )
    return found


def recipe() -> dict[str, Any]:
    def choice(value: Any, why: str) -> dict[str, Any]:
        return {"value": value, "why": why}

    return {
        "network.name": choice("squeezenet1_0", "you set it"),
        "network.weights": choice(
            "ImageNet", "found in the cache; nothing larger fits 10 min here"
        ),
        "network.activation": choice(None, "the network brings its own"),
        "picture.size": choice(224, "the median photo is 300 px wide"),
        "picture.mean": choice([0.485, 0.456, 0.406], "the weights were learnt with these"),
        "picture.flip": choice(
            True, "left and right mean the same in photos: 12 of 12 trials agree"
        ),
        "training.optimiser": choice("sgd", "momentum 0.9 with Nesterov: best of 3 in the race"),
        "training.rate": choice(0.1, "a tenth of where the loss began to rise"),
        "loss.name": choice("cross_entropy", "one label an example"),
        "seed": choice(0, "you set it; the usual is 1"),
    }


def data(classes: list[str], each: int, out: int) -> dict[str, Any]:
    parts = {"train": 850, "val": 100, "test": each}
    return {
        "kind": "image",
        "classes": classes,
        "counts": {part: dict.fromkeys(classes, n) for part, n in parts.items()},
        "left_out": [
            {"name": f"cat/{n}{NASTY}\n.jpg", "reason": "the file is empty"} for n in range(out)
        ],
        "notes": ["class 'fox' is missing from test"],
        "duplicates": {"identical": 3, "near": 5, "leaks": 1},
        "sizes": {"width": 300, "height": 225},
        "remarks": [{"name": f"dog/1{NASTY}.png", "reason": "it is JPEG inside"}],
        "suspects": [
            {
                **{"name": f"cat/2{NASTY}.jpg", "part": "train", "label": "cat"},
                **{"instead": "dog", "probability": 0.97, "left_out": True},
                **{"picture": None, "sound": None},
            }
        ],
        "doubts": {"looked": 1900, "how": "features", "noise": 0.02, "why_not": None}
        | {"found": 1, "left_out": 1},
        "findings": [finding()],
    }


def finding() -> dict[str, Any]:
    """One sort of what was found wrong with the data."""
    shown = dict.fromkeys(("picture", "sound", "other_picture", "other_sound"))
    one = {"file": f"cat/3{NASTY}.jpg", "problem": f"blank{NASTY}", "other": f"dog/3{NASTY}.jpg"}
    return {
        **{"check": "blank", "severity": "serious", "said": f"blank{NASTY}", "fix": "Leave it."},
        **{"count": 1, "findings": [one | shown]},
    }


def calibration() -> dict[str, Any]:
    """How far the probabilities and the promises hold."""

    def share(value: float) -> dict[str, Any]:
        return {"value": value, "interval": [value - 0.02, min(1.0, value + 0.02)]}

    held = {"asked": 0.9, "promised": 0.95, "share": share(0.95), "size": 1.1, "single": 0.9}
    bins = [
        {"from": at, "to": at + 0.5, "confidence": at + 0.25, "accuracy": at + 0.2, "n": 100}
        | {"interval": [at, at + 0.4]}
        for at in (0.0, 0.5)
    ]
    tried = {"energy": {f"noise{NASTY}": 0.9}}
    test = {"n": 200, "refused": share(0.04), "answered": share(0.97), "rest": share(0.5)}
    return {
        "reliability": {"n": 200, "ece": share(0.02), "plain": 0.03, "bins": bins},
        "selective": {"curve": [[0.5, 0.99], [1.0, 0.96]], "aurc": 0.01, "excess": 0.004},
        "sets": {"n": 100, "measured": [{**held, "name": f"x{NASTY}", "possible": True}]},
        "unknown": {
            **{"why": None, "measure": "energy", "n": 100, "learnt": 850, "tried": tried},
            "test": test,
        },
    }


def beside(n: int) -> dict[str, Any]:
    """What stands beside the scores: whether they are enough, and slices of the test."""
    one = {"by": f"brightness{NASTY}", "name": "the darkest quarter", "n": n // 4, "score": 0.7}
    one |= {"interval": [0.5, 0.8], "rest": 0.96, "p": 0.001, "worse": True}
    other = {**one, "by": "size", "name": "the largest quarter", "p": 1.0, "worse": False}
    said = f"Clearly worse on the darkest quarter{NASTY}."
    return {
        "enough": {"few": False, "n": n, "needed": 469, "within": 0.02, "sentence": ""},
        "slices": {"worst": one, "sentence": said, "tested": 2, "slices": [one, other]},
    }


def data_curve() -> dict[str, Any]:
    def score(value: float) -> dict[str, Any]:
        return {"value": value, "interval": [value - 0.02, value + 0.02]}

    return {
        "why": None,
        "how": f"the last layer{NASTY}",
        "on": "cross-validation",
        "learnt": [190, 380, 760],
        "asked": 950,
        "scores": [score(0.91), score(0.95), score(0.967)],
        "train": score(0.99),
        "gain": {"value": 0.017, "interval": [0.006, 0.029]},
        "verdict": "data",
        "sentence": f"More data would help: by +1.7 points{NASTY}.",
        "seconds": 1.5,
    }


def race() -> dict[str, Any]:
    def one(name: str, out: str) -> dict[str, Any]:
        points = [
            {"spent": 8.0, "passes": 1.1, "score": 0.5, "loss": 1.2},
            {"spent": 16.0, "passes": 2.2, "score": 0.6, "loss": 1.0},
        ]
        changes = {} if name == "the plan" else {"optimizer.lr": 0.05}
        told = {"name": name, "changes": changes, "lead": 1.0, "out": out}
        return {**told, "spent": 16.0, "points": points}

    won = {"number": 0, "name": "the plan", "why": NASTY, "share": 0.1, "took": 33.0}
    return {"contenders": [one("the plan", ""), one(f"rate 0.05{NASTY}", NASTY)], "won": won}


def search() -> dict[str, Any]:
    def row(number: int, plan: bool, score: float) -> dict[str, Any]:
        return {
            **{"number": number, "again": None, "rung": 0, "state": "done", "why": NASTY},
            **{"plan": plan, "val_score": score, "val_loss": 0.2, "seconds": 25.0, "passes": 9.5},
            "differs": {} if plan else {"optimizer.lr": 0.0123},
        }

    judged = {"loss": 0.26, "score": 0.96, "standard_errors": 2.4}
    return {
        **{"score_name": "accuracy", "budget": 1200.0, "seconds": 600.0, "recipes": 2},
        **{"winner": 1, "plan": 0, "importance_of": 9, "rungs": [25.0, 100.0]},
        "importance": [{"key": f"optimizer.lr{NASTY}", "share": 0.7}],
        "board": [row(1, False, 0.96), row(0, True, 0.95)],
        "ensemble": {
            **{"ships": "ensemble", "n": 90, "alone": {"loss": 0.28, "score": 0.95}},
            "members": [{"trial": None, "weight": 0.6}, {"trial": 1, "weight": 0.4}],
            "ensemble": judged | {"times_as_long": 2.2},
            "distilled": judged,
            "sentences": [f"The ensemble ships{NASTY}."],
        },
        "sentences": [f"The recipe of trial 1 was best on val{NASTY}."],
    }


def fixture(
    classes: list[str] | None = None, each: int = 150, blocks: int = 2, out: int = 23
) -> dict[str, Any]:
    classes = classes or ["cat", "dog"]
    layers = resnet(blocks)
    return {
        "schema": SCHEMA,
        "title": "cats_dogs",
        "made": "2026-11-23T02:40:00+00:00",
        "source": "cats_dogs/",
        "command": "quickstudy learn cats_dogs/ --budget 10m --seed 0",
        "budget": 600.0,
        "outcome": {
            "status": "interrupted",
            "notes": ["You pressed Ctrl-C: the best model is kept."],
        },
        "task": "classification",
        "data": data(classes, each, out),
        "test": scores(classes, each) | beside(each * len(classes)),
        "data_curve": data_curve(),
        "calibration": calibration(),
        "groups": None,
        "val": {"n": 200, "score": 0.955},
        "curves": curves(),
        "race": race(),
        "search": search(),
        "candidates": [
            {
                "name": "head on the frozen body",
                "val_score": 0.95,
                "val_loss": 0.12,
                "chosen": True,
            },
            {"name": "from nothing", "val_score": 0.71, "val_loss": 0.55, "chosen": False},
        ],
        "waiting": 0.012,
        "augmenting": 0.08,
        "steps": 1_840,
        "events": [{"seconds": 100.2, "what": "loss was NaN at step 120: back to step 100"}],
        "network": {
            "name": "resnet-like",
            "parameters": sum(one["parameters"] for one in layers),
            "flops": sum(one["flops"] for one in layers),
            "input": [3, 224, 224],
            "layers": layers,
        },
        "recipe": recipe(),
        "seconds": {
            **{"start": 2.9, "look": 0.4, "plan": 1.0, "decode": 12.1, "train": 420.0},
            **{"evaluate": 16.0, "save": 0.5, "total": 455.0},
        },
        "versions": {"quickstudy": "0.1.0", "torch": "2.15.0", "python": "3.11.7"},
        "hardware": {
            **{
                "processor": "AMD EPYC",
                "cores": 2,
                "memory_gb": 23.4,
                "gpu": None,
                "device": "cpu",
            },
            "measured": ["keeping memory: 53 against 25 pictures/s"],
        },
    }


def group_score(n: int, accuracy: float, low: float, high: float, how: str) -> dict[str, Any]:
    return {"n": n, "accuracy": accuracy, "interval": [low, high], "from": how}


def suggested(
    known: dict[str, Any] | None = None, new: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return groups that file names suggest: clearly worse on new ones, unless told otherwise."""
    return {
        "field": "the 2nd part of the file name",
        "count": 3,
        "examples": ["anna", "ben", "cleo"],
        "known": known or group_score(300, 0.997, 0.981, 0.999, "test"),
        "new": new or group_score(450, 0.82, 0.782, 0.853, "rehearsal"),
        "declared": False,
        "rehearsed": None,
        "held": ["ben"],
    }


def recordings(**changed: Any) -> dict[str, Any]:
    """Return the report of a run on sound."""
    report = fixture(blocks=1) | {"groups": suggested()} | changed
    report["data"] |= {
        "kind": "sound",
        "sizes": {"rate": 8000, "seconds": 0.4216, "longest": 2.3},
        "remarks": [{"name": f"3_{NASTY}_{n}.wav", "reason": "clipped"} for n in range(25)],
    }
    for n, one in enumerate(report["test"]["mistakes"]):
        one["sound"] = "data:audio/mpeg;base64," + base64.b64encode(bytes([n] * 9)).decode()
    report["curves"] = [one | {"size": 5600} for one in report["curves"]]
    report["network"] |= {"input": [5600]}
    report["hardware"] |= {"measured": []}
    report["recipe"] = {
        "method": {"value": "scratch", "why": "there are no weights for sound"},
        "sound.rate": {"value": 8000, "why": "what the files have"},
        "sound.window": {"value": 0.7, "why": "19 of 20 are no longer"},
        "augment.gain": {"value": 6.0, "why": "distances change"},
    }
    report["seconds"] |= {"rehearse": 21.9, "total": 500.0}
    return report


def prose(report: Mapping[str, Any]) -> str:
    """Return the visible text of a page, with plain spaces."""
    return "".join(read(page(report)).said).replace("\u00a0", " ")


class Reader(HTMLParser):
    """Check that tags balance; gather the visible text and every link."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for key, value in attrs:
            assert not key.startswith("on"), f"a handler: {key}"
            if key in {"src", "href", "srcset", "action", "poster", "data"}:
                self.links.append(value or "")
            if key == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(made: str) -> Reader:
    reader = Reader()
    reader.feed(made)
    reader.close()
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    return reader


REPORTS = {
    "two classes": fixture(),
    "ten classes": fixture([f"class {n}" for n in range(9)] + [NASTY], each=40),
    "150 classes": fixture([f"kind_of_bird_{n:03}" for n in range(150)], each=10, blocks=75),
    "sound": recordings(),
}


@pytest.mark.parametrize("name", REPORTS)
def test_page_is_well_formed_and_needs_nothing_else(name: str) -> None:
    made = page(REPORTS[name])
    reader = read(made)
    assert not re.search(r"(?<!\w)(https?:)?//\w|url\(|@import", made.replace("base64,", ""))
    assert all(link.startswith(("data:image/", "data:audio/", "#")) for link in reader.links)
    assert {link[1:] for link in reader.links if link[0] == "#"} <= set(reader.ids)
    assert not reader.tags & {"script", "iframe", "object", "link", "base", "form"}


@pytest.mark.parametrize("name", REPORTS)
def test_page_names_every_file_left_out_and_every_choice(name: str) -> None:
    said = "".join(read(page(REPORTS[name])).said)
    for left in [*REPORTS[name]["data"]["left_out"], *REPORTS[name]["data"]["remarks"]]:
        assert left["name"].replace("\n", "\\n") in said
        assert left["reason"] in said
    for key, choice in REPORTS[name]["recipe"].items():
        assert key in said and choice["why"] in said
    for one in REPORTS[name]["network"]["layers"]:
        assert one["path"] in said
    for class_ in REPORTS[name]["data"]["classes"]:
        assert class_ in said


def test_names_are_text_never_markup() -> None:
    report = fixture([NASTY, "a\nb\x00\u0085"])
    for key in ("title", "source", "command"):
        report[key] = NASTY
    made = page(report)
    read(made)
    assert "<script" not in made and "\x00" not in made
    assert html.escape(NASTY) in made
    assert "a\\nb\\x00\\x85" in made


@pytest.mark.parametrize("key", ["picture", "sound"])
@pytest.mark.parametrize(
    "link",
    [
        "http" + "://example.org/x",
        "//example.org/x",
        "javascript:example.org",
        "data:text/html,example.org",
        " data:image/example.org",
        " data:audio/example.org",
        ["data:image/example.org", "data:audio/example.org"],
    ],
)
def test_what_is_no_picture_or_sound_of_its_own_is_not_let_in(key: str, link: Any) -> None:
    report = recordings()
    report["test"]["mistakes"][0][key] = link
    assert "example.org" not in page(report)


def test_a_sound_is_no_picture_and_a_picture_no_sound() -> None:
    report = recordings()
    one = report["test"]["mistakes"][0]
    one["picture"], one["sound"] = one["sound"], one["picture"]
    report["test"]["mistakes"] = [one]
    made = page(report)
    read(made)
    assert "<img" not in made and "<audio" not in made and "no spectrogram" in made


def test_the_policy_lets_in_data_and_styles_only() -> None:
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    assert html.escape(policy, quote=True) in page({})


def test_mistakes_of_sound_can_be_seen_and_played() -> None:
    report = recordings()
    made = page(report)
    players = re.findall(r"<audio ([^>]*)></audio>", made)
    pictures = re.findall(r"<img ([^>]*)>", made)
    assert len(players) == len(pictures) == CARDS
    for one, player, shown in zip(report["test"]["mistakes"], players, pictures, strict=True):
        name = html.escape(one["name"])
        assert player == (f'controls preload="none" src="{one["sound"]}" aria-label="Play {name}"')
        assert f'src="{one["picture"]}"' in shown
        assert f'alt="Spectrogram of {name}: truly {one["true"]}, taken for ' in shown
    assert 'class="pictures sounds"' in made
    assert "time runs to the right, high tones are up, and brighter is louder" in made
    assert "the beginning is shown" not in made
    report["data"]["sizes"]["longest"] = 12.0
    assert "the beginning is shown" in page(report)


def test_a_mistake_whose_file_has_gone_keeps_its_card() -> None:
    report = recordings()
    report["test"]["mistakes"][0] |= {"picture": None, "sound": None}
    made = page(report)
    assert made.count("<audio") == CARDS - 1 and made.count("no spectrogram") == 1


def test_mistakes_of_pictures_have_no_player() -> None:
    made = page(fixture())
    assert "<audio" not in made and "pictures sounds" not in made and "Spectrogram" not in made


def test_recordings_are_not_called_pictures() -> None:
    report = recordings()
    said = prose(report).partition("How good is it?")[2]
    assert "picture" not in said.lower()
    assert "A row is what the recordings truly are" in said
    assert "correct on 300 recordings it never saw" in said
    assert "The recordings: median length 0.42 s, longest 2.3 s, 8,000 Hz." in said
    assert "Input: 5,600 samples: 0.7 s at 8,000 Hz" in said
    report["test"] |= {"accuracy": 1.0, "confusion": [[150, 0], [0, 150]], "mistakes": []}
    assert "There were no mistakes on the test recordings." in prose(report)


def test_a_size_that_never_changes_is_no_curve() -> None:
    assert "Picture size, px" in page(fixture())
    report = recordings()
    assert "Samples heard at once" not in page(report)
    report["curves"][0]["size"] = 2800
    assert "Samples heard at once" in page(report)


def test_remarks_are_listed_and_many_fold_away() -> None:
    made = page(recordings())
    title, more = made.index("Odd, but used: 25"), made.index("The other 5<")
    first, last = (made.index(f"3_{html.escape(NASTY)}_{n}.wav") for n in (19, 20))
    assert title < first < more < last
    assert "Odd, but used: 1<" in page(fixture())
    assert "Odd, but used" not in page(fixture() | {"data": fixture()["data"] | {"remarks": []}})


def test_a_rehearsal_has_its_place_and_colour_among_the_stages() -> None:
    made = page(recordings())
    bar = re.findall(r'<span class="(t\d)" style="[^"]*" title="(\w+)"', made)
    names = [name for _, name in bar]
    assert names.index("evaluate") < names.index("rehearse") < names.index("save")
    looks = {name: look for look, name in bar}
    assert names[-1] == "other" and len(set(looks.values())) == len(names)
    for look in looks.values():
        assert re.search(rf"--{look}:#", made) and f".{look}{{background:var(--{look})}}" in made


def test_worse_on_new_groups_is_said_first_and_loudly() -> None:
    report = recordings()
    worse = verdict.cautions(report)[0].replace("\u00a0", " ")
    assert (
        "never met it does clearly worse than on those it has met: 82.0 % against 99.7 %" in worse
    )
    said = prose(report)
    assert "82.0 % correct on groups it has never met, in a rehearsal (95 % sure: 78.2 to" in said
    assert said.index("Groups it has met, and new ones") < said.index("Class by class")
    assert "expect about 82.0 % there, not 99.7 %" in said
    assert "300 recordings of the test" in said and "95 % sure: 98.1 to 99.9 %" in said
    assert "450 recordings, in a rehearsal" in said and "95 % sure: 78.2 to 85.3 %" in said
    assert "by the 2nd part of the file name there seem to be 3: anna, ben, cleo." in said
    assert "in part of the time, without ben, and was asked about that group" in said
    assert "Only one group was held out: others may be easier or harder" in said
    assert "declare them: --group-from '{label}_{group}_{n}'" in said
    assert '<a href="#groups">' in page(report)


@pytest.mark.parametrize(
    ("new", "meaning"),
    [
        (group_score(40, 0.998, 0.99, 0.9999, "test"), "No clear difference"),
        (group_score(40, 0.96, 0.9, 0.985, "test"), "No clear difference"),
        (group_score(40, 0.999, 0.9995, 1.0, "test"), "It did better on groups it has never met"),
        ({"n": 40, "accuracy": 0.98, "interval": None, "from": "test"}, "is not known"),
    ],
)
def test_no_caution_where_new_groups_are_not_clearly_worse(
    new: dict[str, Any], meaning: str
) -> None:
    report = recordings(groups=suggested(new=new))
    assert not [said for said in verdict.cautions(report) if "never met" in said]
    said = prose(report)
    assert meaning in said
    assert "40 recordings of the test" in said and "rehearsal" not in said


def test_all_groups_met() -> None:
    report = recordings(groups=suggested() | {"new": None, "held": []})
    assert any("on new ones it may do worse" in said for said in verdict.cautions(report))
    said = prose(report)
    assert "It has met all of these groups" in said and "300 recordings of the test" in said
    assert "Groups it has never met" not in said and "rehearsal:" not in said
    assert "declare them" in said


def test_only_new_groups_in_the_test() -> None:
    new = group_score(300, 0.9, 0.86, 0.93, "test")
    report = recordings(groups=suggested(new=new) | {"known": None})
    said = prose(report)
    assert "correct on groups it has never met" not in said  # the headline is this score
    assert "Too few examples of groups it has met" in said
    report["groups"]["known"] = group_score(270, 0.99, 0.97, 0.999, "val")
    said = prose(report)
    assert "270 recordings of val, which steered the training" in said
    assert "clearly worse" in " ".join(verdict.cautions(report))


def test_a_rehearsal_without_many_groups() -> None:
    report = recordings(groups=suggested() | {"count": 40, "held": list("abcdefg")})
    report["recipe"]["method"] = {"value": "finetune", "why": "there is time"}
    said = prose(report)
    assert "there seem to be 40, such as anna, ben, cleo." in said
    assert "without groups such as a, b, c, d, e, f, and was asked about those" in said
    assert "Only some groups were held out" in said and "only the last layer" in said


def test_hostile_groups_and_fields_are_text() -> None:
    report = recordings(
        groups=suggested() | {"field": NASTY, "examples": [NASTY, "a\n\x00b"], "held": [NASTY]}
    )
    report["groups"]["new"] |= {"from": NASTY}
    report["groups"]["known"] |= {"from": [NASTY]}
    for how in (NASTY, "rehearsal"):
        report["groups"]["new"]["from"] = how
        made = page(report)
        read(made)
        assert "<script" not in made and "\x00" not in made
        assert html.escape(NASTY) in made and "a\\n\\x00b" in made


@pytest.mark.parametrize("made", [fixture, recordings])
def test_reports_from_before_sound_still_make_a_page(made: Any) -> None:
    report = made()
    for inside, key in (
        *((report, key) for key in ("groups",)),
        *((report["data"], key) for key in ("kind", "remarks", "sizes")),
        *((one, "sound") for one in report["test"]["mistakes"]),
    ):
        del inside[key]
    said = prose(report)
    assert 'href="#groups"' not in page(report)
    assert "correct on 300 examples it never saw" in said
    assert "A row is what the examples truly are" in said
    assert not [one for one in verdict.cautions(report) if "met" in one]


@pytest.mark.parametrize("groups", [None, {}, [], "x", {"field": None}, {"new": 3, "held": "x"}])
def test_groups_that_say_nothing(groups: Any) -> None:
    made = page(fixture() | {"groups": groups})
    read(made)
    assert ('id="groups"' in made) == (isinstance(groups, dict) and bool(groups))


def test_the_command_is_exact() -> None:
    report = fixture() | {"command": "quickstudy learn 'a b/' \\\n  --seed 0"}
    assert "learn &#x27;a b/&#x27; \\\n  --seed 0" in page(report)


def test_headline_in_plain_words() -> None:
    report = fixture()
    report["test"] |= {"n": 300, "accuracy": 0.967, "interval": [0.94, 0.982]}
    report["test"] |= {"confusion": [[147, 3], [7, 143]]}
    said = "".join(read(page(report)).said).replace("\u00a0", " ")
    assert "96.7 % correct on 300 pictures it never saw (95 % sure: 94.0 to 98.2 %)" in said
    assert "Guessing the commonest class (cat) would score 50 %." in said
    assert "It mistakes “dog” for “cat” more often than “cat” for “dog” (7 against 3)." in said
    assert "You pressed Ctrl-C" in said


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ([0.45, 0.8], "not clearly better than guessing"),
        ([0.45, 0.8], "a range of 35 points"),
        ([0.2, 0.29], "worse than guessing"),
    ],
)
def test_cautions(interval: list[float], word: str) -> None:
    report = fixture()
    report["test"] |= {"interval": interval}
    assert word in " ".join(verdict.cautions(report))


def test_no_caution_without_cause() -> None:
    report = fixture()
    report["test"] |= {"interval": [0.94, 0.982]}
    assert verdict.cautions(report) == []


def test_without_a_test_the_page_says_so() -> None:
    report = fixture() | {"test": None}
    said = "".join(read(page(report)).said).replace("\u00a0", " ")
    assert "95.5 % correct on 200 pictures of val" in said
    assert "There is no test score" in said
    assert "never saw" not in said


def test_no_mistakes() -> None:
    report = fixture()
    report["test"] |= {"accuracy": 1.0, "confusion": [[150, 0], [0, 150]], "mistakes": []}
    said = "".join(read(page(report)).said)
    assert "no mistakes on the test pictures" in said
    assert "It made no mistake on the test." in said


def leaves(report: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in report.items():
        yield (*at, key)
        if isinstance(value, Mapping):
            yield from leaves(value, (*at, key))


WHOLE = json.dumps(fixture(blocks=1, out=1) | {"groups": suggested()})
HEARD = json.dumps(recordings())


@pytest.mark.parametrize("key", ["kind", "sizes.rate", "sizes.seconds", "sizes.longest", "remarks"])
def test_any_fact_of_recordings_may_be_missing_or_null(key: str) -> None:
    for drop in (True, False):
        report = json.loads(HEARD)
        inside, last = report["data"], key.rpartition(".")[2]
        if "." in key:
            inside = inside["sizes"]
        inside[last] = None
        if drop:
            del inside[last]
        read(page(report))


@pytest.mark.parametrize("path", list(leaves(json.loads(WHOLE))), ids=".".join)
def test_any_key_may_be_missing_or_null(path: tuple[str, ...]) -> None:
    for drop in (True, False):
        report = json.loads(WHOLE)
        inside = report
        for key in path[:-1]:
            inside = inside[key]
        if drop:
            del inside[path[-1]]
        else:
            inside[path[-1]] = None
        read(page(report))


def test_empty_reports() -> None:
    read(page({}))
    shell: dict[str, Any] = {
        key: [] if isinstance(value, list) else {} if isinstance(value, dict) else value
        for key, value in fixture().items()
    }
    read(page(shell))


def test_ten_thousand_files_left_out_fold_away() -> None:
    made = page(fixture(out=10_000))
    before, after = made.split("The other 9,980", 1)
    assert "cat/19&lt;" in before and "cat/20&lt;" not in before
    assert "cat/9999&lt;" in after


def test_write(tmp_path: Path) -> None:
    report = fixture()
    report["data"]["left_out"] = [{"name": "caf\udce9.jpg", "reason": "not a picture"}]
    report["val"] = {"n": np.int64(200), "accuracy": np.float64(0.955)}
    report["curves"][0]["loss"] = float("nan")
    target = write(report, tmp_path / "run")
    assert target == tmp_path / "run" / "report.html"
    assert {file.name for file in target.parent.iterdir()} == {"report.json", "report.html"}
    back = json.loads((target.parent / "report.json").read_text("utf-8"))
    assert next(iter(back)) == "schema"
    assert back["data"]["left_out"][0]["name"] == "caf\udce9.jpg"
    assert back["val"] == {"n": 200, "accuracy": 0.955}
    assert back["curves"][0]["loss"] is None
    assert back["test"] == report["test"]
    assert "caf\\udce9.jpg" in target.read_text("utf-8")


def test_write_keeps_the_old_report_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(fixture(), tmp_path)
    before = (tmp_path / "report.json").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        write(fixture() | {"title": "new"}, tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"report.json", "report.html"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (words.percent(0.967), "96.7 %"),
        (words.percent(0.5), "50.0 %"),
        (words.percent(0.5, short=True), "50 %"),
        (words.percent(0.99999), "99.9 %"),
        (words.percent(0.00001), "0.1 %"),
        (words.percent(1.0), "100 %"),
        (words.percent(0), "0 %"),
        (words.percent(None), "–"),
        (words.percent(float("nan")), "–"),
        (words.span([0.94, 0.982]), "94.0 to 98.2 %"),
        (words.clock(2.9), "2.9 s"),
        (words.clock(33), "33 s"),
        (words.clock(59.7), "1:00"),
        (words.clock(220), "3:40"),
        (words.clock(3723), "1:02:03"),
        (words.length(0.4216), "0.42 s"),
        (words.length(2.3), "2.3 s"),
        (words.length(2), "2 s"),
        (words.length(33.3), "33 s"),
        (words.length(3723), "1:02:03"),
        (words.length(None), "–"),
        (words.magnitude(1_248_424), "1.2 M"),
        (words.magnitude(736_450), "736 k"),
        (words.magnitude(999_999), "1.0 M"),
        (words.magnitude(512), "512"),
        (words.operations(727_000_000), "0.73 GFLOPs"),
        (words.operations(35_000_000), "35.0 MFLOPs"),
        (words.operations(11_600_000_000), "11.6 GFLOPs"),
        (words.setting(1e-5), "1e-05"),
        (words.setting([]), "none"),
        (words.moment("2026-11-23T02:40:00+00:00"), "2026-11-23 02:40 UTC"),
        (words.moment("yesterday"), "yesterday"),
    ],
)
def test_numbers_in_words(made: str, said: str) -> None:
    assert made.replace("\u00a0", " ") == said
