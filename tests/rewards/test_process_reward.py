"""Process rewards: every step scored in one pass, the same however the texts are batched, cut off, saved or asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guerdon import StepScorer
from guerdon.errors import ConfigError, ContractError
from guerdon.rewards.load import load_scorer
from guerdon.rewards.process import AGGREGATIONS, aggregate
from guerdon.rewards.transformer import ProcessReward, TransformerReward

PROMPTS = ["How do I boil an egg?", "How do I boil an egg?", "Which is the largest planet?", "How do I boil an egg?"]
RESPONSES = [
    "Put it into water.\n\nThen cool it.\n\nDone.",
    "Put it into water.\n\nThen do not know.",
    "Jupiter is the largest planet.",
    "",
]
MODELS = ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen"]


def made(backbone: str, **options: Any) -> Any:
    reward = TransformerReward.create(backbone, pooling="steps", step_unit="line", **({"aggregation": "min"} | options))
    with torch.no_grad():  # a new head gives close to nothing
        for name in ("score", "classifier"):
            for weight in getattr(getattr(reward.net.classifier, name, None), "parameters", list)():
                weight.normal_()
    reward.to("cpu")
    return reward


@pytest.mark.parametrize("name", MODELS)
def test_scores_of_steps_do_not_depend_on_the_batch(name: str, request: Any) -> None:
    reward = made(request.getfixturevalue(name))
    assert isinstance(reward, StepScorer)
    together = reward.step_scores(PROMPTS, RESPONSES)
    assert together.shape == (4, 3)
    assert (~np.isnan(together)).sum(axis=1).tolist() == [3, 2, 1, 1]
    for i, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        (alone,) = reward.step_scores([prompt], [response])
        assert together[i, : len(alone)] == pytest.approx(alone, abs=1e-5)
    reward.shares = False
    assert reward.step_scores(PROMPTS, RESPONSES) == pytest.approx(together, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_a_decoder_scores_a_step_as_if_nothing_followed_it(name: str, request: Any) -> None:
    reward = made(request.getfixturevalue(name))
    whole = reward.step_scores(PROMPTS[:1], RESPONSES[:1])[0]
    last = made(request.getfixturevalue(name), aggregation="last")
    last.net.load_state_dict(reward.net.state_dict())
    prefixes = ["Put it into water.", "Put it into water.\n\nThen cool it.", RESPONSES[0]]
    assert last.score(PROMPTS[:1] * 3, prefixes) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_the_score_is_the_aggregation_that_is_asked_for(how: str, tiny_bert: str, tmp_path: Path) -> None:
    reward = made(tiny_bert)
    reward.save(tmp_path)
    steps = reward.step_scores(PROMPTS, RESPONSES)
    for loaded in (load_scorer(tmp_path, output=how), made(tiny_bert, aggregation=how)):
        loaded.net.load_state_dict(reward.net.state_dict())  # type: ignore[attr-defined]
        expected = [
            aggregate(
                torch.tensor(own[~np.isnan(own)])[:, None], torch.zeros(int((~np.isnan(own)).sum()), dtype=int), how
            )
            for own in steps
        ]
        assert loaded.score(PROMPTS, RESPONSES) == pytest.approx(torch.cat(expected)[:, 0].numpy(), abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_scores_alike_and_plain_transformers_refuses(name: str, request: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    reward = made(request.getfixturevalue(name))
    reward.save(tmp_path)
    loaded: Any = load_scorer(tmp_path)
    assert type(loaded) is ProcessReward
    assert loaded.contract.aggregation == "min"
    assert np.array_equal(
        loaded.step_scores(PROMPTS, RESPONSES), reward.step_scores(PROMPTS, RESPONSES), equal_nan=True
    )
    assert np.array_equal(loaded.score(PROMPTS, RESPONSES), reward.score(PROMPTS, RESPONSES))
    with pytest.raises(ConfigError, match="is none of the model's outputs"):
        load_scorer(tmp_path, output="median")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path, trust_remote_code=True)
    with pytest.raises(NotImplementedError, match="load_scorer"):
        plain(torch.tensor([[1, 2]]))


@pytest.mark.parametrize("name", MODELS)
def test_a_token_is_of_the_characters_that_it_stands_for(name: str, request: Any) -> None:
    reward = made(request.getfixturevalue(name))
    (located,) = reward.encoder.locate(PROMPTS[:1], RESPONSES[:1])
    (encoded,) = reward.encode(PROMPTS[:1], RESPONSES[:1]).tokens
    assert located.tokens == encoded
    spans = [located.spans[end] for end in encoded.ends]
    assert [span.part for span in spans] == ["response"] * 3
    assert all(span.stop <= span.start for span in spans)  # a mark stands for no character
    words = "".join(RESPONSES[0][span.start : span.stop] for span in located.spans if span.part == "response")
    assert "".join(words.split()) == "".join(RESPONSES[0].split())


def test_a_mark_in_prompt_or_response_is_none(tiny_bert: str, tiny_llama: str) -> None:
    for backbone, mark in ((tiny_bert, "[MASK]"), (tiny_llama, "<|im_end|>")):
        reward = made(backbone)
        scores = reward.step_scores([f"egg {mark} water"], [f"polite {mark} answer\n\ngood"])
        assert scores.shape == (1, 2)


def test_steps_that_are_cut_have_no_score(tiny_bert: str) -> None:
    reward = made(tiny_bert, overlong="cut", max_length=16)
    scores = reward.step_scores(["egg", "egg"], ["good answer\n\nwater water", "good " * 6 + "\n\n" + "water " * 20])
    assert np.isnan(scores).tolist() == [[False, False], [False, True]]
    assert np.isfinite(reward.score(["egg"], ["good " * 40])).all()


def test_a_contract_says_all_of_steps_or_nothing(tiny_bert: str) -> None:
    contract = made(tiny_bert).contract
    with pytest.raises(ContractError, match="go with pooling steps"):
        dataclasses.replace(contract, step_mark="")
    with pytest.raises(ContractError, match="aggregation must be one of"):
        dataclasses.replace(contract, aggregation="median")
