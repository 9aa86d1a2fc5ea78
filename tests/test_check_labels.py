"""Names, balance, shortcuts, copies: what is wrong with labels and their company."""

from __future__ import annotations

import time
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quickstudy.checking import Duplicates, Finding, duplicates, grouped, same_rows
from quickstudy.checking.balance import unbalanced
from quickstudy.checking.copies import Contents, Known, copies
from quickstudy.checking.names import alike_names, difference, one_edit
from quickstudy.checking.shortcuts import shortcuts, told_apart
from quickstudy.checking.whole import _like
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


def sort_of(x: np.ndarray, labels: np.ndarray) -> str:
    names = [str(i) for i in range(labels.max() + 1)]
    found = shortcuts({"x": x.tolist()}, labels, names, np.full(len(labels), -1))
    return found[0].severity if found else ""


def test_of_many_classes_a_natural_trait_is_a_note_and_one_all_of_a_size_is_found() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(1000) % 50
    for _ in range(2):
        assert sort_of(labels + 12.5 * rng.normal(size=1000), labels) in ("", "note")
        assert sort_of(np.where(labels == 7, 5.0, 9.0) + rng.random(1000), labels) == "serious"


def test_a_border_is_serious_only_where_it_is_a_frame() -> None:
    labels = np.arange(400) % 2
    for spread, severity in ((30.0, "warning"), (1.0, "serious")):
        rims = [(90.0 * label, 9.0, 9.0, spread) for label in labels]
        (found,) = shortcuts({"border colour": rims}, labels, ["sky", "grass"], ALONE)
        assert found.severity == severity


def test_one_label_of_several_at_once_is_no_fault() -> None:
    assert unbalanced(["a"], [500], several=True) == []


@given(st.lists(st.text("abs A1-", min_size=1, max_size=9), unique=True, max_size=9))
def test_names_that_meet_in_a_table_are_those_that_differ_by_nothing(names: list[str]) -> None:
    told = {
        frozenset((one, two))
        for one, two in combinations(names, 2)
        if difference(one, two) not in ("", "by one letter")
    }
    found = alike_names(names, [1] * len(names))
    assert sum(one.severity == "warning" for one in found) == len(told)


def test_codes_are_not_misspelt_and_three_thousand_names_take_no_time() -> None:
    words = ["".join(letters) for letters in product("abcdefghijklmno", repeat=3)]
    codes = [f"{word}code" for word in words][:3000]
    began = time.process_time()
    assert alike_names(codes, [9] * len(codes)) == []
    assert time.process_time() - began < 2  # each with each took half a minute
    (one,) = alike_names(["labrador", "labradro", "hepatitis a", "hepatitis b"], [9, 1, 9, 9])
    assert "labradro" in one.problem and one.severity == "note"


def crops() -> np.ndarray:
    """Eight pictures, each a little larger a piece of one scene than the one before."""
    rng = np.random.default_rng(3)
    wide = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((640, 480))
    pieces = [wide.crop((0, 0, 400 + 20 * i, 300 + 15 * i)) for i in range(8)]
    return np.stack([np.asarray(one.resize((16, 16), Image.Resampling.BOX)) for one in pieces])


def test_what_is_said_to_be_nearly_the_same_is_so() -> None:
    thumbs = crops()
    contents = Contents(np.arange(8, dtype=np.uint64), thumbs)
    twins = Duplicates(np.zeros(8, np.int64), 0, 8)
    truth = ["a"] + ["b"] * 7
    found = copies(twins, contents, Known(truth, np.full(8, -1, np.int8), [*"01234567"], range(8)))
    assert len(found) == 7
    for one in found:
        if "through others" in one.problem:
            assert one.severity != "serious"
        else:
            assert contents.same([int(one.other)], [one.row])[0].all()
    assert not contents.same([0], [7])[0].any()
    assert found[-1].other != "0"
    (two,) = copies(
        Duplicates(np.array([0, -1, -1, -1, -1, -1, -1, 0]), 0, 2),
        contents,
        Known(truth, np.full(8, -1, np.int8), [*"01234567"], range(8)),
    )
    assert (two.check, two.severity) == ("contradiction", "warning")
    assert "through others" in two.problem


def test_no_rows_have_no_twins() -> None:
    assert same_rows(np.empty(0, np.uint64)).group.shape == (0,)


def test_a_contradiction_takes_only_what_is_the_same_as_one_of_its_sides() -> None:
    thumbs = crops()
    contents = Contents(np.array([0, 1, 2, 3, 4, 5, 6, 0], np.uint64), thumbs)
    taken = _like(list(range(8)), [0], contents)
    assert {0, 1, 7} <= taken  # itself, its neighbour, and what has its bytes
    assert 6 not in taken and not contents.same([0], [6])[0].any()
    mirrored = Contents(np.arange(2, dtype=np.uint64), np.stack([thumbs[0], thumbs[0, :, ::-1]]))
    assert _like([0], [1], mirrored, ["a", "b"]) == set()
    assert _like([0], [1], mirrored, ["a", "a"]) == {0}
