"""Names, balance, shortcuts, copies: what is wrong with labels and their company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.checking import Finding, duplicates, grouped
from quickstudy.checking.balance import unbalanced
from quickstudy.checking.copies import Contents, Known, copies
from quickstudy.checking.names import alike_names, difference, one_edit
from quickstudy.checking.shortcuts import shortcuts, told_apart
from quickstudy.evaluation import wilson


@pytest.mark.parametrize(
    ("one", "two", "how"),
    [
        ("cat", "Cat ", "in case, spaces or signs"),
        ("golden_retriever", "Golden Retriever", "in case, spaces or signs"),
        ("cat", "cats", "by a plural"),
        ("box", "boxes", "by a plural"),
        ("puppy", "Puppies", "by a plural"),
        ("labrador", "labradro", "by one letter"),
        ("labrador", "labrado", "by one letter"),
        ("cat", "car", ""),
        ("cat", "dog", ""),
        ("glas", "glass", ""),
        ("class10", "class11", ""),
        ("1-2", "12", ""),
        ("+", "-", ""),
        ("a", "A", ""),
        ("a", "a ", "in spaces"),
        ("0", "1", ""),
    ],
)
def test_names_are_one_or_are_not(one: str, two: str, how: str) -> None:
    assert difference(one, two) == difference(two, one) == how


IMAGENETTE = (
    "tench,springer,cassette,chainsaw,church,horn,garbage truck,gas pump,golf ball,parachute"
)
CIFAR = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"


def test_classes_that_are_meant_so_are_not_accused() -> None:
    for names in (IMAGENETTE.split(","), CIFAR.split(","), [str(n) for n in range(100)]):
        assert alike_names(names, [10] * len(names)) == []


def test_the_rarer_name_is_said_first() -> None:
    found = alike_names(["cat", "dog", "Cat "], [90, 80, 2])
    assert [one.severity for one in found] == ["warning"]
    assert found[0].problem.startswith("classes 'Cat ' (2) and 'cat' (90)")


def edits(word: str) -> set[str]:
    """Norvig's enumeration of everything one edit away."""
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    letters = "abc"
    return {
        *(a + b[1:] for a, b in halves if b),
        *(a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1),
        *(a + c + b[1:] for a, b in halves if b for c in letters),
        *(a + c + b for a, b in halves for c in letters),
    } - {word}


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_one_edit_is_what_enumeration_says(one: str, two: str) -> None:
    assert one_edit(one, two) == (two in edits(one))


def test_balance() -> None:
    found = unbalanced(["a", "b", "c", "d"], [5000, 400, 19, 4])
    assert [(one.check, one.severity) for one in found] == [
        ("tiny class", "serious"),
        ("tiny class", "warning"),
        ("imbalance", "warning"),
    ]
    assert "'a' has 5,000 examples, 'b' 400: 12 times fewer" in found[2].problem
    assert unbalanced(["a", "b"], [99, 10 * 99 - 1]) == []
    assert [one.severity for one in unbalanced(["a"], [500])] == ["serious"]


ALONE = np.full(400, -1)


def test_a_trait_that_is_the_class_is_serious_and_noise_is_not_said() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    traits = {
        "rate": np.where(labels, 8000.0, 16000.0).tolist(),
        "camera": [f"Nikon {label}" for label in labels],
        "border colour": [(30.0 * label, 9.0, 9.0, 1.0) for label in labels],
        "noise": rng.normal(size=400).tolist(),
        "words": rng.choice(["a", "b", "c"], 400).tolist(),
        "colours": [tuple(c) for c in rng.normal(size=(400, 3)).tolist()],
        "same": [1.0] * 400,
        "unknown": [float("nan")] * 400,
    }
    found = shortcuts(traits, labels, ["cat", "dog"], ALONE)
    assert sorted(one.problem.split()[1] for one in found) == ["border", "camera", "rate"]
    assert {one.severity for one in found} == {"serious"}
    assert "alone tells the class in 100 of 100 (a guess: 50 of 100)." in found[0].problem


def test_one_class_of_ten_that_is_told_is_named() -> None:
    labels = np.arange(400) % 10
    size = np.where(labels == 7, 5.0, 9.0) + np.random.default_rng(0).uniform(0, 1, 400)
    (told,) = told_apart({"size": size.tolist()}, labels, ALONE)
    assert told.best == 7 and told.found == 1.0 and told.mistaken < 0.2
    assert told.above and told.strength > 0.8


def test_how_often_noise_is_accused() -> None:
    """The interval is 99 %: of traits that say nothing, few may be called shortcuts."""
    rng = np.random.default_rng(0)
    accused = 0
    for _ in range(100):
        labels = rng.integers(0, 3, 200)
        (told,) = told_apart({"x": rng.normal(size=200).tolist()}, labels, np.full(200, -1))
        assert told.interval == wilson(round(told.accuracy * 200), 200, 0.99)
        accused += told.above
    assert accused <= 2


def test_copies_do_not_make_a_shortcut() -> None:
    """Ten copies of each of 40 examples: a trait that names the example must not be scored."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 40), 10)
    words = np.repeat([f"camera {i}" for i in range(40)], 10).tolist()
    groups = np.repeat(np.arange(40), 10)
    (kept,) = told_apart({"camera": words}, labels, groups)
    (loose,) = told_apart({"camera": words}, labels, np.full(400, -1))
    assert not kept.above and loose.accuracy == 1.0


def test_copies_are_a_contradiction_a_leak_or_harmless() -> None:
    thumbs = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    which = [0, 0, 1, 1, 2, 2, 3, 0]
    digests = np.array([1, 1, 2, 3, 4, 4, 5, 1], np.uint64)  # the third pair is near, not equal
    truth = ["a", "b", "a", "a", "b", "b", "a", "a"]
    part = np.array([0, 0, 0, 2, 0, 0, 0, 1], np.int8)
    names = [f"{i}.png" for i in range(8)]
    twins = duplicates(digests, thumbs[which])
    contents = Contents(digests, thumbs[which])
    found = copies(twins, contents, Known(truth, part, names, range(8)))
    said = {one.name: (one.check, one.severity, one.other) for one in found}
    assert said == {
        "1.png": ("contradiction", "serious", "0.png"),
        "3.png": ("leak", "serious", "2.png"),
        "5.png": ("copy", "note", "4.png"),
        "7.png": ("contradiction", "serious", "1.png"),
    }
    by_name = {one.name: one.problem for one in found}
    assert by_name["1.png"].startswith("the same as")
    assert by_name["3.png"].startswith("in test, and nearly the same as an example in train")


def test_the_most_serious_group_comes_first_then_the_commonest() -> None:
    def one(check: str, severity: str) -> Finding:
        return Finding(check, "f", "p", severity, "x")

    groups = grouped(
        [one("n", "note")] * 9 + [one("w", "warning"), one("s", "serious")]
        + [one("t", "serious")] * 2
    )  # fmt: skip
    assert [(g.check, len(g.findings)) for g in groups] == [("t", 2), ("s", 1), ("w", 1), ("n", 9)]
    assert groups[0].said() == "f: p; and 1 more like it"


def test_a_mirror_image_of_another_label_is_only_a_warning() -> None:
    """A d is a mirrored b: that the labels differ is no proof that one is wrong."""
    thumbs = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    thumbs = np.concatenate([thumbs, thumbs[:1, :, ::-1], thumbs[1:]])
    known = Known(["b", "c", "d", "e"], np.full(4, -1, np.int8), [*"0123"], range(4))
    digests = np.arange(4, dtype=np.uint64)
    found = copies(duplicates(digests, thumbs), Contents(digests, thumbs), known)
    told = [(one.check, one.severity, one.name, one.other) for one in found]
    mirrored = ("mirrored, another label", "warning", "2", "0")
    assert told == [mirrored, ("contradiction", "serious", "3", "1")]
    assert "mirror image" in found[0].problem and "augment.mirror=false" in found[0].fix
