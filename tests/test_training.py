"""The loop's promises: NaN, memory, full disk, deterministic batches, averaged weights."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy import folders
from quickstudy.errors import RunError
from quickstudy.kinds import restored
from quickstudy.network import Built, Spec, build
from quickstudy.training import checkpoints, head, step
from quickstudy.training.muon import Muon, orthogonal
from quickstudy.training.rate import range_test

FEW = {
    "epochs": 5,
    "picture.size": 16,
    "picture.start_size": 16,
    "network.width": 0.25,
    "optimizer.lr": 0.02,
}


def events(run: qs.Run) -> str:
    return " / ".join(event["what"] for event in run.facts["events"])


def test_a_nan_goes_back_and_slows_down(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = step.forward_backward, [0]

    def sometimes(*args: Any, **more: Any) -> float:
        calls[0] += 1
        return float("nan") if calls[0] in (5, 9) else real(*args, **more)

    monkeypatch.setattr(step, "forward_backward", sometimes)
    run = qs.learn(shapes, settings=FEW, out=tmp_path / "r")
    assert events(run).count("went back") == 2
    assert run.facts["outcome"]["status"] == "finished"


def test_a_nan_that_stays_is_an_error_with_the_fix(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "forward_backward", lambda *a, **k: float("nan"))
    with pytest.raises(RunError, match="not a number") as caught:
        settings = {**FEW, "compute.precision": "float32"}  # else answers are compared before
        qs.learn(shapes, settings=settings, out=tmp_path / "r")
    assert "optimizer.lr" in caught.value.hint


def test_out_of_memory_halves_the_batch_and_accumulates(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = step.forward_backward

    def small(network: Built, recipe: Any, loss: Any, x: Any, target: Any, parts: int = 1) -> float:
        if len(x) // parts > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return real(network, recipe, loss, x, target, parts)

    monkeypatch.setattr(step, "forward_backward", small)
    run = qs.learn(shapes, settings={**FEW, "batch": 64}, out=tmp_path / "r")
    assert "out of memory: batches are now computed in 4 parts" in events(run)


def test_parts_give_the_gradient_of_the_whole() -> None:
    from types import SimpleNamespace

    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    network = Built(module, "1")
    recipe: Any = SimpleNamespace(compute=SimpleNamespace(device="cpu", precision="float32"))
    x, target = torch.randn(10, 3, 2, 2), torch.eye(3)[torch.randint(3, (10,))]
    loss = nn.CrossEntropyLoss()
    gradients = []
    for parts in (1, 3):
        value = step.forward_backward(network, recipe, loss, x, target, parts)
        gradients.append((value, module[1].weight.grad.clone()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.write(tmp_path, checkpoints.State({"a": torch.ones(3)}, {"step": 1}))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        checkpoints.write(tmp_path, checkpoints.State({"a": torch.zeros(3)}, {"step": 2}))
    state = checkpoints.read(tmp_path)
    assert state is not None
    assert state.facts["step"] == 1
    assert list(tmp_path.iterdir()) == [tmp_path / checkpoints.NAME]


def test_a_damaged_checkpoint_is_said(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, checkpoints.State({"a": torch.ones(3)}, {"step": 1}))
    file = tmp_path / checkpoints.NAME
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(RunError, match="damaged"):
        checkpoints.read(tmp_path)


def test_orthogonal_against_svd() -> None:
    """Singular values come near 1; the directions are those of the exact polar factor."""
    torch.manual_seed(0)
    for shape in ((20, 50), (50, 20)):
        matrix = torch.randn(shape)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        found = orthogonal(matrix)
        values = torch.linalg.svdvals(found)
        assert 0.5 < values.min() <= values.max() < 1.4
        assert nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_muon_lowers_a_loss_and_its_state_survives_packing() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    x = torch.randn(64, 8)
    y = x[:, :1] * x[:, 1:2]

    def made() -> Muon:
        first, _, last = module
        beside = [first.bias, last.weight, last.bias]
        return Muon([first.weight], beside, lr=0.05, momentum=0.9, weight_decay=0.0)

    optimizer, losses = made(), []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (module(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    again = made()
    checkpoints.unpack_optimizer(again, checkpoints.pack_optimizer(optimizer))
    for p in module.parameters():
        for name, tensor in optimizer.state[p].items():
            assert torch.equal(again.state[p][name], tensor)


def test_range_test_leaves_no_trace_and_finds_a_rate_that_works() -> None:
    torch.manual_seed(0)
    module = nn.Linear(5, 1)
    x = torch.randn(64, 5)
    y = x @ torch.arange(5.0)[:, None]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    before = module.weight.detach().clone()

    def step(_: int) -> float:
        module.zero_grad()
        loss = (module(x) - y).square().mean()
        loss.backward()
        return loss.item()

    rate, why = range_test(module, optimizer, step, "sgd")
    assert torch.equal(module.weight, before)
    assert not optimizer.state
    curvature = torch.linalg.eigvalsh(2 * x.T @ x / len(x)).max().item()
    assert 0.02 / curvature < rate < 2 / curvature  # above 2 / curvature it diverges
    assert "range test" in why


def test_the_head_against_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.normal(size=(300, 6)) + np.eye(3, 6)[y] * 1.5).astype(np.float32)
    loss = nn.functional.cross_entropy
    weight, bias = head.solve(torch.from_numpy(x), torch.from_numpy(y), 3, loss, 1e-2)
    theirs = LogisticRegression(C=1 / (2 * 1e-2 * len(x)), tol=1e-8, max_iter=1000).fit(x, y)
    ours = (torch.from_numpy(x) @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=2e-3)


def test_fitted_head_undoes_its_standardisation() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (rng.normal(size=(200, 4)) * [1, 100, 0.01, 5] + 7).astype(np.float32)
    x[:, 0] += 3 * y
    loss = nn.functional.cross_entropy
    fitted = head.fit(x.copy(), torch.from_numpy(y), 2, loss, np.full(200, -1), 0)
    said = (torch.from_numpy(x) @ fitted.weight.T + fitted.bias).argmax(1).numpy()
    assert (said == y).mean() > 0.9
    assert fitted.folds_loss < 0.4


def test_folds_keep_groups_together() -> None:
    groups = np.array([-1, 3, 3, -1, 7, 7, 7, 3, -1])
    fold = head.folds(groups, np.random.default_rng(0))
    assert len(set(fold[groups == 3])) == 1
    assert len(set(fold[groups == 7])) == 1


def test_features_go_on_where_they_were(tmp_path: Path, shapes: Path) -> None:
    """A file of features that a kill cut short, even in mid-row, is completed, not begun anew."""
    from types import SimpleNamespace

    torch.manual_seed(0)
    network = build(Spec("compact", 3, 16, width=0.25))
    pixels = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), np.uint8)
    how = restored(
        "image",
        {
            **{"decode_size": 16, "size": 16, "fit": "squash", "mirror": False},
            **{"mean": (0.5,) * 3, "std": (0.2,) * 3},
        },
    )
    decoded: Any = SimpleNamespace(
        piece=lambda row: pixels[row : row + 1],
        pieces=lambda rows: [pixels[row : row + 1] for row in rows],
        of_rows=False,
        forget=lambda: None,
        how=how,
    )
    recipe: Any = SimpleNamespace(
        compute=SimpleNamespace(device="cpu", precision="float32"),
    )
    rows = np.arange(100)
    file = tmp_path / "f"

    def run(each: Any) -> Any:
        return head.features(network, decoded, rows, recipe, file, mirrored=False, each=each)

    whole = run(lambda done: True)
    file.write_bytes(file.read_bytes()[: 4 * whole.shape[1] * 70 + 11])
    seen: list[int] = []
    again = run(lambda done: seen.append(done) is None)
    assert seen[0] == 64 + head.BATCH
    np.testing.assert_array_equal(whole, again)
    file.unlink()
    with pytest.raises(head.Stopped):
        run(lambda done: False)
