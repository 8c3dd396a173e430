"""The passes over a graph, on a small speech network as torch exports it: convolutions over time, then attention."""

import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional

from scripts.models.export_torch import export_torch
from scripts.models.graph import Logits, give_p_fake
from scripts.models.int8 import measure_ranges, quantise_products
from scripts.models.products import find_products, unroll_convolutions
from scripts.models.session import run_graph
from scripts.models.simplify import drop_idle_masks

pytestmark = pytest.mark.integration

WIDTH, HEADS, SAMPLES = 64, 4, 800


class Listener(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv1d(1, WIDTH, 10, stride=5)
        self.plain = torch.nn.Conv1d(WIDTH, WIDTH, 3, stride=2)
        self.grouped = torch.nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=4)
        self.short = torch.nn.Conv1d(WIDTH, WIDTH, 2, stride=2, bias=False)
        self.three = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.head = torch.nn.Linear(WIDTH, 2)

    def forward(self, sound):
        x = functional.gelu(self.first(sound[:, None]))
        x = functional.gelu(self.grouped(functional.gelu(self.plain(x))))
        x = functional.gelu(self.short(x)).transpose(1, 2)
        batch, steps, _ = x.shape
        q, k, v = (
            part.view(batch, steps, HEADS, WIDTH // HEADS).transpose(1, 2) for part in self.three(x).chunk(3, -1)
        )
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(1, 1, steps, steps).bool())
        x = self.norm(x + seen.transpose(1, 2).reshape(batch, steps, WIDTH))
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = export_torch(Listener(), torch.zeros(2, SAMPLES), name="sound", output="logits")
    return give_p_fake(exported, Logits(activation="softmax", fake=1), source="logits")


@pytest.fixture(scope="module")
def sounds():
    return {"sound": np.random.default_rng(7).normal(size=(16, SAMPLES)).astype(np.float32)}


def kinds(model):
    return [node.op_type for node in model.graph.node]


def ask(model, inputs, *, batch=16):
    return run_graph(model, inputs, batch=batch)["p_fake"]


def test_a_mask_that_hides_nothing_is_dropped(graph, sounds):
    simple = drop_idle_masks(graph)

    assert "IsNaN" in kinds(graph)
    assert not {"IsNaN", "Where"} & set(kinds(simple))
    assert ask(simple, sounds) == pytest.approx(ask(graph, sounds), abs=1e-6)


def test_plain_convolutions_over_time_become_products(graph, sounds):
    unrolled = unroll_convolutions(graph)

    # The one with a single channel is too small, and the grouped one is none.
    assert (kinds(graph).count("Conv"), kinds(unrolled).count("Conv")) == (4, 2)
    assert len(find_products(unrolled)) == len(find_products(graph)) + 2
    assert ask(unrolled, sounds) == pytest.approx(ask(graph, sounds), abs=1e-6)


@pytest.mark.parametrize("scheme", ["static", "rows"])
def test_eight_bits_answer_nearly_the_same_whatever_shares_the_batch(graph, sounds, scheme):
    model = unroll_convolutions(drop_idle_masks(graph))
    ranges = measure_ranges(model, sounds) if scheme == "static" else None

    small = quantise_products(model, ranges)

    answers = ask(small, sounds)
    assert answers == pytest.approx(ask(graph, sounds), abs=0.01)
    # One scale for a whole batch would be off by a thousand times as much.
    assert answers == pytest.approx(ask(small, sounds, batch=1), abs=1e-5)
    assert small.ByteSize() < 0.6 * graph.ByteSize()
    assert "MatMulIntegerToFloat" in kinds(small)
    assert not find_products(small)


def test_a_loud_neighbour_changes_nothing(graph, sounds):
    small = quantise_products(graph)
    loud = {"sound": np.concatenate([sounds["sound"][:1], 1000 * sounds["sound"][1:2]])}

    assert ask(small, loud)[0] == pytest.approx(ask(small, {"sound": sounds["sound"][:1]})[0], abs=1e-5)


def test_silence_is_not_divided_by_zero(graph):
    small = quantise_products(graph)

    assert np.isfinite(ask(small, {"sound": np.zeros((2, SAMPLES), np.float32)})).all()


def test_ranges_hold_what_was_seen(graph, sounds):
    model = unroll_convolutions(graph)

    few = measure_ranges(model, {"sound": sounds["sound"][:1]})
    many = measure_ranges(model, sounds)

    assert few.keys() == many.keys() == {product.source for product in find_products(model)}
    assert all(many[name].low <= each.low and many[name].high >= each.high for name, each in few.items())
