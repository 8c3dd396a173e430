import io
import subprocess
import sys
import wave

import av
import cv2
import numpy as np
import pytest

from bentos.faces import find_faces
from scripts.demo import samples


def pixels(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("make", [samples.genuine_image, samples.forged_image])
@pytest.mark.parametrize("seed", [0, 5])
def test_pictures_show_one_face_and_are_seeded(make: object, seed: int) -> None:
    picture = pixels(samples.genuine_image(seed) if make is samples.genuine_image else samples.forged_image(seed))
    assert picture.shape == (720, 1280, 3)
    assert len(find_faces(picture)) == 1


def test_seeds_give_different_pictures_and_the_same_seed_the_same_bytes() -> None:
    made = [samples.genuine_image(seed, size=(480, 320)) for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_a_forgery_differs_from_its_original_in_the_face_alone() -> None:
    genuine, forged = (pixels(make(3)).astype(int) for make in (samples.genuine_image, samples.forged_image))
    face = find_faces(genuine.astype(np.uint8))[0]
    change = np.abs(forged - genuine).mean(axis=-1)
    inside = change[int(face.y1) : int(face.y2), int(face.x1) : int(face.x2)].mean()
    change[int(face.y1) - 60 : int(face.y2) + 60, int(face.x1) - 60 : int(face.x2) + 60] = 0
    assert inside > 5
    assert change.mean() < 0.2


def test_a_clip_has_the_asked_length_rate_and_size() -> None:
    data = samples.forged_video(2, seconds=1.0, fps=10, size=(320, 240))
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 240)
        assert len(list(container.decode(stream))) == 10
    assert samples.genuine_video(2, seconds=1.0, fps=10, size=(320, 240)) != data


def test_a_voice_is_a_plain_wav() -> None:
    for data in (samples.genuine_audio(1, seconds=2), samples.forged_audio(1, seconds=2)):
        with wave.open(io.BytesIO(data)) as file:
            assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 16_000, 32_000)


def test_the_committed_media_are_there_and_small() -> None:
    files = [samples.MEDIA / f"{kind}.{suffix}" for kind in ("genuine", "forged") for suffix in ("jpg", "mp4", "wav")]
    assert sum(file.stat().st_size for file in files) < 3_000_000


def test_making_media_needs_no_framework() -> None:
    code = (
        "import sys, scripts.demo.samples; print({'torch', 'tensorflow', 'keras', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
