"""Responses in memory that stays where it is, so that a GPU replays a whole step at once.

A step of decoding is hundreds of short kernels, and Python takes longer to launch them than a GPU to run them. A CUDA
graph launches them all together. It wants the same shapes at the same addresses at every step, and nothing in between
that waits for the GPU: so keys and values have their whole length from the start, a mask hides what is not written yet,
and what a step reads lies in places that are made once for a model. On a CPU the same step runs without a graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, StaticLayer

from guerdon.hf import unwrap
from guerdon.policy.decode import ReadPrompts, Sampling, draw
from guerdon.policy.grouped_attention import grouped_attention
from guerdon.policy.policy_net import PolicyNet

logger = logging.getLogger(__name__)

Step = Callable[[], tuple[Tensor, Tensor]]
"""Reads the tokens of all rows and draws the next ones: tokens and their log-probabilities, shape (rows,) each."""

_ROUNDING, _ROUNDED_AWAY = 0.25, 0.1
"""Forms of a step agree within these, in bfloat16 too: log-probabilities, and the share of other tokens drawn."""
_FEWEST_ROWS = 16
"""Fewer rows take a GPU as long as these."""


def replays_steps(model: Any) -> bool:
    """Whether a GPU can replay the steps of this model, for which `supports_batched_decoding` holds."""
    inner: Any = unwrap(model)
    config = inner.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        next(inner.parameters()).device.type == "cuda"
        and bool(inner._can_compile_fullgraph)  # Transformers' mark of models whose steps never wait for the GPU
        and config._attn_implementation == "sdpa"  # reads masks of truth values
        and rope.get("rope_type", "default") not in ("dynamic", "longrope")  # these look at positions as they go
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """What a step reads, and where it writes keys and values; what is in it changes, its addresses do not."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    """Of each layer, shape (rows, heads, length, width)."""
    visible: Tensor
    """Which columns a row may ever read, bool, shape (rows, length)."""
    token: Tensor
    """The tokens drawn last, shape (rows,)."""
    position: Tensor
    """Their positions, shape (rows,)."""
    uniform: Tensor
    """What the next ones are drawn by, float64, shape (rows,)."""
    column: Tensor
    """Where their keys and values go, shape (1,)."""

    def move(self, rows: Tensor, to: _Places) -> None:
        """Copies these rows to the first places of the same memory."""
        for old, new in zip(self.keys_values, to.keys_values, strict=True):
            new[0].copy_(old[0][rows])
            new[1].copy_(old[1][rows])
        to.visible.copy_(self.visible[rows])
        to.token.copy_(self.token[rows])
        to.position.copy_(self.position[rows])


class StaticMemory:
    """The place where the responses of one model are made, batch after batch, as large as the largest batch so far."""

    def __init__(self, model: nn.Module, *, compiled: bool = False) -> None:
        """Takes no memory yet. `compiled` fuses the kernels of a step; that takes up to a minute for each shape."""
        self.model, self.compiled = model, compiled
        self._failed: set[str] = set()
        self._net = PolicyNet(model)
        self._weights: tuple[int, ...] = ()
        self._most_rows = self._room = 0
        self._shapes: list[tuple[torch.Size, torch.Size]] = []
        self._flat: list[tuple[Tensor, Tensor]] = []
        self._steps: dict[tuple[int, int, Sampling, bool], Step] = {}
        self._pool: Any = None

    def begin(self, prompts: ReadPrompts, sampling: Sampling) -> StaticRows:
        """Takes prompts in; what was made here before is lost."""
        rows, length = len(prompts.of_row), _rounded(prompts.mask.shape[1] + sampling.max_new_tokens)
        weights = tuple(parameter.data_ptr() for parameter in self.model.parameters())  # graphs know weights by these
        if weights != self._weights or rows > self._most_rows or rows * length > self._room:
            self._make(prompts, max(rows, self._most_rows), max(rows * length, self._room))
            self._weights = weights
        return StaticRows(self, prompts, sampling, length)

    def _make(self, prompts: ReadPrompts, rows: int, room: int) -> None:
        """Makes memory for so many rows, and so many tokens of all rows together, in place of what there was."""
        self._steps.clear()
        self._flat.clear()
        self._most_rows, self._room = rows, room
        self._shapes = [(keys.shape, values.shape) for keys, values in prompts.keys_values]
        for keys, values in prompts.keys_values:
            # What is hidden counts 0, so what lies there must be finite.
            self._flat.append((_zeros_for(keys, room), _zeros_for(values, room)))
        device = prompts.logits.device
        self._visible = torch.zeros(room, dtype=torch.bool, device=device)
        self._token, self._position = (torch.zeros(rows, dtype=torch.long, device=device) for _ in range(2))
        self._uniform = torch.zeros(rows, dtype=torch.float64, device=device)
        self._column = torch.zeros(1, dtype=torch.long, device=device)

    def places(self, rows: int, length: int) -> _Places:
        """The first rows of the memory, cut for responses of this length, prompts included."""
        keys_values = tuple(
            (_cut(flat[0], rows, length, shape[0]), _cut(flat[1], rows, length, shape[1]))
            for flat, shape in zip(self._flat, self._shapes, strict=True)
        )
        visible = self._visible[: rows * length].view(rows, length)
        token, position, uniform = (one[:rows] for one in (self._token, self._position, self._uniform))
        return _Places(keys_values, visible, token, position, uniform, self._column)

    def step(self, places: _Places, sampling: Sampling, *, whole: bool) -> Step:
        """The step of rows at these places, made when it is first asked for; only a `whole` batch is compiled."""
        rows, length = places.visible.shape
        key = rows, length, sampling, whole and self.compiled
        if key not in self._steps:
            self._steps[key] = self._prepared(self._plain_step(places, sampling), key[-1])
        return self._steps[key]

    def _plain_step(self, places: _Places, sampling: Sampling) -> Step:
        net, columns = self._net, torch.arange(places.visible.shape[1], device=places.column.device)
        cache: Any = Cache(layers=[_SharedColumnLayer(*pair, places.column) for pair in places.keys_values])

        def step() -> tuple[Tensor, Tensor]:
            visible = places.visible & (columns <= places.column)
            logits = net.next_logits(
                input_ids=places.token.unsqueeze(1),
                attention_mask=visible[:, None, None],
                position_ids=places.position.unsqueeze(1),
                past_key_values=cache,
            )
            return draw(logits, places.uniform, sampling)

        return step

    def _prepared(self, step: Step, compiled: bool) -> Step:
        """The fastest form of the step that works here: compiled, if that is wanted, and on a GPU as a graph."""
        tokens, logps = (drawn.clone() for drawn in step())
        forms: list[tuple[str, Callable[[], Step]]] = []
        if compiled:
            forms.append(("a compiler", lambda: self._captured(self._compiled(step))))
        if self._column.device.type == "cuda":
            forms.append(("CUDA graphs", lambda: self._captured(step)))
        for name, form in forms:
            if name in self._failed:
                continue
            try:
                return _checked(form(), tokens, logps)
            except Exception as error:  # compilers and captures fail in many ways, and none of them matters here
                logger.warning("sampling goes on without %s: %s: %.200s", name, type(error).__name__, error)
                self._failed.add(name)
        return step

    def _compiled(self, step: Step) -> Step:
        fused = torch.compile(step, fullgraph=True, dynamic=False)

        def grouped() -> tuple[Tensor, Tensor]:
            with grouped_attention(self.model):
                return fused()

        return grouped

    def _captured(self, step: Step) -> Step:
        device = self._column.device
        if device.type != "cuda":
            return step
        with torch.cuda.device(device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # PyTorch asks for some steps before, on a stream of their own
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(stream)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                drawn = step()

        def replay() -> tuple[Tensor, Tensor]:
            graph.replay()
            return drawn

        return replay


def _checked(step: Step, tokens: Tensor, logps: Tensor) -> Step:
    """A form of a step that draws what the plain form drew, but for rounding. Raises RuntimeError where it does not."""
    drawn, theirs = step()
    same = drawn == tokens
    if same.float().mean() < 1 - _ROUNDED_AWAY or ((theirs - logps)[same].abs() > _ROUNDING).any():
        raise RuntimeError("it draws other tokens than a plain step")
    return step


class StaticRows:
    """Rows (`guerdon.policy.decode.Rows`) in static memory."""

    def __init__(self, memory: StaticMemory, prompts: ReadPrompts, sampling: Sampling, length: int) -> None:
        """Writes the prompts into the memory."""
        self.memory, self.sampling = memory, sampling
        of_row, width = prompts.of_row, prompts.mask.shape[1]
        self._places = places = memory.places(len(of_row), length)
        for own, read in zip(places.keys_values, prompts.keys_values, strict=True):
            own[0][:, :, :width] = read[0][of_row]
            own[1][:, :, :width] = read[1][of_row]
        places.visible.fill_(True)
        places.visible[:, :width] = prompts.mask[of_row].bool()
        places.position.copy_(prompts.mask.sum(dim=1)[of_row])
        places.column.fill_(width)
        self._logits: Tensor | None = prompts.logits[of_row]
        self._whole = True

    def advance(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """See `guerdon.policy.decode.Rows`."""
        places = self._places
        if self._logits is not None:
            token, logp = draw(self._logits, uniform, self.sampling)
            self._logits = None
        else:
            places.uniform.copy_(uniform)
            token, logp = self.memory.step(places, self.sampling, whole=self._whole)()
            places.position.add_(1)
            places.column.add_(1)
        places.token.copy_(token)
        return token, logp

    def size_for(self, going: int) -> int:
        """A quarter of the rows, where so many are enough: each size is a graph of its own."""
        size = len(self._places.token)
        while going <= size // 4 >= _FEWEST_ROWS:
            size //= 4
        return size

    def keep(self, rows: Tensor) -> None:
        """See `guerdon.policy.decode.Rows`."""
        places = self.memory.places(len(rows), self._places.visible.shape[1])
        self._places.move(rows, places)
        self._places, self._whole = places, False


class _SharedColumnLayer(StaticLayer):
    """Keys and values of one layer, (rows, heads, length, width); all layers write at the same column, shape (1,)."""

    def __init__(self, keys: Tensor, values: Tensor, column: Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[2])
        self.keys, self.values, self.column = keys, values, column
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes the states of one token, shape (rows, heads, 1, width)."""
        assert self.keys is not None
        assert self.values is not None
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values


def _rounded(length: int) -> int:
    """The next of 64, 96, 128, 192, 256, 384 ...: few lengths, since each is a graph of its own."""
    power = max(64, 1 << (length - 1).bit_length())
    return power * 3 // 4 if length <= power * 3 // 4 and power > 64 else power


def _zeros_for(states: Tensor, room: int) -> Tensor:
    return states.new_zeros(room * states.shape[1] * states.shape[3])


def _cut(flat: Tensor, rows: int, length: int, shape: torch.Size) -> Tensor:
    _, heads, _, width = shape
    return flat[: rows * heads * length * width].view(rows, heads, length, width)
