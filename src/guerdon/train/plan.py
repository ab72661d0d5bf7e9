"""The order of training: judgements to optimiser steps of a fixed number.

All of it is decided before training starts, from the seed alone, so that a resumed run sees the same data.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from guerdon.train.judgements import Judgement, Listed, TextTable

RESPONSES_PER_BLOCK = 8
"""Responses of one prompt are dealt into bins of this many; judgements between the same bins stay together. Where a
prompt has many pairs this computes each text once for several of them (as InstructGPT does with all pairs of a prompt,
Ouyang et al. 2022, section 3.5); where a prompt has one pair the order is plainly random."""


def plan_steps(
    judgements: Sequence[Judgement], prompt_keys: Sequence[str], *, epochs: float, per_step: int, seed: int
) -> list[list[Judgement]]:
    """Deals judgements into steps of exactly `per_step`; epochs follow each other without a seam."""
    stream = _epochs(judgements, prompt_keys, random.Random(seed))
    count = max(1, math.ceil(len(judgements) * epochs / per_step))
    return [[next(stream) for _ in range(per_step)] for _ in range(count)]


def _epochs(judgements: Sequence[Judgement], prompt_keys: Sequence[str], rng: random.Random) -> Iterator[Judgement]:
    by_prompt: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_prompt[prompt_keys[judgement.texts[0]]].append(judgement)
    while True:
        blocks = [block for members in by_prompt.values() for block in _blocks(members, rng)]
        rng.shuffle(blocks)
        for block in blocks:
            yield from block


def _blocks(members: list[Judgement], rng: random.Random) -> list[list[Judgement]]:
    """Cuts the judgements of one prompt into blocks that speak of few texts."""
    texts = sorted({text for judgement in members for text in judgement.texts})
    rng.shuffle(texts)
    bin_of = {text: place // RESPONSES_PER_BLOCK for place, text in enumerate(texts)}
    blocks: dict[tuple[int, ...], list[Judgement]] = defaultdict(list)
    for judgement in members:
        blocks[tuple(sorted({bin_of[text] for text in judgement.texts}))].append(judgement)
    found = list(blocks.values())
    for block in found:
        rng.shuffle(block)
    return found


def with_in_batch_negatives(steps: list[list[Judgement]], table: TextTable, count: int) -> list[list[Judgement]]:
    """Lets each reference of a step also beat the references of `count` other prompts of that step."""
    return [
        [
            _contrasted(judgement, [*step[place + 1 :], *step[:place]], table, count)
            for place, judgement in enumerate(step)
        ]
        for step in steps
    ]


def _contrasted(judgement: Judgement, rest: list[Judgement], table: TextTable, count: int) -> Judgement:
    """`rest` begins behind the judgement, so that no text of a step is borrowed more often than another."""
    if not isinstance(judgement, Listed) or not judgement.contrastive:
        return judgement
    own = table.prompt_keys[judgement.texts[0]]
    others = {
        table.responses[other.texts[0]]: None
        for other in rest
        if isinstance(other, Listed) and table.prompt_keys[other.texts[0]] != own
    }
    known = {table.responses[text] for text in judgement.texts}
    borrowed = [response for response in others if response not in known][:count]
    texts = tuple(table.add(table.prompts[judgement.texts[0]], response) for response in borrowed)
    return replace(judgement, texts=(*judgement.texts, *texts), grades=(*judgement.grades, *[0.0] * len(texts)))
