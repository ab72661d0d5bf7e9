"""A scorer may be asked by several threads at once: a server does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.hf import Lora
from guerdon.rewards.blend import Blend
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.embedding import CosineReward, EmbeddingFeatures, TextEncoder
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.likelihood import LikelihoodFeatures, frozen_policy
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.rewards.rules import ChrF, LengthReward, NumericAnswer
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison, Prompt, Scorer

THREADS = 8
Texts = tuple[list[Prompt], list[str]]


def transformer(folder: str, seed: int = 0, lora: Lora | None = None) -> TransformerReward:
    reward = TransformerReward.create(folder, seed=seed, lora=lora)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in reward.net.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    reward.tokens_per_batch = 64  # several batches to a call
    return reward


def adapters(folder: str, place: Path) -> Ensemble:
    """Three LoRA adapters on one backbone."""
    Ensemble([transformer(folder, seed, Lora(4)) for seed in range(3)], k=1.0).save(place)
    loaded = load_scorer(place)
    assert isinstance(loaded, Ensemble)
    assert len({id(member.net.model) for member in loaded.members}) == 1
    return loaded


def bag_of_words() -> LinearReward:
    return fit_tfidf([Comparison(prompt="?", chosen="boiling water", rejected="I do not know")])


def blended(encoder: str, policy: str) -> Blend:
    """A member of each kind on fixed features, whose texts are not kept yet."""
    judged = JudgedResponses.of([Comparison(prompt="?", chosen="boiling water", rejected="I do not know")])
    features = (
        SurfaceFeatures(),
        EmbeddingFeatures(TextEncoder(encoder, "cpu", False)),
        LikelihoodFeatures(frozen_policy(policy, "cpu"), policy),
    )
    members = {one.kind: LinearReward.fit(one, judged, penalty=30.0) for one in features}
    return Blend(members, [1.0, 1.0, 1.0], means=[0.0] * 3, deviations=[1.0] * 3)


MAKERS: dict[str, Callable[[pytest.FixtureRequest, Path], Scorer]] = {
    "encoder": lambda request, _: transformer(request.getfixturevalue("tiny_bert")),
    "decoder": lambda request, _: transformer(request.getfixturevalue("tiny_llama")),
    "adapters": lambda request, place: adapters(request.getfixturevalue("tiny_llama"), place),
    "one adapter": lambda request, place: adapters(request.getfixturevalue("tiny_llama"), place).members[0],
    "tfidf": lambda *_: bag_of_words(),
    "cosine": lambda request, _: CosineReward(TextEncoder(request.getfixturevalue("tiny_bert"), "cpu", False)),
    "likelihood": lambda request, _: load_scorer(f"likelihood:{request.getfixturevalue('tiny_llama')}"),
    "blend": lambda request, _: blended(request.getfixturevalue("tiny_bert"), request.getfixturevalue("tiny_llama")),
    "numeric": lambda *_: NumericAnswer(),
    "composite": lambda *_: WeightedSum({"chrf": ChrF(), "length": LengthReward()}, {"chrf": 1.0, "length": 0.1}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_eight_threads_get_what_one_gets(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, texts: Texts
) -> None:
    scorer = MAKERS[name](request, tmp_path)
    prompts, responses = texts
    shares = [[(place + step) % len(prompts) for step in range(5)] for place in range(THREADS)]

    def ask(share: list[int]) -> np.ndarray:
        references = [f"{place}: boiling water" for place in share]
        return scorer.score([prompts[i] for i in share], [responses[i] for i in share], references=references)

    alone = [ask(share) for share in shares]
    start = threading.Barrier(THREADS)

    def several(share: list[int]) -> list[np.ndarray]:
        start.wait()
        return [ask(share) for _ in range(4)]

    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(several, shares))
    for expected, found in zip(alone, together, strict=True):
        for values in found:
            np.testing.assert_array_equal(values, expected)


def test_the_other_member_does_not_answer_for_this_one(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    """One adapter is in force at a time: threads that ask different members of one backbone wait for each other."""
    ensemble = adapters(tiny_llama, tmp_path)
    alone = [member.score(*texts) for member in ensemble.members]
    assert not np.allclose(alone[0], alone[1])
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: (i % 3, ensemble.members[i % 3].score(*texts)), range(24)))
    for member, values in found:
        np.testing.assert_array_equal(values, alone[member])
