"""Sizes that the demo models and the data made for them share, apart so that making media needs no framework."""

from typing import Final

CROP: Final = 224
"""Height and width of a face crop in pixels."""
MAP: Final = 28
"""Height and width of the map of forged parts that the image network learns from."""
MARGIN: Final = 0.3
"""Share of a face's longer side that is added on every side of it, in training and at serving."""
FEATURES: Final = 64
"""Width of the image network's last hidden layer: what the video model sees of a frame."""
FRAMES: Final = 16
"""Sampled frames of a track."""
SAMPLE_RATE: Final = 16_000
WINDOW: Final = 32_000
"""Samples of one audio window, two seconds."""
TOKENS: Final = 128
"""Tokens that the text model sees at once, the marks of beginning and end among them."""
CHARACTERS: Final = 500
"""Characters of one passage of a text: seldom more than `TOKENS` tokens."""
