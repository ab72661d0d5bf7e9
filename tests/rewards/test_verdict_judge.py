"""P by the logits of a verdict: right by an independent computation, and blind to places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.verdict_judge import VerdictComparer

PROMPTS = ["How long does an egg take?", "The capital?"]
A, B = ["Eight minutes.", "I do not know that."], ["It depends.", "Paris."]


@pytest.fixture
def judge(tiny_llama: str) -> VerdictComparer:
    found = ScorerConfig(name=f"verdict:{tiny_llama}", device="cpu").load_system()
    assert isinstance(found, VerdictComparer)
    return found


def test_p_is_by_the_next_token_in_both_orders(judge: VerdictComparer) -> None:
    policy, z = judge.policy, []
    letters = [policy.tokenizer("A")["input_ids"][-1], policy.tokenizer("B")["input_ids"][-1]]
    for prompt, a, b in zip(PROMPTS, A, B, strict=True):
        own = []
        for shown in ((a, b), (b, a)):
            question = judge.rubric.question(judge.rubric.criteria[0], (), prompt, shown, "")
            (ids,) = policy.encode_prompts([question], max_new_tokens=1)
            with torch.inference_mode():
                logits = policy.model(torch.tensor([ids])).logits[0, -1]
            own.append(float(logits[letters[0]] - logits[letters[1]]))
        z.append((own[0] - own[1]) / 2)
    np.testing.assert_allclose(judge.compare(PROMPTS, A, B), 1 / (1 + np.exp(-np.array(z))), atol=1e-5)


def test_the_order_changes_nothing(judge: VerdictComparer) -> None:
    np.testing.assert_allclose(judge.compare(PROMPTS, A, B), 1 - judge.compare(PROMPTS, B, A), atol=1e-6)


def test_a_question_that_is_too_long_says_so_and_others_go_on(judge: VerdictComparer) -> None:
    found = judge.compare_with_reasons(PROMPTS, A, ["x " * 2000, "Paris."])
    assert np.isnan(found.values).tolist() == [True, False]
    assert "too long" in found.reasons[0]


def test_it_picks_among_candidates(tiny_llama: str) -> None:
    picker = load_picker(f"verdict:{tiny_llama}")
    assert score_texts(picker, ["p"] * 3, ["one", "two", "three"]).values.mean() == pytest.approx(0.5)
