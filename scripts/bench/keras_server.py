"""Side (b): the detection server that people write today, for comparison.

FastAPI with the models in the web process: OpenCV decodes, the `mtcnn` package finds the face, Keras predicts, one
picture at a time; a video is read frame by frame and one frame a second is judged; sound is cut by librosa and judged
window by window by transformers. The networks are those of the demo models with fresh weights, which cost the same.
No key, no quota, no history.
"""

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import librosa
import numpy as np
import torch
from fastapi import FastAPI, HTTPException, UploadFile
from mtcnn import MTCNN
from numpy.typing import NDArray

from scripts.demo.audio_model import AudioDetector, normalise
from scripts.demo.image_model import build_trainee, detector_of
from scripts.demo.shapes import CROP, MARGIN, SAMPLE_RATE, WINDOW

HALF: Final = 0.5


def create_app() -> FastAPI:
    """Load everything, as such a server does on import, and serve it."""
    app = FastAPI()
    faces = MTCNN()
    logits = detector_of(build_trainee())
    image_model = keras.Sequential([logits, keras.layers.Activation("sigmoid")])
    audio_model = AudioDetector().eval()

    def judge_picture(pixels: NDArray[np.uint8]) -> float:
        found = faces.detect_faces(pixels)
        crop = cut_face(pixels, found[0]["box"]) if found else pixels
        resized = cv2.resize(crop, (CROP, CROP))
        silent: Any = 0  # Keras takes a number, its annotation says text.
        return float(image_model.predict(resized[None], verbose=silent)[0, 0])

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict_image")
    def predict_image(file: UploadFile) -> dict[str, Any]:
        pixels = cv2.imdecode(np.frombuffer(file.file.read(), np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise HTTPException(400, "not a picture")
        return answer([judge_picture(to_rgb(pixels))])

    @app.post("/predict_video")
    def predict_video(file: UploadFile) -> dict[str, Any]:
        with kept(file) as path:
            return answer([judge_picture(frame) for frame in one_frame_a_second(path)])

    @app.post("/predict_audio")
    def predict_audio(file: UploadFile) -> dict[str, Any]:
        with kept(file) as path:
            samples, _ = librosa.load(path, sr=SAMPLE_RATE, mono=True)
        scores: list[float] = []
        for start in range(0, max(1, len(samples) - WINDOW + 1), WINDOW // 2):
            window = librosa.util.fix_length(samples[start : start + WINDOW], size=WINDOW)
            with torch.no_grad():
                scores.append(float(torch.softmax(audio_model(normalise(torch.from_numpy(window[None]))), -1)[0, 1]))
        return answer(scores)

    return app


def cut_face(pixels: NDArray[np.uint8], box: list[int]) -> NDArray[np.uint8]:
    """The square round a face with a margin, cut off at the picture's borders."""
    x, y, width, height = box
    half = max(width, height) * (HALF + MARGIN)
    centre_x, centre_y = x + width / 2, y + height / 2
    top, left = max(0, round(centre_y - half)), max(0, round(centre_x - half))
    return pixels[top : round(centre_y + half), left : round(centre_x + half)]


def one_frame_a_second(path: Path) -> Iterator[NDArray[np.uint8]]:
    """RGB frames; every frame is read, one a second is kept."""
    video = cv2.VideoCapture(str(path))
    every = max(1, round(video.get(cv2.CAP_PROP_FPS)))
    number = 0
    while True:
        read, frame = video.read()
        if not read:
            break
        if number % every == 0:
            yield to_rgb(frame)
        number += 1
    video.release()


def answer(scores: list[float]) -> dict[str, Any]:
    """Majority vote over the scores."""
    if not scores:
        raise HTTPException(400, "nothing to judge")
    fakes = sum(score >= HALF for score in scores)
    return {
        "prediction": "FAKE" if 2 * fakes > len(scores) else "REAL",
        "confidence": round(100 * max(np.mean(scores), 1 - np.mean(scores)), 2),
        "scores": len(scores),
    }


def to_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """OpenCV's BGR to RGB."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def kept(file: UploadFile) -> Generator[Path]:
    """The upload as a file with its own suffix, for readers that want a path."""
    with tempfile.NamedTemporaryFile(suffix=Path(file.filename or "").suffix) as copy:
        copy.write(file.file.read())
        copy.flush()
        yield Path(copy.name)
