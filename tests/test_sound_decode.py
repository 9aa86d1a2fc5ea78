"""Oracle: `soundfile.read`, and arithmetic on samples and bytes written by hand."""

from __future__ import annotations

import os
import re
import struct
import threading
import time
import tracemalloc
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quickstudy.errors import ExampleError
from quickstudy.kinds.sound import decode
from quickstudy.kinds.sound.container import Stream
from quickstudy.kinds.sound.decode import (
    Header,
    header,
    open_recording,
    samples,
    suffix_mismatch,
)

RATE = 8_000


def tone(seconds: float = 1.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A rising tone with a little noise, ``T C``; each channel quieter than the one before."""
    time_ = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 300 * time_ * (1 + time_))
    wave += 0.02 * np.random.default_rng(0).normal(size=wave.size)
    return np.stack([wave / (1 + channel) for channel in range(channels)], axis=1)


def coded(values: np.ndarray, format_: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    file = BytesIO()
    soundfile.write(file, values, rate, format=format_, subtype=subtype)
    return file.getvalue()


def wav(
    data: bytes | None = None,
    *,
    rate: int = RATE,
    channels: int = 1,
    claimed: int | None = None,
    riff: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """A 16-bit WAV by hand; one second of tone unless `data` is given."""
    if data is None:
        data = (tone() * 32767).astype("<i2").tobytes()
    block = 2 * channels
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * block % 2**32, block % 2**16, 16)
    length = len(data) if claimed is None else claimed
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", length)
    body += data + tail
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def message(example: Any) -> str:
    with pytest.raises(ExampleError) as caught:
        samples(example)
    text = caught.value.message
    assert text == text.strip() and not text.endswith(".") and "\n" not in text
    return text


def remarks(example: Any) -> list[str]:
    with open_recording(example) as recording:
        assert recording.remarks == []
        list(recording.blocks())
        return recording.remarks


FORMATS = {
    ".wav": ("WAV", "PCM_16"), ".wave": ("WAV", "PCM_24"), ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"), ".oga": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"), ".aif": ("AIFF", "PCM_16"), ".aiff": ("AIFF", "PCM_24"),
    ".au": ("AU", "PCM_16"), ".w64": ("W64", "PCM_16"), ".caf": ("CAF", "PCM_16"),
}  # fmt: skip
MORE = [
    *[("WAV", subtype) for subtype in ("PCM_U8", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")],
    *[("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16")],
    *[("FLAC", "PCM_24"), ("AIFF", "FLOAT"), ("AU", "ULAW")],
]


def test_the_suffixes() -> None:
    assert set(FORMATS) == decode.SUFFIXES


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_every_format_reads_as_soundfile_would(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    format_, subtype = FORMATS[suffix]
    path.write_bytes(coded(tone(channels=channels), format_, subtype))
    expected, rate = soundfile.read(BytesIO(path.read_bytes()), dtype="float32", always_2d=True)
    for example in (path, path.read_bytes()):
        values, found = samples(example)
        assert found == rate == RATE
        assert values.dtype == np.float32 and values.shape == (len(expected),)
        assert np.array_equal(values, expected.mean(axis=1))
        assert header(example) == Header(RATE, channels, len(expected) / RATE, format_)
    assert suffix_mismatch(path) is None


@pytest.mark.parametrize(("format_", "subtype"), MORE)
def test_every_subtype_reads_as_soundfile_would(format_: str, subtype: str) -> None:
    data = coded(tone(), format_, subtype)
    expected, _ = soundfile.read(BytesIO(data), dtype="float32")
    assert np.array_equal(samples(data)[0], expected)
    assert header(data).format == {"WAVEX": "WAV", "RF64": "WAV"}.get(format_, format_)
    assert remarks(data) == []


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_blocks_are_the_whole_in_order(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "BLOCK", 3_000)
    data = coded(tone(2, channels=2), *FORMATS[suffix])
    expected, _ = soundfile.read(BytesIO(data), dtype="float32")
    blocks = list(open_recording(data).blocks())
    assert [len(block) for block in blocks] == [3_000] * 5 + [1_000]
    assert np.array_equal(np.concatenate(blocks), expected.mean(axis=1))


@pytest.mark.parametrize("channels", [3, 7, 8, 12])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    data = coded(tone(channels=channels), "WAV", "FLOAT")
    expected, _ = soundfile.read(BytesIO(data), dtype="float32")
    assert np.array_equal(samples(data)[0], expected.mean(axis=1))


def test_channels_that_cancel_each_other_give_the_loudest(monkeypatch: pytest.MonkeyPatch) -> None:
    left = tone()[:, 0].astype(np.float32)
    values, _ = samples((np.stack([0.95 * left, -left], axis=1), RATE))
    assert np.array_equal(values, -left)
    monkeypatch.setattr(decode, "BLOCK", 4_000)  # the first half cancels, the second does not
    halves = np.stack([left, np.concatenate([-left[:4_000], left[4_000:]])], axis=1)
    assert np.array_equal(samples((halves, RATE))[0], left)


def test_channels_that_nearly_cancel_are_still_mixed() -> None:
    left = tone()[:, 0].astype(np.float32)
    both = np.stack([left, np.float32(-0.7) * left], axis=1)
    assert np.array_equal(samples((both, RATE))[0], both.mean(axis=1))


def test_arrays_of_every_type() -> None:
    deep = np.linspace(-32768, 32767, 999).round().astype(np.int16)
    expected = deep.astype(np.float32) / 32768
    same: list[np.ndarray] = [
        deep,
        deep.astype(">i2"),
        deep.astype(np.int32) * 65536,
        deep.astype(np.int64) * 2**48,
        (deep.astype(np.int32) + 32768).astype(np.uint16),
        expected,
        expected.astype(np.float64),
        expected[:, None],
        np.stack([expected] * 2, axis=1),
        np.stack([expected] * 8),  # channels first
    ]
    for array in same:
        values, rate = samples((array, RATE))
        assert values.dtype == np.float32 and rate == RATE
        assert np.array_equal(values, expected), (array.dtype, array.shape)
    bytes_ = np.array([0, 64, 128, 255] * 50, dtype=np.uint8)
    assert samples((bytes_, RATE))[0][:4].tolist() == [-1, -0.5, 0, 127 / 128]
    assert header((same[-1], RATE)) == Header(RATE, 8, 999 / RATE, "array")
    assert samples((deep, np.float32(RATE)))[1] == RATE  # type: ignore[arg-type]


def test_an_array_in_memory_is_neither_altered_nor_shared() -> None:
    mine = tone()[:, 0].astype(np.float32)
    kept = mine.copy()
    samples((mine, RATE))[0][:] = 9
    assert np.array_equal(mine, kept)


@pytest.mark.parametrize(
    ("array", "rate", "reason"),
    [
        (np.zeros(900, bool), RATE, "an array of type bool is not a sound"),
        (np.zeros(900, complex), RATE, "an array of type complex128 is not a sound"),
        (np.array(["a"]), RATE, "an array of type <U1 is not a sound"),
        (np.zeros((9, 9, 9)), RATE, "an array of shape (9, 9, 9) is not a sound"),
        (np.zeros(()), RATE, "an array of shape () is not a sound"),
        (np.zeros(0), RATE, "zero samples"),
        (np.zeros((900, 0)), RATE, "zero samples"),
        (np.zeros((900, 1_025)), RATE, "claims 1,025 channels"),
        (np.zeros(900), "8000", "its sample rate is not a number"),
        (np.zeros(900), True, "its sample rate is not a number"),
        (np.zeros(900), float("nan"), "its sample rate is not a number"),
        (np.zeros(900), 0, "claims a sample rate of 0 Hz"),
        (np.full(900, np.nan), RATE, "holds samples that are not numbers"),
        (np.full(900, 1e300), RATE, "holds samples that are not numbers"),
        (np.full((900, 2), 3e38), RATE, "holds samples that are not numbers"),
        (np.ones(40), RATE, "too short: 5 ms"),
        (np.zeros(900), RATE, "silent: no sample is above -100 dB"),
    ],
)
def test_arrays_that_are_no_sound(array: np.ndarray, rate: Any, reason: str) -> None:
    assert message((array, rate)) == reason


def test_files_that_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert message(path) == "no such file"
    path.write_bytes(b"")
    assert message(path) == message(b"") == "empty file"
    assert message(tmp_path) == "a folder, not a sound"
    for text in ("a text that somebody renamed", "ein Text", "RIFF and more of the same"):
        for encoding in ("utf-8", "utf-16"):
            path.write_text(text * 40, encoding=encoding)
            assert message(path) == "not a sound"
    with pytest.raises(ExampleError, match="not a sound") as caught:
        header(path)
    assert "FLAC" in caught.value.hint and "MP3" in caught.value.hint
    assert suffix_mismatch(path) == "not a sound"
    for start, name in {b"\0\0\0\x20ftypM4A ": "M4A", b"\xff\xf1\x50\x80": "AAC"}.items():
        path.write_bytes(start + bytes(500))
        assert message(path) == f"{name} files are not read"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message(tmp_path / "a.wav") == "no permission to read it"


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_sound_called_otherwise_is_read_and_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a.mp3" if suffix != ".mp3" else "a.wav")
    format_, subtype = FORMATS[suffix]
    path.write_bytes(coded(tone(), format_, subtype))
    assert len(samples(path)[0]) == RATE
    assert suffix_mismatch(path) == format_
    assert suffix_mismatch(path.rename(tmp_path / "a.unknown")) is None


def test_an_id3_tag_hides_nothing(tmp_path: Path) -> None:
    tag = b"ID3\x04\0\0\0\0\x02\x05" + bytes(2 * 128 + 5)
    for suffix in (".mp3", ".flac"):
        data = coded(tone(), *FORMATS[suffix])
        path = tmp_path / f"a{suffix}"
        path.write_bytes(tag + data)
        assert np.array_equal(samples(path)[0], samples(data)[0])
        assert suffix_mismatch(path) is None


@pytest.mark.parametrize("rate", [0, 1, 1_999, 768_001, 1_000_000, 2**32 - 1])
def test_absurd_rates(rate: int) -> None:
    expected = f"claims a sample rate of {rate:,} Hz"
    assert message(wav(rate=rate)) == expected
    for call in (header, open_recording):
        with pytest.raises(ExampleError, match=expected):
            call(wav(rate=rate))
    assert message(coded(tone(), "AIFF", rate=1_000_000)) == "claims a sample rate of 1,000,000 Hz"


def test_the_rates_at_the_limits() -> None:
    for rate in (2_000, 768_000):
        assert header(wav(rate=rate)).rate == rate


def test_too_many_channels() -> None:
    assert message(wav(channels=1_025)) == "claims 1,025 channels"
    assert message(wav(channels=0)) == "damaged: channel count is zero"
    many = (np.ones((400, 1_024)) * 9_000).astype("<i2")
    assert np.all(samples(wav(many.tobytes(), channels=1_024))[0] == np.float32(9_000 / 32768))


def test_damaged_headers() -> None:
    assert message(wav()[:30]).startswith("damaged: ")
    assert message(b"fLaC" + bytes(40)).startswith("damaged: ")
    assert message(b"OggS" + bytes(400)).startswith("damaged: ")
    assert message(wav().replace(b"fmt ", b"fmt_")).startswith("damaged: ")


def test_zero_samples_and_too_few() -> None:
    for call in (samples, header, open_recording):
        with pytest.raises(ExampleError, match="zero samples"):
            call(wav(b""))
    tag = b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert message(wav(b"", tail=tag)) == "zero samples"
    for format_ in ("WAV", "FLAC"):
        assert message(coded(tone(0.004), format_)) == "too short: 4 ms"
        assert len(samples(coded(tone(0.01), format_))[0]) == 80
    recording = open_recording(coded(tone(0.004), "WAV"))
    blocks = recording.blocks()
    assert len(next(blocks)) == 32
    with pytest.raises(ExampleError, match="too short"):
        next(blocks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(value: float) -> None:
    for place in (0, 7_999):
        values = tone()
        values[place] = value
        reason = "holds samples that are not numbers"
        assert message(coded(values, "WAV", "FLOAT")) == reason
        assert message(coded(np.hstack([tone(), values]), "WAV", "DOUBLE")) == reason


def test_silence() -> None:
    reason = "silent: no sample is above -100 dB"
    assert message(coded(np.zeros((RATE, 2)), "FLAC")) == reason
    quiet = np.zeros(RATE)
    quiet[-1] = -0.9e-5
    assert message(coded(quiet, "WAV", "FLOAT")) == reason
    quiet[-1] = -1.1e-5
    assert len(samples(coded(quiet, "WAV", "FLOAT"))[0]) == RATE


def test_a_header_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    data = (tone(10) * 32767).astype("<i2").tobytes()
    reason = "truncated: holds 3.0 of the 10.0 s its header claims"
    assert message(wav(data[: len(data) * 3 // 10], claimed=len(data))) == reason
    path = tmp_path / "a.wav"
    for format_ in ("WAV", "AIFF", "AU", "W64", "RF64"):
        whole = coded(tone(10), format_)
        path.write_bytes(whole[: len(whole) * 3 // 10])
        assert message(path) == reason.replace("WAV", format_)
        assert header(path).seconds == pytest.approx(3, abs=0.01)
        path.write_bytes(whole[:-20])  # 10 samples: nothing to speak of
        assert len(samples(path)[0]) >= 79_980
    assert message(wav(b"", claimed=9_000)) == "truncated: the end of the file is missing"
    assert message(wav(b"", claimed=0xFFFF_FFFF)) == "zero samples"
    assert message(wav(data[:158_000], claimed=160_000)) == reason.replace("3.0", "9.9")
    assert message(coded(tone(10), "CAF")[:50_000]).startswith("damaged: ")


ENDLESS = [0, 0x7FFF_FFFF, 0x7FFF_FFFF - 36, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFF - 36]


@pytest.mark.parametrize("claimed", ENDLESS)
@pytest.mark.parametrize("riff", [None, 0, 8, 0xFFFF_FFFF])
def test_a_wav_written_into_a_pipe_is_read_to_its_end(
    tmp_path: Path, claimed: int, riff: int | None
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(claimed=claimed, riff=riff))
    for example in (path, path.read_bytes()):
        assert np.array_equal(samples(example)[0], samples(wav())[0])
        assert header(example) == Header(RATE, 1, 1.0, "WAV")
        assert remarks(example) == []


def test_a_wav_that_holds_more_than_it_claims_is_read_as_claimed() -> None:
    data = wav(claimed=4_000)
    assert np.array_equal(samples(data)[0], samples(wav())[0][:2_000])
    assert remarks(data) == ["holds 0.75 s more than its header claims, left out"]
    assert remarks(wav(tail=b"text" * 1_000)) == [
        "holds 0.25 s more than its header claims, left out"
    ]
    tag = b"LIST" + struct.pack("<I", 2_001) + bytes(2_002)
    assert remarks(wav(tail=tag)) == remarks(wav(tail=tag + tag)) == remarks(wav()) == []


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_cut_flac_says_so(tmp_path: Path, share: float) -> None:
    data = coded(tone(10), "FLAC")
    path = tmp_path / "a.flac"
    path.write_bytes(data[: round(len(data) * share)])
    assert header(path).seconds == 10
    for example in (path, path.read_bytes()):
        reason = message(example)
        assert reason.startswith("truncated: holds ") and "of the 10.0 s" in reason
        assert float(reason.split()[2]) == pytest.approx(10 * share, abs=0.6)


def test_a_flac_wounded_in_the_middle_is_not_called_truncated() -> None:
    data = bytearray(coded(tone(10), "FLAC"))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    assert re.fullmatch("damaged: [a-z ]*flac decoder[a-z ]*", message(bytes(data)))


def test_a_flac_that_does_not_know_its_length_is_read_to_its_end() -> None:
    data = bytearray(coded(tone(3), "FLAC"))
    expected = samples(bytes(data))[0]
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert header(bytes(data)) == Header(RATE, 1, None, "FLAC")
    assert np.array_equal(samples(bytes(data))[0], expected)
    assert message(bytes(data[: len(data) // 2])) == "truncated: the end of the file is missing"


def test_an_mp3_that_delivers_less_than_it_counts(capfd: pytest.CaptureFixture[str]) -> None:
    data = coded(tone(10), "MP3")
    reason = message(data[: len(data) // 2])
    assert reason.startswith("truncated: holds ") and reason.endswith("10.0 s its header claims")
    assert float(reason.split()[2]) == pytest.approx(5, abs=0.5)
    assert len(samples(data[: round(len(data) * 0.95)])[0]) == pytest.approx(76_000, abs=1_500)
    capfd.readouterr()  # libmpg123 writes to the terminal


def test_an_mp3_without_a_count_is_not_called_truncated(capfd: pytest.CaptureFixture[str]) -> None:
    quiet_first = np.concatenate([np.zeros((5 * RATE, 1)), tone(5)])
    data = coded(quiet_first, "MP3")
    counted = data.find(data[:2], 4)  # where the second frame begins; the first is the count
    assert b"Info" in data[:counted] or b"Xing" in data[:counted]
    assert header(data).seconds == 10
    assert header(data[counted:]).seconds is None
    assert message(data[: len(data) // 2]).startswith("truncated")
    assert len(samples(data[counted : counted + len(data) // 2])[0]) > 0
    capfd.readouterr()


def test_what_follows_the_end_of_an_ogg_or_mp3_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in (".ogg", ".mp3"):
        data = coded(tone(10), *FORMATS[suffix])
        assert remarks(data) == []
        assert len(samples(data + data)[0]) == 80_000
        [remark] = remarks(data + data)
        before, said, after = re.split(r"(?<=last )(\d+)", remark)
        assert (
            before + after
            == "goes on after its announced end: the last  % of the file are left out"
        )
        assert int(said) == pytest.approx(50, abs=5)
    capfd.readouterr()


def test_clipping_is_a_remark() -> None:
    loud = (tone()[:, 0] * 3).clip(-1, 1)
    sides = [(int(np.sign(v)) if abs(v) >= 0.9995 else 0) for v in loud]
    runs = [(side, len(list(run))) for side, run in groupby(sides)]
    share = sum(length for side, length in runs if side and length >= 3) / len(loud)
    assert 0.1 < share < np.count_nonzero(sides) / len(loud)
    expected = f"clipped: {100 * share:.1f} % of its samples are at full scale"
    assert remarks(coded(loud, "WAV", "FLOAT")) == [expected]
    assert remarks((tone(), RATE)) == []


def test_a_clip_that_only_touches_full_scale_is_not_clipped() -> None:
    values = tone()[:, 0]
    values[::20] = 1
    values[1::20] = 1  # runs of two, a tenth of all
    values[2::20] = -1
    assert remarks((values, RATE)) == []
    values[1::20], values[2::20] = 0.5, 1  # there and back
    assert remarks((values, RATE)) == []
    values[1::20] = 1
    assert remarks((values, RATE)) == ["clipped: 15.0 % of its samples are at full scale"]
    few = tone()[:, 0]
    few[100:108] = -1  # 8 in 8,000: not more than one in a thousand
    assert remarks((few, RATE)) == []
    few[108] = -1
    assert remarks((few, RATE)) == ["clipped: 0.1 % of its samples are at full scale"]


def test_samples_on_another_scale_are_told() -> None:
    values = tone()[:, 0] * 20_000
    values[0] = 12_345.6
    assert remarks((values.clip(-9_000, 12_345.6), RATE)) == [
        "beyond full scale: its peak is 12,346, not 1"
    ]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_files_are_closed_whatever_happens(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "BLOCK", 1_000)
    path, faulty = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    path.write_bytes(coded(tone(), *FORMATS[suffix]))
    faulty.write_bytes(coded(np.zeros(RATE), *FORMATS[suffix]))
    samples(path)  # whatever the library opens once
    before = open_files()

    kept = open_recording(path)
    assert open_files() == before + 1
    list(kept.blocks())
    assert open_files() == before

    abandoned = open_recording(path)
    blocks = abandoned.blocks()
    next(blocks)
    del blocks
    assert open_files() == before

    with open_recording(path) as given_up:
        next(given_up.blocks())
    silent = open_recording(faulty)
    with pytest.raises(ExampleError):
        list(silent.blocks())
    assert open_files() == before

    open_recording(path)  # never read
    header(path)
    faulty.write_bytes(path.read_bytes()[:20])
    for call in (open_recording, header):
        with pytest.raises(ExampleError):
            call(faulty)
    assert open_files() == before

    for read in (kept, abandoned, given_up, silent):
        with pytest.raises(ValueError, match="open it again"):
            next(read.blocks())


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(60):
            file.write(tone(10, channels=2))
    tracemalloc.start()
    try:
        total = sum(len(block) for block in open_recording(path).blocks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 600 * RATE
    assert peak < 12e6 < total * 4  # bytes: a few blocks, not all


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / f"a{suffix}" for suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3")]
    for path in paths:
        path.write_bytes(coded(tone(), *FORMATS[path.suffix]))
    expected = [samples(path)[0] for path in paths]
    faults: list[str] = []

    def work() -> None:
        for path, values in list(zip(paths, expected, strict=True)) * 5:
            if not np.array_equal(samples(path)[0], values):
                faults.append(path.name)
            if message(b"fLaC" + bytes(40)) == "":
                faults.append("no message")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_no_callback_of_the_library_raises() -> None:
    stream = Stream(BytesIO(b"abcdef"), endless_at=1)
    assert stream.seek(-5) == 0 and stream.seek(2**70) == 0 and stream.seek(-2, 2) == 4
    stream.seek(3)
    part, rest = bytearray(2), bytearray(9)
    assert (stream.readinto(part), part) == (2, b"\xff\xff")
    assert (stream.readinto(rest), rest[:2]) == (1, b"f\0")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The data cut, or with a hole, or whole; and some bytes of its head or anywhere altered."""
    bad = bytearray(data)
    how = rng.integers(4)
    place = int(rng.integers(1, len(bad)))
    if how == 0:
        del bad[place:]
    elif how == 1:
        del bad[place : place + int(rng.integers(1, 200))]
    within = len(bad) if how == 2 else min(len(bad), 120)
    for _ in range(rng.integers(1, 8)):
        bad[int(rng.integers(within))] = int(rng.choice([0, 127, 128, 255, rng.integers(256)]))
    return bytes(bad)


@pytest.mark.parametrize("format_", sorted({*FORMATS.values(), ("WAV", "FLOAT")}))
def test_scrambled_files_give_samples_or_a_reason(
    tmp_path: Path, format_: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    data = coded(tone(0.1, channels=2), *format_)
    rng = np.random.default_rng(len(data))
    path = tmp_path / "a.wav"
    began = time.monotonic()
    for number in range(200):
        bad = mutated(data, rng)
        example: Path | bytes = bad
        if number % 2:
            path.write_bytes(bad)
            example = path
        try:
            values, rate = samples(example)
            assert values.dtype == np.float32 and np.isfinite(values).all()
            assert len(values) >= decode.MIN_SECONDS * rate
            header(example)
        except ExampleError as error:
            assert error.message and "\n" not in error.message
    assert time.monotonic() - began < 60  # it is done in a second: this is for endless loops
    assert "Traceback" not in capfd.readouterr().err  # nor does a callback fail unheard


def test_an_ogg_that_was_cut_says_so(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(size=32_000).astype(np.float32) * 0.1
    path = tmp_path / "whole.ogg"
    soundfile.write(path, wave, 16_000)
    content = path.read_bytes()
    for data, expected in ((content, 0), (content[: len(content) * 4 // 5], 1)):
        recording = open_recording(data)
        assert sum(len(block) for block in recording.blocks()) > 8_000
        assert sum("its end may be missing" in one for one in recording.remarks) == expected
