"""Planning without torch: facts, hardware, budget, offers in; choices and their reasons out."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from quickstudy.errors import ChoiceError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds import PictureFacts, SoundFacts
from quickstudy.network.hub import IMAGENET_MEAN, IMAGENET_STD
from quickstudy.recipe import KEYS, KEYS_OF, Offer, Recipe, coerce, plan, read, settings, write
from quickstudy.recipe.limits import LIMITS
from quickstudy.recipe.pictures import compact_flops

PHOTOS = Facts(
    examples=2000,
    learnable=2000,
    classes=2,
    smallest_class=1000,
    largest_class=1000,
    test_given=False,
    seconds_to_decode=8.0,
    seen=PictureFacts(
        width=500,
        height=375,
        short_side=375,
        grey=False,
        mirror=True,
        mean=(0.49, 0.45, 0.42),
        std=(0.26, 0.25, 0.25),
    ),
)


def seeing(facts: Facts, **changes: Any) -> Facts:
    """The facts with other pictures or recordings."""
    return replace(facts, seen=replace(facts.seen, **changes))


DIGITS = seeing(
    replace(PHOTOS, examples=1797, learnable=1797, classes=10),
    width=8,
    height=8,
    short_side=8,
    grey=True,
    mirror=None,
)
VOICES = replace(
    PHOTOS,
    examples=2700,
    learnable=2700,
    classes=10,
    seen=SoundFacts(rate=8000, highest_rate=8000, seconds=0.42, long=0.66, longest=2.3, channels=1),
)
LAPTOP = Hardware("a processor", 2, 16 * 2**30, None, "cpu", False, gigaflops=100.0)


def offer(network: str, flops: float, accuracy: float) -> Offer:
    return Offer(
        network, f"/w/{network}.pth", flops, accuracy, 224, IMAGENET_MEAN, IMAGENET_STD, "cached"
    )


SMALL = offer("squeezenet1_0", 1.6e9, 58.1)
MIDDLE = offer("resnet18", 3.6e9, 69.8)
LARGE = offer("resnet152", 23e9, 82.3)


def planned(
    facts: Facts = PHOTOS,
    *offers: Offer,
    budget: float = 600.0,
    machine: Hardware = LAPTOP,
    no_offer: str = "",
    **own: Any,
) -> Recipe:
    """Plan with choices given as ``network__name="resnet18"``."""
    chosen = {key.replace("__", "."): (value, "you set it") for key, value in own.items()}
    return plan(facts, machine, budget, offers, own=chosen, no_offer=no_offer)


def refused(*arguments: Any, **options: Any) -> ChoiceError:
    with pytest.raises(ChoiceError) as caught:
        planned(*arguments, **options)
    return caught.value


def test_planning_needs_no_torch() -> None:
    check = "import sys, quickstudy.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=60).returncode == 0


@pytest.mark.parametrize("facts", [PHOTOS, DIGITS], ids=["photos", "digits"])
@pytest.mark.parametrize("offers", [(), (SMALL, LARGE)], ids=["no offers", "offers"])
@pytest.mark.parametrize("budget", [5.0, 60.0, 36000.0])
def test_every_choice_has_a_reason(facts: Facts, offers: tuple[Offer, ...], budget: float) -> None:
    choices = planned(facts, *offers, budget=budget).choices()
    assert list(choices) == list(KEYS_OF["image"])
    assert [key for key, choice in choices.items() if len(choice.why) < 5] == []


def test_small_data_without_weights_is_learnt_from_scratch() -> None:
    recipe = planned(no_offer="the hub is out of reach")
    assert (recipe.method, recipe.network.name, recipe.network.weights) == (
        "scratch",
        "compact",
        "none",
    )
    assert recipe.why["network.weights"] == "the hub is out of reach"
    assert recipe.picture.mean == PHOTOS.picture.mean
    assert recipe.picture.start_size < recipe.picture.size <= 224


def test_digits_keep_their_size_and_are_never_mirrored() -> None:
    recipe = planned(DIGITS, SMALL)
    assert recipe.network.weights == "none"
    assert "8 px" in recipe.why["network.weights"]
    assert recipe.picture.size == recipe.picture.start_size == 16
    assert not recipe.augment.mirror
    assert recipe.augment.colour == 0


@pytest.mark.parametrize("mirror", [True, False])
def test_what_the_data_say_of_mirroring_decides(mirror: bool) -> None:
    assert planned(seeing(PHOTOS, mirror=mirror)).augment.mirror is mirror
    assert planned(seeing(DIGITS, mirror=mirror)).augment.mirror is mirror


def test_photographs_that_cannot_tell_may_be_mirrored() -> None:
    assert planned(seeing(PHOTOS, mirror=None)).augment.mirror


@pytest.mark.parametrize(
    ("budget", "network"),
    [(10.0, "compact"), (60.0, "squeezenet1_0"), (120.0, "resnet18"), (36000.0, "resnet152")],
)
def test_the_most_accurate_network_that_fits_the_budget_is_taken(
    budget: float, network: str
) -> None:
    recipe = planned(PHOTOS, LARGE, SMALL, MIDDLE, budget=budget)
    assert recipe.network.name == network
    assert recipe.method == ("scratch" if network == "compact" else "finetune")


def test_what_belongs_to_the_weights_comes_with_them() -> None:
    odd = replace(SMALL, size=192, mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3))
    recipe = planned(PHOTOS, odd)
    assert recipe.network.weights == odd.weights
    assert (recipe.picture.size, recipe.picture.start_size) == (192, 192)
    assert (recipe.picture.mean, recipe.picture.std) == (odd.mean, odd.std)


def test_no_weights_means_none() -> None:
    recipe = planned(PHOTOS, SMALL, network__weights="none")
    assert recipe.method == "scratch"
    assert recipe.why["network.weights"] == "you set it"


def test_a_network_that_was_named_is_taken_however_slow() -> None:
    recipe = planned(PHOTOS, LARGE, SMALL, budget=10.0, network__name="resnet152")
    assert (recipe.network.name, recipe.network.weights) == ("resnet152", LARGE.weights)


def test_a_named_network_without_weights_starts_from_scratch() -> None:
    recipe = planned(PHOTOS, no_offer="nobody publishes weights for it", network__name="resnet18")
    assert (recipe.network.name, recipe.method) == ("resnet18", "scratch")
    assert recipe.why["network.weights"] == "nobody publishes weights for it"


def test_own_choices_are_kept_and_later_steps_see_them() -> None:
    recipe = planned(picture__size=96, batch=48, epochs=3.0)
    assert (recipe.picture.size, recipe.batch, recipe.epochs) == (96, 48, 3.0)
    assert {recipe.why[k] for k in ("picture.size", "batch", "epochs")} == {"you set it"}
    assert recipe.picture.start_size == 64


def test_own_method_decides_the_optimiser() -> None:
    assert planned(PHOTOS, SMALL, method="scratch").optimizer.name == "muon"
    assert planned(PHOTOS, SMALL, method="head").optimizer.name == "adamw"


def test_a_wider_network_gets_smaller_pictures() -> None:
    narrow, wide = (planned(budget=6000.0, network__width=w) for w in (1.0, 4.0))
    assert wide.picture.size < narrow.picture.size


@pytest.mark.parametrize("budget", [30.0, 600.0, 6000.0, 60000.0])
@pytest.mark.parametrize("side", [50, 375])
def test_the_passes_promised_for_a_size_can_be_had(budget: float, side: int) -> None:
    recipe = planned(seeing(PHOTOS, short_side=side), budget=budget)
    each = 3 * compact_flops(recipe.picture.size, recipe.network.width)
    passes = budget * LAPTOP.gigaflops * 1e9 / (PHOTOS.learnable * each)
    promised = re.search(r"about (\d+) passes", recipe.why["picture.size"])
    assert promised
    assert int(promised[1]) == pytest.approx(passes, rel=0.02, abs=1)
    assert int(promised[1]) >= 60 or recipe.picture.size in (56, 96)  # the smallest there is


@pytest.mark.parametrize("examples", [10, 30, 100, 400, 2000, 10**6])
def test_the_batch_suits_the_number_of_examples(examples: int) -> None:
    recipe = planned(replace(PHOTOS, examples=examples, learnable=examples))
    assert 8 <= recipe.batch <= 64
    assert 0.75 * examples / recipe.batch >= 15 or recipe.batch == 8


def test_uneven_classes_are_balanced() -> None:
    recipe = planned(replace(PHOTOS, smallest_class=100, largest_class=1900))
    assert recipe.balance == 0.5
    assert "19.0 times" in recipe.why["balance"]
    assert planned().balance == 0


@pytest.mark.parametrize("method", ["head", "finetune"])
def test_a_method_that_needs_weights_is_refused_without(method: str) -> None:
    fault = refused(PHOTOS, SMALL, method=method, network__weights="none")
    assert method in fault.message
    assert "--weights" in fault.hint


def test_all_values_out_of_their_limits_are_named_at_once() -> None:
    fault = refused(batch=0, augment__rotate=400.0, test=0.6, val=0.6, picture__std=(0.2, 0.0, 1.0))
    for word in ("batch = 0", "augment.rotate = 400", "test + val", "picture.std"):
        assert word in fault.message
    assert "0 to 180" in fault.message


@pytest.mark.parametrize("key", LIMITS)
@pytest.mark.parametrize("side", [0, 1])
def test_limits_hold_for_every_key_and_not_a_number_is_none(key: str, side: int) -> None:
    limit = LIMITS[key][side]
    if math.isfinite(limit):
        beyond = limit + (1 if side else -1) * max(1, abs(limit))
        assert key in refused(**{key.replace(".", "__"): beyond}).message
    if KEYS[key] is not int:
        assert key in refused(**{key.replace(".", "__"): math.nan}).message


def test_limits_are_of_keys_that_exist_and_every_number_has_them() -> None:
    kinds = (int, float, float | None, int | None, Literal["auto"] | int)
    numbers = {k for k, hint in KEYS.items() if hint in kinds}
    assert set(LIMITS) == numbers


def test_a_recipe_cannot_be_changed_only_decided_anew() -> None:
    recipe = planned()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.batch = 3  # type: ignore[misc]
    changed = recipe.decided("optimizer.lr", 0.25, "found")
    assert (changed.optimizer.lr, changed.why["optimizer.lr"]) == (0.25, "found")
    assert recipe.optimizer.lr is None
    assert changed.decided("optimizer.lr", None, "") == recipe
    assert "optimizer.lr" in recipe._repr_html_()


def test_the_same_facts_give_the_same_recipe() -> None:
    assert planned(PHOTOS, SMALL, LARGE) == planned(PHOTOS, SMALL, LARGE)


# Values from people


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("epochs", 3, 3.0),
        ("epochs", None, None),
        ("batch", 12.0, 12),
        ("batch", "12", 12),
        ("optimizer.lr", "1e-3", 1e-3),
        ("optimizer.name", "sgd", "sgd"),
        ("augment.mirror", False, False),
        ("picture.mean", [0, 0.5, 1], (0.0, 0.5, 1.0)),
        ("network.weights", None, "none"),
    ],
)
def test_values_become_the_type_of_their_field(key: str, value: Any, expected: Any) -> None:
    got = coerce(key, value)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("batch", 1.5, "a whole number"),
        ("batch", True, "a whole number"),
        ("batch", None, "a whole number"),
        ("batch", math.inf, "a whole number"),
        ("batch", math.nan, "a whole number"),
        ("optimizer.lr", "fast", "a number or null"),
        ("optimizer.lr", [1], "a number or null"),
        ("schedule.shape", "adam", "one of cosine, linear"),
        ("augment.mirror", 1, "true or false"),
        ("augment.mirror", "yes please", "true or false"),
        ("picture.mean", 0.5, "a list of numbers"),
        ("picture.mean", ["a"], "a list of numbers"),
        ("picture.fit", None, "one of crop, squash, pad"),
        ("network.name", ["resnet18"], "a word"),
    ],
)
def test_values_of_another_type_are_refused(key: str, value: Any, said: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        coerce(key, value)
    assert said in caught.value.message
    assert key in caught.value.message
    assert f"--set {key}=" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("optimiser.lr", "optimizer.lr"), ("batchs", "batch"), ("augment.miror", "augment.mirror")],
)
def test_an_unknown_key_gets_did_you_mean(wrong: str, right: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        coerce(wrong, 1)
    assert caught.value.hint == f"Did you mean '{right}'?"


def test_a_key_like_no_other_gets_the_list() -> None:
    with pytest.raises(
        ChoiceError, match=r"All settings: kind, task, budget, seed, .*compute\.threads"
    ):
        coerce("xyzzy", 1)


def test_settings_are_parsed() -> None:
    given = [
        "optimizer.lr=1e-3",
        "batch=16",
        "picture.mean=[0.5, 0.5, 0.25]",
        "augment.mirror=true",
        "epochs=null",
        "network.weights=/a=b/c d.pth",
    ]
    assert settings(given) == {
        "optimizer.lr": 1e-3,
        "batch": 16,
        "picture.mean": (0.5, 0.5, 0.25),
        "augment.mirror": True,
        "epochs": None,
        "network.weights": "/a=b/c d.pth",
    }


@pytest.mark.parametrize("word", ["batch", "a=b", "batch=", "batch=[", "=5", "batch=many"])
def test_settings_that_cannot_be_are_refused(word: str) -> None:
    with pytest.raises(ChoiceError) as caught:
        settings([word])
    assert caught.value.hint


BOMBS = [
    "!!bool maybe",
    "!!timestamp x",
    "[" * 3000,
    "{<<: {a: 1}}",
    "{a: 1, a: 2}",
    "\0",
    "&a [*a]",
]


@pytest.mark.parametrize("text", BOMBS, ids=lambda text: text[:12])
def test_yaml_that_is_no_plain_data_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"epochs: {text}")
    for asked in (lambda: settings([f"epochs={text}"]), lambda: read(path)):
        with pytest.raises(ChoiceError) as caught:
            asked()
        assert caught.value.hint
        assert len(str(caught.value)) < 1000


def test_a_value_that_explodes_is_told_in_short(tmp_path: Path) -> None:
    """Each list holds the one before it nine times: terabytes, written out."""
    lists = "x"
    for n in range(14):
        lists = f"[&a{n} [{lists}]" + f", *a{n}" * 9 + "]"
    path = tmp_path / "recipe.yaml"
    path.write_text(f"epochs: {lists}\n")
    with pytest.raises(ChoiceError, match="does not fit") as caught:
        read(path)
    assert len(str(caught.value)) < 1000
    path.write_text("? 0x" + "f" * 5000 + "\n: 1\n")
    with pytest.raises(ChoiceError, match="thousands of digits"):
        read(path)


@pytest.mark.parametrize("key", ["picture.mean", "picture.std"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e300])
def test_colours_are_measured_in_finite_numbers(key: str, wrong: float) -> None:
    with pytest.raises(ChoiceError, match=key):
        planned(**{key.replace(".", "__"): (wrong, 1.0, 1.0)})


@pytest.mark.parametrize("wrong", [0.0, -1.0, 1e-300])
def test_colours_have_a_spread(wrong: float) -> None:
    with pytest.raises(ChoiceError, match=r"picture\.std"):
        planned(picture__std=(wrong, 1.0, 1.0))


# The file


def back(recipe: Recipe, folder: Path) -> Mapping[str, Any]:
    path = folder / "recipe.yaml"
    path.write_text(write(recipe), encoding="utf-8")
    return read(path)


@pytest.mark.parametrize(
    "recipe",
    [
        planned(),
        planned(DIGITS),
        planned(PHOTOS, SMALL),
        planned(optimizer__lr=1e-5, epochs=1 / 3, optimizer__name="sgd", seed=2**40),
    ],
    ids=["scratch", "digits", "finetune", "own"],
)
def test_a_written_recipe_reads_back_equal(recipe: Recipe, tmp_path: Path) -> None:
    kept = back(recipe, tmp_path)
    assert kept == {key: choice.value for key, choice in recipe.choices().items()}
    again = plan(PHOTOS, LAPTOP, 1.0, [SMALL], own={k: (v, "kept") for k, v in kept.items()})
    assert again == recipe


@pytest.mark.parametrize("name", ["a #1", 'it\'s "so"', "Größe: 3.pth", "null", "x\ny", "3"])
def test_any_file_name_survives_the_file(name: str, tmp_path: Path) -> None:
    assert back(planned(network__weights=name), tmp_path)["network.weights"] == name


def test_measured_means_survive_to_six_digits(tmp_path: Path) -> None:
    means = (0.48512345678, 1 / 3, 0.1)
    kept = back(planned(seeing(PHOTOS, mean=means)), tmp_path)
    assert kept["picture.mean"] == pytest.approx(means, rel=1e-5)


def test_the_file_has_every_reason_and_is_plain_yaml() -> None:
    recipe = planned(PHOTOS, SMALL)
    text = write(recipe)
    for why in recipe.why.values():
        assert f"# {why}" in text
    assert yaml.safe_load(text)["optimizer"]["name"] == "adamw"


def test_a_part_of_a_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    path.write_text("batch: 8\noptimizer: {lr: 1e-2}\nnetwork.dropout: 0.5\n")
    assert read(path) == {"batch": 8, "optimizer.lr": 1e-2, "network.dropout": 0.5}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"batch: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"- batch", "no 'key: value' lines"),
        (b"", "no 'key: value' lines"),
        (b"optimizer: {rate: 1}", "no setting 'optimizer.rate'"),
        (b"optimizer: muon", "no setting 'optimizer'"),
        (b"1: 2", "no setting '1'"),
    ],
)
def test_files_that_are_no_recipe_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ChoiceError) as caught:
        read(path)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_missing_recipe_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="cannot be read"):
        read(tmp_path / "recipe.yaml")
    with pytest.raises(ChoiceError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 88, 96, 128, 224])
def test_the_cost_that_planning_assumes_is_what_torch_counts(size: int) -> None:
    import torch

    from quickstudy.network import Spec, build
    from quickstudy.network.drawing import flops

    counted = flops(build(Spec("compact", 2, size)).module, torch.zeros(1, 3, size, size))
    assert compact_flops(size) == pytest.approx(counted, rel=0.15)
