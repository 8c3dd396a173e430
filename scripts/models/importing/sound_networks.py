"""Networks of transformers that listen to waveforms, made to leave out what follows a clip in its window."""

from typing import Final

import torch

from scripts.models.graph_sounds import SHORTEST

MASKING: Final = frozenset(
    {
        "hubert",
        "unispeech",
        "unispeech-sat",
        "wav2vec2",
        "wav2vec2-conformer",
        "wavlm",
        "data2vec-audio",
        "sew",
        "sew-d",
    }
)
"""Model types that take a waveform and an attention mask."""


class _End:
    """How many samples of each sound of the batch at hand are heard, float32 [batch, 1]; shared by the parts below."""

    samples: torch.Tensor


class SoundNetwork(torch.nn.Module):
    """From waveforms [batch, samples] that zeros fill up, normalised or not, to logits [batch, labels].

    The attention mask that transformers has for padded batches is made here from where each sound ends, so that a short
    clip is judged as the original judges it alone. The first layer of some of the networks is normalised over time,
    which that mask does not reach; it is done up to the end too.
    """

    def __init__(self, network: torch.nn.Module, samples: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("counts", torch.arange(1, samples + 1), persistent=False)
        self._shortest = min(SHORTEST, samples)
        self._end = _End()
        _follow(network, self._end)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Logits of waveforms."""
        places: torch.Tensor = self.counts * values.ne(0)  # pyright: ignore[reportOperatorIssue]  # A buffer.
        ends = places.amax(dim=-1, keepdim=True).clamp(min=self._shortest)
        self._end.samples = ends
        mask = self.counts.le(ends).to(torch.int64)  # pyright: ignore[reportCallIssue]  # A buffer.
        return self.network(input_values=values, attention_mask=mask).logits


class FeatureNetwork(torch.nn.Module):
    """From the features that a spectrogram model takes to logits; `name` is what its class calls them."""

    def __init__(self, network: torch.nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self._name = name

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [batch, labels] of features [batch, …]."""
        return self.network(**{self._name: features}).logits


class _ClipNorm(torch.nn.Module):
    """A group normalisation of one channel a group, with mean and variance of the sound and not of the silence."""

    def __init__(self, norm: torch.nn.GroupNorm, conv: torch.nn.Conv1d, end: _End) -> None:
        super().__init__()
        self.norm = norm
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._end = end

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalised values of `hidden`, [batch, channels, frames]."""
        frames = torch.div(self._end.samples - self._kernel, self._stride, rounding_mode="floor") + 1
        inside = torch.arange(hidden.shape[-1], device=hidden.device).lt(frames)[:, :, None].to(hidden.dtype)
        # As a product of matrices a mean goes once over the widest values of the network and writes none of that size;
        # its weights are divided first, because the sum may be too large for half precision.
        shares = inside / frames[:, None, :].to(hidden.dtype)
        centred = hidden - hidden.matmul(shares)
        variance = centred.square().matmul(shares)
        scale = self.norm.weight[None, :, None] / torch.sqrt(variance + self.norm.eps)
        return centred * scale + self.norm.bias[None, :, None]


def _follow(network: torch.nn.Module, end: _End) -> None:
    """Have the layers of a network that are normalised over time end where the sound does, in place."""
    for layer in list(network.modules()):
        norm, conv = getattr(layer, "layer_norm", None), getattr(layer, "conv", None)
        if isinstance(norm, torch.nn.GroupNorm) and isinstance(conv, torch.nn.Conv1d):
            layer.layer_norm = _ClipNorm(norm, conv, end)
