"""P by the logits of a verdict: right by an independent computation, and blind to places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guerdon.policy.model import Policy
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.verdict_judge import VerdictComparer, VerdictJudge, VotedVerdict, ask_by_rubric

PROMPTS = ["How long does an egg take?", "The capital?"]
A, B = ["Eight minutes.", "I do not know that."], ["It depends.", "Paris."]


@pytest.fixture
def judge(tiny_llama: str) -> VerdictComparer:
    found = ScorerConfig(name=f"verdict:{tiny_llama}", device="cpu").load_system()
    assert isinstance(found, VerdictComparer)
    return found


def test_p_is_by_the_next_token_in_both_orders(judge: VerdictComparer) -> None:
    policy, z = judge.one_order.reader.policy, []
    letters = [policy.tokenizer("A")["input_ids"][-1], policy.tokenizer("B")["input_ids"][-1]]
    for prompt, a, b in zip(PROMPTS, A, B, strict=True):
        own = []
        for shown in ((a, b), (b, a)):
            question = ask_by_rubric(prompt, shown, "")
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


def test_an_answer_that_is_no_verdict_is_a_failure_with_its_reason(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama, device="cpu")
    found = VerdictJudge(policy, "judge", least_share=0.999).compare_with_reasons(PROMPTS, A, B)
    assert np.isnan(found.values).all()
    assert "the verdict cannot be read: both together have a probability of" in found.reasons[0]
    voted = ScorerConfig(name=f"verdict:{tiny_llama}@2", device="cpu").load_system()
    rewards = voted.compare_with_reasons(PROMPTS, A, B)
    for value, reason in zip(rewards.values, rewards.reasons, strict=True):
        assert np.isnan(value) == bool(reason)
    assert "none of 2 answers is a verdict" in rewards.reasons[0]


def test_votes_are_the_share_of_what_is_said(tiny_llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    voted = VotedVerdict(VerdictJudge(Policy.load(tiny_llama, device="cpu"), "judge"), 4)
    said = iter([(1, ["B", "I say\nA", "?", "B"]), (0, ["A", "A", "tie", "no"])])
    monkeypatch.setattr(voted.policy, "sample_texts", lambda *args, **options: said)
    np.testing.assert_allclose(voted.compare(PROMPTS, A, B), [2.5 / 3, 1 / 3], atol=1e-6)
