"""Sampling token by token, for many responses at once.

Every prompt is computed once, however many responses it gets; the cache has space for the whole response from the
start, where Transformers concatenates at every token; rows that have ended leave the batch. Uniform numbers are
drawn before the first token, one for each row and token, so that a response depends on the seed and not on what leaves
when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from guerdon.errors import ConfigError
from guerdon.packing import pad
from guerdon.policy.policy_net import PolicyNet


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int = 128
    """Length of the longest response, in tokens."""
    temperature: float = 1.0
    """Temperature of the softmax; 0 takes the most probable token."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with this probability (Holtzman et al. 2020, arXiv:1904.09751)."""

    def __post_init__(self) -> None:
        faults = []
        if self.max_new_tokens < 1:
            faults.append(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not self.temperature >= 0:
            faults.append(f"temperature must be 0 or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if faults:
            raise ConfigError("sampling: " + "; ".join(faults))


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled response as tokens."""

    ids: tuple[int, ...]
    """The end-of-sequence token included, where there is one."""
    logps: tuple[float, ...]
    """log softmax(logits / temperature) of each token, in nats; of the plain softmax where the temperature is 0."""
    finished: bool
    """Whether the response ended by itself, and not at the longest length."""
    environment_positions: tuple[int, ...] = ()
    """Positions of tokens that are not the policy's: what an environment wrote between two of its turns."""


class _PreallocatedLayer(DynamicLayer):
    """Keys and values of one layer, written into memory that was made for the whole response."""

    def __init__(self, keys: Tensor, values: Tensor, repeats: Tensor, new_tokens: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self._length = keys.shape[-2]
        self._all_keys = self._extended(keys, repeats, new_tokens)
        self._all_values = self._extended(values, repeats, new_tokens)
        self._show()

    @staticmethod
    def _extended(states: Tensor, repeats: Tensor, new_tokens: int) -> Tensor:
        _, heads, length, width = states.shape
        extended = states.new_empty(len(repeats), heads, length + new_tokens, width)
        extended[:, :, :length] = states[repeats]
        return extended

    def _show(self) -> None:
        self.keys: Tensor = self._all_keys[:, :, : self._length]
        self.values: Tensor = self._all_values[:, :, : self._length]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes the states of new tokens, shape (rows, heads, tokens, width), behind those that are there."""
        start, self._length = self._length, self._length + key_states.shape[-2]
        self._all_keys[:, :, start : self._length] = key_states
        self._all_values[:, :, start : self._length] = value_states
        self._show()
        return self.keys, self.values

    def keep(self, rows: Tensor) -> None:
        """Lets all rows but these go."""
        self._all_keys = self._all_keys[rows]
        self._all_values = self._all_values[rows]
        self._show()


def supports_batched_decoding(model: Any) -> bool:
    """Whether `decode` can run this model: a causal one whose cache is keys and values of every token."""
    if model.config.is_encoder_decoder:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    num_generations: int,
    sampling: Sampling,
    *,
    pad_id: int,
    eos_ids: Sequence[int],
    generator: torch.Generator,
) -> list[list[Sample]]:
    """Samples `num_generations` responses to each of n prompts (token ids, none empty), all side by side.

    The model is one for which `supports_batched_decoding` holds, in evaluation mode; `pad_id` is any valid id, since
    the mask says what is padding; `eos_ids` end a response. The generator, on the CPU, gives
    n * num_generations * max_new_tokens numbers whatever is sampled.
    """
    device = next(model.parameters()).device
    rows = len(prompts) * num_generations
    uniform = torch.rand(rows, sampling.max_new_tokens, generator=generator, dtype=torch.float64).to(device)
    ends = torch.tensor(sorted(set(eos_ids)), device=device)
    net = PolicyNet(model)
    with torch.inference_mode():
        logits, cache, mask, position = _prefill(net, prompts, num_generations, sampling.max_new_tokens, pad_id)
        ids = torch.full((rows, sampling.max_new_tokens), pad_id, device=device)
        logps = torch.zeros(rows, sampling.max_new_tokens, device=device)
        lengths = torch.full((rows,), sampling.max_new_tokens, device=device)
        finished = torch.zeros(rows, dtype=torch.bool, device=device)
        live = torch.arange(rows, device=device)  # the rows of the batch, as rows of the result
        width = max(len(prompt) for prompt in prompts)
        for step in range(sampling.max_new_tokens):
            token, logp = draw(logits, uniform[live, step], sampling)
            ids[live, step], logps[live, step] = token, logp
            ended = torch.isin(token, ends) & ~finished[live]
            finished[live[ended]] = True
            lengths[live[ended]] = step + 1
            going = (~finished[live]).nonzero()[:, 0]
            if not len(going) or step + 1 == sampling.max_new_tokens:
                break
            if len(going) <= _COMPACT_AT * len(live):
                live, token, mask, position = live[going], token[going], mask[going], position[going]
                for layer in cache.layers:
                    layer.keep(going)
            logits = net.next_logits(
                input_ids=token.unsqueeze(1),
                attention_mask=mask[:, : width + step + 1],
                position_ids=(position + step).unsqueeze(1),
                past_key_values=cache,
            )
    columns = zip(ids.tolist(), logps.tolist(), lengths.tolist(), finished.tolist(), strict=True)
    samples = [Sample(tuple(row[:length]), tuple(logp[:length]), end) for row, logp, length, end in columns]
    return [samples[start : start + num_generations] for start in range(0, rows, num_generations)]


_COMPACT_AT = 0.75
"""Ended rows leave the batch when at most this share of it still goes on: leaving copies the cache."""


def _prefill(
    net: PolicyNet, prompts: Sequence[Sequence[int]], num_generations: int, new_tokens: int, pad_id: int
) -> tuple[Tensor, Any, Tensor, Tensor]:
    """Computes every distinct prompt once.

    Returns:
        Logits of the next token (rows, vocabulary); the cache of all rows; which of its columns and of the new ones
        behind them hold a token (rows, longest prompt + new tokens); the position of the next token (rows,).
    """
    device = next(net.parameters()).device
    distinct = {tuple(prompt): None for prompt in prompts}
    order = {prompt: index for index, prompt in enumerate(distinct)}
    repeats = torch.tensor([order[tuple(prompt)] for prompt in prompts for _ in range(num_generations)], device=device)
    ids = pad(distinct, pad_id, left=True).to(device)
    mask = pad(([1] * len(prompt) for prompt in distinct), 0, left=True).to(device)
    positions = pad((range(len(prompt)) for prompt in distinct), 0, left=True).to(device)
    filled: Any = DynamicCache(config=net.language_model.config)
    logits = net.next_logits(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=filled)
    cache: Any = DynamicCache()
    cache.layers = [_PreallocatedLayer(layer.keys, layer.values, repeats, new_tokens) for layer in filled.layers]
    whole = torch.cat([mask, mask.new_ones(len(distinct), new_tokens)], dim=1)[repeats]
    return logits[repeats], cache, whole, mask.sum(dim=1)[repeats]


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Draws one token a row of logits (rows, vocabulary), by inverting the distribution function at `uniform`.

    Returns:
        Token ids (rows,), and their log-probabilities in nats (rows,), float32, before `top_p`.
    """
    scaled = logits.float() if sampling.temperature in (0, 1) else logits.float() / sampling.temperature
    probabilities = scaled.softmax(dim=1)
    if sampling.temperature == 0:
        token = probabilities.argmax(dim=1)
    else:
        token = invert(nucleus(probabilities, sampling.top_p) if sampling.top_p < 1 else probabilities, uniform)
    return token, probabilities.gather(1, token.unsqueeze(1)).squeeze(1).log()


_BLOCK = 256
"""Tokens whose probabilities are summed at once: a whole vocabulary one by one takes longer than its softmax."""


def invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """The first token, shape (rows,), at which the distribution function exceeds `uniform`; none has probability 0.

    The probabilities (rows, vocabulary) may have a common factor; `uniform` is float64 in [0, 1). Sums of blocks say
    where to look closer.
    """
    if short := -probabilities.shape[1] % _BLOCK:
        probabilities = torch.nn.functional.pad(probabilities, (0, short))
    blocks = probabilities.unflatten(1, (-1, _BLOCK))
    below = blocks.sum(dim=2, dtype=torch.float64).cumsum(dim=1)
    target = (uniform * below[:, -1]).unsqueeze(1)
    block = torch.searchsorted(below, target, right=True)
    inside = blocks.gather(1, block.unsqueeze(2).expand(-1, 1, _BLOCK)).squeeze(1).double().cumsum(dim=1)
    rest = target - (below.gather(1, block) - inside[:, -1:])
    largest = torch.nextafter(inside[:, -1:], torch.zeros_like(target))  # sums in another order round differently
    within = torch.searchsorted(inside, rest.clamp(min=0).minimum(largest), right=True)
    return (block * _BLOCK + within).squeeze(1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Sets to 0 what is outside the smallest set of most probable tokens that holds `top_p`; (rows, vocabulary)."""
    ordered, order_of = probabilities.sort(dim=1, descending=True)
    outside = ordered.cumsum(dim=1) - ordered >= top_p  # what stands before a token holds enough already
    return probabilities.masked_fill(torch.zeros_like(outside).scatter(1, order_of, outside), 0.0)
