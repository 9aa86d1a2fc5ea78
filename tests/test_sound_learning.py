"""Learning from sound, end to end: found out by itself, labels and groups from names, timelines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import quickstudy as qs
from conftest import tone
from quickstudy import cli
from quickstudy.errors import ChoiceError, ExampleError, SourceError
from quickstudy.learning import Run

FEW: dict[str, Any] = {"batch": 16, "network.width": 0.25, "rehearsal": 0.0}
FEW |= {"optimizer.lr": 0.025}


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("out") / "run"
    return qs.learn(tones, settings={**FEW, "epochs": 20}, out=out)


def test_it_learns_what_the_sounds_are(run: Run) -> None:
    assert run.model.kind == "sound"
    assert run.facts["data"]["kind"] == "sound"
    assert run.test.accuracy > 0.8
    assert f"{run.test.n} recordings it never saw" in run.lines[0]
    assert set(run.recipe.choices()) >= {"sound.rate", "sound.window", "augment.mask_time"}
    assert run.recipe.sound is not None
    assert run.recipe.sound.rate == 8000
    assert all(choice.why for choice in run.recipe.choices().values())


def test_a_file_its_bytes_its_samples_and_the_loaded_model_give_one_answer(
    run: Run, tones: Path
) -> None:
    path = tones / "rise" / "rise_bob_3.wav"
    answer = run.model.predict(path)
    assert answer.label == "rise"
    assert answer.timeline == ()
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    samples, rate = soundfile.read(path, dtype="float32")
    loaded = qs.load(run.folder / "model")
    for model in (run.model, loaded):
        for same in (path, str(path), path.read_bytes(), (samples, rate)):
            assert model.predict(same).probabilities == answer.probabilities
    folder = loaded.predict(tones / "fall")
    assert len(folder) == 42
    assert {one.label for one in folder[:20]} >= {"fall"}


def test_another_rate_more_channels_and_another_format_give_nearly_the_same(
    run: Run, tones: Path, tmp_path: Path
) -> None:
    import soxr

    path = tones / "tremble" / "tremble_ann_5.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    answer = run.model.predict(path).probabilities["tremble"]
    high = soxr.resample(samples, rate, 44_100, quality="VHQ")
    soundfile.write(tmp_path / "a.flac", np.stack([high, high], 1), 44_100, subtype="PCM_24")
    soundfile.write(tmp_path / "b.ogg", high, 44_100)
    for name in ("a.flac", "b.ogg"):
        found = run.model.predict(tmp_path / name).probabilities["tremble"]
        assert found == pytest.approx(answer, abs=0.12)


def test_what_was_scored_is_what_is_shipped(run: Run, tones: Path) -> None:
    """The test of the run went through the cache; here the same files go through `evaluate`."""
    names = {m["name"] for m in run.facts["test"]["mistakes"]}
    scores = qs.load(run.folder / "model").evaluate(tones)
    assert scores.n == 126
    wrong = 126 - round(scores.accuracy * 126)
    assert wrong >= len(names)
    for name in names:
        label = Path(name).parts[0]
        assert run.model.predict(tones / name).label != label


def test_a_long_recording_has_a_timeline(run: Run, tmp_path: Path) -> None:
    order = ["rise", "tremble", "fall"]
    pieces = [np.concatenate([tone(c, 1, 90 + i) for i in range(4)]) for c in order]
    silence = np.zeros(8000, np.float32)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([pieces[0], silence, *pieces[1:]]), 8000)
    found = run.model.predict(path)
    told = [segment.label for segment in found.timeline]
    assert None in told  # the silence
    assert found.timeline[0].start == 0
    assert found.timeline[-1].end == pytest.approx(soundfile.info(path).duration)
    quiet = next(one for one in found.timeline if one.label is None)
    begins = len(pieces[0]) / 8000
    assert quiet.start == pytest.approx(begins, abs=0.15)
    assert quiet.end == pytest.approx(begins + 1, abs=0.15)


def test_the_command_line_tells_the_timeline(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([tone("rise", 0, i) for i in range(12)]), 8000)
    model = str(run.folder / "model")
    assert cli.main(["predict", model, str(path)]) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[0] == str(path)
    assert words[1].split() == ["from", "to", "label", "sure"]
    assert words[2].split()[0] == "0:00.00"
    assert cli.main(["predict", model, str(path), "--csv"]) == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith("file,from,to,label,probability,fall,rise,tremble,unknown,error")
    assert first.split(",")[1] == "0.000"
    assert cli.main(["predict", model, str(path), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["timeline"][0]["from"] == 0
    assert {"from", "to", "label", "probability"} == set(one["timeline"][0])


def test_what_cannot_be_heard_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("not a sound at all")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000, np.float32), 8000)
    soundfile.write(tmp_path / "nan.wav", np.full(8000, np.nan, np.float32), 8000, subtype="FLOAT")
    assert cli.main(["predict", str(run.folder / "model"), str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "not a sound" in out
    assert "silent" in out
    assert "not numbers" in out
    with pytest.raises(ExampleError, match="silent"):
        run.model.predict(tmp_path / "silent.wav")
    with pytest.raises(ExampleError, match="is not a path or"):
        run.model.predict(3)


def test_bad_recordings_are_left_out_of_learning_by_name(tones: Path, tmp_path: Path) -> None:
    source = tmp_path / "mixed"
    shutil.copytree(tones, source)
    (source / "rise" / "rise_bob_80.wav").write_text("no sound")
    soundfile.write(source / "rise" / "rise_bob_81.wav", np.zeros(4000, np.float32), 8000)
    soundfile.write(source / "fall" / "fall_ann_82.wav", np.zeros(12, np.float32), 8000)
    whole = (source / "fall" / "fall_ann_1.wav").read_bytes()
    (source / "fall" / "fall_ann_83.wav").write_bytes(whole[: len(whole) // 2])
    loud = np.clip(8 * tone("tremble", 0, 1), -1, 1)
    soundfile.write(source / "tremble" / "tremble_ann_84.wav", loud, 8000)
    (source / "tremble" / "cover.png").write_bytes(b"x")
    done = qs.learn(source, settings={**FEW, "epochs": 1}, out=tmp_path / "run")
    left = {one["name"]: one["reason"] for one in done.facts["data"]["left_out"]}
    assert "not a sound" in left["rise/rise_bob_80.wav"]
    assert "silent" in left["rise/rise_bob_81.wav"]
    assert "too short" in left["fall/fall_ann_82.wav"]
    assert "truncated" in left["fall/fall_ann_83.wav"]
    assert "tremble/cover.png" in left
    (odd,) = done.facts["data"]["remarks"]
    assert odd["name"] == "tremble/tremble_ann_84.wav"
    assert "clipped" in odd["reason"]


def test_the_same_folder_by_who_speaks(tones: Path, tmp_path: Path) -> None:
    done = qs.learn(
        tones,
        label_from="{what}_{who}_{n}",
        target="who",
        settings={**FEW, "epochs": 20},
        out=tmp_path / "run",
    )
    assert done.model.classes == ("ann", "bob", "cleo")
    assert done.test.accuracy > 0.8
    assert done.facts["groups"]["examples"] == ["fall", "rise", "tremble"]  # words, not people


def test_declared_groups_stay_on_one_side(tones: Path, tmp_path: Path) -> None:
    done = qs.learn(
        tones,
        group_from="{what}_{group}_{n}",
        settings={**FEW, "epochs": 1},
        out=tmp_path / "run",
    )
    assert done.facts["groups"] is None  # declared: the one score is on a speaker never heard
    assert done.test.n == 42


def test_groups_that_names_suggest_are_scored_apart(tones: Path, tmp_path: Path) -> None:
    done = qs.learn(tones, settings={**FEW, "rehearsal": 0.3, "epochs": 8}, out=tmp_path / "run")
    groups = done.facts["groups"]
    assert groups["count"] == 3
    assert groups["known"]["from"] == "test"
    assert groups["new"]["from"] == "rehearsal"
    assert len(groups["held"]) == 1
    assert groups["new"]["n"] > 30
    assert "never met" in "\n".join(done.lines)
    assert not (done.folder / "rehearsal").exists()
    assert "never" in done.report.read_text()


def test_a_test_of_new_speakers_needs_no_rehearsal(tones: Path, tmp_path: Path) -> None:
    for who, side in (("ann", "train"), ("bob", "train"), ("cleo", "test")):
        for path in tones.glob(f"*/*_{who}_*.wav"):
            goal = tmp_path / "data" / side / path.parent.name / path.name
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, goal)
    settings = {"batch": 16, "network.width": 0.25, "epochs": 1, "optimizer.lr": 0.025}
    done = qs.learn(tmp_path / "data", settings=settings, out=tmp_path / "run")
    groups = done.facts["groups"]
    assert groups is None or groups["new"]["from"] == "test"
    assert done.recipe.rehearsal == 0


def test_mistakes_can_be_looked_at_and_played(tones: Path, tmp_path: Path) -> None:
    done = qs.learn(tones, settings={**FEW, "epochs": 0.1}, out=tmp_path / "run")
    (first, *_) = done.facts["test"]["mistakes"]
    assert first["picture"].startswith("data:image/png;base64,")
    assert first["sound"].startswith("data:audio/mpeg;base64,")
    page = done.report.read_text()
    assert "<audio controls" in page
    assert "media-src data:" in page


def test_settings_of_pictures_and_weights_are_refused(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match=r"augment\.rotate has no meaning"):
        qs.learn(tones, settings={"augment.rotate": 5.0}, out=tmp_path / "a")
    with pytest.raises(ChoiceError, match="no trained weights for recordings"):
        qs.learn(tones, weights=tmp_path / "w.safetensors", out=tmp_path / "b")
    with pytest.raises(SourceError, match="pictures"):
        qs.learn(tones, kind="image", out=tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_a_network_made_for_pictures_can_listen(tones: Path, tmp_path: Path) -> None:
    done = qs.learn(
        tones,
        network="squeezenet1_1",
        settings={"epochs": 0.2, "batch": 8, "rehearsal": 0.0, "optimizer.lr": 3e-4},
        out=tmp_path / "run",
    )
    loaded = qs.load(done.folder / "model")
    path = tones / "rise" / "rise_bob_3.wav"
    assert loaded.predict(path).probabilities == done.model.predict(path).probabilities


def test_the_demo_of_sound_learns(tmp_path: Path) -> None:
    from quickstudy.kinds.sound.instruments import instruments, instruments_said

    settings = {"epochs": 1, "batch": 16, "network.width": 0.25, "optimizer.lr": 0.025}
    done = qs.learn(instruments(each=12), settings=settings, out=tmp_path / "run")
    assert len(done.model.classes) == 5
    assert "synthes" in instruments_said()


def test_a_class_of_nothing_but_silence_is_named(tones: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(tones, source)
    (source / "silence").mkdir()
    for number in range(6):
        soundfile.write(source / "silence" / f"silence_ann_{number}.wav", np.zeros(4000), 8000)
    with pytest.raises(SourceError, match="Nothing of class 'silence' can be used: all 6"):
        qs.learn(source, settings={**FEW, "epochs": 1}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_declared_groups_that_the_sources_own_test_shares_are_scored_apart(
    tones: Path, tmp_path: Path
) -> None:
    for path in tones.glob("*/*.wav"):
        number = int(path.stem.rpartition("_")[2])
        goal = (
            tmp_path / "data" / ("test" if number < 4 else "train") / path.parent.name / path.name
        )
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, goal)
    done = qs.learn(
        tmp_path / "data",
        group_from="{what}_{group}_{n}",
        settings={**FEW, "rehearsal": 0.3, "epochs": 2},
        out=tmp_path / "run",
    )
    groups = done.facts["groups"]
    assert groups["declared"]
    assert (groups["known"]["from"], groups["new"]["from"]) == ("test", "rehearsal")
    assert set(groups["held"]) < {"ann", "bob", "cleo"}
    assert "own test shares the 3 declared groups" in "\n".join(done.lines)
    assert "shares declared groups" in done.report.read_text()


def test_a_recipe_of_pictures_is_refused_for_recordings(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("kind: image\nepochs: 1\n")
    with pytest.raises(ChoiceError, match="This recipe is for pictures; these are recordings"):
        qs.learn(tones, recipe=tmp_path / "recipe.yaml", out=tmp_path / "a")
    with pytest.raises(ChoiceError, match="'head' needs trained weights"):
        qs.learn(tones, settings={"method": "head"}, out=tmp_path / "b")
    with pytest.raises(ChoiceError, match="'alexnet' cannot take spectra"):
        qs.learn(tones, network="alexnet", out=tmp_path / "c")


def test_a_network_with_auxiliary_scores_can_listen(tones: Path, tmp_path: Path) -> None:
    settings = {"epochs": 0.1, "batch": 4, "rehearsal": 0.0, "sound.mels": 96}
    settings["optimizer.lr"] = 0.025
    few = [(path, path.parent.name) for path in sorted(tones.rglob("*_[0-3].wav"))]
    done = qs.learn(few, network="googlenet", settings=settings, out=tmp_path / "run")
    loaded = qs.load(done.folder / "model")
    path = tones / "rise" / "rise_bob_3.wav"
    assert loaded.predict(path).probabilities == done.model.predict(path).probabilities
