"""Adapters on a base in fewer bits score as in training when they are loaded, merged, or read by plain Transformers."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, GPT2Config

pytest.importorskip("bitsandbytes", reason="the extra `nf4` is not installed")

from guerdon import modeling_guerdon, nf4
from guerdon.errors import ConfigError, ContractError, MissingExtraError
from guerdon.hf import Lora, add_lora, load_classifier, quiet
from guerdon.merged import whole_model
from guerdon.modeling_guerdon import backbone_linears
from guerdon.nf4 import dequantize, quantize
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_and_save
from guerdon.types import Prompt
from loras import trained_lora

Texts = tuple[list[Prompt], list[str]]

LEVELS = torch.tensor(
    [
        -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
        0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
    ]
)  # fmt: skip
"""Of NF4, appendix E of arXiv:2305.14314."""


def trained(folder: str, **options: Any) -> TransformerReward:
    return trained_lora(folder, lora=Lora(4, **options))


def test_weights_become_the_nearest_of_sixteen_levels() -> None:
    torch.manual_seed(0)
    model = nn.Module()
    model.base_model_prefix, model.model = "model", nn.Sequential(nn.Linear(128, 8), nn.ReLU())
    exact = model.model[0].weight.detach().clone().view(-1, 64)
    quantize(model, torch.float32)
    state = model.model[0].weight.quant_state
    assert (state.quant_type, state.blocksize, state.nested, state.dtype) == ("nf4", 64, True, torch.float32)
    assert model.model[0].weight.dtype == torch.uint8
    assert model.model[0].weight.numel() == exact.numel() // 2
    dequantize(model)
    scale = exact.abs().amax(dim=1, keepdim=True)
    nearest = LEVELS[(exact[..., None] / scale[..., None] - LEVELS).abs().argmin(dim=2)] * scale
    found = model.model[0].weight.view(-1, 64)
    torch.testing.assert_close(found, nearest, rtol=0.02, atol=0.002)  # the scales themselves are kept in 8 bits
    assert (found - exact).abs().mean() < 0.1 * exact.abs().mean()


@pytest.mark.parametrize("dtype", ["bfloat16", "nf4"])
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen"])
def test_a_base_in_fewer_bits_scores_the_same_wherever_it_is_read(
    name: str, dtype: Any, request: pytest.FixtureRequest, texts: Texts, tmp_path: Path
) -> None:
    """A base in bfloat16 rounds its activations too; what is loaded or merged computes them in float32, both alike."""
    near = {"nf4": 2e-5, "bfloat16": 0.2}[dtype]
    reward = trained(request.getfixturevalue(name), base_dtype=dtype)
    expected = reward.score(*texts)
    reward.save(tmp_path / "adapter")
    again = TransformerReward.load(tmp_path / "adapter")
    found = again.score(*texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=near)
    assert np.abs(found - trained(request.getfixturevalue(name)).score(*texts)).max() > 1e-4, "rounding shows"
    again.save(tmp_path / "again")
    np.testing.assert_allclose(load_scorer(tmp_path / "again").score(*texts), found, rtol=0, atol=1e-5)
    reward.save(tmp_path / "merged", merge=True)
    merged = TransformerReward.load(tmp_path / "merged")
    np.testing.assert_allclose(merged.score(*texts), found, rtol=0, atol=5e-5)
    assert (merged.contract.base, merged.contract.base_dtype) == ("", "float32")
    assert np.array_equal(reward.score(*texts), expected), "merging leaves the model itself alone"


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama"])
def test_what_a_gpu_computes_in_bfloat16_scores_the_same(
    name: str, request: pytest.FixtureRequest, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, what is neither trained nor in 4 bits is in bfloat16, and so are products; scoring has no autocast."""
    folder = request.getfixturevalue(name)
    expected = trained(folder, base_dtype="nf4")
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: True)
        patched.setattr(modeling_guerdon, "rounding_device", lambda: "cpu")
        patched.setattr(nf4, "rounding_device", lambda: "cpu")
        network = add_lora(load_classifier(folder, ("score",), False, new_head=True), Lora(4, base_dtype="nf4"),
                           whole_path=expected.contract.pooling == "native")  # fmt: skip
    assert {str(weight.dtype) for weight in network.parameters() if not weight.requires_grad} == {
        "torch.uint8",
        "torch.bfloat16",
    }
    assert {str(weight.dtype) for weight in network.parameters() if weight.requires_grad} == {"torch.float32"}
    values = {
        key: value for key, value in expected.net.model.state_dict().items() if "lora_" in key or "default" in key
    }
    network.load_state_dict(values, strict=False)
    reward = TransformerReward(network, expected.tokenizer, expected.contract)
    scores = reward.score(*texts)
    np.testing.assert_allclose(scores, expected.score(*texts), rtol=0, atol=0.1)  # their deviation is 1
    reward.save(tmp_path, merge=True)
    np.testing.assert_allclose(load_scorer(tmp_path).score(*texts), expected.score(*texts), rtol=0, atol=5e-5)


def test_plain_transformers_reads_it_and_training_starts_from_it(tiny_llama: str, texts: Texts, tmp_path: Path) -> None:
    reward = trained(tiny_llama, base_dtype="nf4")
    reward.save(tmp_path)
    with quiet():
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path, trust_remote_code=True)
    encoded = reward.encode(*texts).tokens[1].ids
    with torch.no_grad():
        logit = plain(torch.tensor([encoded])).logits.item()
    assert logit == pytest.approx(float(reward.logits(*texts)[1, 0]), abs=2e-5)
    whole = AutoModelForSequenceClassification.from_pretrained(whole_model(str(tmp_path)))
    dequantize(reward.net)
    layer = reward.net.classifier.model.layers[0].mlp.up_proj
    torch.testing.assert_close(
        whole.model.layers[0].mlp.up_proj.weight, layer.get_base_layer().weight + layer.get_delta_weight("default")
    )


def test_linear_layers_take_an_eighth_of_the_memory(tiny_llama: str) -> None:
    def size(dtype: Any) -> int:
        model = TransformerReward.create(tiny_llama, lora=Lora(4, base_dtype=dtype)).net.classifier
        layers = [getattr(parent, name) for parent, name in backbone_linears(model)]
        return sum(one.weight.untyped_storage().nbytes() for one in layers if not one.weight.requires_grad)

    full = size("float32")
    assert full > 0
    assert size("bfloat16") == full // 2
    assert size("nf4") == full // 8, "without the scales"


def test_members_share_a_base_of_one_precision_alone(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    first, second, third = (trained(tiny_llama, base_dtype=dtype) for dtype in ("nf4", "nf4", "float32"))
    Ensemble([first, second, third]).save(tmp_path)
    loaded = load_scorer(tmp_path)
    assert isinstance(loaded, Ensemble)
    backbones = [id(member.net.classifier.model.embed_tokens.weight) for member in loaded.members]
    assert backbones[0] == backbones[1] != backbones[2]
    for member, made in zip(loaded.members, (first, second, third), strict=True):
        np.testing.assert_allclose(member.score(*texts), made.score(*texts), rtol=0, atol=2e-5)


def test_layers_that_are_no_linear_ones_are_told(tiny_llama: str, caplog: pytest.LogCaptureFixture) -> None:
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 32, "vocab_size": 50, "n_positions": 16, "num_labels": 1}
    with pytest.raises(ConfigError, match="GPT2ForSequenceClassification has none. Fix: --base-dtype bfloat16"):
        quantize(AutoModelForSequenceClassification.from_config(GPT2Config(**shape)), torch.float32)
    model: Any = AutoModelForSequenceClassification.from_pretrained(tiny_llama)
    model.model.experts = nn.Parameter(torch.zeros(4, 400, 32))
    quantize(model, torch.float32)
    assert "of the weights of LlamaForSequenceClassification; the others stay in bfloat16" in caplog.text


def test_what_cannot_be_is_told_with_its_mend(tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("ACCELERATE_USE_FSDP", "true")
        with pytest.raises(ConfigError, match="does not go with FSDP and DeepSpeed"):
            train_and_save([], tmp_path / "run", TrainConfig(lora_r=4, base_dtype="nf4"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="--base-dtype nf4 is of weights that are not trained: set --lora-r"):
        TrainConfig(base_dtype="nf4")
    contract = TransformerReward.create(tiny_llama).contract
    with pytest.raises(ContractError, match="base_dtype must be one of"):
        dataclasses.replace(contract, base_dtype="int8")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r'pip install "guerdon\[nf4\]"'):
        TransformerReward.create(tiny_llama, lora=Lora(base_dtype="nf4"))
