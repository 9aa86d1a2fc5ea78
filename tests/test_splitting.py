from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.catalog.types import FREE, TEST, TRAIN, VAL
from quickstudy.errors import SourceError
from quickstudy.splitting import Split, split


def plain(labels, seed=0, given=None, groups=None, duplicates=None, **rest) -> Split:
    n = len(labels)
    alone = np.full(n, -1, np.int64)
    return split(
        np.asarray(labels, np.int64),
        given=np.full(n, FREE, np.int8) if given is None else np.asarray(given, np.int8),
        groups=alone if groups is None else np.asarray(groups, np.int64),
        duplicates=alone if duplicates is None else np.asarray(duplicates, np.int64),
        seed=seed,
        **rest,
    )


@st.composite
def catalogs(draw, parts=(FREE,), pure=False):
    n = draw(st.integers(1, 60))
    column = lambda low, high: draw(st.lists(st.integers(low, high), min_size=n, max_size=n))  # noqa: E731
    labels = np.array(column(0, 3), np.int64)
    groups = np.array(column(-1, draw(st.integers(-1, 25))), np.int64)
    doubles = np.array(column(-1, draw(st.integers(-1, 40))), np.int64)
    if pure:  # no union has two classes
        groups = np.where(groups >= 0, groups * 4 + labels, -1)
        doubles = np.where(doubles >= 0, doubles * 4 + labels, -1)
    part = draw(st.lists(st.sampled_from(parts), min_size=n, max_size=n))
    return {
        "labels": labels,
        "groups": groups,
        "duplicates": doubles,
        "given": np.array(part, np.int8),
    }


def unions(catalog) -> list[list[int]]:
    """An independent, slow union-find."""
    n = len(catalog["labels"])
    parent = list(range(n))

    def top(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for column in (catalog["groups"], catalog["duplicates"]):
        for i in range(n):
            for j in range(i):
                if column[i] >= 0 and column[i] == column[j]:
                    parent[top(i)] = top(j)
    found: dict[int, list[int]] = {}
    for i in range(n):
        found.setdefault(top(i), []).append(i)
    return list(found.values())


@given(catalogs(), st.integers(0, 5))
def test_no_union_is_on_two_sides(catalog, seed):
    part = split(seed=seed, **catalog).part
    assert all(len(set(part[union].tolist())) == 1 for union in unions(catalog))


@given(catalogs(parts=(FREE, TRAIN, VAL, TEST)), st.integers(0, 5))
def test_given_parts_are_respected_and_unions_whole_where_given_allows(catalog, seed):
    has = set(catalog["given"].tolist())
    try:
        part = split(seed=seed, **catalog).part
    except SourceError:
        assert TRAIN not in has
        return
    given_ = catalog["given"]
    for side in (VAL, TEST):
        assert (part[given_ == side] == side).all()
    moved = set(part[given_ == TRAIN].tolist())
    assert moved <= {TRAIN} | ({VAL, TEST} - has)
    for union in unions(catalog):
        named = set(given_[union].tolist()) - {FREE}
        if len(named) < 2:
            assert len(set(part[union].tolist())) == 1
        else:
            # a val that nobody gave may have to be cut out of such a union
            assert named <= set(part[union].tolist()) <= named | ({VAL} - has)


@given(catalogs(parts=(FREE, TRAIN, VAL)), st.integers(0, 5))
def test_parts_are_sorted_disjoint_and_cover_everything(catalog, seed):
    catalog["given"][0] = TRAIN
    parts = split(seed=seed, **catalog)
    for part in (parts.train, parts.val, parts.test):
        assert part.dtype == np.int64 and (np.diff(part) > 0).all()
    whole = np.sort(np.concatenate([parts.train, parts.val, parts.test]))
    assert whole.tolist() == list(range(len(catalog["labels"])))


@settings(max_examples=300)
@given(catalogs(pure=True), st.integers(0, 5), st.sampled_from([0.02, 0.15, 0.6]))
def test_every_class_is_on_as_many_sides_as_possible(catalog, seed, share):
    part = split(seed=seed, test=share, **catalog).part
    labels = catalog["labels"]
    whole = unions(catalog)
    for c in np.unique(labels):
        count = sum(bool((labels[union] == c).any()) for union in whole)
        sides = {1: {TRAIN}, 2: {TRAIN, TEST}}.get(count, {TRAIN, VAL, TEST})
        assert set(part[labels == c].tolist()) == sides


@given(catalogs(parts=(TRAIN, TEST), pure=True), st.integers(0, 5))
def test_val_held_out_of_a_given_train_has_every_class(catalog, seed):
    catalog["given"][0], catalog["given"][-1] = TEST, TRAIN
    part = split(seed=seed, **catalog).part
    labels, given_ = catalog["labels"], catalog["given"]
    for c in np.unique(labels):
        whole = [u for u in unions(catalog) if (given_[u] == TRAIN).all() and labels[u[0]] == c]
        sides = set(part[labels == c].tolist())
        assert len(whole) < 2 or {TRAIN, VAL} <= sides


@given(catalogs(parts=(FREE, TRAIN, VAL)), st.integers(0, 5))
def test_deterministic_by_seed(catalog, seed):
    catalog["given"][0] = TRAIN
    one, two = (split(seed=seed, **catalog).part for _ in range(2))
    np.random.seed(seed)  # the global generator must not matter
    assert (one == two).all() and (one == split(seed=seed, **catalog).part).all()


def test_seeds_differ():
    labels = np.arange(200) % 2
    assert plain(labels, 0).test.tolist() != plain(labels, 1).test.tolist()


def test_shares_are_exact_for_single_examples():
    labels = np.repeat([0, 1, 2], [1000, 101, 7])
    parts = plain(labels)
    assert len(parts.test) == round(0.15 * 1108) and len(parts.val) == round(0.1 * 1108)
    assert np.bincount(labels[parts.test]).tolist() == [150, 15, 1]
    assert np.bincount(labels[parts.val]).tolist() == [100, 10, 1]


def test_groups_come_near_the_shares():
    labels = np.arange(4000) % 4
    groups = np.random.default_rng(0).integers(0, 300, 4000)  # mixed classes, about 13 each
    test = plain(labels, groups=groups).test
    assert np.abs(np.bincount(labels[test]) - 150).max() <= 15


def test_singles_and_groups_are_both_held_out():
    groups = np.where(np.arange(2000) < 1000, np.arange(2000) // 10, -1)
    test = plain(np.zeros(2000), groups=groups).test
    assert len(test) == 300 and abs((test < 1000).sum() - 150) <= 10


def test_a_user_group_and_a_duplicate_group_form_one_union():
    groups = [0, 0, -1, -1, *range(1, 30)]
    doubles = [-1, 5, 5, 7, 7, *[-1] * 28]
    for seed in range(30):
        part = plain([0] * 33, seed, groups=groups, duplicates=doubles).part
        assert len(set(part[:3].tolist())) == 1 and part[3] == part[4]


@pytest.mark.parametrize(
    ("parts", "held"),
    [((TRAIN, TEST), {VAL: 100}), ((TRAIN, VAL), {TEST: 150}), ((TRAIN,), {VAL: 100, TEST: 150})],
)
def test_missing_parts_are_held_out_of_train(parts, held):
    part = np.repeat(np.array(parts, np.int8), 1000)
    after = plain(np.arange(len(part)) % 2, given=part).part
    for side, count in held.items():
        assert (after == side).sum() == count and set(part[after == side].tolist()) == {TRAIN}


def test_sizes_are_capped():
    labels = np.arange(200_000) % 10
    parts = plain(labels)
    assert len(parts.test) == 10_000 and len(parts.val) == 5_000
    assert np.bincount(labels[parts.test]).tolist() == [1000] * 10


def test_a_free_twin_of_a_given_test_example_goes_to_test():
    part = plain([0] * 5, given=[TEST, FREE, TRAIN, TRAIN, TRAIN], duplicates=[0, 0, -1, -1, -1])
    assert part.part[1] == TEST


def test_nothing_to_train_on_is_said():
    with pytest.raises(SourceError, match="train"):
        plain([0, 1], given=[TEST, TEST])


def test_no_examples_and_no_shares():
    assert len(plain([]).train) == 0
    assert len(plain([0] * 10, test=0, val=0).train) == 10


def test_a_million_examples_are_quick():
    labels = np.random.default_rng(0).integers(0, 100, 1_000_000)
    began = time.process_time()
    plain(labels)
    assert time.process_time() - began < 5


def test_a_given_test_that_shares_all_groups_leaves_a_val() -> None:
    labels = np.arange(120) % 3
    given = np.where(np.arange(120) < 20, TEST, TRAIN).astype(np.int8)
    alone = np.full(120, -1)
    parts = split(labels, given=given, groups=np.arange(120) // 3 % 4, duplicates=alone, seed=0)
    assert parts.test.tolist() == list(range(20))
    assert len(parts.val) == 10
