"""The network for tables: what it learns from the training rows, its members, what may go in."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.datasets import load_iris, make_friedman1
from torch import Tensor
from torch.nn import functional as F

from quickstudy.network.tabular import Front, PiecewiseLinear, SharedLinear, Tabular
from quickstudy.recipe.draft import Draft
from quickstudy.recipe.tables import training
from quickstudy.tasks import Classification
from quickstudy.training.state import Loop

WORDS, GAPS = [0, 3, 0, 0, 2], [True, True, False, True, False]


pytestmark = pytest.mark.usefixtures("one_thread")


def rows(n: int = 200, seed: int = 0) -> np.ndarray:
    """Rows of three numbers and two categories, some cells missing."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 3)) * [1, 50, 1e-3] + [0, 1_000, 0]
    codes = np.stack([rng.integers(0, 3, n), rng.integers(0, 2, n)], 1)
    values = np.column_stack([numbers[:, 0], codes[:, 0], numbers[:, 1:], codes[:, 1]])
    for column in (0, 1, 3):
        values[rng.random(n) < 0.1, column] = math.nan
    return values.astype(np.float32)


def network(**given: Any) -> Tabular:
    torch.manual_seed(0)
    made = Tabular(WORDS, GAPS, 4, **{"width": 32, "members": 6, **given})
    made.fit_statistics(rows())
    curve = made.columns.embedding.curve
    torch.nn.init.normal_(curve, std=0.1)  # it begins flat, and would hide what it is given
    return made.eval()


# What goes in


def test_the_front_against_the_definition() -> None:
    values = rows()
    front = Front(WORDS, GAPS)
    front.fit_statistics(values)
    found = front(torch.from_numpy(values)).numpy()
    assert found.shape == (200, front.width) == (200, 3 + 2 + 5 + 3)
    for place, column in enumerate((0, 2, 3)):
        x = values[:, column].astype(np.float64)
        first, middle, third = np.nanquantile(x, [0.25, 0.5, 0.75])
        z = (x - middle) / ((third - first) / 1.35)
        z = np.where(np.isnan(z), 0, z / np.sqrt(1 + (z / 3) ** 2))
        np.testing.assert_allclose(found[:, place], z, atol=1e-4)
    np.testing.assert_array_equal(found[:, 3:5], np.isnan(values[:, [0, 3]]))
    code = np.where(np.isnan(values[:, 1]), 4, values[:, 1]).astype(int)
    np.testing.assert_array_equal(found[:, 5:10], np.eye(5)[code])
    np.testing.assert_array_equal(found[:, 10:], np.eye(3)[values[:, 4].astype(int)])


def test_a_number_of_normal_spread_is_standardised() -> None:
    x = np.random.default_rng(0).normal(7, 0.2, (20_000, 1)).astype(np.float32)
    front = Front([0], [False])
    front.fit_statistics(x)
    assert front.spread.item() == pytest.approx(0.2, rel=0.02)
    assert front.centre.item() == pytest.approx(7, abs=0.01)


def test_what_training_rows_never_had_is_their_mean() -> None:
    """Weights that nothing has trained would say anything."""
    learnt = np.array([[0, 1.0], [0, 2.0], [2, 3.0], [0, 4.0]], np.float32)
    front = Front([4, 0], [True, True])
    front.fit_statistics(learnt)
    mean = [0.75, 0, 0.25, 0, 0, 0]
    asked = torch.tensor([[1.0, 2.5], [3.0, 2.5], [4.0, 2.5], [99.0, 2.5], [math.nan, math.nan]])
    found = front(asked)
    for row in found:
        assert row[2:].tolist() == mean
        assert row[:2].tolist() == [0.0, 0.0]  # the middle; and no gap was ever met
    assert front(torch.tensor([[2.0, 2.5]]))[0, 2:].tolist() == [0, 0, 1, 0, 0, 0]


def test_rare_words_and_gaps_that_were_met_have_codes_of_their_own() -> None:
    learnt = np.array([[0, 1.0], [2, 2.0], [math.nan, math.nan]], np.float32)
    front = Front([2, 0], [True, True])
    front.fit_statistics(learnt)
    found = front(torch.from_numpy(learnt))
    assert found[:, 2:].tolist() == torch.eye(4)[[0, 2, 3]].tolist()
    assert found[:, 1].tolist() == [0, 0, 1]
    unmet = front(torch.tensor([[1.0, 1.0]]))  # as a rare word: those were met
    assert unmet[0, 2:].tolist() == [0, 0, 1, 0]


def test_statistics_are_of_the_rows_given_and_of_no_others() -> None:
    one, other = network(), network()
    other.fit_statistics(rows(seed=1))
    fitted = {name for name, _ in one.named_buffers()}
    for name, buffer in one.named_buffers():
        once, again = buffer.clone(), other.get_buffer(name)
        if name.endswith(("centre", "spread", "left", "slope")):
            assert not torch.equal(once, again), name
    one.fit_statistics(rows(seed=1))
    assert all(torch.equal(one.get_buffer(name), other.get_buffer(name)) for name in fitted)


def test_a_curve_bends_at_the_quantiles() -> None:
    x = np.random.default_rng(0).lognormal(0, 3, (999, 1)).astype(np.float32)
    layer = PiecewiseLinear(1, 8, 2)
    layer.fit_statistics(x)
    edges = np.quantile(x.astype(np.float64), np.linspace(0, 1, 9))
    with torch.no_grad():
        layer.curve.normal_()
        found = layer(torch.from_numpy(x), torch.zeros(999, 1))[0].numpy()
    heights = np.concatenate([np.zeros((1, 2)), layer.curve[0].detach().numpy().cumsum(0)])
    for k in range(2):
        np.testing.assert_allclose(found[:, k], np.interp(x[:, 0], edges, heights[:, k]), atol=1e-4)


def test_few_different_values_have_a_corner_each() -> None:
    layer = PiecewiseLinear(2, 8, 1)
    layer.fit_statistics(np.array([[1, 5], [2, 5], [4, 5], [2, 5]], np.float32))
    assert layer.left[0, 0, :3].tolist() == [1, 2, 0]
    assert layer.slope[0, 0, :3].tolist() == [1, 0.5, 0]
    assert not layer.slope[1].any()


# Members


def test_scores_of_every_member() -> None:
    scores = network()(torch.from_numpy(rows()))
    assert scores.shape == (200, 6, 4) and scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert scores.std(1).min() > 1e-3  # no two members say the same
    apart = torch.cdist(scores.transpose(0, 1).flatten(1), scores.transpose(0, 1).flatten(1))
    assert (apart + torch.eye(6) * 1e9).min() > 0.1


def test_a_shared_layer_is_a_linear_layer_for_each() -> None:
    layer = SharedLinear(5, 3, 2)
    torch.nn.init.normal_(layer.scale_in)
    x = torch.randn(2, 7, 5)
    for member, found in enumerate(layer(x)):
        weight = layer.weight * layer.scale_in[member]
        torch.testing.assert_close(found, F.linear(x[member], weight, layer.bias[member, 0]))


def test_the_first_layer_against_one_column_at_a_time() -> None:
    made = network()
    front, columns = made.columns.front, made.columns
    x = torch.from_numpy(rows(5))
    numbers, codes = front.filled(x), front.codes(x)
    parts = [*columns.embedding(numbers, front.standardised(numbers))]
    parts += [front.missing(x)[:, [i]] * columns.missing[i] for i in range(2)]
    parts += [codes[i] @ columns.categories[i] for i in range(2)]
    for member, found in enumerate(columns(x)):
        total = sum(w * part for w, part in zip(columns.weighing[member], parts, strict=True))
        torch.testing.assert_close(found, total + columns.bias[member])


def test_a_row_is_answered_alone_as_among_others() -> None:
    made, x = network(), torch.from_numpy(rows())
    torch.testing.assert_close(made(x[:1]), made(x)[:1])
    torch.testing.assert_close(made(x.flip(0)), made(x).flip(0))


@pytest.mark.parametrize(
    ("words", "gaps"),
    [([0], [False]), ([0], [True]), ([3], [False]), ([3], [True]), ([1, 0, 1], [True] * 3)],
)
@pytest.mark.parametrize("blocks", [1, 3])
def test_any_columns(words: list[int], gaps: list[bool], blocks: int) -> None:
    made = Tabular(words, gaps, 1, width=8, members=2, blocks=blocks)
    values = np.zeros((9, len(words)), np.float32)
    values[::2] = math.nan
    made.fit_statistics(values)
    assert made(torch.from_numpy(values)).shape == (9, 2, 1)
    assert made(torch.full((3, len(words)), math.nan)).isfinite().all()


# Kept, moved, exported


def test_weights_and_statistics_come_back() -> None:
    made, x = network(), torch.from_numpy(rows())
    fresh = Tabular(WORDS, GAPS, 4, width=32, members=6).eval()
    kept = save({k: v.contiguous() for k, v in made.state_dict().items()})
    fresh.load_state_dict(load(kept))
    assert torch.equal(fresh(x), made(x))
    names = {name.rpartition(".")[2] for name in made.state_dict()}
    assert {"centre", "spread", "left", "slope", "codes1", "codes4", "had_gaps"} <= names


def test_exported_it_answers_the_same() -> None:
    made, x = network(), torch.from_numpy(rows())
    n = torch.export.Dim("n", min=2)
    exported = torch.export.export(made, (x[:50],), dynamic_shapes=({0: n},))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for batch in (x, x[:2]):
        torch.testing.assert_close(again(batch), made(batch))


def test_in_double_precision() -> None:
    made, x = network(), torch.from_numpy(rows())
    single = made(x)
    double = made.double()(x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu() -> None:
    made, x = network(), torch.from_numpy(rows())
    expected = made(x)
    made.cuda().fit_statistics(rows())
    torch.testing.assert_close(made(x.cuda()).cpu(), expected, atol=1e-3, rtol=1e-3)


# Learning


def test_gradients_reach_every_weight_and_are_right() -> None:
    made = Tabular(WORDS, GAPS, 2, width=4, members=2, bins=3, dropout=0.0).double()
    made.fit_statistics(rows())
    x = torch.from_numpy(rows(12)).double()
    weights = dict(made.named_parameters())

    def loss(*values: Tensor) -> Tensor:
        given = dict(zip(weights, values, strict=True))
        return torch.func.functional_call(made, given, (x,)).square().mean()

    inputs = tuple(p.detach().clone().requires_grad_() for p in weights.values())
    assert torch.autograd.gradcheck(loss, inputs)
    loss(*inputs).backward()
    reached = {name: bool(p.grad.any()) for name, p in zip(weights, inputs, strict=True)}
    assert all(reached.values()), reached


@pytest.mark.parametrize("exponent", [-12, -30, 12, 30])
def test_wild_scales_change_nothing(exponent: int) -> None:
    """The same rows in other units: the same scores, but for rounding."""
    values = rows()
    scaled = values.copy()
    scaled[:, [0, 2, 3]] *= np.float32(10.0**exponent)
    made = network()
    expected = made(torch.from_numpy(values))
    made.fit_statistics(scaled)
    torch.testing.assert_close(made(torch.from_numpy(scaled)), expected, atol=2e-3, rtol=1e-3)


def test_numbers_far_beyond_those_learnt_from_stay_finite() -> None:
    made = network()
    most = float(np.finfo(np.float32).max)
    for value in (1e-38, 1e12, -1e30, most, -most):
        x = torch.from_numpy(rows(8))
        x[:, [0, 2, 3]] = value
        x.requires_grad_()
        scores = made(x)
        assert scores.isfinite().all()
        scores.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def test_a_column_of_many_powers_of_ten_is_told_apart_everywhere() -> None:
    x = (10.0 ** np.random.default_rng(0).uniform(-12, 12, (200, 1))).astype(np.float32)
    y = torch.from_numpy(np.sin(np.log10(x) / 2))
    assert _learnt(Tabular([0], [False], 1, width=32, members=2), x, y, 120) < 0.05


def test_it_learns_what_a_line_cannot() -> None:
    """Friedman's function: a line leaves a quarter of the variance."""
    x, y = make_friedman1(200, 5, noise=0.0, random_state=0)
    y = torch.tensor((y - y.mean()) / y.std())[:, None].float()
    line = np.linalg.lstsq(np.column_stack([x, np.ones(200)]), y, rcond=None)[1][0] / 200
    left = _learnt(Tabular([0] * 5, [False] * 5, 1, width=32, members=2), x, y, 120)
    assert left < 0.05 < 0.2 < line


def test_it_learns_from_categories_and_gaps_alone() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 3, 200), rng.normal(size=200)], 1).astype(np.float32)
    x[rng.random(200) < 0.3, 1] = math.nan
    y = torch.from_numpy(((x[:, :1] == 1) ^ np.isnan(x[:, 1:])).astype(np.float32) * 2 - 1)
    made = Tabular([3, 0], [False, True], 1, width=16, members=2)
    assert _learnt(made, x, y, 120) < 0.05


def _learnt(made: Tabular, x: np.ndarray, y: Tensor, steps: int) -> float:
    """Return the mean square that is left of the mean answer."""
    torch.manual_seed(0)
    made.fit_statistics(x)
    rows_ = torch.from_numpy(x.astype(np.float32))
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (made(rows_) - y[:, None]).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        return float((made.eval()(rows_).mean(1) - y).square().mean())


def test_iris() -> None:
    x, y = load_iris(return_X_y=True)
    learn = np.arange(150) % 3 > 0
    torch.manual_seed(0)
    made = Tabular([0] * 4, [False] * 4, 3, width=32, members=4)
    made.fit_statistics(x[learn])
    rows_, truth = torch.from_numpy(x).float(), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.005)
    for _ in range(60):
        optimizer.zero_grad()
        scores = made(rows_[learn])
        F.cross_entropy(scores.flatten(0, 1), truth[learn].repeat_interleave(4)).backward()
        optimizer.step()
    found = made.eval()(rows_[~learn]).softmax(2).mean(1).argmax(1)
    assert (found == truth[~learn]).double().mean() >= 0.92


def test_what_steers_a_run_that_waits_is_the_loss_on_val() -> None:
    """A score of few answers is soon as high as it can be, long before all is learnt."""
    seen = [(1.0, 0.5), (1.0, 0.4), (0.9, 0.3), (1.0, 0.35), (math.nan, math.nan)]
    for patience, expected in ((16, (0.9, 0.3)), (None, (1.0, 0.35))):
        loop: Any = SimpleNamespace(
            recipe=SimpleNamespace(patience=patience), best=(-math.inf, math.inf)
        )
        for score, loss in seen:
            if Loop.better(loop, score, loss):
                loop.best = (score, loss)
        assert loop.best == expected


def test_a_right_answer_is_not_all_that_a_short_val_tells() -> None:
    """The best temperature would make the loss of any scores nothing, where all are right."""
    task = Classification(("a", "b"))
    truth, owners = np.array([0, 1, 0]), torch.arange(3)
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = [task.judged(scores * sure, owners, truth) for sure in (0.1, 1.0, 3.0)]
    for judged, sure in zip(found, (0.1, 1.0, 3.0), strict=True):
        assert judged.score == 1
        assert judged.loss == pytest.approx(math.log1p(math.exp(-sure)), rel=1e-5)


@pytest.mark.parametrize(("rows_", "passes"), [(100, 48), (300, 16), (400, 16), (100_000, 16)])
def test_patience_is_never_so_few_steps_that_nothing_is_learnt(rows_: int, passes: int) -> None:
    draft = Draft({"network.name": ("tabm", "")})
    draft.values["network.name"] = "tabm"
    training(draft, SimpleNamespace(), rows_)  # type: ignore[arg-type]
    assert draft.values["patience"] == passes
    assert passes * rows_ / draft.values["batch"] >= 149


def test_a_run_does_not_wait_for_next_to_nothing() -> None:
    loop: Any = SimpleNamespace(mark=math.inf, mark_pass=0.0)
    falling = [1.0, 0.995, 0.991, 0.985, 0.98, math.nan, 0.976, 0.97]
    for n, loss in enumerate(falling):
        loop.passes = lambda n=n: float(n)
        Loop.noted(loop, loss)
        assert loop.mark_pass == {0: 0, 1: 0, 2: 0, 3: 3, 4: 3, 5: 3, 6: 3, 7: 7}[n]
    loop.recipe = SimpleNamespace(patience=16)
    for passes, ended in ((23.0, False), (23.1, True)):
        loop.passes = lambda passes=passes: passes
        assert Loop.out_of_patience(loop) == ended
