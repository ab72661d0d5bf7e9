"""Adapters of other trainers as backbone or policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from guerdon.errors import ModelError
from guerdon.hf import Lora, quiet
from guerdon.merged import whole_model
from guerdon.policy.model import Policy
from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from hub_cache import in_hub_cache


@pytest.fixture
def adapter(tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, Any]]:
    """Makes a folder as PEFT saves it, beside its base, and the adapted model itself."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_llama, tmp_path / "base")

    def make(config: Any = None) -> tuple[Path, Any]:
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        with quiet():
            return save(base, config)

    def save(base: Any, config: Any) -> tuple[Path, Any]:
        lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear")
        model = get_peft_model(base, config or lora)
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(0, 0.5)
        model.save_pretrained(str(tmp_path / "sft"))
        return tmp_path / "sft", model.eval()

    return make


def test_a_policy_is_the_base_with_its_adapter(
    adapter: Callable[..., tuple[Path, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, adapted = adapter()
    policy = Policy.load(str(folder))
    assert f"{folder} is an adapter on {tmp_path / 'base'}: they are read as one model, merged in" in caplog.text
    ids = torch.tensor([policy.encode_prompts(["How do I boil an egg?"], max_new_tokens=4)[0]])
    with torch.inference_mode():
        expected, plain = adapted(ids).logits, Policy.load(str(tmp_path / "base")).model(ids).logits
        torch.testing.assert_close(policy.model(ids).logits, expected, atol=1e-5, rtol=1e-4)
    assert (expected - plain).abs().max() > 0.01
    kept = whole_model(str(folder))
    assert Path(kept).is_relative_to(tmp_path / "cache")
    assert whole_model(kept) == kept
    assert whole_model(str(tmp_path / "base")) == str(tmp_path / "base")
    moved = tmp_path / "elsewhere"
    (moved / "deep").mkdir(parents=True)
    shutil.move(folder, moved / "deep" / "sft")
    shutil.move(tmp_path / "base", moved / "deep" / "base")  # the base is looked for beside the adapter
    assert whole_model(str(moved / "deep" / "sft")) == kept


@pytest.mark.parametrize("lora", [False, True])
def test_a_backbone_is_the_base_with_its_adapter(
    adapter: Callable[..., tuple[Path, Any]], lora: bool, tmp_path: Path
) -> None:
    folder, adapted = adapter()
    reward = TransformerReward.create(str(folder), lora=Lora(2, 4) if lora else None)
    weight = "model.layers.0.self_attn.q_proj.weight"
    with quiet():
        expected = adapted.merge_and_unload().state_dict()[weight]
    found = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): value
        for name, value in reward.net.model.state_dict().items()
    }
    torch.testing.assert_close(found[weight], expected)
    assert any(parameter.requires_grad for parameter in reward.net.model.parameters())
    scores = reward.score(["p"], ["a"])
    reward.save(tmp_path / "saved")
    assert TransformerReward.load(tmp_path / "saved").score(["p"], ["a"]) == pytest.approx(scores, abs=1e-5)


def test_an_adapter_on_the_hub_is_merged_too(
    adapter: Callable[..., tuple[Path, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    folder, adapted = adapter()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "owner/base"}))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    in_hub_cache(str(folder), "owner/sft", tmp_path / "hub")
    shutil.move(tmp_path / "base", tmp_path / "hub" / "base")  # beside the adapter it would be taken from there
    in_hub_cache(str(tmp_path / "hub" / "base"), "owner/base", tmp_path / "hub")
    assert whole_model("owner/base") == "owner/base"
    policy = Policy.load("owner/sft")
    assert "owner/sft is an adapter on owner/base: they are read as one model" in caplog.text
    ids = torch.tensor([policy.encode_prompts(["How do I boil an egg?"], max_new_tokens=4)[0]])
    with torch.inference_mode():
        torch.testing.assert_close(policy.model(ids).logits, adapted(ids).logits, atol=1e-5, rtol=1e-4)
    reward = TransformerReward.create("owner/sft")
    with quiet():
        expected = adapted.merge_and_unload().state_dict()["model.layers.1.mlp.up_proj.weight"]
    torch.testing.assert_close(reward.net.model.state_dict()["model.layers.1.mlp.up_proj.weight"], expected)


def test_a_run_that_has_not_finished_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ModelError, match="holds a run that has not finished. Fix: give the command that began it"):
        load_scorer(str(tmp_path))
    with pytest.raises(ModelError, match="holds a run that has not finished"):
        Policy.load(str(tmp_path))


def test_what_cannot_be_merged_is_told(adapter: Callable[..., tuple[Path, Any]], tmp_path: Path) -> None:
    from peft import PromptTuningConfig

    folder, _ = adapter(PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ModelError, match="is an adapter on .* cannot be merged: an adapter of this kind"):
        whole_model(str(folder))
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(ModelError, match="is an adapter on the model .*which was not found"):
        whole_model(str(folder))
