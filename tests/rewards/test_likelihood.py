"""Log-probabilities are those of plain Transformers; what is too long has none, and says why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.errors import ConfigError, ContractError
from guerdon.policy.model import Policy
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.likelihood import (
    NAMES,
    ImplicitReward,
    LikelihoodFeatures,
    LikelihoodReward,
    frozen_policy,
    response_logps,
)
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.types import Comparison, Prompt

PROMPTS = ["How do I boil an egg?", "How do I boil an egg?", "最大的行星是哪一颗？"]
RESPONSES = ["Put it into boiling water for eight minutes.", "I do not know.", "木星是太阳系中最大的行星。"]


def plain_logps(folder: str, prompt: Prompt, response: str) -> np.ndarray:
    """log pi of each token of the response and its end of turn, one text alone, by Transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    start = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    asked = tokenizer(start, add_special_tokens=False)["input_ids"]
    said = tokenizer(response + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([asked + said])).logits[0].log_softmax(dim=-1)
    places = torch.arange(len(asked) - 1, len(asked) + len(said) - 1)
    return logits[places, torch.tensor(said)].double().numpy()


@pytest.fixture
def policy(tiny_llama: str) -> Policy:
    return frozen_policy(tiny_llama, "cpu")


def test_log_probabilities_are_those_of_transformers(policy: Policy, tiny_llama: str) -> None:
    found = response_logps(policy, PROMPTS, RESPONSES)
    means = LikelihoodReward(policy, tiny_llama).score(PROMPTS, RESPONSES)
    for logps, mean, prompt, response in zip(found, means, PROMPTS, RESPONSES, strict=True):
        expected = plain_logps(tiny_llama, prompt, response)
        np.testing.assert_allclose(logps.given_prompt, expected, rtol=0, atol=1e-4)
        assert mean == pytest.approx(expected.mean(), abs=1e-4)


def test_features_are_means_sums_and_gains(policy: Policy, tiny_llama: str) -> None:
    found = LikelihoodFeatures(policy, tiny_llama).compute(PROMPTS[:1], RESPONSES[:1])
    given = plain_logps(tiny_llama, PROMPTS[0], RESPONSES[0])
    alone = plain_logps(tiny_llama, "", RESPONSES[0])
    expected = [
        given.mean(), alone.mean(), given.mean() - alone.mean(), given.sum(), alone.sum(), given.sum() - alone.sum(),
        given.min(), alone.min(), np.log(len(given)),
    ]  # fmt: skip
    assert found.values.shape == (1, len(NAMES))
    np.testing.assert_allclose(found.values[0], expected, rtol=0, atol=1e-3)


def test_the_implicit_reward_is_beta_times_the_difference_of_the_sums(
    policy: Policy, tiny_llama: str, tiny_qwen: str
) -> None:
    reward = ImplicitReward(policy, frozen_policy(tiny_qwen, "cpu"), beta=0.3)
    for value, prompt, response in zip(reward.score(PROMPTS, RESPONSES), PROMPTS, RESPONSES, strict=True):
        trained, initial = (plain_logps(folder, prompt, response).sum() for folder in (tiny_llama, tiny_qwen))
        assert value == pytest.approx(0.3 * (trained - initial), abs=1e-3)
    named = load_scorer(f"implicit:{tiny_llama}@{tiny_qwen}", device="cpu")
    np.testing.assert_allclose(named.score(PROMPTS, RESPONSES) * 3, reward.score(PROMPTS, RESPONSES), rtol=1e-5)
    assert getattr(named, "name", "") == f"implicit:{tiny_llama}@{tiny_qwen}"
    with pytest.raises(ConfigError, match="beta must be above 0"):
        ImplicitReward(policy, policy, beta=0)


def test_what_is_too_long_says_so_and_does_not_fail_others(policy: Policy, tiny_llama: str) -> None:
    long = "boiling water " * 600
    prompts, responses = ["p", "p", long], ["I do not know.", long, "I do not know."]
    rewards = [
        LikelihoodReward(policy, tiny_llama),
        ImplicitReward(policy, policy),
        LinearReward.fit(
            LikelihoodFeatures(policy, tiny_llama),
            JudgedResponses.of([Comparison(prompt="p", chosen=RESPONSES[0], rejected=RESPONSES[1])]),
            penalty=1.0,
        ),
    ]
    for reward in rewards:
        found = reward.score_with_reasons(prompts, responses)
        assert np.isnan(found.values).tolist() == [False, True, True]
        assert found.reasons[0] == ""
        assert all("too long" in reason for reason in found.reasons[1:])


def test_what_is_saved_comes_back_and_only_with_its_language_model(
    policy: Policy, tiny_llama: str, tmp_path: Path
) -> None:
    judged = JudgedResponses.of([Comparison(prompt="p", chosen=RESPONSES[0], rejected=RESPONSES[1])])
    reward = LinearReward.fit(LikelihoodFeatures(policy, tiny_llama), judged, penalty=1.0)
    reward.save(tmp_path)
    loaded = load_scorer(tmp_path, device="cpu")
    np.testing.assert_array_equal(loaded.score(PROMPTS, RESPONSES), reward.score(PROMPTS, RESPONSES))
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    card["features"]["sha256"] = "0" * 64
    (tmp_path / "guerdon.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError, match="has other weights than when it was fitted"):
        load_scorer(tmp_path)
