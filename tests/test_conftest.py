"""The fixtures are what they say: a test of a trap is worth nothing where the trap is not there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"]
TEXT = "How do I boil an egg? 怎样煮鸡蛋？"
CHAT = [{"role": "user", "content": "Which is the largest planet?"}]


@pytest.mark.parametrize("name", MODELS)
def test_model_loads_as_a_sequence_classifier(name: str, request: pytest.FixtureRequest) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = request.getfixturevalue(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    with torch.inference_mode():
        batch = tokenizer([TEXT, "An egg."], padding=True, return_tensors="pt")
        assert model(**batch).logits.shape == (2, 1)
    assert tokenizer.pad_token_id == model.config.pad_token_id


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"])
def test_decoder_generates(name: str, request: pytest.FixtureRequest) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = request.getfixturevalue(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    batch = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**batch, max_new_tokens=4, do_sample=False)
    assert out.shape[1] <= batch["input_ids"].shape[1] + 4


@pytest.mark.parametrize("name", MODELS[1:])
def test_bytes_come_back_from_every_text(name: str, request: pytest.FixtureRequest) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(name))
    assert tokenizer.decode(tokenizer(TEXT)["input_ids"], skip_special_tokens=True) == TEXT


def test_bert_does_not_know_every_word(tiny_bert: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    assert tokenizer.unk_token_id not in tokenizer(TEXT)["input_ids"]
    assert tokenizer.unk_token_id in tokenizer("龘")["input_ids"]
    pair = tokenizer("an egg", "is boiled")
    assert set(pair["token_type_ids"]) == {0, 1}


def test_llama_pads_with_eos_and_has_it_in_the_prompt(tiny_llama: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert tokenizer.eos_token_id in tokenizer.apply_chat_template(CHAT, return_dict=True)["input_ids"]


def test_qwen_has_no_bos_and_its_own_pad(tiny_qwen: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen)
    assert tokenizer.bos_token_id is None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_gemma_would_give_bos_twice(tiny_gemma_like: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma_like)
    rendered = tokenizer.apply_chat_template(CHAT, tokenize=False)
    assert tokenizer(rendered)["input_ids"][:2] == [tokenizer.bos_token_id] * 2


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("tiny_sliding", None), ("tiny_gemma_like", ["sliding_attention", "full_attention"])],
)
def test_windows_slide(name: str, kinds: list[str] | None, request: pytest.FixtureRequest) -> None:
    config = json.loads((Path(request.getfixturevalue(name)) / "config.json").read_text())
    assert config["sliding_window"] == 8
    assert config.get("layer_types") == kinds


def test_network_is_closed() -> None:
    with socket.socket() as client, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 80))


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass


def test_no_gpu_is_seen_here_or_by_what_a_test_starts() -> None:
    import torch

    assert not torch.cuda.is_available()
    code = "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "''"


@pytest.mark.parametrize(
    ("expression", "reason"), [("gpu", "PyTorch finds no GPU"), ("not slow", "the GPU is hidden from all runs but")]
)
def test_tests_of_a_gpu_are_skipped_with_the_reason(expression: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.gpu\ndef test_it(): assert False\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    gpu: x\n    slow: x\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-m", expression, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert reason in done.stdout
