"""Sampling token by token, for many responses at once.

Every prompt is computed once, however many responses it gets; the cache has space for the whole response from the
start, where Transformers concatenates at every token; rows that have ended leave the batch. Uniform numbers are
drawn before the first token, one for each row and token, so that a response depends on the seed and not on what leaves
when. A GPU works off steps that are given to it ahead: nothing here waits for it but the search for ends, every few
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True)
class ReadPrompts:
    """Prompts that the model has read, each once."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    """Of each layer, shape (prompts, heads, longest prompt, width); padded on the left."""
    logits: Tensor
    """Of the token that follows, shape (prompts, vocabulary)."""
    mask: Tensor
    """1 where a prompt has a token, shape (prompts, longest prompt)."""
    of_row: Tensor
    """Which prompt each row answers, shape (rows,)."""


class Rows(Protocol):
    """Responses in the making, a row each."""

    def advance(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draws the next token of each row at `uniform` (rows,); see `draw`. What it gives holds until the next."""

    def size_for(self, going: int) -> int:
        """How many rows it is worth to compute where so many still go on; at least that."""

    def keep(self, rows: Tensor) -> None:
        """Lets all rows but these go."""


class Memory(Protocol):
    """Where responses are made, if that is not made anew for each batch."""

    def begin(self, prompts: ReadPrompts, sampling: Sampling) -> Rows:
        """Takes prompts in."""


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


class _GrowingRows:
    """Rows whose memory is read as far as it is filled, and no further."""

    def __init__(self, net: PolicyNet, prompts: ReadPrompts, sampling: Sampling) -> None:
        self.net, self.sampling = net, sampling
        new_tokens, of_row = sampling.max_new_tokens, prompts.of_row
        self._cache: Any = DynamicCache()
        self._cache.layers = [_PreallocatedLayer(*pair, of_row, new_tokens) for pair in prompts.keys_values]
        behind = prompts.mask.new_ones(len(prompts.mask), new_tokens)
        self._mask = torch.cat([prompts.mask, behind], dim=1)[of_row]
        self._length = prompts.mask.shape[1]
        self._position = prompts.mask.sum(dim=1)[of_row]
        self._logits: Tensor | None = prompts.logits[of_row]
        self._token: Tensor | None = None

    def advance(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """See `Rows`."""
        if self._token is not None:
            self._length += 1
            self._logits = self.net.next_logits(
                input_ids=self._token.unsqueeze(1),
                attention_mask=self._mask[:, : self._length],
                position_ids=self._position.unsqueeze(1),
                past_key_values=self._cache,
            )
            self._position = self._position + 1
        assert self._logits is not None
        self._token, logp = draw(self._logits, uniform, self.sampling)
        self._logits = None  # as large as a layer
        return self._token, logp

    def size_for(self, going: int) -> int:
        """Ended rows leave when a quarter has ended: leaving copies the cache."""
        assert self._token is not None
        return going if going <= 0.75 * len(self._token) else len(self._token)

    def keep(self, rows: Tensor) -> None:
        """See `Rows`."""
        assert self._token is not None
        self._token, self._mask, self._position = self._token[rows], self._mask[rows], self._position[rows]
        for layer in self._cache.layers:
            layer.keep(rows)


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
    memory: Memory | None = None,
) -> list[list[Sample]]:
    """Samples `num_generations` responses to each of n prompts (token ids, none empty), all side by side.

    The model is one for which `supports_batched_decoding` holds, in evaluation mode; `pad_id` is any valid id, since
    the mask says what is padding; `eos_ids` end a response. The generator, on the CPU, gives
    n * num_generations * max_new_tokens numbers whatever is sampled. `memory` is the model's own, if it has one.
    """
    device = next(model.parameters()).device
    count = len(prompts) * num_generations
    uniform = torch.rand(count, sampling.max_new_tokens, generator=generator, dtype=torch.float64).to(device)
    ends = torch.tensor(sorted(set(eos_ids)), device=device)
    between = _tokens_between_checks(device)
    net = PolicyNet(model)
    with torch.inference_mode():
        begin = memory.begin if memory else partial(_GrowingRows, net)
        rows: Rows = begin(_read_prompts(net, prompts, num_generations, pad_id), sampling)
        ids = torch.full((count, sampling.max_new_tokens), pad_id, device=device)
        logps = torch.zeros(count, sampling.max_new_tokens, device=device)
        finished = torch.zeros(count, dtype=torch.bool, device=device)
        live = torch.arange(count, device=device)  # the rows of the batch, as rows of the result
        for step in range(sampling.max_new_tokens):
            ids[live, step], logps[live, step] = rows.advance(uniform[live, step])
            if (step + 1) % between or step + 1 == sampling.max_new_tokens:
                continue
            ended = torch.isin(ids[live, step + 1 - between : step + 1], ends).any(dim=1)
            finished[live] |= ended
            going = int((~finished[live]).sum())
            if not going:
                break
            if (size := rows.size_for(going)) < len(live):
                first = finished[live].int().argsort(stable=True)[:size]  # those that go on stand before the others
                live = live[first]
                rows.keep(first)
    samples = [_sample(*row, set(eos_ids)) for row in zip(ids.tolist(), logps.tolist(), strict=True)]
    return [samples[start : start + num_generations] for start in range(0, count, num_generations)]


def _tokens_between_checks(device: torch.device) -> int:
    """How many tokens are drawn before the next search for ends, for which a GPU has to finish them all."""
    return 16 if device.type == "cuda" else 1


def _sample(ids: list[int], logps: list[float], ends: set[int]) -> Sample:
    """A row up to its first end."""
    stop = next((place + 1 for place, token in enumerate(ids) if token in ends), None)
    return Sample(tuple(ids[:stop]), tuple(logps[:stop]), stop is not None)


def _read_prompts(net: PolicyNet, prompts: Sequence[Sequence[int]], num_generations: int, pad_id: int) -> ReadPrompts:
    """Computes every distinct prompt once."""
    device = next(net.parameters()).device
    distinct = {tuple(prompt): None for prompt in prompts}
    order = {prompt: index for index, prompt in enumerate(distinct)}
    of_row = torch.tensor([order[tuple(prompt)] for prompt in prompts for _ in range(num_generations)], device=device)
    ids = pad(distinct, pad_id, left=True).to(device)
    mask = pad(([1] * len(prompt) for prompt in distinct), 0, left=True).to(device)
    positions = pad((range(len(prompt)) for prompt in distinct), 0, left=True).to(device)
    cache: Any = DynamicCache(config=net.language_model.config)
    logits = net.next_logits(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
    return ReadPrompts(tuple((layer.keys, layer.values) for layer in cache.layers), logits, mask, of_row)


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
