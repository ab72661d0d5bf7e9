"""Clean models of other trainers pass every check, whatever their architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from guerdon.evaluate.doctor import check_reward_model

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}
CAUSAL = SMALL | {"num_key_value_heads": 2}
DISENTANGLED = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pooler_hidden_size": 32,
}
BART_SIDES = {"layers": 1, "attention_heads": 4, "ffn_dim": 64}
OWN: dict[str, tuple[str, str, dict[str, Any]]] = {
    # what: (family in Transformers, tokenizer, configuration)
    "BERT": ("Bert", "tiny_bert", SMALL),
    "RoBERTa": ("Roberta", "tiny_roberta", SMALL | {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "DeBERTa-v2": ("DebertaV2", "tiny_bert", SMALL | DISENTANGLED),
    "Llama": ("Llama", "tiny_llama", CAUSAL),
    "Qwen": ("Qwen2", "tiny_qwen", CAUSAL),
    "Gemma": ("Gemma2", "tiny_gemma_like", CAUSAL | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}),
    "XLNet": ("XLNet", "xlnet", {"d_model": 32, "d_inner": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}),
    "T5": (
        "T5",
        "t5",
        {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    ),
    "BART": (
        "Bart",
        "tiny_roberta",
        {"d_model": 32, "init_std": 0.2, "max_position_embeddings": 128}
        | {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in BART_SIDES.items()},
    ),
}
OWN["T5 whose tokenizer adds no EOS"] = (OWN["T5"][0], "bare", OWN["T5"][2])


@pytest.fixture
def tokenizers(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    def get(name: str) -> Any:
        if name.startswith("tiny"):
            return AutoTokenizer.from_pretrained(request.getfixturevalue(name))
        tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue("tiny_roberta"))
        templates = {
            "xlnet": ("$A </s> <s>", "$A </s> $B:1 </s>:1 <s>:2"),
            "t5": ("$A </s>", "$A </s> $B </s>"),
            "bare": ("$A", "$A $B"),
        }
        single, pair = templates[name]
        ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
        own = TemplateProcessing(single=single, pair=pair, special_tokens=ids)
        tokenizer.backend_tokenizer.post_processor = own
        if name == "xlnet":
            tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"  # the latter is what is saved
            tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        else:
            tokenizer.cls_token = None
        return tokenizer

    return get


@pytest.mark.parametrize("name", OWN)
def test_a_clean_model_passes(name: str, tokenizers: Callable[[str], Any], short_data: str, tmp_path: Path) -> None:
    family, of, values = OWN[name]
    tokenizer = tokenizers(of)
    config = getattr(transformers, f"{family}Config")(**values, num_labels=1)
    config.vocab_size = len(tokenizer)
    for token in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, token, getattr(tokenizer, token))
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    found = check_reward_model(str(tmp_path / "model"), data=short_data)
    said = {check.name: check for check in found.checks}
    assert not found.faults, found.faults
    assert said["plain Transformers"].verdict == "pass"
    assert said["save, merge and reload"].verdict == "pass"
