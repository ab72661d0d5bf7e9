"""The memory that is computed is that of the models themselves, and the page says what is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import memory
from guerdon.hf import quiet, unwrap

TINY = memory.Shape(
    hidden=256, intermediate=704, layers=3, heads=4, key_value_heads=2, head_size=64, vocabulary=100
)  # fmt: skip
LARGER = memory.Shape(
    hidden=512, intermediate=1024, layers=2, heads=4, key_value_heads=4, head_size=64, vocabulary=100
)  # fmt: skip


@pytest.mark.parametrize("name", memory.SHAPES)
def test_parameters_are_those_of_the_model(name: str) -> None:
    shape = memory.SHAPES[name]
    with torch.device("meta"):
        model = memory.classifier(shape, "all weights")
    assert sum(weight.numel() for weight in model.parameters()) == shape.parameters


@pytest.mark.parametrize("rank", [memory.RANK])
def test_adapters_are_those_of_peft(rank: int) -> None:
    model = memory.classifier(TINY, "LoRA")
    assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) == TINY.adapters(rank)


def kept(model: torch.nn.Module, rows: int, length: int) -> tuple[int, int]:
    """Bytes that autograd keeps for the backward pass beside the parameters: copies of weights, and all else."""
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    shapes = {tuple(weight.shape) for weight in model.parameters() if weight.dim() == 2}
    shapes |= {shape[::-1] for shape in shapes}
    storages: dict[int, tuple[torch.Tensor, bool]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            storages[place] = tensor, tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        memory.score_sum(model, rows, length)
    sizes = [(tensor.untyped_storage().nbytes(), copy) for tensor, copy in storages.values()]
    return sum(size for size, copy in sizes if copy), sum(size for size, copy in sizes if not copy)


@pytest.mark.parametrize("shape", [TINY, LARGER])
@pytest.mark.parametrize("method", ["all weights", "LoRA", "LoRA, base in bfloat16"])
def test_activations_and_copies_are_what_autograd_keeps(shape: memory.Shape, method: memory.Method) -> None:
    rows, length = 3, 63  # no product of these is a size of a weight
    copies, activations = kept(memory.classifier(shape, method).train(), rows, length)
    assert activations / (rows * length) == pytest.approx(memory.token_bytes(shape, method), rel=0.02)
    copied = shape.products if method in ("all weights", "LoRA") else []  # a base in bfloat16 needs no copies
    weights = shape.layers * sum(inputs * outputs for inputs, outputs in copied)
    if method != "all weights":  # the first three products read what needs no gradient, and keep no weight for it
        weights -= sum(inputs * outputs for inputs, outputs in copied[:3])
        weights += shape.adapters(memory.RANK) - memory.RANK * sum(inputs for inputs, _ in shape.products[:3])
    assert copies == pytest.approx(2 * weights, rel=0.02)


def test_a_base_in_four_bits_takes_what_bitsandbytes_stores() -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `nf4` is not installed")
    model: Any = unwrap(memory.classifier(TINY, "LoRA, base in nf4"))
    stored = 0
    for layer in model.model.modules():
        if type(layer).__name__ == "Linear4bit":
            scales = layer.weight.quant_state
            stored += layer.weight.numel() + scales.absmax.numel() + 4 * scales.state2.absmax.numel()
    assert stored == pytest.approx(memory.NF4_BYTES * TINY.layers * TINY.layer_weights, rel=1e-3)


def test_recomputed_activations_are_the_ends_of_layers() -> None:
    with quiet():
        model: Any = memory.classifier(TINY, "all weights", recompute=True).train()
    unwrap(model).model.embed_tokens.register_forward_hook(lambda *given: given[-1].requires_grad_())
    _, activations = kept(model, 3, 63)
    whole = memory.token_bytes(TINY, "all weights", recompute=True)
    assert activations / (3 * 63) == pytest.approx(whole - memory.layer_bytes(TINY, "all weights"), rel=0.05)


def test_the_whole_is_the_sum_of_its_parts() -> None:
    shape = memory.SHAPES["SmolLM2-135M"]
    products = shape.layers * shape.layer_weights
    states = 16 * shape.parameters + 2 * products
    assert memory.training_bytes(shape, "all weights", 0) == states
    each = memory.token_bytes(shape, "all weights")
    assert memory.training_bytes(shape, "all weights", 1000) == states + 1000 * each
    adapters = 18 * shape.adapters(memory.RANK)
    assert memory.training_bytes(shape, "LoRA", 0) == 4 * shape.parameters + 2 * products + adapters
    recomputed = memory.training_bytes(shape, "LoRA", 0, recompute=True)
    assert recomputed == 4 * shape.parameters + 2 * shape.layer_weights + adapters
    narrow = memory.training_bytes(shape, "LoRA, base in bfloat16", 0)
    assert narrow == 2 * shape.parameters + adapters
    largest = shape.hidden * shape.intermediate
    rest = shape.parameters - products
    four_bits = memory.training_bytes(shape, "LoRA, base in nf4", 0)
    assert four_bits == round(memory.NF4_BYTES * products) + 2 * rest + 2 * largest + adapters
    shared = memory.training_bytes(shape, "all weights", 0, devices=4)
    assert shared == 4 * shape.parameters + 2 * (shape.layer_weights + shape.vocabulary * shape.hidden)


@pytest.mark.parametrize(("gib", "card"), [(1, "8"), (6.4, "8"), (6.5, "12"), (64, "80"), (113, "none")])
def test_a_card_is_full_at_four_fifths(gib: float, card: str) -> None:
    assert memory.smallest_card(gib * 2**30) == card


def test_the_page_holds_what_is_computed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
    for table in (memory.table(), memory.sharded_table()):
        assert table in page, "docs/scale.md is old: put in what `python benchmarks/memory.py` prints"
