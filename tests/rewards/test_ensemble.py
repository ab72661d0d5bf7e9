"""An ensemble is what numpy says of its members, and LoRA members share one backbone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.errors import ConfigError, ContractError
from guerdon.hf import Lora
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import load_scorer
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparer, Prompt, Scorer

Texts = tuple[list[Prompt], list[str]]


def members(folder: str, count: int = 3, lora: Lora | None = None) -> list[TransformerReward]:
    """Members that differ, each with its own mean, scale and temperature."""
    found = []
    for index in range(count):
        reward = TransformerReward.create(folder, lora=lora, seed=index)
        generator = torch.Generator().manual_seed(index)
        with torch.no_grad():
            for parameter in reward.net.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        reward.contract = dataclasses.replace(
            reward.contract, mean=0.5 * index, std=1.0 + index, temperature=1.0 + 0.5 * index
        )
        found.append(reward)
    return found


def expected_scores(of: list[TransformerReward], texts: Texts) -> np.ndarray:
    """Every member standardised, then on the average mean and scale: (members, n), by hand."""
    rows = [(m.score(*texts).astype(float) - m.contract.mean) / m.contract.std for m in of]
    scale = np.mean([m.contract.std for m in of])
    return np.array(rows) * scale + np.mean([m.contract.mean for m in of])


@pytest.mark.parametrize("lora", [None, Lora(4)])
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama"])
def test_scores_are_those_of_the_members(
    name: str, lora: Lora | None, request: pytest.FixtureRequest, texts: Texts, tmp_path: Path
) -> None:
    parts = members(request.getfixturevalue(name), lora=lora)
    expected = expected_scores(parts, texts)
    assert expected.std(axis=0).mean() > 0.05
    made = Ensemble(parts, k=1.5)
    made.save(tmp_path)
    loaded = load_scorer(tmp_path)
    assert isinstance(loaded, Ensemble)
    loaded.save(tmp_path / "again")  # members that share a backbone, too, each keep their own weights
    again = load_scorer(tmp_path / "again")
    assert isinstance(again, Ensemble)
    for ensemble in (made, loaded, again):
        mean, std = ensemble.mean_std(*texts)
        np.testing.assert_allclose(mean, expected.mean(axis=0), atol=2e-5)
        np.testing.assert_allclose(std, expected.std(axis=0), atol=2e-5)
        np.testing.assert_allclose(ensemble.score(*texts), (mean - 1.5 * std), atol=1e-6)
        assert ensemble.score(*texts).dtype == np.float32


def test_comparing_averages_what_the_members_say(tiny_bert: str) -> None:
    parts = members(tiny_bert)
    ensemble = Ensemble(parts)
    assert isinstance(ensemble, Scorer)
    assert isinstance(ensemble, Comparer)
    question = (["egg", "planet"], ["good", "Jupiter"], ["bad", "the sun"])
    expected = np.mean([member.compare(*question) for member in parts], axis=0)
    np.testing.assert_allclose(ensemble.compare(*question), expected, atol=1e-6)


def test_lora_members_share_one_backbone(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    Ensemble(members(tiny_llama, lora=Lora(4))).save(tmp_path)
    loaded = load_scorer(tmp_path)
    assert isinstance(loaded, Ensemble)
    weights = [member.net.classifier.model.embed_tokens.weight for member in loaded.members]
    assert len({id(weight) for weight in weights}) == 1
    assert len({member.adapter for member in loaded.members}) == 3
    before = loaded.members[0].score(*texts)
    loaded.members[2].score(*texts)
    assert np.array_equal(loaded.members[0].score(*texts), before), "the last one asked leaves its adapter in force"


def test_a_swapped_head_of_a_member_is_refused(tiny_llama: str, tmp_path: Path) -> None:
    Ensemble(members(tiny_llama, lora=Lora(4))).save(tmp_path)
    weights = "adapter_model.safetensors"
    (tmp_path / "member-1" / weights).write_bytes((tmp_path / "member-2" / weights).read_bytes())
    with pytest.raises(ContractError, match="member-1 does not keep its score contract"):
        load_scorer(tmp_path)


@pytest.mark.parametrize(("count", "k", "message"), [(1, 0.0, "at least 2"), (2, -1.0, "rewards disagreement")])
def test_what_is_no_ensemble_is_refused(tiny_bert: str, count: int, k: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ensemble(members(tiny_bert, count), k=k)


@pytest.mark.parametrize("names", [[], ["member-9"]])
def test_a_member_that_is_not_there_is_a_contract_error(tiny_bert: str, tmp_path: Path, names: list[str]) -> None:
    Ensemble(members(tiny_bert, 2)).save(tmp_path)
    card = json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8")) | {"members": names}
    (tmp_path / FILE_NAME).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError, match="without members|member-9 has no guerdon.json"):
        load_scorer(tmp_path)


def test_an_ensemble_is_not_loaded_as_one_model(tiny_bert: str, tmp_path: Path) -> None:
    Ensemble(members(tiny_bert, 2)).save(tmp_path)
    with pytest.raises(ContractError, match="is of kind .ensemble."):
        TransformerReward.load(tmp_path)


def test_a_response_that_one_member_cannot_score_has_no_reward_and_its_reason(tiny_bert: str) -> None:
    parts = members(tiny_bert, 2)
    parts[1].encoder.overlong = "error"
    parts[1].contract = dataclasses.replace(parts[1].contract, max_length=12)
    parts[1].encoder.contract = parts[1].contract
    found = Ensemble(parts).score_with_reasons(["egg", "egg"], ["good", "good " * 20])
    assert np.isnan(found.values).tolist() == [False, True]
    assert found.reasons[0] == ""
    assert found.reasons[1].startswith("too long")
