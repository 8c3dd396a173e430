"""Films of hours made within seconds: one minute is encoded, and its packets are written again and again."""

from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from scripts.bench.photographs import cut_head, fill_frame, load_backgrounds, place_head

WIDTH: Final = 640
HEIGHT: Final = 360
RATE: Final = 10
MINUTE_S: Final = 60
KEYFRAME_EVERY_S: Final = 5


def make_minute(file: Path, *, seed: int) -> None:
    """Write a minute of H.264, 640 by 360 pixels, ten frames a second: a face wandering over a still background."""
    scene = fill_frame(load_backgrounds()[0], np.random.default_rng(seed), WIDTH, HEIGHT)
    head, mask = cut_head()
    with av.open(str(file), "w", format="mp4") as container:
        options = {"preset": "veryfast", "g": str(KEYFRAME_EVERY_S * RATE)}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(MINUTE_S * RATE):
            moment = number / RATE
            frame = scene.copy()
            place_head(frame, head, mask, (320 + 140 * np.sin(moment / 3), 180 + 30 * np.sin(moment / 2)), 1.1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def repeat(piece: Path, file: Path, times: int) -> None:
    """Write the packets of an MP4's first stream that often, one after the other, as a new MP4."""
    with av.open(str(piece)) as source, av.open(str(file), "w", format="mp4") as target:
        stream = source.streams[0]
        if not isinstance(stream, VideoStream | AudioStream):
            raise TypeError(f"{piece} begins with a stream that is neither video nor sound")
        packets = [packet for packet in source.demux(stream) if packet.size]
        contents = [(bytes(packet), packet.pts or 0, packet.dts or 0) for packet in packets]
        moments = [pts for _, pts, _ in contents]
        span = max(moments) + (packets[0].duration or 0) - min(moments)
        copy = target.add_stream_from_template(stream)
        for turn in range(times):
            for original, (content, pts, dts) in zip(packets, contents, strict=True):
                packet = av.Packet(content)
                packet.pts, packet.dts = pts + turn * span, dts + turn * span
                packet.duration, packet.time_base = original.duration, original.time_base
                packet.is_keyframe, packet.stream = original.is_keyframe, copy
                target.mux(packet)
