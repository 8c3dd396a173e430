"""The text detector: a small DistilBERT that scores each token, and a text by the mean of its tokens."""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import DistilBertConfig, DistilBertModel

from scripts.demo.shapes import TOKENS

VOCABULARY: Final = 2000
_WIDTH: Final = 64
PAD, UNKNOWN, START, END = MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
"""What stands for no word; in the vocabulary they have the numbers from 0 on."""


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Word pieces without regard to case, learned from `texts`; windows are `TOKENS` long, padding is on the right."""
    tokenizer = Tokenizer(WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(MARKS), limit_alphabet=200, show_progress=False
    )
    tokenizer.train_from_iterator(_chunks(texts), trainer)
    marks = [(mark, MARKS.index(mark)) for mark in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=marks)
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(pad_id=MARKS.index(PAD), pad_token=PAD)
    return tokenizer


class TextDetector(torch.nn.Module):
    """From token numbers [n, T] and their mask, 1 where a token is, to logits of each text [n, 1] and token [n, T].

    A convolution over three tokens comes first: word order goes wrong between neighbours, and a transformer alone has
    to learn from nothing what neighbours are.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(vocabulary, _WIDTH, padding_idx=MARKS.index(PAD))
        self.neighbours = torch.nn.Conv1d(_WIDTH, _WIDTH, kernel_size=3, padding=1)
        config = DistilBertConfig(
            vocab_size=len(MARKS),
            max_position_embeddings=TOKENS,
            dim=_WIDTH,
            n_layers=2,
            n_heads=4,
            hidden_dim=2 * _WIDTH,
            dropout=0.1,
            attn_implementation="eager",  # pyright: ignore[reportCallIssue]  (taken by the base class)
        )
        self.network = DistilBertModel(config)
        self.head = torch.nn.Linear(_WIDTH, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the texts and of their tokens; the text's is the mean over its tokens."""
        words = self.words(input_ids)
        words = words + torch.nn.functional.gelu(self.neighbours(words.transpose(1, 2))).transpose(1, 2)
        hidden = self.network(inputs_embeds=words, attention_mask=attention_mask).last_hidden_state
        tokens = self.head(hidden)[..., 0]
        weights = attention_mask.to(tokens.dtype)
        return (tokens * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True), tokens


def _chunks(texts: Sequence[str], size: int = 1000) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
