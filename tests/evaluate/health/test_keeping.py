"""What is missing in a folder, or belongs to another model, is found; the rest is in `test_doctor.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward

Foreign = Callable[..., Path]


def test_a_head_of_zeros_or_of_no_numbers_is_found(tiny_llama: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_llama)
    assert look("head", reward).verdict == "pass"
    for number, said in ((0.0, "all 0"), (float("nan"), "not all finite")):
        torch.nn.init.constant_(reward.net.classifier.score.weight, number)  # type: ignore[attr-defined]
        found = look("head", reward)
        assert found.verdict == "fail"
        assert said in found.message


def test_a_head_is_known_by_its_digest(tiny_bert: str, tmp_path: Path, foreign: Foreign, look: Any) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.save(tmp_path / "ours")
    assert "(SHA-256)" in look("head", tmp_path / "ours").message
    loaded = TransformerReward.load(tmp_path / "ours")
    loaded.contract = replace(loaded.contract, head_sha256="")
    assert look("head", loaded).verdict == "warning"
    assert "classifier.weight of model.safetensors" in look("head", foreign(tiny_bert)).message


def test_outputs_are_named(tiny_llama: str, look: Any) -> None:
    assert look("several outputs", TransformerReward.create(tiny_llama)).verdict == "not applicable"
    reward = TransformerReward.create(tiny_llama, attributes=("helpful", "brief", "polite"))
    reward.contract = replace(reward.contract, weights=(1.0, 0.0, -0.5))
    found = look("several outputs", reward)
    assert found.message == ("Of the outputs 0: helpful, 1: brief, 2: polite, the reward is 1 helpful + -0.5 polite.")


def test_a_base_is_known_by_its_digest(tiny_llama: str, tmp_path: Path, look: Any) -> None:
    assert look("LoRA base", TransformerReward.create(tiny_llama)).verdict == "not applicable"
    TransformerReward.create(tiny_llama, lora=Lora(2)).save(tmp_path / "ours")
    found = look("LoRA base", tmp_path / "ours")
    assert found.verdict == "pass"
    assert "whose digest is the recorded one" in found.message
    assert look("LoRA base", tmp_path / "ours", decided=False).verdict == "warning"
