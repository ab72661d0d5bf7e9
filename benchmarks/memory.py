"""The memory that training a decoder reward model takes, computed from its shape; docs/scale.md holds the table.

What is counted, in bytes, for a model of Llama's kind with h hidden size, n heads and k key-value heads of size d, and
a gated unit of width f; weights in float32, products in bfloat16 under autocast, no stored attention weights:

    states        a trained weight 4, its gradient 4, the two moments of AdamW 8; a frozen weight 4
    copies        2 for each weight of a matrix product: its bfloat16 copy, kept from the forward to the backward pass.
                  With recomputed activations, those of frozen weights are there for one layer at a time
    narrow base   of adapters: frozen weights in bfloat16 take 2 and are not copied; with `nf4` those of products take
                  0.516, and one at a time is there in bfloat16
    activations   what the backward pass needs of a token in a layer: two norms, 16 h; the inputs of five products,
                  10 h; query, output, keys and values of attention, 4 n d + 4 k d; the gated unit, 8 f. With adapters
                  of rank r: norms 8 h, since they are frozen; the output of attention once more, 2 n d; the inner
                  states of seven adapters, 14 r. Recomputed: 4 h a layer, and one layer whole

Korthikanti et al. 2022, arXiv:2205.05198, count GPT's shape in the same way. A test compares copies and activations
with what autograd really keeps. What a backward pass holds for a moment, and what the allocator loses, comes on top: a
card counts as full at 80%.

    python benchmarks/memory.py
    python benchmarks/memory.py --measure SmolLM2-135M Llama-3.2-1B      on a GPU: beside what is really taken
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import Any, Literal

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from device_facts import add_result_option, write_result
from guerdon.hf import Lora, add_lora, unwrap
from guerdon.types import BaseDtype

Method = Literal["all weights", "LoRA", "LoRA, base in bfloat16", "LoRA, base in nf4"]
BASE_DTYPES: dict[Method, BaseDtype] = {
    "LoRA": "float32",
    "LoRA, base in bfloat16": "bfloat16",
    "LoRA, base in nf4": "nf4",
}
METHODS: tuple[Method, ...] = ("all weights", *BASE_DTYPES)
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in 4 bits: its scale has 8 bits for 64 of them, and there is a float32 to 256 scales."""
SHARE_OF_CARD = 0.8
TOKENS = 4096
"""Of the smallest useful micro-batch: a pair of the longest texts, 2,048 tokens each."""
CARDS = (8, 12, 16, 24, 32, 48, 80, 141)
"""GiB of memory that are sold."""
RANK = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of Llama's kind."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int

    @property
    def products(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the matrix products of a layer."""
        h, f, n, k = self.hidden, self.intermediate, self.heads * self.head_size, self.key_value_heads * self.head_size
        return [(h, n), (h, k), (h, k), (n, h), (h, f), (h, f), (f, h)]

    @property
    def layer_weights(self) -> int:
        """Weights of the matrix products of a layer."""
        return sum(inputs * outputs for inputs, outputs in self.products)

    @property
    def parameters(self) -> int:
        """All parameters of a reward model: embeddings, layers, norms, and the head of one output."""
        return (self.vocabulary + 2 * self.layers + 2) * self.hidden + self.layers * self.layer_weights

    def adapters(self, rank: int) -> int:
        """Parameters of LoRA on every product of every layer, and of the head, which is trained whole."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.products) + self.hidden


SHAPES = {
    "SmolLM2-135M": Shape(576, 1536, 30, 9, 3, 64, 49152),
    "SmolLM2-360M": Shape(960, 2560, 32, 15, 5, 64, 49152),
    "Llama-3.2-1B": Shape(2048, 8192, 16, 32, 8, 64, 128256),
    "Llama-3.2-3B": Shape(3072, 8192, 28, 24, 8, 128, 128256),
    "Llama-3.1-8B": Shape(4096, 14336, 32, 32, 8, 128, 128256),
}


def layer_bytes(shape: Shape, method: Method, rank: int = RANK) -> int:
    """Bytes of activations of a token in a layer; with a base in fewer bits than 32 as with one in bfloat16."""
    heads, key_value = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    shared = 10 * shape.hidden + 4 * heads + 4 * key_value + 8 * shape.intermediate
    if method == "all weights":
        return shared + 16 * shape.hidden
    return shared + 8 * shape.hidden + 2 * heads + 14 * rank


def token_bytes(shape: Shape, method: Method, *, recompute: bool = False, rank: int = RANK) -> int:
    """Bytes of activations that a token of a micro-batch takes at the fullest moment.

    The last norm counts where norms are trained; where they are frozen, the first needs as little as the last one needs
    more.
    """
    layer = layer_bytes(shape, method, rank)
    stream = 2 if BASE_DTYPES.get(method, "float32") != "float32" else 4
    layers = shape.layers * stream * shape.hidden + layer if recompute else shape.layers * layer
    return layers + (8 * shape.hidden if method == "all weights" else 0)


def training_bytes(
    shape: Shape, method: Method, tokens: int, *, recompute: bool = False, rank: int = RANK, devices: int = 1
) -> float:
    """Bytes on each device at the fullest moment of a training step.

    Args:
        shape: of the model.
        method: what is trained.
        tokens: of a micro-batch, padding included.
        recompute: `--gradient-checkpointing`.
        rank: `--lora-r`.
        devices: over how many FSDP shards weights, gradients and moments; each layer is whole while it computes.
    """
    products = shape.layers * shape.layer_weights
    if method == "all weights":
        states, copies = 16 * shape.parameters, 2 * products
    else:
        adapters = shape.adapters(rank)
        states, copies = 16 * adapters, 2 * adapters
        if method == "LoRA":
            states += 4 * shape.parameters
            copies += 2 * (shape.layer_weights if recompute else products)
        elif method == "LoRA, base in bfloat16":
            states += 2 * shape.parameters
        else:
            states += round(NF4_BYTES * products) + 2 * (shape.parameters - products)
            copies += 2 * max(inputs * outputs for inputs, outputs in shape.products)
    if devices > 1:  # gathered layer by layer in bfloat16, and let go of again
        states, copies = states / devices, 2 * (shape.layer_weights + shape.vocabulary * shape.hidden)
    return float(states + copies + tokens * token_bytes(shape, method, recompute=recompute, rank=rank))


def smallest_card(size: float) -> str:
    """The smallest card that so many bytes fill to 80% at most, in GiB."""
    return next((str(card) for card in CARDS if size <= SHARE_OF_CARD * card * 2**30), "none")


def table() -> str:
    """What every model needs, as a table in Markdown."""
    lines = [
        "| model | weights | trained | states and copies, GiB | a token, KiB | recomputed "
        "| 4,096 tokens, GiB | recomputed | card, GiB | recomputed |",
        "|---|---:|---|" + "---:|" * 7,
    ]
    for name, shape in SHAPES.items():
        for method in METHODS:
            both = [training_bytes(shape, method, TOKENS, recompute=recompute) for recompute in (False, True)]
            each = [token_bytes(shape, method, recompute=recompute) / 2**10 for recompute in (False, True)]
            cells = [
                name, f"{shape.parameters / 1e6:,.0f}M", method, f"{training_bytes(shape, method, 0) / 2**30:.1f}",
                *(f"{one:,.0f}" for one in each), *(f"{one / 2**30:.1f}" for one in both), *map(smallest_card, both),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sharded_table() -> str:
    """What every model needs of each of several devices that share it, all weights trained, activations recomputed."""
    counts = (2, 4, 8)
    lines = ["| model | " + " | ".join(f"{count} devices, GiB each" for count in counts) + " |", "|---|---:|---:|---:|"]
    for name, shape in SHAPES.items():
        sizes = [training_bytes(shape, "all weights", TOKENS, recompute=True, devices=count) for count in counts]
        cells = [f"{size / 2**30:.1f} (card of {smallest_card(size)})" for size in sizes]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def classifier(shape: Shape, method: Method, *, recompute: bool = False) -> torch.nn.Module:
    """A reward model of this shape, with random weights."""
    config = LlamaConfig(
        hidden_size=shape.hidden, intermediate_size=shape.intermediate, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.key_value_heads, head_dim=shape.head_size,
        vocab_size=shape.vocabulary, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    model: Any = LlamaForSequenceClassification(config)
    if recompute:
        model.activation_checkpointing_enable()
    return add_lora(model, Lora(RANK, 2 * RANK, BASE_DTYPES[method])) if method in BASE_DTYPES else model


def score_sum(model: torch.nn.Module, rows: int, length: int) -> torch.Tensor:
    """The sum of the scores of random rows, computed as training does; shape ()."""
    whole: Any = unwrap(model)
    device = next(model.parameters()).device
    ids = torch.randint(1, whole.config.vocab_size, (rows, length), device=device)
    with torch.autocast(device.type, torch.bfloat16):
        states = whole.model(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
        return whole.score(states).float().sum()


def measured_bytes(shape: Shape, method: Method, tokens: int, *, recompute: bool) -> int:
    """Bytes that PyTorch has allocated on the GPU at the fullest moment of the second step of training."""
    model = classifier(shape, method, recompute=recompute).train().to("cuda")
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        score_sum(model, tokens // 512, 512).backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cuda.max_memory_allocated()


def main() -> None:
    """Prints the tables, or what a GPU really takes beside what was computed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--measure", nargs="+", choices=SHAPES, default=[], help="models to train for two steps on a GPU"
    )
    add_result_option(parser)
    arguments = parser.parse_args()
    if not arguments.measure:
        print(table(), sharded_table(), sep="\n\n")
        return
    if not torch.cuda.is_available():
        parser.error("--measure needs a GPU with CUDA, and PyTorch finds none")
    found = []
    there = [method for method in METHODS if BASE_DTYPES.get(method) != "nf4" or find_spec("bitsandbytes")]
    for name, method, recompute in product(arguments.measure, there, (False, True)):
        computed = training_bytes(SHAPES[name], method, TOKENS, recompute=recompute)
        line: dict[str, Any] = {
            "model": name,
            "trained": method,
            "recomputed": recompute,
            "computed_gib": computed / 2**30,
        }
        try:
            line["measured_gib"] = measured_bytes(SHAPES[name], method, TOKENS, recompute=recompute) / 2**30
        except torch.OutOfMemoryError:
            line["measured_gib"] = None
        torch.cuda.empty_cache()
        found.append(line)
        print(json.dumps(line), flush=True)
    write_result(arguments, {"memory": found}, {})


if __name__ == "__main__":
    main()
