"""A GPU gives the scores that a CPU gives: in float32 nearly to the digit, in bfloat16 within a bound of its own."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.policy.model import Policy
from guerdon.rewards.decoder import DecoderFeatures
from guerdon.rewards.embedding import TextEncoder
from guerdon.rewards.likelihood import LikelihoodFeatures
from guerdon.rewards.transformer import ProcessReward, TransformerReward
from guerdon.rewards.verdict_judge import VerdictComparer, VerdictJudge
from guerdon.types import Prompt, Scorer

pytestmark = pytest.mark.gpu

EVERY = ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"]

Texts = tuple[list[Prompt], list[str]]


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to the order of float32's sums."""
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to bfloat16's eight bits, which a CPU that computes in it keeps to with a third of this."""
    assert np.abs(found - expected).max() < 0.3 * expected.std()
    assert np.corrcoef(found, expected)[0, 1] > 0.99


@pytest.fixture(params=EVERY)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    TransformerReward.create(request.getfixturevalue(request.param)).save(tmp_path)
    return tmp_path


def test_scores_are_those_of_a_cpu(saved: Path, texts: Texts) -> None:
    expected = TransformerReward.load(saved, device="cpu").score(*texts)
    close(TransformerReward.load(saved, device="cuda", dtype="float32").score(*texts), expected)
    alike(TransformerReward.load(saved, device="cuda", dtype="bfloat16").score(*texts), expected)


def test_batch_and_order_do_not_matter(saved: Path, texts: Texts) -> None:
    prompts, responses = texts
    reward = TransformerReward.load(saved, device="cuda", dtype="float32")
    alone = np.concatenate([reward.score([p], [r]) for p, r in zip(prompts, responses, strict=True)])
    for budget in (1, 100, 64 * 128):
        reward.tokens_per_batch = budget
        close(reward.score(prompts, responses), alone)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    close(reward.score([prompts[i] for i in order], [responses[i] for i in order]), alone[order])


def test_rows_that_share_a_prompt_score_as_rows_of_their_own(tiny_llama: str, texts: Texts) -> None:
    reward = TransformerReward.create(tiny_llama)
    reward.to("cuda", "float32")
    assert reward.shares
    together = reward.score(*texts)
    reward.shares = False
    close(together, reward.score(*texts))


def test_the_gpu_is_taken_unasked_in_bfloat16_with_its_head_in_float32(tiny_llama: str, tmp_path: Path) -> None:
    made = TransformerReward.create(tiny_llama)
    made.save(tmp_path)
    reward = TransformerReward.load(tmp_path)
    assert reward.device.type == made.device.type == "cuda"
    assert reward.tokens_per_batch == made.tokens_per_batch > 10_000, "a batch that fills a GPU"
    dtypes = {name: parameter.dtype for name, parameter in reward.net.classifier.named_parameters()}
    assert {name for name, dtype in dtypes.items() if dtype == torch.float32} == {"score.weight"}
    assert set(dtypes.values()) == {torch.float32, torch.bfloat16}


def test_what_a_gpu_saves_a_cpu_reads(tiny_bert: str, texts: Texts, tmp_path: Path) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.to("cuda", "float32")
    reward.save(tmp_path)
    close(TransformerReward.load(tmp_path, device="cpu").score(*texts), reward.score(*texts))


def test_many_texts_are_scored_as_few(tiny_bert: str, texts: Texts) -> None:
    """More batches than one, whose results come back in the order of the texts."""
    reward = TransformerReward.create(tiny_bert)
    prompts, responses = texts[0] * 50, [f"{text} {n}" for n in range(50) for text in texts[1]]
    reward.to("cpu")
    expected = reward.score(prompts, responses)
    reward.to("cuda", "float32")
    reward.tokens_per_batch = 1000
    close(reward.score(prompts, responses), expected)


def test_steps_of_solutions(tiny_llama: str) -> None:
    reward = TransformerReward.create(tiny_llama, pooling="steps", step_unit="line", aggregation="min")
    assert isinstance(reward, ProcessReward)
    prompts, responses = ["add two numbers"] * 3, ["two\nnumbers\nadded", "one", "boil\nan egg"]
    reward.to("cpu")
    expected, own = reward.score(prompts, responses), reward.step_scores(prompts, responses)
    reward.to("cuda", "float32")
    close(reward.score(prompts, responses), expected)
    close(reward.step_scores(prompts, responses), own)


def test_features_of_frozen_models(tiny_bert: str, tiny_llama: str, texts: Texts) -> None:
    prompts, responses = texts
    close(*[TextEncoder(tiny_bert, device, False).embed(responses) for device in ("cuda", "cpu")])
    for kind in (LikelihoodFeatures, DecoderFeatures):
        values = [
            kind(Policy.load(tiny_llama, device=device, dtype="float32"), tiny_llama).computed(prompts, responses)[0]
            for device in ("cuda", "cpu")
        ]
        close(*values)


def test_verdicts_of_a_judge(tiny_llama: str) -> None:
    prompts, a, b = ["boil an egg", "add numbers"], ["eight minutes", "a + b"], ["I do not know", "no"]
    found = [
        VerdictComparer(VerdictJudge(Policy.load(tiny_llama, device=device, dtype="float32"), tiny_llama)).compare(
            prompts, a, b
        )
        for device in ("cuda", "cpu")
    ]
    close(*found)


def test_a_reward_is_a_scorer_wherever_it_is(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.to("cuda")
    assert isinstance(reward, Scorer)
    scores = reward.score(["egg"], ["good"])
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
