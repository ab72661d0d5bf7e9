"""A reward model scores the same in any batch and after saving; what would change its scores unseen is refused."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from guerdon.errors import ConfigError, ContractError, ModelError, OutputError
from guerdon.hf import Lora
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.training_data import read_training_prompts
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparer, Prompt, Scorer
from loras import trained_lora

EVERY = ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"]

Texts = tuple[list[Prompt], list[str]]


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.fixture(params=EVERY)
def any_reward(request: pytest.FixtureRequest) -> TransformerReward:
    return TransformerReward.create(request.getfixturevalue(request.param))


# --- scoring


def test_batch_and_order_do_not_matter(any_reward: TransformerReward, texts: Texts) -> None:
    prompts, responses = texts
    alone = np.concatenate([any_reward.score([p], [r]) for p, r in zip(prompts, responses, strict=True)])
    assert alone.dtype == np.float32
    assert alone.std() > 0.05
    for budget in (1, 100, 64 * 128):
        any_reward.tokens_per_batch = budget
        close(any_reward.score(prompts, responses), alone)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    close(any_reward.score([prompts[i] for i in order], [responses[i] for i in order]), alone[order])


def test_equal_texts_are_computed_once(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    computed = []
    reward.net.register_forward_pre_hook(lambda _, __, kw: computed.append(len(kw["row"])), with_kwargs=True)
    scores = reward.score(["egg"] * 5, ["good", "bad", "good", "good", "bad"])
    assert sum(computed) == 2
    assert reward.score([], []).shape == (0,)
    assert scores[0] == scores[2] == scores[3] != scores[1] == scores[4]


def test_it_is_a_scorer_and_a_comparer(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    assert isinstance(reward, Scorer)
    assert isinstance(reward, Comparer)
    reward.contract = dataclasses.replace(reward.contract, temperature=2.0)
    a, b = ["good", "bad", "good"], ["bad", "good", "good"]
    scores = reward.score(["egg"] * 6, a + b)
    expected = 1 / (1 + np.exp(-(scores[:3] - scores[3:]) / 2))
    close(reward.compare(["egg"] * 3, a, b), expected)
    assert reward.compare(["egg"], ["good"], ["good"]).tolist() == [0.5]
    with pytest.raises(ValueError, match="3 and 1"):
        reward.compare(["egg", "egg"], a, ["bad"])


def test_attributes_come_in_the_units_of_the_data(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert, attributes=("helpful", "brief"))
    raw = reward.logits(["egg"], ["good"])
    reward.contract = dataclasses.replace(reward.contract, weights=(0.25, -1.0), shift=(3.0, 10.0), scale=(2.0, 0.5))
    attributes = reward.attributes(["egg"], ["good"])
    close(attributes, np.array([[3 + 2 * raw[0, 0], 10 + 0.5 * raw[0, 1]]]))
    close(reward.score(["egg"], ["good"]), 0.25 * attributes[:, 0] - attributes[:, 1])


def test_unreadable_text_and_cut_prompts_are_logged(tiny_bert: str, caplog: pytest.LogCaptureFixture) -> None:
    reward = TransformerReward.create(tiny_bert, max_length=20)
    with caplog.at_level(logging.WARNING):
        reward.score(["龘 " * 30], ["egg"])
    assert "cannot read 97% of the text" in caplog.text
    assert "1 of 1 prompts were cut" in caplog.text


# --- making


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tiny_llama", {"pooling": "mean"}, "does not fit a decoder"),
        ("tiny_bert", {"max_length": 129}, "between 4 and 128"),
        ("tiny_llama", {"pooling": "native", "max_length": 2}, "pooling.*max_length"),
    ],
)
def test_what_does_not_fit_the_backbone_is_refused(
    name: str, options: dict[str, Any], message: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformerReward.create(request.getfixturevalue(name), **options)


def test_the_seed_decides_the_new_head(tiny_llama: str) -> None:
    heads = [TransformerReward.create(tiny_llama, seed=seed).net.classifier.score.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


# --- saving and loading


@pytest.mark.parametrize("name", EVERY)
def test_it_comes_back_exactly(name: str, request: pytest.FixtureRequest, texts: Texts, tmp_path: Path) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name), attributes=("helpful", "brief"))
    reward.contract = dataclasses.replace(reward.contract, mean=1.5, std=2.0, shift=(1.0, 2.0))
    reward.save(tmp_path)
    again = TransformerReward.load(tmp_path)
    assert np.array_equal(again.attributes(*texts), reward.attributes(*texts))
    for field in ("mean", "std", "shift", "attributes", "rendering", "max_length", "chat_template_sha256"):
        assert getattr(again.contract, field) == getattr(reward.contract, field)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", FILE_NAME} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".pth", ".tmp"))]


def test_a_model_keeps_the_hashes_of_its_training_prompts(tiny_bert: str, tmp_path: Path) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.save(tmp_path, training_prompts=["egg", "planet"])
    found = read_training_prompts(tmp_path)
    assert found is not None
    assert found.seen(["egg", "star"]) == [True, False]
    reward.save(tmp_path)
    assert read_training_prompts(tmp_path) is None, "those of an earlier model are gone"


@pytest.mark.parametrize("name", EVERY)
def test_a_lora_model_keeps_its_head_through_saving_and_merging(
    name: str, request: pytest.FixtureRequest, texts: Texts, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    reward = trained_lora(folder, ("helpful", "brief"))
    expected = reward.attributes(*texts)
    untrained = TransformerReward.create(folder, attributes=("helpful", "brief"))
    assert np.abs(expected - untrained.attributes(*texts)).max() > 0.1
    reward.save(tmp_path / "adapter")
    again = TransformerReward.load(tmp_path / "adapter")
    close(again.attributes(*texts), expected)
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    reward.save(tmp_path / "merged", merge=True)
    merged = TransformerReward.load(tmp_path / "merged")
    assert merged.contract.base == ""
    assert not hasattr(merged.net.model, "peft_config")
    np.testing.assert_allclose(merged.attributes(*texts), expected, rtol=0, atol=5e-5)  # W + BA rounds differently
    assert np.array_equal(reward.attributes(*texts), expected), "merging leaves the model itself alone"


def test_only_adapters_and_head_are_trained_under_lora(tiny_bert: str) -> None:
    names = {n for n, p in TransformerReward.create(tiny_bert, lora=Lora(4)).net.named_parameters() if p.requires_grad}
    assert names
    assert all("lora_" in name or "modules_to_save" in name for name in names)
    assert any("classifier" in name for name in names)


def edit_weights(path: Path, **change: Any) -> None:
    """Rewrites a safetensors file: name part -> function of the tensor, or None to drop it."""
    tensors = load_file(path)
    for part, function in change.items():
        for name in [name for name in tensors if f"{part}." in name]:
            if function is None:
                del tensors[name]
            else:
                tensors[name] = function(tensors[name])
    save_file(tensors, path, metadata={"format": "pt"})


def edit_card(folder: Path, **fields: Any) -> None:
    card = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    card["contract"] |= fields
    (folder / FILE_NAME).write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize(("name", "head"), [("tiny_bert", "classifier"), ("tiny_llama", "score")])
@pytest.mark.parametrize("lora", [None, Lora(4)])
def test_a_missing_or_reinitialised_head_is_refused(
    name: str, head: str, lora: Lora | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    TransformerReward.create(request.getfixturevalue(name), lora=lora).save(tmp_path)
    weights = tmp_path / ("adapter_model.safetensors" if lora else "model.safetensors")
    edit_weights(weights, **{head: torch.randn_like})
    with pytest.raises(ContractError, match="head's weights are not those that were trained"):
        TransformerReward.load(tmp_path)
    edit_weights(weights, **{head: None})
    with pytest.raises(ContractError, match="are missing|no head weights"):
        TransformerReward.load(tmp_path)


def test_a_missing_backbone_weight_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path)
    edit_weights(tmp_path / "model.safetensors", **{"layer.1.attention": None})
    with pytest.raises(ContractError, match="not a whole reward model.*missing"):
        TransformerReward.load(tmp_path)


def test_a_changed_chat_template_is_refused(tiny_llama: str, tmp_path: Path) -> None:
    reward = TransformerReward.create(tiny_llama)
    reward.save(tmp_path)
    reward.tokenizer.chat_template = str(reward.tokenizer.chat_template).replace("im_start", "im_begin")
    reward.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ContractError, match="chat template is not the one"):
        TransformerReward.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "GPT2ForSequenceClassification"}, "architecture is BertForSequenceClassification"),
        ({"attributes": ["a", "b"], "weights": [1, 1], "shift": [0, 0], "scale": [1, 1]}, "has 1 outputs"),
        ({"max_length": 4096}, "more than the model reads"),
        ({"unheard_of": 1}, "unknown field"),
    ],
)
def test_a_contract_that_does_not_fit_the_weights_is_refused(
    tiny_bert: str, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path)
    edit_card(tmp_path, **fields)
    with pytest.raises(ContractError, match=message):
        TransformerReward.load(tmp_path)


def test_saving_over_another_model_leaves_nothing_of_it(tiny_bert: str, tmp_path: Path, texts: Texts) -> None:
    trained_lora(tiny_bert).save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    reward = TransformerReward.create(tiny_bert)
    reward.save(tmp_path)
    assert np.array_equal(TransformerReward.load(tmp_path).score(*texts), reward.score(*texts))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_an_output_error(tiny_bert: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        TransformerReward.create(tiny_bert).save(tmp_path / "file")


# --- models of other origin


def foreign(folder: str, target: Path, **changes: Any) -> Path:
    """A single-label classifier as others publish it."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(folder, **{"num_labels": 1, **changes})
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_foreign_model_that_is_trained_again_gets_a_new_contract(
    tiny_bert: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = foreign(tiny_bert, tmp_path / "foreign")
    first = TransformerReward.load(target)
    edit_weights(target / "model.safetensors", classifier=torch.randn_like)
    caplog.clear()
    second = TransformerReward.load(target)
    assert second.contract.head_sha256 != first.contract.head_sha256
    assert "inferred" in caplog.text


@pytest.mark.parametrize("name", EVERY)
def test_a_foreign_model_gives_its_own_logits(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    target = foreign(request.getfixturevalue(name), tmp_path / "foreign")
    before = files_of(target)
    reward = TransformerReward.load(target)
    assert "no score contract; inferred" in caplog.text
    model = AutoModelForSequenceClassification.from_pretrained(target).eval()
    tokenizer = AutoTokenizer.from_pretrained(target)
    for prompt, response in (("boil an egg", "it is good"), ("planet", "Jupiter is the largest planet")):
        if reward.contract.rendering == "pair":
            batch = tokenizer(prompt, response, return_tensors="pt")
        else:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            batch = tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")
        with torch.no_grad():
            expected = model(**batch).logits[0].numpy()
        close(reward.score([prompt], [response]), expected)
    caplog.clear()
    again = TransformerReward.load(target)  # the contract is kept
    assert again.contract == reward.contract
    assert caplog.text == ""
    assert files_of(target) == before, "nothing is written beside what is not ours"


def test_a_model_of_several_labels_is_not_guessed_at(tiny_bert: str, tmp_path: Path) -> None:
    target = foreign(tiny_bert, tmp_path / "foreign", num_labels=3, ignore_mismatched_sizes=True)
    with pytest.raises(ModelError, match="3 outputs.*which of them is the reward"):
        TransformerReward.load(target)
    assert not (target / FILE_NAME).exists()


def test_a_language_model_is_no_reward_model(tiny_llama: str) -> None:
    with pytest.raises(ContractError, match="score.weight.*random numbers.*guerdon train"):
        TransformerReward.load(tiny_llama)


def test_a_pickle_is_never_read(tiny_bert: str, tmp_path: Path) -> None:
    target = foreign(tiny_bert, tmp_path / "foreign")
    torch.save(load_file(target / "model.safetensors"), target / "pytorch_model.bin")
    (target / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="model.safetensors"):
        TransformerReward.load(target)
    with pytest.raises(ModelError, match="model.safetensors"):
        TransformerReward.create(str(target))


@pytest.mark.parametrize("broken", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_or_broken_folder_is_a_model_error(tiny_bert: str, tmp_path: Path, broken: str) -> None:
    target = tmp_path / "copy"
    shutil.copytree(tiny_bert, target)
    (target / broken).unlink()
    if broken == "model.safetensors":
        (target / broken).write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="cannot (load|be read)"):
        TransformerReward.load(target)


def test_a_full_disk_is_an_output_error_and_the_old_model_stays(tiny_bert: str, tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from guerdon.errors import OutputError
from guerdon.rewards.training_data import read_training_prompts
from guerdon.rewards.transformer import TransformerReward
reward = TransformerReward.create(sys.argv[1])
reward.save(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # the full disk that a test can make
try:
    reward.save(sys.argv[2])
except OutputError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, tiny_bert, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert result.stdout.startswith(f"cannot write {tmp_path}: the file grew past")
    TransformerReward.load(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_an_infinite_logit_is_no_reward_and_not_a_warning(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.net.classifier.classifier.bias.data.fill_(float("inf"))
    reward.contract = dataclasses.replace(reward.contract, weights=(0.0,))
    found = score_texts(reward, ["p", "p"], ["a", "b"])
    assert np.isnan(found.values).all()
    assert found.reasons == ("the scorer gave nan",) * 2
