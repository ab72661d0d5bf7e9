"""What Transformers and PEFT do behind our back is checked and said in our words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from guerdon import hf
from guerdon.errors import ContractError, ModelError
from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward


def test_a_backbone_gets_a_head_of_the_named_attributes(tiny_llama: str) -> None:
    model = hf.load_classifier(tiny_llama, ("helpful", "有用"), False, new_head=True)
    assert model.config.id2label == {0: "helpful", 1: "有用"}
    assert model.score.out_features == 2


def test_a_backbone_that_lacks_weights_is_refused(tiny_llama: str, tmp_path: Path) -> None:
    AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weight.*model\.layers\.1\.mlp\.up_proj\.weight"):
        hf.load_classifier(str(tmp_path), ("score",), False, new_head=True)


def test_loading_is_silent(tiny_llama: str, capfd: pytest.CaptureFixture[str]) -> None:
    TransformerReward.create(tiny_llama, lora=Lora(4))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_a_slow_tokenizer_is_refused(monkeypatch: pytest.MonkeyPatch, tiny_bert: str) -> None:
    slow = AutoTokenizer.from_pretrained(tiny_bert)
    monkeypatch.setattr(type(slow), "is_fast", property(lambda _: False))
    with pytest.raises(ModelError, match="no offsets"):
        hf.load_tokenizer(tiny_bert, False)


@pytest.mark.parametrize("name", ["no/such-model", "tiny_missing"])
def test_a_model_that_cannot_be_had_is_a_model_error(name: str) -> None:
    with pytest.raises(ModelError, match=f"cannot load '{name}'"):
        hf.load_classifier(name, None, False, new_head=False)
    with pytest.raises(ModelError, match="tokenizer of"):
        hf.load_tokenizer(name, False)


def test_a_broken_adapter_file_is_a_contract_error(tiny_bert: str, tmp_path: Path) -> None:
    TransformerReward.create(tiny_bert, lora=Lora(4)).save(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"{")
    with pytest.raises(ContractError, match="adapter_model.safetensors cannot be read"):
        TransformerReward.load(tmp_path)


@pytest.mark.parametrize("rank", [0, 2])
def test_trained_weights_are_those_of_the_merged_model(rank: int, tiny_llama: str) -> None:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(tiny_llama)
    if rank:
        model = hf.add_lora(model, Lora(rank), "CAUSAL_LM")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * parameter.requires_grad)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    found = dict(hf.trained_weights(model))
    assert all(map(torch.equal, before, model.parameters())), "the model stays as it is"
    whole = dict(hf.merged(model).named_parameters())
    assert found.keys() == ({name for name in whole if "_proj" in name} if rank else whole.keys())
    for name, value in found.items():
        torch.testing.assert_close(value, whole[name].detach())
