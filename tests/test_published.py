"""The published recipes: what they say is what was published, and each is one command."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from quickstudy import cli
from quickstudy.errors import ChoiceError
from quickstudy.recipe import plan
from quickstudy.recipe.published import about, names, published, taken
from quickstudy.training.schedules import share_of_rate
from test_recipe import LAPTOP, PHOTOS

CLASSES = 1000
ROOT = Path(__file__).resolve().parents[1]


def test_there_are_the_two() -> None:
    assert names() == ("imagenet-googlenet", "imagenet-resnet152")


@pytest.mark.parametrize("name", names())
def test_every_value_has_its_place_and_the_top_says_what_to_expect(name: str) -> None:
    choices = published(name)
    assert all(len(why) > 8 for _, why in choices.values())
    head = about(name)
    for word in ("Source: github.com/pytorch/vision", "Expected: ", "differs from torchvision's"):
        assert word in head
    assert f"--recipe {name}" in head


def test_the_accuracies_named_are_those_of_the_weights() -> None:
    for name, weights in (
        ("imagenet-resnet152", torchvision.models.ResNet152_Weights),
        ("imagenet-googlenet", torchvision.models.GoogLeNet_Weights),
    ):
        told = about(name)
        for one in weights:
            metrics = one.meta["_metrics"]["ImageNet-1K"]
            assert f"{one.name}" in told
            assert f"{metrics['acc@1']:.3f} % top-1" in told
        metrics = weights["IMAGENET1K_V1"].meta["_metrics"]["ImageNet-1K"]
        assert f"{metrics['acc@5']:.3f} % top-5" in told
        assert (
            f"{weights['IMAGENET1K_V1'].meta['num_params']:,}" in published(name)["network.name"][1]
        )


@pytest.mark.parametrize("name", names())
def test_the_rate_is_torchs_step_by_step(name: str) -> None:
    own = published(name)
    epochs, top = int(own["epochs"][0]), own["optimizer.lr"][0]
    one = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=top)
    theirs = torch.optim.lr_scheduler.StepLR(one, step_size=30, gamma=0.1)
    for epoch in range(epochs):
        done = (epoch + 0.5) / epochs
        share = share_of_rate(own["schedule.shape"][0], own["schedule.warmup"][0], done)
        assert top * share == pytest.approx(theirs.get_last_lr()[0])
        one.step()
        theirs.step()


@pytest.mark.parametrize("name", names())
def test_the_plan_keeps_all_of_it(name: str) -> None:
    own = published(name)
    recipe = plan(PHOTOS, LAPTOP, 600.0, [], own=own, native=224)
    choices = recipe.choices()
    assert {key: choices[key].value for key in own} == {
        key: value for key, (value, _) in own.items()
    }
    assert {key: choices[key].why for key in own} == {key: why for key, (_, why) in own.items()}
    assert recipe.picture is not None
    assert recipe.picture.start_size == 224


def test_a_name_that_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChoiceError, match="no recipe 'imagenet-resnet'") as found:
        taken("imagenet-resnet")
    assert found.value.hint == "Did you mean 'imagenet-resnet152'?"
    with pytest.raises(ChoiceError, match="no recipe 'mine'") as found:
        taken("mine")
    assert "imagenet-googlenet, imagenet-resnet152" in found.value.hint
    monkeypatch.chdir(tmp_path)
    Path("imagenet-resnet152").write_text("epochs: 3")
    assert taken("imagenet-resnet152") == {"epochs": (3.0, "from imagenet-resnet152")}


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["learn", "--recipe", "help"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}\n" in out for name in names())
    assert "78.312 % top-1" in out
    assert cli.main(["learn", "--recipe", "help", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told] == list(names())
    assert told[0]["recipe"]["optimizer.lr"]["value"] == 0.1


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 classes of 5 small pictures each, and 20 to test on."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for part, classes, each in (("train", range(CLASSES), 5), ("test", range(0, CLASSES, 50), 1)):
        for number in classes:
            folder = root / part / f"n{number:08d}"
            folder.mkdir(parents=True)
            for one in range(each):
                pixels = rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(9, 1)
                Image.fromarray(pixels).save(folder / f"{one}.png", compress_level=1)
    return root


def test_one_command(thousand: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words: list[Any] = ["learn", thousand / "train", "--test", thousand / "test"]
    words += ["--recipe", "imagenet-googlenet", "--out", tmp_path / "run", "--json"]
    words += ["--set", "picture.size=32", "epochs=0.006", "batch=8", "compute.threads=1"]
    assert cli.main([str(word) for word in words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["network"]["name"] == "googlenet"
    assert len(report["data"]["classes"]) == CLASSES
    assert report["test"]["n"] == 20
    assert report["steps"] >= 2
    assert all(np.isfinite(point["loss"]) for point in report["curves"])
    recipe = report["recipe"]
    assert recipe["optimizer.lr"] == {
        "value": 0.1,
        "why": "torchvision README: --lr 0.1, of 256 examples a step",
    }
    assert recipe["picture.size"]["value"] == recipe["picture.start_size"]["value"] == 32
    assert "imagenet-googlenet" not in report["command"]  # each value stands there itself


def test_the_page_on_scale_is_made_of_the_figures_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    scale = importlib.import_module("scale")
    found = json.loads(scale.KEPT.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert page == scale.page(found, 2.0, 0.9, 16), "run: benchmarks/scale.py page > docs/scale.md"
    for name in names():
        assert published(name)["epochs"][0] == scale.EPOCHS
        assert published(name)["picture.size"][0] == scale.SIZE
    # 1.28 million pictures, 90 times, 99 of 100 of them: by hand
    assert scale._hours(10_000.0) == pytest.approx(90 * 1281167 * 0.99 / 10_000 / 3600)
    assert scale.speeds(0.5)["resnet50"] == {8: 16621.0, 64: 16621.0 * 4}
