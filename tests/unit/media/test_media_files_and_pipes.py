"""Sound from and into files and pipes, and the processing of a microphone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from jamid.core.errors import LocalError
from jamid.media.frames import FRAME_BYTES, Frame
from jamid.media.inputs import parse_input, parse_output
from jamid.media.processing import create_processor
from jamid.media.selected import SelectedInput, SelectedOutput, input_of, output_of
from jamid.media.sinks import FileSink, NullSink, PipeSink, open_sink
from jamid.media.sources import FileSource, NullSource, PipeSource, Source, decode_file, open_source
from tests.support.media.sound import share_of, sine


def _write(path: Path, samples: Frame) -> Path:
    sink = FileSink(path)
    for k in range(0, len(samples), 960):
        sink.write(samples[k : k + 960])
    sink.close()
    assert sink.dropped == 0
    return path


def _read(source: Source, frames: int) -> Frame:
    """FRAMES frames, however long their decoder takes."""
    found: list[Frame] = []
    end = time.monotonic() + 5
    while len(found) < frames and time.monotonic() < end:
        frame = source.read()
        if frame is None:
            time.sleep(0.005)
        else:
            found.append(frame)
    return np.concatenate(found)


@pytest.mark.parametrize("extension", [".wav", ".ogg", ".opus", ".webm", ".flac"])
def test_media_file_written_is_the_file_read(tmp_path: Path, extension: str) -> None:
    path = _write(tmp_path / f"deep/er/tone{extension}", sine(440, 1.0))
    samples = np.concatenate(list(decode_file(str(path))))
    assert 48000 <= len(samples) <= 52000
    assert share_of(samples[4800:43200], 440) > 0.99


def test_media_wave_file_is_whole_before_it_is_closed(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "tone.wav")
    for k in range(0, 96000, 960):
        sink.write(sine(440, 2.0)[k : k + 960])
    end = time.monotonic() + 5
    while time.monotonic() < end and (tmp_path / "tone.wav").stat().st_size < 48000 * 4:
        time.sleep(0.01)
    assert len(np.concatenate(list(decode_file(str(tmp_path / "tone.wav"))))) >= 48000
    sink.close()
    sink.close()


def test_media_file_source_repeats_or_plays_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "short.wav", sine(440, 0.1))
    endless = FileSource(str(path))
    assert len(_read(endless, 20)) == 20 * 960
    endless.close()
    once = open_source(parse_input(f"once:file:{path}"))
    assert len(_read(once, 5)) == 5 * 960
    time.sleep(0.05)
    assert [once.read() for _ in range(3)] == [None] * 3
    once.close()


def test_media_other_rates_are_resampled(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "low.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22050)
        times = np.arange(22050) / 22050
        file.writeframes((8000 * np.sin(2 * np.pi * 500 * times)).astype(np.int16).tobytes())
    samples = np.concatenate(list(decode_file(str(tmp_path / "low.wav"))))
    assert abs(len(samples) - 48000) <= 960
    assert share_of(samples[4800:43200], 500) > 0.99


def test_media_what_cannot_be_read_or_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot read audio file"):
        list(decode_file(str(tmp_path / "nothing.ogg")))
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="cannot write audio file"):
        FileSink(tmp_path / "file/tone.wav")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        with pytest.raises(LocalError, match="no regular file"):
            next(decode_file(str(path)))
    with pytest.raises(LocalError, match="make it with mkfifo"):
        PipeSink(str(tmp_path / "nothing"))
    with pytest.raises(LocalError, match="cannot read audio from pipe"):
        PipeSource(str(tmp_path / "nothing"))


def test_media_unreadable_file_source_says_so_and_is_silent(tmp_path: Path) -> None:
    source = FileSource(str(tmp_path / "nothing.ogg"))
    end = time.monotonic() + 5
    while not source.failed and time.monotonic() < end:
        time.sleep(0.005)
    assert source.failed
    assert source.read() is None


def test_media_pipes_carry_raw_samples(tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    source = PipeSource(path)
    assert source.read() is None
    sink = open_sink(parse_output(f"pipe:{path}"))
    tone = sine(440, 0.04)
    sink.write(tone[:960])
    sink.write(None)
    first, second = source.read(), source.read()
    assert first is not None
    assert second is not None
    assert (first == tone[:960]).all()
    assert not second.any()
    assert source.read() is None
    for _ in range(100):
        sink.write(tone[:960])
    # A pipe holds 64 KiB: what did not fit is gone, what is there is not shifted.
    kept = _read(source, 65536 // FRAME_BYTES)
    assert (kept.reshape(-1, 960, 2) == tone[:960]).all()
    sink.close()
    source.close()
    sink.write(tone[:960])


def test_media_selected_ends_open_when_needed_and_let_go(tmp_path: Path) -> None:
    opened: list[str] = []

    def fail() -> Source:
        opened.append("x")
        raise LocalError("no such thing")

    broken = SelectedInput(fail)
    assert broken.read() is broken.read() is None
    broken.release()
    assert broken.read() is None
    assert opened == ["x", "x"]
    kept = SelectedOutput(output_of(parse_output(f"file:{tmp_path}/all.wav"), None, pulse=False), kept=True)
    for _ in range(2):
        kept.write(sine(440, 0.02))
        kept.release()
    kept.close()
    assert len(np.concatenate(list(decode_file(str(tmp_path / "all.wav"))))) == 2 * 960
    assert isinstance(input_of(parse_input(""), None, pulse=True)(), NullSource)
    assert isinstance(output_of(parse_output(f"file:{tmp_path}/{{stream}}.wav"), None, pulse=True)(), NullSink)


def test_media_noise_suppression_takes_noise_and_leaves_nothing_undone() -> None:
    assert create_processor(denoise=False, gain_control=False) is None
    processor = create_processor(denoise=True, gain_control=False)
    if processor is None:
        pytest.skip("libspeexdsp is not installed")
    noise = np.random.default_rng(1).normal(0, 1000, (96000, 2)).astype(np.int16)
    heard = np.concatenate([processor(noise[k : k + 960]) for k in range(0, len(noise), 960)])
    assert heard[48000:].std() < noise.std() / 2
    louder = create_processor(denoise=False, gain_control=True)
    assert louder is not None
    quiet = sine(440, 4.0, 300)
    raised = np.concatenate([louder(quiet[k : k + 960]) for k in range(0, len(quiet), 960)])
    assert raised[-48000:].std() > 2 * quiet.std()
