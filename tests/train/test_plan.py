"""Every epoch sees every judgement once, and a step is always the same number."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from guerdon.train.judgements import Compared, Judgement, Listed, TextTable
from guerdon.train.plan import RESPONSES_PER_BLOCK, plan_steps, with_in_batch_negatives

PAIRS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def pairs_of(sizes: list[int]) -> tuple[list[Judgement], list[str]]:
    """For each prompt some pairs, each of two texts of its own."""
    keys = [str(prompt) for prompt, size in enumerate(sizes) for _ in range(2 * size)]
    return [Compared(text, text + 1) for text in range(0, len(keys), 2)], keys


@given(PAIRS, st.integers(1, 7), st.floats(0.2, 3), st.integers(0, 9))
def test_each_epoch_deals_every_judgement_once_in_steps_of_one_size(
    sizes: list[int], per_step: int, epochs: float, seed: int
) -> None:
    judged, keys = pairs_of(sizes)
    steps = plan_steps(judged, keys, epochs=epochs, per_step=per_step, seed=seed)
    assert len(steps) == max(1, math.ceil(len(judged) * epochs / per_step))
    assert {len(step) for step in steps} == {per_step}
    assert steps == plan_steps(judged, keys, epochs=epochs, per_step=per_step, seed=seed)
    flat = [judgement for step in steps for judgement in step]
    for start in range(0, len(flat) - len(judged) + 1, len(judged)):
        assert Counter(flat[start : start + len(judged)]) == Counter(judged)


def test_another_seed_is_another_order() -> None:
    judged, keys = pairs_of([1] * 20)
    orders = [plan_steps(judged, keys, epochs=1, per_step=20, seed=seed)[0] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert orders[0] != judged


def test_pairs_of_the_same_responses_come_together() -> None:
    """All pairs of 8 responses to each of 4 prompts: a run of pairs speaks of few texts."""
    judged: list[Judgement] = []
    keys = [str(text // 8) for text in range(32)]
    for prompt in range(4):
        texts = range(8 * prompt, 8 * prompt + 8)
        judged += [Compared(a, b) for a in texts for b in texts if a < b]
    flat = [judgement for step in plan_steps(judged, keys, epochs=1, per_step=16, seed=0) for judgement in step]
    blocks, current = [], [flat[0]]
    for before, after in pairwise(flat):
        if keys[before.texts[0]] != keys[after.texts[0]]:
            blocks.append(current)
            current = []
        current.append(after)
    blocks.append(current)
    texts_of = [len({text for judgement in block for text in judgement.texts}) for block in blocks]
    assert sum(texts_of) <= 4 * (8 + 8)  # each text in two blocks; one pair at a time it would be 224
    assert max(len(block) for block in blocks) >= RESPONSES_PER_BLOCK


def table_of(prompts: int, generated: int = 1) -> tuple[TextTable, list[Judgement]]:
    table = TextTable()
    listed: list[Judgement] = []
    for prompt in range(prompts):
        texts = [table.add(f"p{prompt}", f"reference {prompt}")]
        texts += [table.add(f"p{prompt}", f"generated {prompt}.{i}") for i in range(generated)]
        listed.append(Listed(tuple(texts), (1.0, *[0.0] * generated), contrastive=True))
    return table, listed


def test_in_batch_negatives_are_references_of_other_prompts_of_the_step() -> None:
    table, listed = table_of(4)
    (step, other) = with_in_batch_negatives([listed[:3], listed[3:]], table, 2)
    assert other == listed[3:], "alone in its step it has nothing to borrow"
    for number, judgement in enumerate(step):
        assert isinstance(judgement, Listed)
        texts = [table.responses[text] for text in judgement.texts]
        borrowed = [f"reference {(number + n) % 3}" for n in (1, 2)]  # those that follow, round the step
        assert texts == [f"reference {number}", f"generated {number}.0", *borrowed]
        assert {table.prompt_keys[text] for text in judgement.texts} == {f"p{number}"}
        assert judgement.grades == (1.0, 0.0, 0.0, 0.0)


def test_a_reference_does_not_have_to_beat_itself() -> None:
    table = TextTable()
    listed: list[Judgement] = [
        Listed((table.add(prompt, "the same"), table.add(prompt, f"bad {prompt}")), (1.0, 0.0), contrastive=True)
        for prompt in ("p", "q")
    ]
    assert with_in_batch_negatives([listed], table, 3) == [listed]
