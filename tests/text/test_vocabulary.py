"""How much of a text a vocabulary does not know."""

from __future__ import annotations

from transformers import AutoTokenizer

from guerdon.text.vocabulary import count_tokens, unknown_token_id


def test_unknown_tokens_are_counted_for_each_text(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    assert count_tokens(tokenizer, ["boil an egg", "egg 龘 龘", ""]) == [(3, 0), (3, 2), (0, 0)]
    assert count_tokens(tokenizer, []) == []


def test_a_byte_level_vocabulary_knows_every_text(tiny_llama: str, tiny_qwen: str) -> None:
    for folder in (tiny_llama, tiny_qwen):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert all(unknown == 0 for _, unknown in count_tokens(tokenizer, ["龘<|endoftext|", "egg"]))
    tokenizer.unk_token = tokenizer.eos_token
    assert unknown_token_id(tokenizer) is None
