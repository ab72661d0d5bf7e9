"""What is saved scores the same in plain Transformers, by the code that its model card prints, or is refused there."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.dynamic_module_utils import get_imports

from guerdon import hf, modeling_guerdon
from guerdon.errors import ContractError, ModelError
from guerdon.hf import Lora
from guerdon.models import weights_digest
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import load_scorer
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.saving import CODE_FILE
from guerdon.rewards.transformer import TransformerReward

ENCODERS = ["tiny_bert", "tiny_roberta"]
DECODERS = ["tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"]

PROMPTS = ["How do I boil an egg?", "Which is the largest planet?", "How do I boil an egg?"]
RESPONSES = ["Put it into boiling water for eight minutes, then cool it with cold water.", "Jupiter.", "I do not know."]


@pytest.fixture(autouse=True)
def _own_module_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Transformers copies the code that it is told to trust."""
    for module in ("transformers.dynamic_module_utils", "transformers.utils.hub"):
        monkeypatch.setattr(f"{module}.HF_MODULES_CACHE", str(tmp_path / "modules"), raising=False)


def reward_on(folder: str, *, units: bool = True, **options: Any) -> TransformerReward:
    """An untrained reward model whose outputs have units of their own."""
    reward = TransformerReward.create(folder, **options)
    count = len(reward.contract.attributes)
    shift = (3.5,) * count if units else (0.0,) * count
    reward.contract = dataclasses.replace(reward.contract, shift=shift, scale=(1.7,) * count)
    with torch.no_grad():
        for parameter in reward.net.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape)
    return reward


def printed_code(folder: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def as_printed(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Runs the code of a model card in its folder, on texts of ours; what it calls `rewards`."""
    texts = f"prompts, responses = {PROMPTS!r}, {RESPONSES!r}\n"
    changed = re.sub(r"^prompts = .*\nresponses = .*\n", lambda _: texts, code, flags=re.M)
    assert changed != code
    monkeypatch.chdir(folder)
    space: dict[str, Any] = {}
    with hf.quiet():
        exec(code, dict(space))  # as it is
        exec(changed, space)
    return np.asarray(space["rewards"])


def test_both_files_have_the_same_heads() -> None:
    assert modeling_guerdon.HEAD_NAMES == hf.HEAD_NAMES


def test_the_code_of_a_folder_asks_for_no_package_that_only_adapters_need() -> None:
    needed = get_imports(modeling_guerdon.__file__)  # Transformers refuses the code where one of them is not installed
    assert {"torch", "transformers"} == set(needed) - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        *[(name, {"pooling": "native"}, False) for name in ENCODERS],
        *[(name, {"pooling": "mean"}, True) for name in ENCODERS],
        *[(name, {"units": False}, False) for name in DECODERS],
        ("tiny_llama", {}, True),
        ("tiny_bert", {"pooling": "native", "attributes": ("helpful", "brief", "a|b")}, False),
        ("tiny_bert", {"pooling": "native", "max_length": 27}, False),
        ("tiny_llama", {"units": False, "attributes": ("helpful", "brief")}, False),
        *[(name, {"lora": Lora(4)}, True) for name in ("tiny_bert", "tiny_llama")],
    ],
)
def test_plain_transformers_gives_the_same_scores(
    name: str,
    options: dict[str, Any],
    code: bool,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reward = reward_on(request.getfixturevalue(name), **options)
    expected = reward.score(PROMPTS, RESPONSES)
    assert expected.std() > 0.05
    folder = tmp_path / "model"
    reward.save(folder)
    np.testing.assert_allclose(reward.score(PROMPTS, RESPONSES), expected, rtol=0, atol=1e-4)
    assert (folder / CODE_FILE).exists() is code
    in_guerdon, in_transformers = printed_code(folder)
    np.testing.assert_allclose(as_printed(in_guerdon, folder, monkeypatch), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(as_printed(in_transformers, folder, monkeypatch), expected, rtol=0, atol=1e-4)
    if code:
        with hf.quiet(), pytest.raises(ValueError, match="trust_remote_code=True"):
            AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_the_pipeline_of_transformers_gives_scores_as_they_are(pooling: Any, tiny_bert: str, tmp_path: Path) -> None:
    reward = reward_on(tiny_bert, pooling=pooling)
    reward.save(tmp_path / "model")
    with hf.quiet():
        classify = pipeline("text-classification", model=str(tmp_path / "model"), trust_remote_code=pooling == "mean")
        found = classify([{"text": p, "text_pair": r} for p, r in zip(PROMPTS, RESPONSES, strict=True)])
    expected = reward.score(PROMPTS, RESPONSES)
    np.testing.assert_allclose([one["score"] for one in found], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama"])
def test_a_merged_adapter_needs_no_code(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooling: Any = "native" if name == "tiny_bert" else None
    reward = reward_on(request.getfixturevalue(name), units=False, lora=Lora(4), pooling=pooling)
    expected = reward.score(PROMPTS, RESPONSES)
    reward.save(tmp_path / "adapter")
    again = TransformerReward.load(tmp_path / "adapter")
    again.save(tmp_path / "merged", merge=True)
    assert not (tmp_path / "merged" / CODE_FILE).exists()
    code = printed_code(tmp_path / "merged")[1]
    np.testing.assert_allclose(as_printed(code, tmp_path / "merged", monkeypatch), expected, rtol=0, atol=1e-4)


def test_a_saved_model_with_code_can_be_trained_further(tiny_bert: str, tmp_path: Path) -> None:
    first = reward_on(tiny_bert, pooling="mean")
    first.save(tmp_path / "first")
    second = TransformerReward.create(str(tmp_path / "first"), pooling="mean", attributes=("a", "b"))
    assert second.attributes(PROMPTS, RESPONSES).shape == (3, 2)
    key = "bert.encoder.layer.1.output.dense.weight"
    weights = [dict(reward.net.classifier.named_parameters())[key] for reward in (first, second)]
    assert torch.equal(*weights)
    shutil.rmtree(tmp_path / "first")
    second.save(tmp_path / "second")
    again = TransformerReward.load(tmp_path / "second")
    np.testing.assert_allclose(again.score(PROMPTS, RESPONSES), second.score(PROMPTS, RESPONSES), rtol=0, atol=1e-5)


def test_a_tokenizer_whose_only_special_token_is_eos_gets_a_padding_token(
    tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPT-2 is so; it has no chat template either, so that every text ends with EOS."""
    backbone = tmp_path / "backbone"
    shutil.copytree(tiny_llama, backbone)
    (backbone / "chat_template.jinja").unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        values = json.loads((backbone / name).read_text(encoding="utf-8"))
        if name == "tokenizer.json":
            values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] == "<|im_end|>"]
        else:
            values = {key: value for key, value in values.items() if key not in ("pad_token", "bos_token", "unk_token")}
        (backbone / name).write_text(json.dumps(values), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    assert set(tokenizer.all_special_tokens) == {"<|im_end|>"}
    reward = reward_on(str(backbone), units=False)
    assert reward.contract.pad_token_id != tokenizer.eos_token_id
    reward.save(tmp_path / "model")
    assert not (tmp_path / "model" / CODE_FILE).exists()
    code = printed_code(tmp_path / "model")[1]
    assert "tokenizer.eos_token" in code
    expected = reward.score(PROMPTS, RESPONSES)
    np.testing.assert_allclose(as_printed(code, tmp_path / "model", monkeypatch), expected, rtol=0, atol=1e-4)


# --- the model card


def test_the_model_card_is_one_the_hub_reads_and_a_stranger_understands(tiny_bert: str, tmp_path: Path) -> None:
    reward = reward_on(tiny_bert, pooling="native", attributes=("helpful", "<b>*bold*|"))
    data = {"sources": ["pairs_[x](http://e.vil).jsonl"], "rows": 12, "sha256": "ab12"}
    reward.contract = dataclasses.replace(reward.contract, data=data, backbone="org/base-model", weights=(0.25, -1.0))
    reward.save(tmp_path, metrics={"accuracy": 0.8125})
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": "org/base-model",
        "tags": ["reward-model", "guerdon"],
    }
    assert "12 rows of pairs\\_\\[x\\]\\(http://e.vil\\).jsonl; SHA-256 of the rows `ab12`" in body
    assert "| score | 0.25 x helpful + -1 x \\<b\\>\\*bold\\*\\| |" in body
    assert "| accuracy | 0.8125 |" in body
    for section in ("Use it in Guerdon", "Use it in plain Transformers", "Training data", "Measured", "Limits"):
        assert f"## {section}\n" in body


def test_an_ensemble_has_a_card_whose_code_works(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Ensemble([reward_on(tiny_bert, pooling="native") for _ in range(2)], k=0.5)
    both.save(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---\n")[1])["tags"] == ["reward-model", "guerdon"]
    assert "less 0.5 standard deviations" in text
    assert "[member-1](member-1/README.md)" in text.replace("\\-", "-")
    (code,) = printed_code(tmp_path)
    expected = both.score(PROMPTS, RESPONSES)
    np.testing.assert_allclose(as_printed(code, tmp_path, monkeypatch), expected, rtol=0, atol=1e-4)


def test_a_local_base_is_no_name_on_the_hub(tiny_bert: str, tmp_path: Path) -> None:
    reward_on(tiny_bert, pooling="native").save(tmp_path)
    front = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert "base_model" not in yaml.safe_load(front)


def test_a_template_that_reads_the_clock_reads_one_day_everywhere(
    tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tmp_path / "backbone"
    shutil.copytree(tiny_llama, backbone)
    template = (backbone / "chat_template.jinja").read_text(encoding="utf-8")
    (backbone / "chat_template.jinja").write_text("{{ strftime_now('%d %b %Y') }}" + template, encoding="utf-8")
    reward = reward_on(str(backbone), units=False)
    expected = reward.score(PROMPTS, RESPONSES)
    reward.save(tmp_path / "model")
    code = printed_code(tmp_path / "model")[1]
    np.testing.assert_allclose(as_printed(code, tmp_path / "model", monkeypatch), expected, rtol=0, atol=1e-4)
    text = reward.tokenizer.apply_chat_template([{"role": "user", "content": "egg"}], tokenize=False)
    assert text.strip().startswith("26 Jul 2024<|im_start|>")


# --- a LoRA adapter finds the base it was trained on from anywhere, and takes no other for it


@pytest.fixture
def home(tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and an adapter on it, trained from within by a relative name."""
    home = tmp_path / "home"
    shutil.copytree(tiny_llama, home / "models" / "base")
    monkeypatch.chdir(home)
    TransformerReward.create("./models/base", lora=Lora(4)).save("runs/adapter")
    return home


def scores(folder: Path) -> np.ndarray:
    return TransformerReward.load(folder).score(PROMPTS, RESPONSES)


def other_base(folder: Path) -> None:
    """The same architecture with other weights."""
    weights = load_file(folder / "model.safetensors")
    for value in weights.values():
        value += 0.1 * torch.randn(value.shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_the_working_directory_does_not_matter(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scores(home / "runs" / "adapter")
    card = json.loads((home / "runs" / "adapter" / FILE_NAME).read_text(encoding="utf-8"))
    assert card["contract"]["base"] == "../../models/base"
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(home / "models", elsewhere / "models")
    other_base(elsewhere / "models" / "base")
    monkeypatch.chdir(elsewhere)
    np.testing.assert_array_equal(scores(home / "runs" / "adapter"), expected)


def test_base_and_adapter_move_together(home: Path, tmp_path: Path) -> None:
    expected = scores(home / "runs" / "adapter")
    home.rename(tmp_path / "moved")
    np.testing.assert_array_equal(scores(tmp_path / "moved" / "runs" / "adapter"), expected)


def test_an_adapter_that_moves_alone_finds_its_base_where_it_was(home: Path, tmp_path: Path) -> None:
    expected = scores(home / "runs" / "adapter")
    (home / "runs" / "adapter").rename(tmp_path / "adapter")
    np.testing.assert_array_equal(scores(tmp_path / "adapter"), expected)
    again = TransformerReward.load(tmp_path / "adapter")
    again.save(tmp_path / "deeper" / "copy")
    np.testing.assert_array_equal(scores(tmp_path / "deeper" / "copy"), expected)


def test_another_base_is_refused(home: Path) -> None:
    digest = weights_digest(home / "models" / "base")
    other_base(home / "models" / "base")
    with pytest.raises(ContractError, match=f"digest {digest[:16]};.*models/base holds another model") as caught:
        TransformerReward.load(home / "runs" / "adapter")
    assert weights_digest(home / "models" / "base")[:16] in str(caught.value)


def test_a_missing_base_says_where_it_was_looked_for(home: Path, tmp_path: Path) -> None:
    (home / "runs" / "adapter").rename(tmp_path / "adapter")
    shutil.rmtree(home / "models")
    with pytest.raises(ContractError, match="base model that it sits on was not found") as caught:
        load_scorer(tmp_path / "adapter")
    for place in (tmp_path.parent / "models" / "base", home / "models" / "base"):
        assert str(place) in str(caught.value)


def test_a_base_on_the_hub_keeps_its_commit(tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache stands in for the hub: its layout is public."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--org--base"
    shutil.copytree(tiny_llama, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    for name in ("huggingface_hub.constants.HF_HUB_CACHE", "transformers.utils.hub.HF_HUB_CACHE"):
        monkeypatch.setattr(name, str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    reward = TransformerReward.create("org/base", lora=Lora(4))
    reward.save(tmp_path / "adapter")
    contract = json.loads((tmp_path / "adapter" / FILE_NAME).read_text(encoding="utf-8"))["contract"]
    assert (contract["base"], contract["base_revision"]) == ("org/base", commit)
    assert contract["base_sha256"] == weights_digest(Path(tiny_llama))
    expected = reward.score(PROMPTS, RESPONSES)
    shutil.copytree(tiny_llama, cached / "snapshots" / ("f" * 40))
    other_base(cached / "snapshots" / ("f" * 40))
    (cached / "refs" / "main").write_text("f" * 40)  # its owner has published another one since
    np.testing.assert_array_equal(scores(tmp_path / "adapter"), expected)
    shutil.rmtree(cached)
    with pytest.raises(ModelError, match="adapter on org/base, which cannot be loaded"):
        TransformerReward.load(tmp_path / "adapter")


def test_the_digest_tells_models_apart(tiny_llama: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    before = weights_digest(folder)
    assert before == weights_digest(Path(tiny_llama))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"transformers_version": "9"}), encoding="utf-8")
    assert weights_digest(folder) == before, "who wrote it is no part of the model"
    assert weights_digest(folder, others=["tokenizer.json"]) != before
    (folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}), encoding="utf-8")
    assert weights_digest(folder) != before
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    for name in list(weights):
        changed = {key: value + (key == name) for key, value in weights.items()}
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        assert weights_digest(folder) != before, f"a change of {name} shows"
    (folder / "model.safetensors").write_bytes(b"{")
    with pytest.raises(ModelError, match="cannot be read"):
        weights_digest(folder)
