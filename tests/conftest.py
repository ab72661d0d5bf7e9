"""Tiny random models, built from configurations; a few judgements in two languages; and no network, for every test.

Models are built once a session, with their tokenizers trained in-process. Each lies in a folder in HF layout, as a
user's would. Their weights are drawn wide, so that a wrong token or a wrong position moves a score visibly.
"""

from __future__ import annotations

import os
import tempfile

# Read by huggingface_hub and transformers when they are imported, so before any test module imports them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="guerdon-tests-")  # no column maps of whoever runs them
# Tiny matrices are slower on several threads; with one, sums have one order, in the processes that tests start too.
os.environ["OMP_NUM_THREADS"] = "1"

import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest

from guerdon.types import Comparison, Message

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The end-of-turn token, which is also EOS, stands inside the prompt: the trap of `pad == eos` pooling."""

GEMMA = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{{ message['content'] + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
"""The template writes BOS, and so does the tokenizer: the trap of the double BOS."""

CORPUS = [
    "How do I boil an egg? Put it into boiling water for eight minutes, then cool it.",
    "Which is the largest planet? Jupiter is the largest planet of the solar system.",
    "Write a function that adds two numbers: def add(a, b): return a + b",
    "I am sorry, I do not know. The answer is wrong, rude and off the topic; this one is good and polite.",
    "user assistant system message chosen rejected better worse than the other",
    "怎样煮鸡蛋？把鸡蛋放进开水里煮八分钟，然后用冷水冷却。",
    "最大的行星是哪一颗？木星是太阳系中最大的行星。",
    "对不起，我不知道。这个回答不好，那个回答更好。",
] * 4

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_DECODER = TINY | {"num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2}


# The first call into torch takes long, and so does any call on a busy machine: neither is a fault of the code.
hypothesis.settings.register_profile("guerdon", deadline=None)
hypothesis.settings.load_profile("guerdon")


# --- for every test


def pytest_configure(config: pytest.Config) -> None:
    """Hides the GPU from every run but that of the tests marked `gpu`: all others mean the CPU and its numbers.

    On a GPU models compute in bfloat16, sums have other orders, and budgets and defaults follow the card. CUDA reads
    the variable when it is first used, in this process and in those that tests start.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a driver and its libraries warn of differs between machines, and fails no test of a GPU."""
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips the tests marked `gpu` where there is none to be seen."""
    if item.get_closest_marker("gpu") is None:
        return
    if item.config.option.markexpr != "gpu":
        pytest.skip("the GPU is hidden from all runs but `pytest -m gpu` (make test-gpu)")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails at once, with its address."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # torch takes seconds to import: only tests that use it pay for it
        import torch

        torch.manual_seed(0)


# --- tokenizers


def _wordpiece() -> PreTrainedTokenizerFast:
    """BERT's: lower-cased words and single Chinese characters; what it has not seen becomes `[UNK]`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    # Not by WordPieceTrainer, whose ids differ from run to run.
    words = {word for text in CORPUS for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text))}
    letters = set("".join(words))
    pieces = [*special, *sorted(letters), *sorted(f"##{letter}" for letter in letters), *sorted(words - letters)]
    tokenizer = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _byte_bpe(
    special: list[str], *, single: str = "$A", pair: str = "$A $B:1", **tokens: Any
) -> PreTrainedTokenizerFast:
    """A byte-level BPE, which has no unknown text; `single` and `pair` say which special tokens it adds by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    used = [(token, tokenizer.token_to_id(token)) for token in special if token in single.split()]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=single, pair=pair, special_tokens=used),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **tokens)


def _chatml() -> PreTrainedTokenizerFast:
    """As SmolLM2 has it: nothing added to a plain text, pad token = EOS = end of turn."""
    return _byte_bpe(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHATML,
    )


# --- models


def _save(folder: Path, model_class: str, tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig) -> str:
    import torch
    import transformers

    config.vocab_size = len(tokenizer)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


FolderMaker = Callable[[str], Path]


@pytest.fixture(scope="session")
def _model_folder(tmp_path_factory: pytest.TempPathFactory) -> FolderMaker:
    return lambda name: tmp_path_factory.mktemp("models") / name


@pytest.fixture(scope="session")
def tiny_bert(_model_folder: FolderMaker) -> str:
    """An encoder with a one-label head, and a tokenizer that has `[UNK]`; 128 positions."""
    from transformers import BertConfig

    config = BertConfig(**TINY, max_position_embeddings=128, initializer_range=0.2, num_labels=1)
    return _save(_model_folder("tiny_bert"), "BertForSequenceClassification", _wordpiece(), config)


@pytest.fixture(scope="session")
def tiny_roberta(_model_folder: FolderMaker) -> str:
    """An encoder with a one-label head whose positions start after the pad token's id, as RoBERTa's do."""
    from transformers import RobertaConfig

    tokenizer = _byte_bpe(
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:1 </s>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    config = RobertaConfig(**TINY, max_position_embeddings=514, type_vocab_size=1, initializer_range=0.2, num_labels=1)
    return _save(_model_folder("tiny_roberta"), "RobertaForSequenceClassification", tokenizer, config)


@pytest.fixture(scope="session")
def tiny_llama(_model_folder: FolderMaker) -> str:
    """A causal LM with ChatML and pad token = EOS; full attention, two heads for each key and value."""
    from transformers import LlamaConfig

    return _save(_model_folder("tiny_llama"), "LlamaForCausalLM", _chatml(), LlamaConfig(**TINY_DECODER))


@pytest.fixture(scope="session")
def tiny_qwen(_model_folder: FolderMaker) -> str:
    """A causal LM with ChatML, no BOS at all, and a pad token that differs from EOS; full attention."""
    from transformers import Qwen2Config

    tokenizer = _byte_bpe(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML,
    )
    return _save(_model_folder("tiny_qwen"), "Qwen2ForCausalLM", tokenizer, Qwen2Config(**TINY_DECODER))


@pytest.fixture(scope="session")
def tiny_sliding(_model_folder: FolderMaker) -> str:
    """A causal LM in which every layer sees only the last 8 tokens (Mistral)."""
    from transformers import MistralConfig

    config = MistralConfig(**TINY_DECODER, sliding_window=8)
    return _save(_model_folder("tiny_sliding"), "MistralForCausalLM", _chatml(), config)


@pytest.fixture(scope="session")
def tiny_gemma_like(_model_folder: FolderMaker) -> str:
    """A causal LM with sliding layers (8 tokens) between full ones; tokenizer and template both write BOS (Gemma 2)."""
    from transformers import Gemma2Config

    tokenizer = _byte_bpe(
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
        single="<bos> $A",
        pair="<bos> $A $B:1",
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        chat_template=GEMMA,
    )
    config = Gemma2Config(**TINY_DECODER, head_dim=8, query_pre_attn_scalar=8, sliding_window=8)
    return _save(_model_folder("tiny_gemma_like"), "Gemma2ForCausalLM", tokenizer, config)


# --- judgements


@pytest.fixture
def english_rows() -> list[Comparison]:
    """Four comparisons: strings and chats, a vote share, a margin; the longer answer wins in two of the four."""
    egg = "How do I boil an egg?"
    planet = (Message("system", "Be brief."), Message("user", "Which is the largest planet?"))
    return [
        Comparison(prompt=egg, chosen="Eight minutes in boiling water.", rejected="I do not know.", subset="en"),
        Comparison(
            prompt=egg,
            chosen="Put it into boiling water for eight minutes.",
            rejected="The answer is rude and off the topic, and I am not sorry about it at all.",
            preference=0.8,
            subset="en",
        ),
        Comparison(
            prompt=planet, chosen="Jupiter.", rejected="The sun is the largest planet.", margin=2.0, subset="en"
        ),
        Comparison(
            prompt="Write a function that adds two numbers.",
            chosen="def add(a, b): return a + b",
            rejected="def add(a, b): return a",
            subset="en",
        ),
    ]


@pytest.fixture
def chinese_rows() -> list[Comparison]:
    """Three comparisons, one of them a tie."""
    egg = "怎样煮鸡蛋？"
    return [
        Comparison(prompt=egg, chosen="把鸡蛋放进开水里煮八分钟。", rejected="不知道。", subset="zh"),
        Comparison(prompt=egg, chosen="煮八分钟。", rejected="煮八分钟，好。", preference=0.5, subset="zh"),
        Comparison(
            prompt=(Message("user", "最大的行星是哪一颗？"),),
            chosen="木星。",
            rejected="最大的行星是太阳，这个回答更好。",
            subset="zh",
        ),
    ]


@pytest.fixture
def comparison_rows(english_rows: list[Comparison], chinese_rows: list[Comparison]) -> list[Comparison]:
    """Both languages."""
    return english_rows + chinese_rows


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from browsing import CHROMIUM  # tests/test_conftest.py copies this file alone

    if CHROMIUM is None:
        pytest.skip("there is no Chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
