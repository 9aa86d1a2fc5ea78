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

from quickstudy.report import SCHEMA, page, words, write

NASTY = '<script>alert("x")</script>&\'"'
DOCS = Path(__file__).parents[1] / "docs" / "report.md"
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
        }
        for i in range(10)
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
        "n": n,
        "accuracy": right / n,
        "interval": [right / n - spread, right / n + spread],
        "baseline": {"class": classes[0], "accuracy": 1 / k},
        "balanced_accuracy": score,
        "macro_f1": score,
        "log_loss": {"value": 0.112, "interval": [0.071, 0.158]},
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
                "val_accuracy": 0.967 - 0.4 * math.exp(-4 * share) if val else None,
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
        "data": data(classes, each, out),
        "test": scores(classes, each),
        "val": {"n": 200, "accuracy": 0.955},
        "curves": curves(),
        "candidates": [
            {
                "name": "head on the frozen body",
                "val_accuracy": 0.95,
                "val_loss": 0.12,
                "chosen": True,
            },
            {"name": "from nothing", "val_accuracy": 0.71, "val_loss": 0.55, "chosen": False},
        ],
        "waiting": 0.012,
        "augmenting": 0.08,
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
}


@pytest.mark.parametrize("name", REPORTS)
def test_page_is_well_formed_and_needs_nothing_else(name: str) -> None:
    made = page(REPORTS[name])
    reader = read(made)
    assert not re.search(r"(?<!\w)(https?:)?//\w|url\(|@import", made.replace("base64,", ""))
    assert all(link.startswith(("data:image/", "#")) for link in reader.links)
    assert {link[1:] for link in reader.links if link[0] == "#"} <= set(reader.ids)
    assert not reader.tags & {"script", "iframe", "object", "link", "base", "form"}


@pytest.mark.parametrize("name", REPORTS)
def test_page_names_every_file_left_out_and_every_choice(name: str) -> None:
    said = "".join(read(page(REPORTS[name])).said)
    for left in REPORTS[name]["data"]["left_out"]:
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


def test_a_picture_that_is_a_link_is_not_followed() -> None:
    report = fixture()
    report["test"]["mistakes"][0]["picture"] = "http" + "://example.org/x.jpg"
    assert "example.org" not in page(report)


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
    assert word in " ".join(words.cautions(report))


def test_no_caution_without_cause() -> None:
    report = fixture()
    report["test"] |= {"interval": [0.94, 0.982]}
    assert words.cautions(report) == []


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


@pytest.mark.parametrize("path", list(leaves(fixture())), ids=".".join)
def test_any_key_may_be_missing_or_null(path: tuple[str, ...]) -> None:
    for drop in (True, False):
        report = json.loads(json.dumps(fixture(blocks=1, out=1)))
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


def test_the_documentation_explains_every_key() -> None:
    documented = set(re.findall(r"^\| `([^`]+)`", DOCS.read_text("utf-8"), re.M))
    free = {
        ("data", "counts"): "<part>",
        ("data", "counts", "<part>"): "<class>",
        ("test", "per_class"): "<class>",
        ("recipe",): "<choice>",
        ("seconds",): "<stage>",
        ("versions",): "<library>",
    }

    def keys(value: Any, at: tuple[str, ...]) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, inside in value.items():
                here = (*at, free.get(at, key))
                yield ".".join(here)
                yield from keys(inside, here)
        elif isinstance(value, list):
            for inside in value:
                yield from keys(inside, (*at[:-1], f"{at[-1].removesuffix('[]')}[]"))

    used = set(keys(fixture(), ()))
    assert used - documented == set()
    assert documented - used == set()
