"""A LoRA adapter finds the base it was trained on from anywhere, and takes no other for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from guerdon.errors import ContractError, ModelError
from guerdon.hf import Lora
from guerdon.models import weights_digest
from guerdon.rewards.load import load_scorer
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.transformer import TransformerReward

PROMPTS, RESPONSES = ["How do I boil an egg?"] * 2, ["Put it into boiling water.", "I do not know."]


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
