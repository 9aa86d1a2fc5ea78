"""The kind `table`: what columns hold, and how cells become numbers."""

from __future__ import annotations

import base64
import json
import math
import xml.etree.ElementTree as ElementTree
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.batches import in_order
from quickstudy.catalog import Catalog, rows_of, scan
from quickstudy.decoding import decode
from quickstudy.errors import ChoiceError, ExampleError, SourceError
from quickstudy.kinds.table.columns import MOST_WORDS, Column, described, typed
from quickstudy.kinds.table.decode import FORMS, days, is_missing, moment, number, word
from quickstudy.kinds.table.facts import summed_up
from quickstudy.kinds.table.preparation import Preparation
from quickstudy.kinds.table.shown import shown

EMPTY: list[Any] = [
    *("", "  ", "NA", "n/a", "#N/A", "nan", "NaN", "NULL", "None", "?", "-", "NaT", "<NA>"),
    *(None, math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf"), Decimal("NaN")),
    *(pandas.NA, pandas.NaT, np.datetime64("NaT"), np.timedelta64("NaT"), np.ma.masked),
]


def prepared(**columns: list[Any]) -> Preparation:
    names = list(columns)
    facts = summed_up(names, list(zip(*columns.values(), strict=True)))
    return Preparation.of_recipe(None, facts)


# One cell


@pytest.mark.parametrize("cell", EMPTY, ids=repr)
def test_an_empty_cell_is_missing_in_every_type(cell: Any) -> None:
    assert is_missing(cell)
    columns = [
        typed("n", [1.0, 2.5, 3.0]),
        typed("c", ["a", "a", "b", "b"]),
        typed("d", ["2024-01-01", "2024-02-01"]),
    ]
    assert [column.type for column in columns] == ["number", "category", "date"]
    for column in columns:
        assert np.isnan(column.encode(cell)).all() and column.fault(cell) == ""


@pytest.mark.parametrize("cell", ["0", 0, False, "nano", "no", "N", "--x", ".", 1e308, np.int8(0)])
def test_what_is_no_empty_cell(cell: Any) -> None:
    assert not is_missing(cell)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_in_any_dress_are_the_same(x: float) -> None:
    dresses = [x, repr(x), f" {x!r} ", np.float64(x), Decimal(x), Fraction(x)]
    assert [number(each) for each in dresses] == [x] * len(dresses)


@given(st.integers())
def test_whole_numbers(x: int) -> None:
    expected = float(x) if abs(x) < 2**1023 else math.nan
    for each in (x, str(x)):
        assert number(each) == expected or (math.isnan(expected) and math.isnan(number(each)))


@pytest.mark.parametrize("cell", ["1_0", "1,5", "12a", "0x10", [], {}, object(), 1j, b"1", 10**999])
def test_what_is_no_number(cell: Any) -> None:
    assert math.isnan(number(cell))


def test_spans_of_time_are_seconds() -> None:
    spans = [timedelta(minutes=2), np.timedelta64(2, "m"), pandas.Timedelta(minutes=2)]
    assert [number(span) for span in spans] == [120.0] * 3


def test_a_word_from_a_file_is_the_word_from_memory() -> None:
    for cell, text in [(3, "3"), (3.0, "3"), (np.float32(2.5), "2.5"), (True, "True")]:
        assert word(cell) == word(text) == word(f" {text} ") == text


class Rude:
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


ODD = [Rude(), np.array([1, 2]), "1e999", np.int64(2**62), np.datetime64(10**9, "Y")]
ANY = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    *(st.binary(max_size=4), st.datetimes(), st.dates(), st.timedeltas(), st.decimals()),
    *(st.fractions(), st.complex_numbers(), st.lists(st.integers(), max_size=2)),
    st.sampled_from([*EMPTY, *ODD]),
)


@given(st.lists(ANY, max_size=12), ANY)
def test_whatever_a_column_holds_nothing_breaks(cells: list[Any], other: Any) -> None:
    column = typed("x", cells)
    assert Column.from_dict(json.loads(json.dumps(column.as_dict()))) == column
    assert len(column.features) == len(column.sizes)
    for cell in [*cells, other]:
        found = column.encode(cell)
        assert len(found) == len(column.features)
        assert not np.isinf(np.array(found, np.float32)).any()
        column.fault(cell)
    np.testing.assert_array_equal(
        column.encode_all(cells),
        np.array([column.encode(cell) for cell in cells], np.float32).reshape(
            len(cells), len(column.features)
        ),
    )


# Dates


@pytest.mark.parametrize("form", ["%Y-%m-%d", *FORMS])
@pytest.mark.parametrize("clock", ["", " %H:%M", " %I:%M:%S %p"])
def test_dates_as_people_write_them(form: str, clock: str) -> None:
    rng = np.random.default_rng(0)
    whens = [
        datetime(int(y), int(m), int(d), int(h), int(n))
        if clock
        else datetime(int(y), int(m), int(d))
        for y, m, d, h, n in rng.integers([1990, 1, 1, 0, 0], [2030, 13, 29, 24, 60], (60, 5))
    ]
    column = typed("when", [when.strftime(form + clock) for when in whens])
    assert column.type == "date" and column.hours == bool(clock)
    for when in whens:
        found = column.encode(when.strftime(form + clock))
        assert found[0] + column.origin == pytest.approx(days(when), abs=1e-6)
        assert found[1] == when.year and found[4] == when.weekday()
        assert found == column.encode(when) == column.encode(pandas.Timestamp(when))


def test_the_parts_of_a_date() -> None:
    column = typed("when", ["2024-01-01 06:30", "2023-07-02 18:00"])
    assert [name.partition(":")[2] for name in column.features] == [
        *("days", "year", "season sine", "season cosine", "weekday", "hour")
    ]
    found = dict(zip(column.features, column.encode("2024-01-01 06:30"), strict=True))
    assert found["when:year"] == 2024 and found["when:weekday"] == 0 and found["when:hour"] == 6.5
    summer = dict(zip(column.features, column.encode("2023-07-02 18:00"), strict=True))
    assert summer["when:season cosine"] < -0.99 < 0.99 < found["when:season cosine"]
    assert found["when:days"] - summer["when:days"] == pytest.approx(183 - 11.5 / 24)
    assert column.sizes == (0, 0, 0, 0, 7, 0)


def test_dates_of_every_class_are_the_same() -> None:
    day = date(2024, 2, 29)
    whens = [day, datetime(2024, 2, 29), np.datetime64(day), pandas.Timestamp(day), "2024-02-29"]
    assert {moment(when) for when in whens} == {datetime(2024, 2, 29)}
    assert moment(datetime(2024, 2, 29, 7, tzinfo=UTC)) == datetime(2024, 2, 29, 7)
    assert typed("d", whens).type == "left out"
    assert typed("d", [*whens, date(2023, 1, 1)]).type == "date"


@pytest.mark.parametrize("cells", [["12", "13"], [20240101, 20240102], ["1.5", "2.5"], [1.0, 2.0]])
def test_numbers_are_no_dates(cells: list[Any]) -> None:
    assert typed("x", cells).type == "number"


@pytest.mark.parametrize("text", ["2024-13-01", "99.99.2024", "31.02.2023", "soon", "1.2", "a-b-c"])
def test_what_is_no_date(text: str) -> None:
    column = typed("d", ["01.02.2023", "15.02.2023", "31.12.2023"])
    assert column.form == "%d.%m.%Y"
    assert np.isnan(column.encode(text)).all() and "is no date" in column.fault(text)


# Columns


@pytest.mark.parametrize(
    ("cells", "type_"),
    [
        ([1, 2, 1, 2], "number"),
        (["1", "2.5", "", "1e3"], "number"),
        ([True, False, None], "category"),
        ([np.True_, np.False_], "category"),
        ([0, 1, True], "number"),
        (["yes", "no"] * 3, "category"),
        (["1", "2", "x", "x"], "category"),
        ([*range(50), "unknown"], "number"),
        (["x", None, "x"], "category"),
        ([5, None, 5], "category"),
        (["a", "b", "a", "c"], "category"),
    ],
)
def test_types(cells: list[Any], type_: str) -> None:
    assert typed("x", cells).type == type_


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("x", [], "no cell holds anything"),
        ("x", ["", None, "?"], "no cell holds anything"),
        ("x", [7, 7.0, "7"], "every cell holds 7"),
        ("x", ["a", "a"], "every cell holds a"),
        ("x", ["2024-01-01"] * 3, "every cell holds 2024-01-01"),
        ("x", [f"a text, number {i}" for i in range(30)], "nearly every cell is different"),
        ("Customer_ID", list(range(100, 130)), "it numbers the rows"),
        ("Unnamed: 0", ["0", "1", "2", "3"], "it numbers the rows"),
        ("PassengerId", list(range(1, 30)), "it numbers the rows"),
    ],
)
def test_what_says_nothing_is_left_out_with_a_reason(name: str, cells: list[Any], why: str) -> None:
    column = typed(name, cells)
    assert column.type == "left out" and column.why.startswith(why)
    assert column.features == column.sizes == column.encode("x") == ()


@pytest.mark.parametrize(
    ("cells", "values", "why"),
    [
        (["1,5", "2,25", "0,125", "-7,1e3"], [1.5, 2.25, 0.125, -7100], "read as decimal points"),
        (["1.234,5", "12", "1.000.000,25"], [1234.5, 12, 1000000.25], "read as decimal points"),
        (["0,125", "0,250", "3"], [0.125, 0.25, 3], "read as decimal points"),
        (["1,250", "13,000", "1,000,000", "7"], [1250, 13000, 1e6, 7], "left out"),
        (["1,250.5", "12.25", "-3,000"], [1250.5, 12.25, -3000], "left out"),
    ],
)
def test_commas_in_numbers(cells: list[str], values: list[float], why: str) -> None:
    column = typed("x", [*cells, None])
    assert column.type == "number" and column.gaps and column.why == f"its commas are {why}"
    assert [column.encode(cell)[0] for cell in cells] == values
    assert column.encode(values[0]) == (values[0],)  # the same from memory
    np.testing.assert_array_equal(column.encode_all(cells)[:, 0], np.float32(values))
    assert column.fault(cells[0]) == "" and column.fault("a, b") != ""
    assert Column.from_dict(json.loads(json.dumps(column.as_dict()))) == column


@pytest.mark.parametrize("cells", [["Bern, CH", "Rome, IT"] * 3, ["1,2,3", "2,3,1"] * 3])
def test_what_has_commas_and_is_no_number(cells: list[str]) -> None:
    assert typed("x", cells).type == "category"


def test_not_every_id_is_a_row_number() -> None:
    assert typed("shop_id", [1, 2, 3, 1, 2, 3]).type == "number"
    assert typed("x", list(range(30))).type == "number"
    assert typed("paid", list(range(30))).type == "number"


def test_the_commonest_words_are_kept() -> None:
    cells = ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + ["once", "twice", "twice"]
    column = typed("x", cells)
    assert column.words == ("c", "a", "b", "twice") and column.rare == 1
    assert [column.encode(cell) for cell in ("c", "twice", "once", "never")] == [
        (0.0,), (3.0,), (4.0,), (4.0,)
    ]  # fmt: skip
    many = typed("x", [f"w{i % 400}" for i in range(4_000)])
    assert len(many.words) == MOST_WORDS and many.rare == 400 - MOST_WORDS


def test_gaps_are_noticed() -> None:
    for cells in ([1.0, 2.0, 3.0], ["a", "a", "b"], ["2024-01-01", "2024-01-02"]):
        assert not typed("x", cells).gaps
        assert typed("x", [*cells, "?"]).gaps
    odd = typed("x", [*map(str, range(40)), "about 7"])
    assert odd.gaps and odd.why == "1 cell is no number and counts as missing, as 'about 7'"
    odd = typed("x", [*map(str, range(80)), "about 7", "or 8"])
    assert odd.why == "2 cells are no numbers and count as missing, as 'about 7'"
    days_ = [f"2024-01-{day:02}" for day in range(1, 31)]
    odd = typed("x", [*days_, "soon"])
    assert odd.type == "date" and odd.gaps
    assert odd.why == "1 cell is no date and counts as missing, as 'soon'"


def test_plain_numbers_are_read_as_others_are() -> None:
    rng = np.random.default_rng(0)
    for cells in (
        rng.normal(size=50).tolist(),
        [1, None, 2.5, math.inf, 3],
        [4, None, 4],
        [4.0] * 3,
        [2**60, 1, 0.5],
    ):
        assert typed("x", cells) == typed("x", [Decimal(c) if c is not None else c for c in cells])


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e-12, 1.0, 1e12, 1e36, 1e300])
@pytest.mark.parametrize("origin", [0.0, 1.0, 1e9, -1e15])
def test_float32_tells_the_values_apart_wherever_they_lie(scale: float, origin: float) -> None:
    scale = min(scale, 1e300 / max(1.0, abs(origin)))
    values = (origin + np.random.default_rng(0).permutation(1_001) / 1_000) * scale
    column = typed("x", values.tolist())
    found = column.encode_all(values.tolist())[:, 0].astype(np.float64)
    assert np.isfinite(found).all() and np.abs(found).max() < 1e37
    back = found * column.unit + column.origin
    exact = 1e-6 * scale + 2e-15 * np.abs(values).max()
    np.testing.assert_allclose(back, values, rtol=0, atol=exact if origin != 1.0 else 2e-6 * scale)
    if scale == 1 and origin in (0.0, 1.0):
        assert (column.origin, column.unit) == (0.0, 1.0)  # as they are


def test_a_number_far_beyond_those_learnt_from_stays_a_number() -> None:
    column = typed("x", [1.0, 2.0, 3.0])
    for cell in (1e308, "-1e308", 10**300):
        found = np.float32(column.encode(cell)[0])
        assert np.isfinite(found) and abs(found) > 1e38
    assert np.isfinite(column.encode_all([1e308, -1e308, 3])).all()


# Rows


def everything(n: int, seed: int = 0) -> dict[str, list[Any]]:
    """Columns of every type with gaps, strangers and wild scales."""
    rng = np.random.default_rng(seed)
    start = datetime(2020, 1, 1)
    columns: dict[str, list[Any]] = {
        "plain": rng.normal(size=n).tolist(),
        "whole": rng.integers(0, 5, n).tolist(),
        "text": [f"{x:.3g}" for x in rng.lognormal(0, 8, n)],
        "stamp": (1_700_000_000_000 + rng.integers(0, 10**9, n)).tolist(),
        "flag": (rng.random(n) < 0.3).tolist(),
        "hue": rng.choice(["red", "green", "blue"], n).tolist(),
        "when": [(start + timedelta(hours=int(h))).isoformat() for h in rng.integers(0, 9_000, n)],
        "day": [(start + timedelta(k)).strftime("%d.%m.%Y") for k in range(n)],
        "note": [f"note {i} {rng.random()}" for i in range(n)],
    }  # fmt: skip
    for cells in columns.values():
        for row in rng.integers(0, n, n // 10):
            cells[row] = EMPTY[row % len(EMPTY)]
    return columns


def test_a_row_and_whole_columns_agree() -> None:
    columns = everything(400)
    how = prepared(**columns)
    types = [column.type for column in how.columns]
    assert types == ["number"] * 4 + ["category"] * 2 + ["date"] * 2 + ["left out"]
    strange = {
        name: [*cells[:100], "mauve", 12.5, "31.1.2024", None] for name, cells in columns.items()
    }
    made = how.decode_all(list(strange.values()))
    assert made.dtype == np.float32 and made.shape == (104, how.size)
    for row, cells in enumerate(zip(*strange.values(), strict=True)):
        if np.isnan(made[row]).all():
            with pytest.raises(ExampleError, match="every cell is empty"):
                how.decode(cells)
            continue
        piece = how.decode(cells)
        assert piece.values.dtype == np.float32
        np.testing.assert_array_equal(piece.values, made[row : row + 1])


def test_many_rows_at_once_are_as_each_alone() -> None:
    columns = everything(300)
    columns["plain"][7], columns["day"][8], columns["text"][8] = "about 7", "soon", "far"
    how = prepared(**columns)
    rows = [*zip(*columns.values(), strict=True), (None,) * len(columns)]
    for many in (rows, [*rows, ("short",)]):
        found = how.decode_many(many)
        assert len(found) == len(many)
        for row, piece in zip(many, found, strict=True):
            if isinstance(piece, str):
                with pytest.raises(ExampleError) as caught:
                    how.decode(row)
                assert caught.value.message == piece
                continue
            alone = how.decode(row)
            np.testing.assert_array_equal(piece.values, alone.values)
            assert piece.remark == alone.remark
    assert sum(isinstance(piece, str) for piece in how.decode_many(rows)) == 1
    assert {piece.remark for piece in found if not isinstance(piece, str)} == {
        "",
        "plain: 'about 7' is no number",
        "text: 'far' is no number; day: 'soon' is no date",
    }
    assert how.decode_many([]) == []


def test_frames_arrays_and_files_give_the_same() -> None:
    frame = pandas.DataFrame({"a": [1.5, 2.0, None], "b": [3, 4, 5], "c": ["x", "y", "x"]})
    how = prepared(**{name: frame[name].tolist() for name in frame})
    rows = [tuple(row) for row in frame.itertuples(index=False)]
    text = [("1.5", "3", "x"), ("2.0", "4", "y"), ("", "5", "x")]
    arrays = how.decode_all([frame[name].to_numpy() for name in frame])
    for row, written, array in zip(rows, text, arrays, strict=True):
        np.testing.assert_array_equal(how.decode(row).values, how.decode(written).values)
        np.testing.assert_array_equal(how.decode(row).values[0], array)


def test_rows_that_cannot_be_used_have_a_reason() -> None:
    how = prepared(a=[1.0, 2.0, 3.0], b=["x", "y", "x"], c=["one", "two", "three"])
    for raw, reason in [
        ((1.0, "x"), "has 2 cells, not 3"),
        ((1.0, "x", "one", 4), "has 4 cells, not 3"),
        ((None, "?", "one"), "every cell is empty"),
        ("text", "a str is not a row of cells"),
        (None, "a NoneType is not a row of cells"),
    ]:
        with pytest.raises(ExampleError) as caught:
            how.decode(raw)
        assert caught.value.message == reason
    with pytest.raises(ExampleError, match="2 columns, not 3"):
        how.decode_all([[1.0], ["x"]])
    with pytest.raises(SourceError, match=r"No column .*nearly every cell"):
        prepared(note=["one thing", "another thing", "a third"])


def test_what_cannot_be_read_is_remarked() -> None:
    whens = ["2024-01-01", "2024-01-02", None, None]
    how = prepared(a=[1.0, 2.0, 3.0, 4.0], b=["x", "y", "x", "y"], d=whens)
    piece = how.decode(("about 7", "mauve", "soon"))
    assert piece.remark == "a: 'about 7' is no number; d: 'soon' is no date"
    assert np.isnan(piece.values[0]).sum() == 6 and piece.values[0, 1] == 2
    assert how.decode((1, "x", "")).remark == ""


def test_a_preparation_comes_back_from_json() -> None:
    how = prepared(**everything(200))
    again = Preparation.from_dict(json.loads(json.dumps(how.as_dict())))
    assert again == how and again.key == how.key
    assert Preparation.of_recipe(None, how) == how
    assert prepared(**everything(200, seed=1)).key != how.key
    row = tuple(cells[3] for cells in everything(200).values())
    np.testing.assert_array_equal(again.decode(row).values, how.decode(row).values)
    assert how.names[-1] == "note" and how.needed == how.names[:-1]


def test_a_row_on_its_way_to_the_network() -> None:
    columns = everything(50)
    how = prepared(**columns)
    values = [how.decode(row).values for row in zip(*columns.values(), strict=True)]
    assert how.item == (how.size,) and how.starts(1).tolist() == [0]
    views = torch.from_numpy(np.stack([how.view(each, 0) for each in values]))
    x = how.prepare(views)
    (gathered,) = how.gather(values, None, np.random.default_rng(0))
    (at_once,) = how.gather(np.stack(values), None, np.random.default_rng(0))
    np.testing.assert_array_equal(at_once.numpy(), gathered.numpy())
    varied = how.vary([gathered], how.size, None, torch.Generator())
    for each in (x, varied):
        assert each.dtype == torch.float32
        np.testing.assert_array_equal(each.numpy(), np.concatenate(values))
    target = torch.eye(50)
    assert how.blend(x, target, None, torch.Generator()) == (x, target)
    assert how.blank(3, how.size).shape == (3, how.size)
    assert how.timeline(values[0], lambda v: v, ("a",)) == ()
    assert torch.equal(
        how.answer(lambda rows: rows[:, :2] * 2, varied.nan_to_num()),
        varied.nan_to_num()[:, :2] * 2,
    )


# Facts and what the network must know


def test_facts() -> None:
    columns = everything(300)
    facts = summed_up(list(columns), list(zip(*columns.values(), strict=True)))
    told = json.loads(json.dumps(facts.as_dict()))
    assert (told["numbers"], told["categories"], told["dates"]) == (4, 2, 2)
    assert told["left_out"] == [
        ["note", "nearly every cell is different, as in names or free text"]
    ]
    assert told["remarks"] == [f"Column 'note' is left out: {told['left_out'][0][1]}."]
    listed = {column["name"]: column for column in told["columns"]}
    assert list(listed) == list(columns)
    assert listed["note"]["type"] == "left out" and "nearly every" in listed["note"]["note"]
    assert listed["hue"]["type"] == "one of 3 words" and listed["day"]["type"] == "dates"
    for name, cells in columns.items():
        assert listed[name]["missing"] == sum(map(is_missing, cells))
    assert facts.sentence().startswith("Columns: 4 of numbers, 2 of words, 2 of dates; 1 left out;")
    empty = sum(
        is_missing(cell) for name, cells in columns.items() if name != "note" for cell in cells
    )
    assert facts.missing == pytest.approx(empty / (8 * 300)) and facts.missing > 0.05
    plain = [abs(x) for x in columns["plain"] if not is_missing(x)]
    assert facts.smallest <= min(plain) and facts.largest > 1.7e12 and facts.wild
    assert not summed_up(["a"], [(1.0,), (2.0,)]).wild
    nothing = summed_up(["a", "b"], [])
    json.dumps(nothing.as_dict())
    assert [column.type for column in nothing.columns] == ["left out"] * 2


def test_described_for_the_network() -> None:
    how = prepared(**everything(300))
    told = json.loads(json.dumps(described(how.columns)))
    assert {len(each) for each in told.values()} == {how.size}
    sizes = dict(zip(told["columns"], told["words"], strict=True))
    assert sizes["plain"] == 0 and sizes["flag"] == 2 and sizes["hue"] == 3
    assert sizes["when:weekday"] == 7 and sizes["when:hour"] == 0 and "day:hour" not in sizes


def test_shown() -> None:
    names = [f"n{i}" for i in range(20)]
    row = ("<script>", None, "x" * 99, "\x00\ud800", *range(16))
    how = SimpleNamespace(names=names)
    head, _, content = str(shown(row, how.names)["picture"]).partition(",")
    assert head == "data:image/svg+xml;base64"
    texts = [
        text.text for text in ElementTree.fromstring(base64.b64decode(content)).iter() if text.text
    ]
    assert texts[:4] == ["n0", "<script>", "n1", "-"] and texts[-1] == "and 8 more"
    assert max(map(len, texts)) == 24
    with pytest.raises(ExampleError):
        shown(row[1:], names)


# Tables as people have them


def scanned(tmp_path: Path, text: str | bytes, **asked: Any) -> Catalog:
    file = tmp_path / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return scan(file, cache=tmp_path, **{"target": "price", **asked})


NUMBERS = [f"{i % 7}.5" for i in range(30)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_of_every_dialect_hold_the_same(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    head = delimiter.join(['"size\n(m2)"', "Grösse", "price"])
    rows = [delimiter.join([x, f'"K{delimiter}\n""{x}"""', x]) for x in NUMBERS]
    found = scanned(tmp_path, "\r\n".join([head, *rows]).encode(encoding))
    assert found.columns == ("size\n(m2)", "Grösse") and found.task == "regression"
    assert found.values is not None
    assert found.values[:, 0].tolist() == list(map(float, NUMBERS))
    assert found.read(1) == ("1.5", f'K{delimiter}\n"1.5"') and found.notes == ()


def test_numbers_to_learn_that_have_commas(tmp_path: Path) -> None:
    rows = "\n".join(f"{x};{x.replace('.', ',')}" for x in NUMBERS)
    found = scanned(tmp_path, "a;price\n" + rows)
    assert found.task == "regression" and found.values is not None
    assert found.values[:, 0].tolist() == list(map(float, NUMBERS))
    assert "The commas in the numbers of 'price' are read as decimal points." in found.notes
    words = scanned(tmp_path, "a;price\n" + "1;Bern, CH\n2;Rome, IT\n" * 9)
    assert words.classes == ("Bern, CH", "Rome, IT") and words.notes == ()


def test_what_is_to_be_learnt_may_be_missing(tmp_path: Path) -> None:
    rows = "".join(f"1,{x}\n" for x in [*NUMBERS, "NA", "?", "", "none", "nan", "-"])
    found = scanned(tmp_path, "a,price\n" + rows)
    assert found.task == "regression" and len(found) == 30
    assert {(one.name, one.reason) for one in found.left_out} == {
        (f"row {row}", "no 'price'") for row in range(30, 36)
    }
    rows = "".join(f"1,{x}\n" for x in ["none", "mild"] * 9 + ["NA", "?", "", "NULL"])
    found = scanned(tmp_path, "a,price\n" + rows)
    assert found.classes == ("mild", "none") and len(found) == 18


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "table.csv is empty", "names the columns"),
        ("a,price\n", "it has no rows", "Add some"),
        ("a,a,price\n" + "1,2,3\n" * 20, "more than one column named 'a'", "Rename one"),
        ("a,pric\n" + "1,2\n" * 20, "no column 'price'", "Did you mean 'pric'?"),
        ("price\n" + "2\n" * 20, "no column to learn from", "beside the target"),
        ("a,price\n" + "2,1.5\n" * 20, "Every number in", "another column"),
        ("a,price\n" + "2,x\n" * 20, "only one class, 'x',", "a second class"),
        ("a,price\n" + "2,NA\n3,\n" * 20, "None of the 40 examples", "no 'price'"),
        ("a,price\nZürich,2\n".encode("latin-1"), "cannot be read", "UTF-8"),
        (b"a,price\n1,\x00\n\xff\xfe", "cannot be read", "UTF-8"),
    ],
)
def test_what_cannot_be_learnt_from_is_said(
    tmp_path: Path, text: str | bytes, said: str, hint: str
) -> None:
    with pytest.raises(SourceError) as caught:
        scanned(tmp_path, text)
    assert said in caught.value.message and hint in caught.value.hint


def test_rows_too_short_or_too_long_are_told(tmp_path: Path) -> None:
    rows = "".join(f"{i},w{i % 3},{i}.5\n" for i in range(20))
    found = scanned(tmp_path, "a,b,price\n" + rows + "7,w1\n8,w1,3.5,9\n\n")
    assert "2 rows have more or fewer cells than the first line has names." in found.notes
    assert len(found) == 21 and found.left_out[0].reason == "no 'price'"
    assert scanned(tmp_path, "a,b,price,\n" + rows).columns == ("a", "b", "")
    two = scanned(tmp_path, "a,b,price,,\n" + rows).columns
    assert two == ("a", "b", "column 4", "column 5")


def test_a_frame_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    frame = pandas.DataFrame(np.arange(60).reshape(20, 3), columns=["a", "a", "price"])
    with pytest.raises(SourceError, match="more than one column named 'a'"):
        scan(frame, target="price", cache=tmp_path)


class Polars:
    """What is asked of a polars frame: it has no `iloc`."""

    columns: ClassVar = ["a", "price"]

    def __getitem__(self, name: str) -> list[float]:
        return [float(x) for x in NUMBERS]

    get_column = __getitem__


def test_a_frame_without_iloc(tmp_path: Path) -> None:
    found = scan(Polars(), target="price", cache=tmp_path)
    assert found.kind == "table" and len(found) == 30 and found.read(1) == (1.5,)


def test_frames_of_every_dtype(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {
            "category": pandas.Categorical(["x", "y", None] * 10),
            "whole": pandas.array([1, 2, pandas.NA] * 10, dtype="Int64"),
            "text": pandas.array(["p", pandas.NA, "q"] * 10, dtype="string"),
            "flag": pandas.array([True, False, pandas.NA] * 10, dtype="boolean"),
            "when": pandas.date_range("2024-01-01", periods=30),
            "zone": pandas.date_range("2024-01-01", periods=30, tz="Europe/Zurich"),
            "span": pandas.to_timedelta(np.arange(30) ** 2, unit="h"),
            "price": np.arange(30) / 7,
        }
    )
    found = scan(frame, target="price", cache=tmp_path)
    rows = [found.read(i) for i in range(30)]
    types = [column.type for column in summed_up(found.columns, rows).columns]
    assert types == ["category", "number", "category", "category", "date", "date", "number"]
    frame.to_parquet(tmp_path / "frame.parquet")
    kept = scan(tmp_path / "frame.parquet", target="price", cache=tmp_path)
    again = [kept.read(i) for i in range(30)]
    ours, theirs = summed_up(found.columns, rows), summed_up(kept.columns, again)
    assert [c.type for c in theirs.columns] == types and ours.missing == theirs.missing


def test_an_empty_cell_does_not_say_no(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 2},{i % 3 == 0}\n" for i in range(20))
    found = scanned(tmp_path, "a,red,big\n" + rows + "7,,1\n8,NA,0\n9,1,\n", target="red,big")
    assert found.task == "multilabel" and len(found) == 20
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("row 20", "no 'red'"), ("row 21", "no 'red'"), ("row 22", "no 'big'"),
    ]  # fmt: skip
    numbers = "".join(f"{i},{i / 2},{i / 3}\n" for i in range(20))
    found = scanned(tmp_path, "a,s,t\n" + numbers + "7,,1\n", target="s,t")
    assert found.task == "regression" and found.left_out[0].reason == "no 's'"


PAIRS = pandas.DataFrame(
    {"a": range(20), "s": np.arange(20) / 3, "t": np.arange(20) / 7, "r": np.arange(20) / 9}
)


def test_several_numbers_are_found_by_name(tmp_path: Path) -> None:
    def tested(source: Any, **asked: Any) -> Any:
        known = {"learnable": False, "outputs": ("t", "s"), "known": {"a": True}, "kind": "table"}
        return scan(source, cache=tmp_path, **known, **asked, task="regression").values

    truth = PAIRS[["t", "s"]].to_numpy()
    for target in ("t,s", "s,t", ["s", "t"]):
        np.testing.assert_array_equal(tested(PAIRS, target=target), truth)
    np.testing.assert_array_equal(tested((PAIRS[["a"]], truth)), truth)  # these have no names
    np.testing.assert_array_equal(tested((PAIRS[["a"]], PAIRS[["s", "t"]])), truth)
    with pytest.raises(SourceError, match="there is no 's'"):
        tested(PAIRS, target="t")
    with pytest.raises(SourceError, match="but 'r' is not among them"):
        tested(PAIRS, target="t,s,r")
    with pytest.raises(SourceError, match="there is no 's' and 'r' is not among them"):
        tested(PAIRS, target="t,r")
    with pytest.raises(SourceError, match="3 things of an example, not 2"):
        tested((PAIRS[["a"]], np.ones((20, 3))))


def test_several_labels_are_found_by_name(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"a": range(20), "red": [0, 1] * 10, "big": [1, 1, 1, 0] * 5})
    known = {"learnable": False, "outputs": ("red", "big"), "task": "multilabel"}
    found = scan(frame, target="big,red", cache=tmp_path, **known)
    assert found.values is not None and found.classes == ("red", "big")
    np.testing.assert_array_equal(found.values, frame[["red", "big"]])
    with pytest.raises(SourceError, match="there is no 'big'"):
        scan(frame.assign(no=1), target="no,red", cache=tmp_path, **known)


def test_how_targets_are_named(tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="'t' is to be learnt twice"):
        scan(PAIRS, target="t, t", cache=tmp_path)
    with pytest.raises(ChoiceError, match="No column is to be learnt"):
        scan(PAIRS, target=[], cache=tmp_path)
    comma = PAIRS.rename(columns={"t": "t,s"})
    for target, names in (
        ("t,s", ("t,s",)), (["t,s"], ("t,s",)), (["t,s", "s"], ("t,s", "s")),
    ):  # fmt: skip
        assert scan(comma, target=target, cache=tmp_path).target == names
    numbered = PAIRS.set_axis([0, 1, 2, "3"], axis=1)
    for target, names in ((2, ("2",)), ([1, "3"], ("1", "3")), (np.int64(0), ("0",))):
        found = scan(numbered, target=target, task="regression", cache=tmp_path)
        assert found.target == names == found.classes
        assert found.columns == tuple(name for name in "0123" if name not in names)
    found = scan(numbered, target=2, group_column=1, cache=tmp_path)
    assert found.columns == ("0", "3") and len(set(found.groups.tolist())) == 20


def test_rows_by_columns_that_are_numbers() -> None:
    known = {"0": True, "b": True}
    assert rows_of([{0: 1.5, "b": 2}, {"b": 3, "0": 4}], known) == [(1.5, 2), (4, 3)]
    with pytest.raises(SourceError, match="no column '1'"):
        rows_of([{1: 2, "a": 3}], known)


def test_names_of_arrays_do_not_collide(tmp_path: Path) -> None:
    words = ["a", "b"] * 10
    frame = pandas.DataFrame({"x": range(20), "y": words, "split": words, "group": words})
    found = scan((frame, np.arange(20) % 2), cache=tmp_path)
    assert found.columns == ("x", "y", "split", "group") and found.target == ("y_",)
    assert (found.groups == -1).all() and (found.given == -1).all()
    rows = rows_of(frame, dict.fromkeys(found.columns, True))
    assert rows == [found.read(row) for row in range(20)]
    assert scan((frame[["x"]], np.arange(20) % 2), cache=tmp_path).target == ("y",)
    both = scan((frame.set_axis(["y0", "b", "c", "d"], axis=1), np.eye(20)[:, :2]), cache=tmp_path)
    assert both.target == ("y_0", "y_1")
    with pytest.raises(ChoiceError, match="'y' is both learnt from and to be learnt"):
        scan((frame, frame["y"]), cache=tmp_path)


def test_doubts_of_rows_unlike_those_learnt_from() -> None:
    how = prepared(
        n=[1.0, 2.0, 3.0, 4.0], c=["x", "y", "x", "y"], d=["2024-01-01", "2024-02-01"] * 2,
        gap=[1.0, None, 2.0, 3.0],
    )  # fmt: skip
    assert how.doubts([(1, "x", "2024-05-05", None), ("1,5", "y", None, 2)]) == []
    rows = [("1,5", "z", "soon", None), ("2,5", "z", "2024-05-05", None), ("3", "z", "late", None)]
    assert how.doubts(rows) == [
        "Column 'n': 2 of 3 cells are no numbers, and count as missing.",
        "Column 'c': 3 of 3 cells hold words that it has not learnt.",
        "Column 'd': 2 of 3 cells are no dates as those learnt from, and count as missing.",
    ]
    assert how.doubts([(None, "x", "2024-05-05", 1)]) == ["Column 'n' is empty."]
    assert how.doubts([]) == []


def test_rows_decoded_at_once_are_rows_decoded(tmp_path: Path) -> None:
    columns = everything(300)
    for cells in columns.values():
        cells[11] = None  # a row that says nothing
    columns["plain"][5] = "about 7"
    rows = list(zip(*columns.values(), strict=True))
    frame = pandas.DataFrame(rows, columns=list(columns), dtype=object)
    found = scan(frame.assign(y=["a", "b", "c"] * 100), target="y", cache=tmp_path)
    how = prepared(**columns)
    for from_cache in (False, True):
        decoded = decode(found, how, tmp_path, 1, lambda share: None)
        assert decoded.from_cache == from_cache and len(decoded) == 299
        assert decoded.kept.tolist() == [row for row in range(300) if row != 11]
        assert [(one.name, one.reason) for one in decoded.left_out] == [
            ("row 11", "every cell is empty")
        ]
        told = {one.name: one.reason for one in decoded.remarks}
        assert told == {"row 5": "plain: 'about 7' is no number"}
        some = np.array([200, 3, 3, 298])
        at_once = decoded.pieces(some)
        for place, row in enumerate(some.tolist()):
            alone = how.decode(found.read(int(decoded.kept[row]))).values
            np.testing.assert_array_equal(at_once[place], alone)
            np.testing.assert_array_equal(decoded.piece(row), alone)
        owners, asked = zip(*in_order(decoded, some, "cpu", 3), strict=True)
        assert np.concatenate(owners).tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(torch.cat(asked).numpy(), at_once[:, 0])
    assert len(set(decoded.digests.tolist())) > 290
