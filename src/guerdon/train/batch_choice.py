"""Which micro-batches a GPU trains on fastest: their layout and their size, measured over steps of the run itself.

Which kernel is fast for which shapes differs by card, model and data, so nothing is assumed. Before the first step,

1. the memory that a token takes is measured on one micro-batch; what is free beside gradients and optimiser, less a
   fifth, decides how many tokens fit (`budget_within`);
2. a layout whose gradient is not that of padded rows, but for rounding, is left out;
3. every other layout computes gradients of the first steps of the run, in micro-batches of the usual size and of the
   largest that fits, and the fastest is taken. After `MEASURING_SECONDS` what is not measured yet is left out.

None of it moves a weight or a random number. Several devices, and a CPU, do without: there a layout is a fixed choice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from guerdon.collation import Layout
from guerdon.rewards.reward_net import RewardNet, shares_prefixes
from guerdon.row_attention import packs, unmasked
from guerdon.runs.loop import Loop, Step, trainable
from guerdon.train.batches import Batching, TokenBudget
from guerdon.train.judgements import Judgement

logger = logging.getLogger(__name__)

SHARE_OF_MEMORY = 0.8
"""Of what is free: the allocator's own losses, and batches with other shapes than those measured, need the rest."""
LEAST_TOKENS = 1024
MOST_TOKENS = 131_072
"""No larger micro-batch is tried: a card is full long before."""
SAMPLE_TOKENS = 4096
"""Size of the micro-batch by which memory and gradients are measured."""
ROUNDING = 0.1
"""How far the gradient of a layout may be from that of padded rows, as a share of its norm. In bfloat16 rounding stays
below a hundredth, where attention that is aligned at the wrong end is off by nine tenths and more."""
MEASURED_STEPS = 2
MEASURING_SECONDS = 20.0


def budget_within(free: float, states: float, per_token: float) -> int:
    """How many tokens a micro-batch may have.

    Args:
        free: bytes of the device that nothing holds.
        states: bytes that the optimiser will take of them.
        per_token: bytes of activations that a token of a micro-batch takes.

    Returns:
        SHARE_OF_MEMORY x (free - states) / per_token in whole thousands (1,024), at least one, at most `MOST_TOKENS`.
    """
    fits = SHARE_OF_MEMORY * max(0.0, free - states) / per_token
    return int(min(MOST_TOKENS, max(LEAST_TOKENS, fits // 1024 * 1024)))


def computing_rows(loop: Loop, net: RewardNet) -> AbstractContextManager[None]:
    """Inside it a decoder computes the rows of training without a mask, where a mask costs the fast kernel."""
    causal = loop.device.type == "cuda" and shares_prefixes(net.classifier)
    return unmasked(net.classifier) if causal else nullcontext()


def measured_batching(
    loop: Loop, net: RewardNet, batching: Batching, steps: Sequence[Sequence[Judgement]], *, tokens: int
) -> Batching:
    """The fastest batching of a run on one GPU; elsewhere the one given.

    Args:
        loop: the run, before its first step.
        net: what it trains.
        batching: how steps are cut where nothing is measured.
        steps: of the run.
        tokens: the size of micro-batches that the user asks for; 0 measures what fits, and what is fast.
    """
    if loop.device.type != "cuda" or loop.ranks > 1 or loop.sharded:
        return batching
    layouts: list[Layout] = ["padded"]
    if batching.layout == "shared":
        dtype = torch.bfloat16 if loop.accelerator.mixed_precision == "bf16" else torch.float32
        drops = any(vars(part).get("attention_dropout") for part in net.modules())  # packed rows know none
        layouts = ["shared", "padded"]
        if packs(loop.device, dtype) and not drops:
            layouts.insert(0, "packed")
    with computing_rows(loop, net):
        most = tokens or memory_budget(loop, batching, steps[0])
        usual = min(most, batching.budget.tokens)
        batching = replace(batching, budget=TokenBudget(usual))
        return fastest_batching(loop, net, batching, steps, layouts=layouts, budgets=[most, usual])


def memory_budget(loop: Loop, batching: Batching, judgements: Sequence[Judgement]) -> int:
    """The tokens that fit beside model, gradients and optimiser on this GPU."""
    device = loop.device
    sample = _sample(batching, judgements)
    tokens = sum(batch["input_ids"].numel() for batch, _ in sample.micro_batches)
    with _leaving_no_trace(loop):
        try:
            loop.gradient(sample)  # the gradients are there, and the libraries have their workspaces
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            loop.gradient(sample)
        except torch.OutOfMemoryError:
            return LEAST_TOKENS
        per_token = (torch.cuda.max_memory_allocated(device) - before) / tokens
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + cached
    states = 2 * sum(weight.numel() * weight.element_size() for weight in trainable(loop.bare).values())  # of Adam
    return budget_within(free, states, per_token)


def fastest_batching(
    loop: Loop,
    net: RewardNet,
    batching: Batching,
    steps: Sequence[Sequence[Judgement]],
    *,
    layouts: Sequence[Layout],
    budgets: Sequence[int],
) -> Batching:
    """The batching that computes the gradients of the first steps in the least time.

    Args:
        loop: the run, before its first step.
        net: what it trains.
        batching: how steps are cut; layout and budget are chosen.
        steps: of the run.
        layouts: those that the model computes here, the most promising first.
        budgets: tokens of a micro-batch, the most promising first.

    Returns:
        The batching given where not even a few texts fit into the memory: the loop knows what to say, or to do.
    """
    chosen = steps[:MEASURED_STEPS]
    with _leaving_no_trace(loop):
        try:
            exact = _exact_layouts(loop, net, batching, chosen[0], layouts)
        except torch.OutOfMemoryError:
            return batching
        seconds: dict[tuple[Layout, int], float] = {}
        start = time.perf_counter()
        for layout, tokens in product(exact, dict.fromkeys(budgets)):
            if not seconds or time.perf_counter() - start < MEASURING_SECONDS:
                one = replace(batching, layout=layout, budget=TokenBudget(tokens))
                seconds[layout, tokens] = _seconds(loop, [one.step(step) for step in chosen])
    layout, tokens = min(seconds, key=lambda one: seconds[one])
    logger.info(
        "micro-batches: %s rows of %d tokens; seconds a step: %s",
        layout, tokens, {f"{one} {size}": round(spent, 4) for (one, size), spent in seconds.items()},
    )  # fmt: skip
    return replace(batching, layout=layout, budget=TokenBudget(tokens))


def _sample(batching: Batching, judgements: Sequence[Judgement]) -> Step:
    """The first micro-batch of a step, cut small."""
    small = replace(batching, budget=TokenBudget(SAMPLE_TOKENS))
    cut = small.cut(judgements)[0]
    return Step([small.collate(cut)], len(cut.judgements))


def _seconds(loop: Loop, steps: Sequence[Step]) -> float:
    """Seconds that the gradient of a step takes, infinite where it does not fit; the first is computed twice."""
    prepared = [loop.prepared(step) for step in steps]
    loop.bare.train()
    try:
        loop.gradient(prepared[0])
        _wait(loop.device)
        start = time.perf_counter()
        for step in prepared:
            loop.bare.zero_grad(set_to_none=True)
            loop.gradient(step)
        _wait(loop.device)
        return (time.perf_counter() - start) / len(steps)
    except torch.OutOfMemoryError:
        return float("inf")


def _exact_layouts(
    loop: Loop, net: RewardNet, batching: Batching, judgements: Sequence[Judgement], layouts: Sequence[Layout]
) -> list[Layout]:
    """The layouts that give the gradient of padded rows."""
    expected = _score_gradient(loop, net, replace(batching, layout="padded"), judgements)
    norm = torch.stack([part.norm() for part in expected]).norm()
    exact: list[Layout] = []
    for layout in layouts:
        if layout == "padded":
            exact.append(layout)
            continue
        try:
            found = _score_gradient(loop, net, replace(batching, layout=layout), judgements)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of a kernel that this card or this shape does not have
            logger.warning("%s rows are not used: %s", layout, error)
            continue
        off = torch.stack([(mine - theirs).norm() for mine, theirs in zip(found, expected, strict=True)]).norm()
        if off <= ROUNDING * norm:
            exact.append(layout)
        else:
            logger.warning("%s rows are not used: their gradient is off by %.0f%%", layout, 100 * off / norm)
    return exact


def _score_gradient(loop: Loop, net: RewardNet, batching: Batching, judgements: Sequence[Judgement]) -> list[Tensor]:
    """The gradient of the sum of all scores of some texts, the same texts in every layout, without dropout.

    That of a loss of pairs is a difference of nearly equal parts, in which rounding counts for more.
    """
    net.eval()
    net.zero_grad(set_to_none=True)
    for cut in batching.cut(judgements[: max(1, SAMPLE_TOKENS // 1024)]):
        batch, _ = loop.on_device(batching.collate(cut))
        with loop.accelerator.autocast():
            total = net.read(**{name: value for name, value in batch.items() if name != "sequence"}).sum()
        total.backward()
    return [weight.grad.clone() for weight in trainable(net).values() if weight.grad is not None]


@contextmanager
def _leaving_no_trace(loop: Loop) -> Iterator[None]:
    """Neither gradients nor memory nor random numbers drawn are left behind."""
    devices = [loop.device] if loop.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            loop.bare.train()
            yield
        finally:
            loop.bare.zero_grad(set_to_none=True)
            if devices:
                torch.cuda.empty_cache()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
