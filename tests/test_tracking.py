"""What TensorBoard, MLflow and W&B were told is read back; one that fails ends nothing else."""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

import quickstudy as qs
from quickstudy import tracking
from quickstudy.errors import ChoiceError, MissingExtra, SourceError
from quickstudy.progress import Progress
from quickstudy.tracking.contract import Point, Result, Tracker
from quickstudy.tracking.mlflow import MLflow
from quickstudy.tracking.numbers import Points, ended

#: Quick to learn: what is tracked is the same for every kind.
TINY = {
    "epochs": 3,
    "network.width": 0.25,
    "table.members": 2,
    "table.bins": 4,
    "table.trees": "false",
    "compute.threads": 1,
    "data_curve": "never",
    "suspects": "keep",
}
#: Runs a command; fails where Python tried to reach anything but this machine.
_GUARDED = """
import sys
tried = []
def guard(event, given):
    host = None
    if event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple):
        host = given[1][0]
    elif event == "socket.getaddrinfo":
        host = given[0]
    if host not in (None, "127.0.0.1", "::1", "localhost", b"localhost"):
        tried.append((event, host))
        raise OSError("guarded")
sys.addaudithook(guard)
from quickstudy.cli import main
code = main(sys.argv[1:])
print("tried:", tried, file=sys.stderr)
sys.exit(code or (7 if tried else 0))
"""


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[str]]]:
    """A port that programs are told to go through, and what they asked it for: the Go program
    behind wandb is out of the guard's sight."""
    asked: list[str] = []
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()

        def answer() -> None:
            while True:
                try:
                    line, _ = door.accept()
                except OSError:
                    return
                with line:
                    asked.append(line.recv(200).decode("latin-1"))

        threading.Thread(target=answer, daemon=True).start()
        yield door.getsockname()[1], asked


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlflow's own, with SQLAlchemy 2.1
def test_a_run_is_read_back_and_nothing_leaves(
    tmp_path: Path, proxy: tuple[int, list[str]]
) -> None:
    port, asked = proxy
    table, out = tmp_path / "rows.csv", tmp_path / "run 1"
    rows = [f"{x},{y},{'in' if x * x + y * y < 20 else 'out'}" for x in range(9) for y in range(9)]
    table.write_text("\n".join(["x,y,where", *rows]))
    settings = [f"{key}={value}" for key, value in TINY.items()]
    # Without what tells mlflow that this is a test: then it would report nothing anyhow.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "MLFLOW", "WANDB")) and name not in ("CI", "DO_NOT_TRACK")
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        environment[name] = f"http://127.0.0.1:{port}"
    environment["NO_PROXY"] = environment["no_proxy"] = ""
    words = ["learn", table, "--target", "where", "--out", out]
    words += ["--track", "tensorboard,mlflow,wandb,model", "--set"]
    done = subprocess.run(
        [sys.executable, "-c", _GUARDED, *map(str, words), *settings],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert asked == []
    assert "tensorboard --logdir" in done.stderr
    assert "mlflow ui --backend-store-uri" in done.stderr
    assert "wandb sync" in done.stderr
    assert "tracking with" not in done.stderr
    kept = {place.name for place in tmp_path.iterdir()}
    assert kept == {"rows.csv", "run 1"}  # all that they keep lies in the run
    facts = json.loads((out / "report.json").read_text())
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    _in_tensorboard(out, facts, log)
    _in_mlflow(out, facts, log)
    _in_wandb(out, facts, log)
    _gone_on_with(out)


def _gone_on_with(out: Path) -> None:
    """A run that is resumed is the same run to those who follow it, and no other."""
    from mlflow.tracking import MlflowClient

    heard: list[str] = []
    names = tracking.asked("mlflow,wandb")
    with tracking.tracked(names, out, lambda p: heard.append(p.said), lambda: 0.0) as tracked:
        uri = f"sqlite:///{out / 'mlflow' / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        (run,) = client.search_runs([client.get_experiment_by_name("quickstudy").experiment_id])
        assert run.info.status == "RUNNING"
        tracked.listen(_record(99.0, loss=0.125))
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert len(history) > 1
    assert (history[-1].value, history[-1].step) == (0.125, 99)
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
    first, second = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    runs = [r.run for file in (first, second) for r in wandb_ended(file) if r.HasField("run")]
    assert len({one.run_id for one in runs}) == 1
    losses = [
        item.value_json
        for record in wandb_ended(second)
        for item in record.history.item
        if "train/loss" in (item.key, *item.nested_key)
    ]
    assert losses == ["0.125"]
    assert not any("has ended" in line for line in heard)
    assert any(f"offline-run-*-{runs[0].run_id}" in line for line in heard)


def _losses(log: Sequence[dict[str, Any]]) -> list[float]:
    return [entry["loss"] for entry in log if entry["loss"] is not None]


def _in_tensorboard(out: Path, facts: dict[str, Any], log: list[dict[str, Any]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    kept = EventAccumulator(str(out / "tensorboard"))
    kept.Reload()
    assert [e.value for e in kept.Scalars("train/loss")] == pytest.approx(_losses(log))
    assert kept.Scalars("test/accuracy")[0].value == pytest.approx(facts["test"]["accuracy"])
    low, high = facts["test"]["interval"]
    assert kept.Scalars("test/accuracy_low")[0].value == pytest.approx(low)
    assert kept.Scalars("test/accuracy_high")[0].value == pytest.approx(high)
    texts = [
        event.tensor_proto.string_val[0].decode() for event in kept.Tensors("said/text_summary")
    ]
    said = [entry["said"].strip() for entry in log if entry["said"]]
    assert texts[-len(said) :] == said or set(said) >= set(texts)
    content = kept.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    recipe = HParamsPluginData.FromString(content).session_start_info.hparams
    assert recipe["optimizer.name"].string_value == facts["recipe"]["optimizer.name"]["value"]
    assert recipe["table.members"].number_value == 2


def _in_mlflow(out: Path, facts: dict[str, Any], log: list[dict[str, Any]]) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{out / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("quickstudy")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run 1"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [metric.value for metric in history] == pytest.approx(_losses(log))
    seconds = [int(entry["seconds"]) for entry in log if entry["loss"] is not None]
    assert [metric.step for metric in history] == seconds
    assert run.data.metrics["test/accuracy"] == pytest.approx(facts["test"]["accuracy"])
    assert run.data.params["optimizer.name"] == facts["recipe"]["optimizer.name"]["value"]
    assert set(run.data.params) == set(facts["recipe"])
    assert "correct on" in run.data.tags["mlflow.note.content"]
    files = {file.path for file in client.list_artifacts(run.info.run_id, "model")}
    assert "model/weights.safetensors" in files


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield what a .wandb file holds: LevelDB's log format behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, record = 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # the rest of a block that holds no header
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if place + 7 + length > len(data):
            return  # it is being written
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def wandb_ended(path: Path) -> list[Any]:
    """Return what a .wandb file holds once it is whole: `finish` may return before that."""
    deadline = time.monotonic() + 20
    while True:
        found = list(wandb_records(path))
        if any(one.HasField("exit") for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _in_wandb(out: Path, facts: dict[str, Any], log: list[dict[str, Any]]) -> None:
    (file,) = (out / "wandb").glob("offline-run-*/*.wandb")
    losses, summary, config, artifacts, codes = [], {}, {}, [], []
    for record in wandb_records(file):
        if record.HasField("history"):
            row = {i.key or ".".join(i.nested_key): i.value_json for i in record.history.item}
            losses += [json.loads(row["train/loss"])] if "train/loss" in row else []
        for item in record.summary.update:
            summary[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        for item in record.config.update:
            config[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        if record.request.HasField("log_artifact"):
            artifacts.append(record.request.log_artifact.artifact)
        if record.HasField("artifact"):
            artifacts.append(record.artifact)
        if record.HasField("exit"):
            codes.append(record.exit.exit_code)
    assert losses == pytest.approx(_losses(log))
    assert summary["test/accuracy"] == pytest.approx(facts["test"]["accuracy"])
    assert "correct on" in summary["result"]
    assert config["optimizer.name"] == facts["recipe"]["optimizer.name"]["value"]
    assert codes == [0]
    named = {entry.path for artifact in artifacts for entry in artifact.manifest.contents}
    assert "weights.safetensors" in named


class Kept(Tracker):
    """Keeps what it is told; breaks or hangs where a test says so."""

    title = "Kept"
    copies = True
    made: ClassVar[list[Kept]] = []
    breaks_at: ClassVar[float] = math.inf
    hangs: ClassVar[threading.Event | None] = None

    @classmethod
    def load(cls) -> None:
        """Nothing is needed."""

    def __init__(self, folder: Path) -> None:
        self.points: list[Point] = []
        self.results: list[tuple[Result, bool]] = []
        self.closed: list[bool] = []
        self.where = f"Kept: look into {folder}"
        Kept.made.append(self)

    def write(self, points: Sequence[Point]) -> None:
        if Kept.hangs is not None:
            Kept.hangs.wait(20)
        for point in points:
            if point.seconds >= Kept.breaks_at:
                raise OSError(28, "No space left on device")
            self.points.append(point)

    def result(self, result: Result, *, copying: bool) -> None:
        self.results.append((result, copying))

    def close(self, *, whole: bool) -> None:
        self.closed.append(whole)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    monkeypatch.setitem(tracking.TRACKERS, "kept", Kept)
    monkeypatch.setattr(Kept, "made", [])
    monkeypatch.setattr(Kept, "breaks_at", math.inf)
    monkeypatch.setattr(Kept, "hangs", None)
    return Kept


def _record(second: float, **given: Any) -> Progress:
    return Progress("train", second, second / 100, **given)


def _facts() -> dict[str, Any]:
    estimate = {"value": 0.5, "interval": [0.4, 0.6]}
    facts: dict[str, Any] = {
        "test": {"n": 9, "r2": estimate, "baseline": {"value": 1.0, "r2": 0.0, "mae": 2.0}},
        "val": {"score": 0.7},
        "seconds": {"total": 3.0},
        "steps": None,
        "network": {"parameters": 10, "flops": 20},
        "recipe": {
            "epochs": {"value": None, "why": ""},
            "picture.mean": {"value": [0.5, 0.25], "why": ""},
            "augment.mirror": {"value": True, "why": ""},
        },
    }
    facts["test"]["targets"] = {"a [m/s]": {"mae": {"value": 3.0, "interval": [2.0, 4.0]}}}
    return facts


def test_a_result_is_handed_on_whole(tmp_path: Path, kept: type[Kept]) -> None:
    heard: list[Progress] = []
    with tracking.tracked(["kept", "model"], tmp_path, heard.append, lambda: 3.0) as tracked:
        tracked.listen(_record(1.0, loss=2.0))
        tracked.ended(_facts(), ["one", "two"], tmp_path)
    (made,) = kept.made
    ((result, copying),) = made.results
    assert (copying, made.closed) == (True, [True])
    assert (result.scores["test/r2"], result.words) == (0.5, "one\ntwo")
    assert result.model == tmp_path / "model"
    assert heard[0] == Progress("said", 3.0, said=f"  {made.where}")


def test_wandb_is_told_where_a_model_is_unless_it_is_to_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"w" * 100)
    names = tracking.asked(["wandb"])
    heard: list[Progress] = []
    with tracking.tracked(names, tmp_path, heard.append, lambda: 0.0) as tracked:
        tracked.ended(_facts(), ["one"], tmp_path)
    assert [progress.said[:27] for progress in heard] == ["  Weights & Biases, offline:"[:27]]
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    records = wandb_ended(file)
    (artifact,) = [r.artifact for r in records if r.HasField("artifact")] or [
        r.request.log_artifact.artifact for r in records if r.request.HasField("log_artifact")
    ]
    told = (tmp_path / "model" / "weights.safetensors").as_uri()
    assert [(e.ref, e.local_path) for e in artifact.manifest.contents] == [(told, "")]


def test_a_tracker_that_breaks_is_said_once_and_the_others_go_on(
    tmp_path: Path, kept: type[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Kept):
        title = "Other"

        def write(self, points: Sequence[Point]) -> None:
            self.points += points

    monkeypatch.setitem(tracking.TRACKERS, "other", Other)
    kept.breaks_at = 3.0
    heard: list[Progress] = []
    with tracking.tracked(["kept", "other"], tmp_path, heard.append, lambda: 0.0) as tracked:
        for second in range(9):
            tracked.listen(_record(second, loss=1.0))
            time.sleep(0.02)
    said = [progress.said for progress in heard if "has ended" in progress.said]
    assert len(said) == 1
    assert "tracking with Kept" in said[0]
    assert "No space left on device" in said[0]
    assert [progress.seconds for progress in heard if progress.loss] == list(range(9))
    first, other = kept.made
    assert [point.seconds for point in first.points] == [0, 1, 2]
    assert first.closed == []
    assert [point.seconds for point in other.points] == list(range(9))
    assert other.closed == [True]


def test_training_never_waits_for_a_tracker_that_hangs(
    tmp_path: Path, kept: type[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_ENDING", 0.2)
    kept.hangs = threading.Event()
    heard: list[Progress] = []
    began = time.perf_counter()
    with tracking.tracked(["kept"], tmp_path, heard.append, lambda: 0.0) as tracked:
        for second in range(1000):
            tracked.listen(_record(second, loss=1.0))
    took = time.perf_counter() - began
    kept.hangs.set()
    assert took < 5
    assert len([progress for progress in heard if progress.loss]) == 1000
    assert "has not answered" in heard[-1].said


def test_one_that_is_slow_to_open_is_named_when_it_has(
    tmp_path: Path, kept: type[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Kept):
        opened: ClassVar[threading.Event] = threading.Event()

        def __init__(self, folder: Path) -> None:
            self.opened.wait(20)
            super().__init__(folder)

    monkeypatch.setattr(tracking, "_OPENING", 0.05)
    monkeypatch.setitem(tracking.TRACKERS, "kept", Slow)
    heard: list[Progress] = []
    with tracking.tracked(["kept"], tmp_path, heard.append, lambda: 9.0) as tracked:
        tracked.listen(_record(1.0, loss=2.0))
        assert [progress.said for progress in heard] == [""]
        Slow.opened.set()
    assert [progress.said for progress in heard] == ["", f"  Kept: look into {tmp_path}"]
    assert [point.seconds for point in kept.made[0].points] == [1.0]


def test_a_run_that_fails_is_ended_as_failed(tmp_path: Path, kept: type[Kept]) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        tracking.tracked(["kept", "model"], tmp_path, lambda _: None, lambda: 0.0) as tracked,
    ):
        tracked.listen(_record(1.0, loss=2.0))
        raise ZeroDivisionError
    assert kept.made[0].closed == [False]
    assert len(kept.made[0].points) == 1


def test_a_server_that_is_not_there_is_said_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    names = tracking.asked("mlflow")
    heard: list[Progress] = []
    with tracking.tracked(names, tmp_path, heard.append, lambda: 0.0) as tracked:
        tracked.listen(_record(1.0, loss=2.0))
    assert [p.said[:32] for p in heard if p.said] == ["  tracking with MLflow has ended"]
    assert len(heard) == 2


def test_what_cannot_be_tracked_is_refused() -> None:
    with pytest.raises(ChoiceError, match="'mlflo'") as found:
        tracking.asked("tensorboard,mlflo")
    assert found.value.hint == "Did you mean 'mlflow'?"
    with pytest.raises(ChoiceError, match="none that keeps models"):
        tracking.asked("tensorboard,model")
    assert tracking.asked(None) == tracking.asked("") == tracking.asked([]) == ()


@pytest.mark.parametrize(
    ("name", "library", "title"),
    [
        ("tensorboard", "tensorboard", "TensorBoard"),
        ("mlflow", "mlflow.tracking", "MLflow"),
        ("wandb", "wandb", "Weights & Biases"),
    ],
)
def test_a_missing_library_is_named_before_anything_begins(
    name: str, library: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in (library, f"torch.utils.{library}"):
        monkeypatch.setitem(sys.modules, word, None)
    for word in tracking.TRACKERS[name].quiet:
        monkeypatch.delenv(word, raising=False)
    with pytest.raises(MissingExtra, match=title) as found:
        qs.learn(tmp_path / "nothing", out=tmp_path / "run", track=name)
    assert found.value.hint == f'Install it: pip install "quickstudy[{name}]"'
    assert not (tmp_path / "run").exists()
    for word, value in tracking.TRACKERS[name].quiet.items():
        assert os.environ[word] == value  # switched off before the import was tried


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        qs.learn(tmp_path / "nothing", out=tmp_path / "run", track="tensorboard")
    assert not (tmp_path / "run").exists()


def test_points_are_what_is_new() -> None:
    points = Points()
    assert points.of(Progress("said", 0.0, said="hello")) == {}
    assert points.of(Progress("data curve", 0.5, 0.1)) == {"done/data_curve": 0.1}
    assert points.of(Progress("data curve", 0.6, 0.2)) == {}  # less than a second after
    assert points.of(Progress("data curve", 0.7, 1.0)) == {"done/data_curve": 1.0}  # its end
    first = points.of(_record(2.0, loss=0.5, val=0.25, val_name="mAP", left=7.0))
    assert first == {"train/loss": 0.5, "val/mAP": 0.25, "done/train": 0.02, "seconds_left": 7.0}
    assert points.of(_record(2.1, loss=0.4, val=0.25)) == {"train/loss": 0.4, "done/train": 0.021}
    assert set(points.of(_record(2.2, loss=float("nan")))) == {"done/train"}


def test_the_scores_of_every_task_have_their_intervals() -> None:
    result = ended(_facts(), ["one", "two"], Path("m"))
    assert result.scores == {
        **{"test/r2": 0.5, "test/r2_low": 0.4, "test/r2_high": 0.6, "test/n": 9.0},
        **{"test/a _m_s_/mae": 3.0, "test/a _m_s_/mae_low": 2.0, "test/a _m_s_/mae_high": 4.0},
        **{"val/score": 0.7, "seconds": 3.0, "parameters": 10.0, "flops": 20.0},
    }
    assert result.recipe == {
        "epochs": "none",
        "picture.mean": "[0.5, 0.25]",
        "augment.mirror": True,
    }
    assert result.words == "one\ntwo"


def test_the_numbers_of_a_server_may_be_named_without_its_password() -> None:
    from quickstudy.tracking.mlflow import _without_password

    assert _without_password("postgresql://ann:s@cr@host/db") == "postgresql://host/db"
    assert _without_password("databricks") == "databricks"
    assert MLflow.quiet["MLFLOW_DISABLE_TELEMETRY"] == "true"
