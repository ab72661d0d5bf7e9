"""Reward models of other trainers score as plain Transformers does with the same weights, or say what is missing."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from guerdon import hf
from guerdon.errors import ConfigError, ContractError, ModelError
from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Prompt

Texts = tuple[list[Prompt], list[str]]
WEIGHT, BIAS = torch.linspace(-1, 1, 32)[None], torch.tensor([0.75])


def copy_of(folder: str, target: Path, **tensors: torch.Tensor) -> Path:
    """A model's folder with other tensors beside its own, none of them a head of Transformers."""
    shutil.copytree(folder, target)
    file = target / "model.safetensors"
    save_file(load_file(file) | {name.replace("__", "."): one for name, one in tensors.items()}, file, {"format": "pt"})
    return target


def expected(model: torch.nn.Module, folder: str, texts: Texts, weight: torch.Tensor, bias: Any = 0.0) -> np.ndarray:
    """What plain Transformers has at the last token of each text, times the head."""
    tokenizer, found = AutoTokenizer.from_pretrained(folder), []
    for prompt, response in zip(*texts, strict=True):
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [
            {"role": turn.role, "content": turn.content} for turn in prompt
        ]  # fmt: skip
        ids = tokenizer.apply_chat_template(
            [*turns, {"role": "assistant", "content": response}], return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            states = model(**ids).last_hidden_state[0, -1]
        found.append((states @ weight.T + bias).numpy())
    return np.stack(found)


def backbone(folder: str) -> Any:
    with hf.quiet():
        return AutoModelForCausalLM.from_pretrained(folder).model.eval()


def close(scores: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(scores, wanted.reshape(len(scores)), atol=2e-5, rtol=1e-5)


# --- heads


@pytest.mark.parametrize(
    ("tensors", "bias"),
    [
        ({"score__weight": WEIGHT}, 0),
        ({"score__weight": WEIGHT, "score__bias": BIAS}, BIAS),  # a token classifier's
        ({"v_head__summary__weight": WEIGHT, "v_head__summary__bias": BIAS}, BIAS),  # TRL
        ({"value_head__weight": WEIGHT}, 0),  # OpenRLHF
    ],
    ids=["one output, and no num_labels", "a bias", "TRL", "OpenRLHF"],
)
def test_the_head_is_read_from_the_weights(
    tensors: dict[str, torch.Tensor], bias: Any, tiny_llama: str, tmp_path: Path, texts: Texts
) -> None:
    folder = copy_of(tiny_llama, tmp_path / "foreign", **tensors)
    assert "num_labels" not in json.loads((folder / "config.json").read_text())
    reward = load_scorer(folder)
    wanted = expected(backbone(tiny_llama), tiny_llama, texts, WEIGHT, bias)
    close(reward.score(*texts), wanted)
    reward.save(tmp_path / "ours")  # type: ignore[attr-defined]
    close(load_scorer(tmp_path / "ours").score(*texts), wanted)


def test_a_head_in_a_file_of_its_own(
    tiny_qwen: str, tmp_path: Path, texts: Texts, caplog: pytest.LogCaptureFixture
) -> None:
    """As LLaMA-Factory and ms-swift write it."""
    folder = copy_of(tiny_qwen, tmp_path / "foreign")
    save_file({"v_head.summary.weight": WEIGHT, "v_head.summary.bias": BIAS}, folder / "value_head.safetensors")
    with caplog.at_level(logging.WARNING):
        reward = load_scorer(folder)
    close(reward.score(*texts), expected(backbone(tiny_qwen), tiny_qwen, texts, WEIGHT, BIAS))
    assert "its head is called v_head.summary" in caplog.text


def test_a_wrapper_that_was_saved_whole(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    folder = copy_of(tiny_llama, tmp_path / "foreign")
    file = folder / "model.safetensors"
    weights = {f"pretrained_model.{name}": one for name, one in load_file(file).items()}
    save_file(weights | {"v_head.summary.weight": WEIGHT}, file, {"format": "pt"})
    close(load_scorer(folder).score(*texts), expected(backbone(tiny_llama), tiny_llama, texts, WEIGHT))


@pytest.mark.parametrize("normalise", [True, False])
def test_openrlhf_says_in_what_units(normalise: bool, tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    folder = copy_of(tiny_llama, tmp_path / "foreign", value_head__weight=WEIGHT)
    config = json.loads((folder / "config.json").read_text())
    units = {"architectures": ["RewardModel"], "mean": 0.5, "std": 4.0, "normalize_reward": normalise}
    (folder / "config.json").write_text(json.dumps(config | units))
    reward = TransformerReward.load(folder)
    wanted = expected(backbone(tiny_llama), tiny_llama, texts, WEIGHT)
    close(reward.score(*texts), (wanted - 0.5) / 4 if normalise else wanted)
    assert (reward.contract.mean, reward.contract.std) == ((0.0, 1.0) if normalise else (0.5, 4.0))


def test_eos_goes_where_openrlhf_puts_it(tiny_llama: str, tmp_path: Path) -> None:
    """Behind the last turn, and not behind the line break that the template writes there."""
    from dataclasses import replace

    reward = TransformerReward.create(tiny_llama)
    for ends in (False, True):
        reward.encoder.contract = replace(reward.contract, ends_with_eos=ends)
        (tokens,) = reward.encode(["egg"], ["good"]).tokens
        text = reward.tokenizer.decode(tokens.ids)
        assert text.endswith("good<|im_end|>" if ends else "good<|im_end|>\n")


def test_a_pickled_or_missing_head_is_told(tiny_llama: str, tiny_bert: str, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "none")
    with pytest.raises(ContractError, match="not a whole reward model: 1 weight.*score.weight") as raised:
        load_scorer(folder)
    assert raised.value.about == "head"
    torch.save({"v_head.summary.weight": WEIGHT}, folder / "value_head.bin")
    with pytest.raises(
        ContractError, match=r"value_head.bin, which is pickled.*Fix: if you trust.*value_head.safetensors"
    ):
        load_scorer(folder)
    whole = copy_of(tiny_bert, tmp_path / "pickled")
    torch.save({}, whole / "pytorch_model.bin")
    assert load_scorer(whole), "safetensors beside it are enough"
    (whole / "model.safetensors").unlink()
    with pytest.raises(ContractError, match="pytorch_model.bin, which is pickled"):
        load_scorer(whole)


def test_a_head_that_does_not_fit_is_told(tiny_llama: str, tiny_roberta: str, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "narrow", value_head__weight=torch.ones(1, 16))
    with pytest.raises(ContractError, match=r"shape \(1, 16\), and the model needs \(1, 32\)"):
        load_scorer(folder)
    encoder = copy_of(tiny_roberta, tmp_path / "encoder", value_head__weight=WEIGHT)
    with pytest.raises(ModelError, match="reads its score in another way: only decoders can take it"):
        load_scorer(encoder)


# --- several outputs


@pytest.fixture
def five(tiny_llama: str, tmp_path: Path) -> tuple[Path, torch.Tensor]:
    weight = torch.randn(5, 32)
    folder = copy_of(tiny_llama, tmp_path / "five", score__weight=weight)
    config = json.loads((folder / "config.json").read_text())
    names = ["helpfulness", "correctness", "coherence", "complexity", "verbosity"]
    (folder / "config.json").write_text(json.dumps(config | {"id2label": dict(enumerate(names))}))
    return folder, weight


def test_one_of_several_outputs_is_chosen(five: tuple[Path, torch.Tensor], tiny_llama: str, texts: Texts) -> None:
    folder, weight = five
    logits = expected(backbone(tiny_llama), tiny_llama, texts, weight)
    with pytest.raises(ContractError, match=r"has 5 outputs \(0: helpfulness.*4: verbosity\).*Fix: --output NAME"):
        load_scorer(folder)
    close(load_scorer(folder, output="verbosity").score(*texts), logits[:, 4])
    close(load_scorer(folder, output="1").score(*texts), logits[:, 1])
    close(load_scorer(folder, output="helpfulness=1,verbosity=-0.5").score(*texts), logits[:, 0] - 0.5 * logits[:, 4])
    reward = load_scorer(folder, output="0,0,0,0,2")
    close(reward.score(*texts), 2 * logits[:, 4])
    reward.save(folder)  # type: ignore[attr-defined]
    close(load_scorer(folder).score(*texts), 2 * logits[:, 4])
    close(load_scorer(folder, output="complexity").score(*texts), logits[:, 3])
    with pytest.raises(ConfigError, match="none of the model's outputs"):
        load_scorer(folder, output="niceness")


def test_two_classes_are_two_outputs(tiny_bert: str, tmp_path: Path) -> None:
    """What a configuration that says nothing has."""
    with hf.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_bert, num_labels=2, ignore_mismatched_sizes=True
        )
    model.save_pretrained(tmp_path / "two")
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.save_pretrained(tmp_path / "two")
    with torch.inference_mode():
        logits = model.eval()(**tokenizer("egg", "good", return_tensors="pt")).logits[0]
    found = load_scorer(tmp_path / "two", output="LABEL_1=1,LABEL_0=-1").score(["egg"], ["good"])
    assert found[0] == pytest.approx(float(logits[1] - logits[0]), abs=1e-5)


@pytest.mark.parametrize("name", ["longest", "cosine", "unit-tests"])
def test_a_reward_without_outputs_refuses_the_option(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--output 1 chooses among the outputs of one model; {name} has none"):
        load_scorer(name, output="1")


# --- adapters


def adapter(base: str, target: Path, task: str, config: Any = None, seed: int = 3) -> Any:
    """Writes an adapter with plain PEFT; gives the merged model."""
    kind = AutoModelForSequenceClassification if task == "SEQ_CLS" else AutoModelForCausalLM
    options = {"num_labels": 1} if task == "SEQ_CLS" else {}
    torch.manual_seed(seed)
    with hf.quiet():
        model = get_peft_model(
            kind.from_pretrained(base, **options),
            config or LoraConfig(task_type=task, r=4, target_modules="all-linear", init_lora_weights=False),
        )
        model.save_pretrained(target)
        return model.merge_and_unload().eval()


def test_a_classifier_adapter_comes_with_its_base(tiny_llama: str, tmp_path: Path, texts: Texts, caplog: Any) -> None:
    merged = adapter(tiny_llama, tmp_path / "adapter", "SEQ_CLS")
    with caplog.at_level(logging.WARNING):
        reward = TransformerReward.load(tmp_path / "adapter")
    assert f"an adapter on {Path(tiny_llama).resolve()}, merged" in caplog.text
    wanted = expected(merged.model, tiny_llama, texts, merged.score.weight.detach())
    close(reward.score(*texts), wanted)
    assert reward.contract.base == tiny_llama
    assert reward.contract.base_sha256
    reward.save(tmp_path / "whole")
    whole = TransformerReward.load(tmp_path / "whole")
    assert whole.contract.base == ""
    close(whole.score(*texts), wanted)


def test_an_encoder_adapter(tiny_bert: str, tmp_path: Path) -> None:
    config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query", "value"], init_lora_weights=False)
    merged = adapter(tiny_bert, tmp_path / "adapter", "SEQ_CLS", config)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    with torch.inference_mode():
        wanted = merged(**tokenizer("egg", "good", return_tensors="pt")).logits[0]
    close(load_scorer(tmp_path / "adapter").score(["egg"], ["good"]), wanted.numpy())


def test_an_adapter_of_a_language_model_with_a_value_head(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    merged = adapter(tiny_llama, tmp_path / "adapter", "CAUSAL_LM")
    head = {"v_head.summary.weight": WEIGHT, "v_head.summary.bias": BIAS}
    save_file(head, tmp_path / "adapter" / "value_head.safetensors")
    close(load_scorer(tmp_path / "adapter").score(*texts), expected(merged.model, tiny_llama, texts, WEIGHT, BIAS))


def test_an_adapter_without_a_head_takes_that_of_its_base(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    base = copy_of(tiny_llama, tmp_path / "base", score__weight=WEIGHT)
    merged = adapter(str(base), tmp_path / "adapter", "CAUSAL_LM")
    close(load_scorer(tmp_path / "adapter").score(*texts), expected(merged.model, tiny_llama, texts, WEIGHT))
    adapter(tiny_llama, tmp_path / "headless", "CAUSAL_LM")
    with pytest.raises(ContractError, match="is an adapter without a head, on .*which has none either") as raised:
        load_scorer(tmp_path / "headless")
    assert raised.value.about == "head"


def test_other_kinds_of_adapters(tiny_llama: str, tmp_path: Path, texts: Texts) -> None:
    config = IA3Config(task_type="SEQ_CLS", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    merged = adapter(tiny_llama, tmp_path / "ia3", "SEQ_CLS", config)
    close(
        load_scorer(tmp_path / "ia3").score(*texts),
        expected(merged.model, tiny_llama, texts, merged.score.weight.detach()),
    )
    with hf.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
        get_peft_model(model, PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)).save_pretrained(
            tmp_path / "prompt"
        )
    with pytest.raises(ModelError, match="PROMPT_TUNING, which adds tokens to the input"):
        load_scorer(tmp_path / "prompt")


def test_a_base_is_looked_for_near_the_adapter_and_another_one_is_noticed(
    tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = copy_of(tiny_llama, tmp_path / "models" / "base")
    adapter(str(base), tmp_path / "models" / "adapter", "SEQ_CLS")
    place = tmp_path / "models" / "adapter"
    config = json.loads((place / "adapter_config.json").read_text())
    score: Callable[[], float] = lambda: float(load_scorer(place).score(["egg"], ["good"])[0])  # noqa: E731
    wanted = score()
    for typed in ("../base", "./base", "/gone/with/base", str(base)):
        (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": typed}))
        monkeypatch.chdir(tmp_path / "models" if typed.startswith("./") else tmp_path)
        assert score() == pytest.approx(wanted, abs=1e-6), typed
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/gone/away"}))
    with pytest.raises(
        ContractError, match=r"on the model '/gone/away', which was not found; looked for at .*adapter"
    ) as raised:
        score()
    assert raised.value.about == "LoRA base"


def test_rows_of_the_embedding_that_were_added_in_training(tiny_llama: str, tmp_path: Path) -> None:
    with hf.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
        model.resize_token_embeddings(model.config.vocab_size + 3, mean_resizing=False)
        config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
        get_peft_model(model, config).save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    assert np.isfinite(load_scorer(tmp_path / "adapter").score(["egg"], ["good"])).all()
