from pathlib import Path

import av
import pytest

from bentos.media.options import VideoOptions
from bentos.media.prepared import CropShape
from bentos.media.video import prepare_video
from scripts.bench.long import LongRun, long_figures, measure_long
from scripts.bench.long_films import RATE, make_minute, repeat
from scripts.bench.report import Results, render
from tests.fixtures import media


def run(minutes: int, *, cpu_s: float, slope_mb: float = 1.0) -> LongRun:
    frames = minutes * 32
    return LongRun(
        minutes=minutes, frames=frames, seconds=2 * cpu_s, cpu_s=cpu_s, peak_mb=300, slope_mb=slope_mb, lines=9
    )


def test_what_grows_with_the_frames_lies_on_a_line() -> None:
    figures = long_figures([run(minutes, cpu_s=1 + minutes * 0.64, slope_mb=minutes) for minutes in (15, 30, 60, 120)])
    assert figures["long_cpu_ms_a_frame"] == pytest.approx(20)
    assert figures["long_furthest_from_line"] == pytest.approx(0, abs=1e-9)
    assert figures["long_cost_a_frame_ratio"] < 1
    assert figures["long_memory_mb"] == 120


def test_what_grows_with_the_square_does_not() -> None:
    figures = long_figures([run(minutes, cpu_s=minutes**2 / 100) for minutes in (15, 30, 60, 120)])
    assert figures["long_furthest_from_line"] > 0.5
    assert figures["long_cost_a_frame_ratio"] == pytest.approx(8)


def test_the_report_has_a_row_for_each_length() -> None:
    machine = {"processor": "p", "cores": 2, "memory_gb": 1, "python": "3.11"}
    report = render(Results(started="now", machine=machine, settings={}, long=[run(15, cpu_s=9.6)]))
    assert "| 15 | 480 | 19.2 | 9.6 | 20.00 | 300 | +1.0 | 9 |" in report


def test_a_minute_is_repeated_without_a_seam(tmp_path: Path) -> None:
    frames = media.frames_of(media.scenery()[:96, :128], 3 * RATE)
    (tmp_path / "piece").write_bytes(media.clip(frames, rate=RATE, keyframe_every=7))
    repeat(tmp_path / "piece", tmp_path / "film", 4)
    with av.open(str(tmp_path / "film")) as film:
        moments = [float(frame.pts * (frame.time_base or 0)) for frame in film.decode(video=0) if frame.pts is not None]
    assert moments == pytest.approx([number / RATE for number in range(12 * RATE)])


@pytest.mark.integration
def test_a_long_video_is_measured_on_real_parts() -> None:
    said: list[str] = []
    [measured] = measure_long((11,), seed=1, say=said.append)
    assert (measured.minutes, measured.frames) == (11, 22 * 16)
    assert measured.cpu_s > 0.5
    assert measured.peak_mb > 100
    assert said[-1].startswith("11 min of video")


def test_a_film_shows_a_face_in_each_frame_that_is_looked_at(tmp_path: Path) -> None:
    make_minute(tmp_path / "minute", seed=1)
    shape = CropShape(height=96, width=96, resize_filter="area", margin=0.3)
    prepared = prepare_video(tmp_path / "minute", VideoOptions(shape=shape))
    assert prepared.duration_s == pytest.approx(60)
    assert prepared.faces_found >= prepared.frames_sampled == 16
