"""The audio detector: a small Wav2Vec2 classifier over two seconds of sound."""

from typing import Final

import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

LABELS: Final = ("bona fide", "spoof")


class AudioDetector(torch.nn.Module):
    """Wav2Vec2 for sequence classification, from normalised waveforms [n, samples] to logits [n, 2] of `LABELS`."""

    def __init__(self) -> None:
        super().__init__()
        config = Wav2Vec2Config(
            hidden_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=192,
            conv_dim=(32, 48, 64, 64, 96),
            conv_kernel=(10, 8, 4, 4, 4),
            conv_stride=(5, 4, 4, 2, 2),
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_extract_norm="group",
            feat_extract_activation="relu",
            do_stable_layer_norm=True,
            classifier_proj_size=64,
            num_labels=len(LABELS),  # pyright: ignore[reportCallIssue]  (taken by the base class)
            layerdrop=0.0,
            # Time masking is for pre-training on long speech; here it would hide most of a window.
            apply_spec_augment=False,
            attn_implementation="eager",  # pyright: ignore[reportCallIssue]  (likewise)
        )
        self.network = Wav2Vec2ForSequenceClassification(config)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Logits [n, 2] of normalised waveforms [n, samples]."""
        return self.network(input_values=waveform).logits


def normalise(waveforms: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance along the last axis, as the published graph does it."""
    centred = waveforms - waveforms.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(dim=-1, keepdim=True) + 1e-7)
