"""What the demo models are called and how Triton runs them, and the plain words on what they are good for."""

from typing import Final

from bentos.contract import Modality
from scripts.demo.shapes import CROP, FEATURES, FRAMES, WINDOW
from scripts.models.text.packing import describe
from scripts.models.triton_config import Batching, Tensor, TritonModel

_THREADS: Final = {"intra_op_thread_count": "2", "allow_spinning": "0"}
_ONE_THREAD: Final = {"intra_op_thread_count": "1", "allow_spinning": "0"}
"""For pictures, which come one crop at a time from many callers: a second thread costs more than it brings."""
_SECOND: Final = 1_000_000
_CROP: Final = Tensor(name="crop", dtype="UINT8", shape=(CROP, CROP, 3))
_P_FAKE: Final = Tensor(name="p_fake", dtype="FP32", shape=(1,))

IMAGE_CNN: Final = TritonModel(
    name="image_cnn",
    title="Bonafide demo image CNN",
    description="Finds blended-in and up-sampled regions in a face crop. Demo weights.",
    modality=Modality.IMAGE,
    inputs=[_CROP],
    outputs=[_P_FAKE],
    batching=Batching(maximum=32, preferred=(8, 16, 32), delay_us=500, queue=256, timeout_us=10 * _SECOND),
    parameters=_ONE_THREAD,
)
VIDEO_ENCODER: Final = TritonModel(
    name="video_encoder",
    title="Bonafide demo frame encoder",
    description="Features of one face crop of a video frame, for video_lstm. Demo weights.",
    modality=Modality.VIDEO,
    inputs=[_CROP],
    outputs=[Tensor(name="features", dtype="FP32", shape=(FEATURES,))],
    batching=Batching(maximum=64, preferred=(16, 32, 64), delay_us=500, queue=128, timeout_us=30 * _SECOND),
    parameters=_THREADS,
)
VIDEO_LSTM: Final = TritonModel(
    name="video_lstm",
    title="Bonafide demo video LSTM",
    description="Finds faces that flicker against their surroundings over the sampled frames. Demo weights.",
    modality=Modality.VIDEO,
    inputs=[
        Tensor(name="features", dtype="FP32", shape=(FRAMES, FEATURES)),
        Tensor(name="mask", dtype="FP32", shape=(FRAMES,)),
    ],
    outputs=[_P_FAKE, Tensor(name="frame_p_fake", dtype="FP32", shape=(FRAMES,))],
    batching=Batching(maximum=32, preferred=(4, 8, 16), delay_us=500, queue=128, timeout_us=30 * _SECOND),
    parameters=_THREADS,
)
AUDIO_TRANSFORMER: Final = TritonModel(
    name="audio_transformer",
    title="Bonafide demo audio transformer",
    description="Tells synthesised speech-like sound from its vocoder copies, two seconds at a time. Demo weights.",
    modality=Modality.AUDIO,
    inputs=[Tensor(name="waveform", dtype="FP32", shape=(WINDOW,))],
    outputs=[_P_FAKE],
    batching=Batching(maximum=32, preferred=(8, 16, 32), delay_us=500, queue=128, timeout_us=30 * _SECOND),
    parameters=_THREADS,
)
TEXT_TRANSFORMER: Final = describe(
    "text_transformer",
    title="Bonafide demo text transformer",
    description="Tells documentation that people wrote from babble that was sampled from its words. Demo weights.",
    tokens=True,
)

INTENDED_USE: Final = (
    "To show and to test the platform end to end. These are demo weights for one class of artefact, not forensic "
    "ones: never judge a person or a real medium by them."
)
DEMO_LIMITS: Final = {
    "image_cnn": (
        "Knows self-blended and locally up-sampled regions made by scripts/demo, on a handful of photographs, and "
        "only such as differ visibly from what surrounds them. It knows nothing of generated pictures, of "
        "face-swapping networks or of editing by hand. The held-out figures are somewhat optimistic: they were looked "
        "at while the kinds of forgery and the network were chosen."
    ),
    "video_encoder": "The features carry what image_cnn learned, with the same limits.",
    "video_lstm": (
        "Knows clips of a virtual camera over photographs in which the blended region flickers from frame to frame. "
        "It knows nothing of real face-swapping networks, of lip synchronisation or of generated video."
    ),
    "audio_transformer": (
        "Knows speech-like sound of a synthesiser and its copies by Griffin-Lim and linear-prediction vocoders. It was "
        "never trained on recordings of people, nor on neural vocoders or cloned voices."
    ),
    "text_transformer": (
        "Knows the English documentation that comes with Python, and babble of a Markov chain over its words, which "
        "any reader sees through. It was never trained on texts of a language model, on other kinds of text or on "
        "other languages, and says nothing of them."
    ),
}
