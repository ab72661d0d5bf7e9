"""What goes wrong between tokens and a score is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from guerdon.rewards.transformer import TransformerReward

Foreign = Callable[..., Path]
ENDED = "{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"


# --- padding


def test_padding_that_is_read_is_found(tiny_llama: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_llama)
    assert look("padding side", reward).verdict == "pass"
    backbone = reward.net.classifier.model  # type: ignore[attr-defined]
    forward = backbone.forward
    backbone.forward = lambda attention_mask=None, **inputs: forward(**inputs)
    found = look("padding side", reward)
    assert found.verdict == "fail"
    assert found.difference > 1e-3
    assert look("padding side", TransformerReward.create(tiny_llama, pooling="last")).verdict == "pass"


def test_an_encoder_is_padded_in_one_way(tiny_bert: str, look: Any) -> None:
    assert look("padding side", TransformerReward.create(tiny_bert)).verdict == "not applicable"
    assert look("padding side", TransformerReward.create(tiny_bert, pooling="mean")).verdict == "pass"


# --- the pooled position


def test_a_padding_token_that_ends_texts_is_found(tiny_llama: str, foreign: Foreign, look: Any) -> None:
    """The model of another trainer: every text ends with EOS, which is the padding token as well."""
    folder = foreign(tiny_llama, chat_template=ENDED)
    found = look("pooled position", folder)
    assert found.verdict == "fail"
    assert "12 of 12 texts end with the padding token '<|im_end|>'" in found.message
    found = look("plain Transformers", folder)
    assert found.verdict == "fail"
    assert found.difference > 1e-3
    mended = foreign(tiny_llama, chat_template=ENDED, pad_token="<|endoftext|>")
    assert look("pooled position", mended).verdict == "pass"
    assert look("plain Transformers", mended).verdict == "pass"


def test_a_position_that_tells_nothing_is_found(tiny_qwen: str, look: Any) -> None:
    """A model that reads the first token, whatever the contract says."""
    reward = TransformerReward.create(tiny_qwen)
    assert look("pooled position", reward).verdict == "pass"
    backbone = reward.net.classifier.model  # type: ignore[attr-defined]

    def first(module: Any, given: Any, made: Any) -> Any:
        made.last_hidden_state = made.last_hidden_state[:, :1].expand_as(made.last_hidden_state)
        return made

    backbone.register_forward_hook(first)
    found = look("pooled position", reward)
    assert found.verdict == "fail"
    assert "do not change with the token that they are read from" in found.message


def test_an_encoder_without_its_token_is_found(tiny_bert: str, look: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    reward = TransformerReward.create(tiny_bert)
    assert look("pooled position", reward).verdict == "pass"
    bare = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    reward.tokenizer.backend_tokenizer.post_processor = bare  # type: ignore[attr-defined]
    assert look("pooled position", reward).verdict == "fail"
    assert look("pooled position", TransformerReward.create(tiny_bert, pooling="mean")).verdict == "not applicable"


# --- precision


def test_a_model_that_bfloat16_confuses_is_found(tiny_llama: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_llama)
    assert look("dtype", reward).verdict == "pass"
    with torch.no_grad():
        reward.net.classifier.get_input_embeddings().weight.add_(300.0)  # type: ignore[union-attr, operator]
    found = look("dtype", reward)
    assert found.verdict == "fail"
    assert "of the pairs otherwise than float32" in found.message
    with torch.no_grad():
        reward.net.classifier.get_input_embeddings().weight.mul_(float("nan"))  # type: ignore[union-attr, operator]
    assert "have no finite score" in look("dtype", reward).message


def test_looking_at_bfloat16_leaves_the_model_as_it_is(tiny_llama: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_llama)
    before = reward.score(["egg"], ["good"])
    look("dtype", reward)
    assert reward.score(["egg"], ["good"]) == before


# --- the scale


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama"])
def test_a_sigmoid_behind_the_head_is_found(name: str, request: pytest.FixtureRequest, look: Any) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    assert look("score scale", reward).verdict == "pass"
    if name == "tiny_llama":  # Guerdon applies the head by itself
        return

    def squash(module: Any, given: Any, made: Any) -> Any:
        made.logits = made.logits.sigmoid()
        return made

    reward.net.classifier.register_forward_hook(squash)
    found = look("score scale", reward)
    assert found.verdict == "fail"
    assert "the sigmoid of what the head gives" in found.message


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama"])
def test_states_that_are_normalised_are_found(name: str, request: pytest.FixtureRequest, look: Any) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    head: Any = getattr(reward.net.classifier, "score", None) or reward.net.classifier.classifier
    head.register_forward_pre_hook(lambda layer, given: (torch.nn.functional.normalize(given[0].float(), dim=-1),))
    found = look("score scale", reward)
    assert found.verdict == "fail"
    assert "L2-normalised pooling" in found.message


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "Sigmoid"),
        ("config.json", {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, "Sigmoid"),
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, ""),
        ("modules.json", [{"type": "sentence_transformers.models.Normalize"}], "Normalize"),
    ],
)
def test_what_the_folder_says_of_its_scores_is_found(
    file: str, content: Any, said: str, tiny_bert: str, foreign: Foreign, look: Any
) -> None:
    folder = foreign(tiny_bert)
    own = json.loads((folder / file).read_text()) | content if isinstance(content, dict) else content
    (folder / file).write_text(json.dumps(own))
    found = look("score scale", folder)
    assert found.verdict == ("fail" if said else "pass")
    assert said in found.message


# --- plain Transformers


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_a_model_of_ours_is_the_same_in_plain_transformers(
    pooling: Any, tiny_bert: str, tmp_path: Path, look: Any
) -> None:
    reward = TransformerReward.create(tiny_bert, pooling=pooling)
    reward.contract = replace(reward.contract, shift=(3.0,), scale=(2.5,))
    reward.save(tmp_path / "ours")
    found = look("plain Transformers", tmp_path / "ours")
    assert found.verdict == "pass", found


def test_what_plain_transformers_lacks_is_found(tiny_llama: str, tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    folder = foreign(tiny_qwen)
    assert look("plain Transformers", folder).verdict == "pass"
    config = json.loads((folder / "config.json").read_text())
    for broken, said in (
        ({"pad_token_id": None}, "Transformers alone cannot score with it: ValueError"),
        (
            {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}},
            "config.json says that the head has 2 outputs",
        ),
    ):
        (folder / "config.json").write_text(json.dumps(config | broken))
        found = look("plain Transformers", folder)
        assert found.verdict == "fail"
        assert said in found.message


def test_a_bias_that_plain_transformers_leaves_out_is_found(tiny_qwen: str, foreign: Foreign, look: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder = foreign(tiny_qwen)
    file = folder / "model.safetensors"
    save_file(load_file(file) | {"score.bias": torch.tensor([0.5])}, file, {"format": "pt"})
    found = look("plain Transformers", folder)
    assert found.verdict == "fail"
    assert found.difference == pytest.approx(0.5, abs=1e-4)
