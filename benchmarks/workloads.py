"""What the benchmarks of policies have in common: a policy that never ends an answer, and prompts of one length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from guerdon.data.candidates import all_candidates
from guerdon.hf import quiet
from guerdon.models import resolve
from guerdon.policy.model import Policy

NEVER = "<file_sep>"
"""A token of SmolLM2 that no sampled answer holds: with it as the end of sequence every answer has the same length."""


@contextmanager
def endless(model: str) -> Iterator[str]:
    """A copy of SmolLM2 whose answers all reach the longest length."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve(model)
    with TemporaryDirectory() as folder:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path)
            tokenizer.pad_token, tokenizer.eos_token = tokenizer.eos_token, NEVER
            network = AutoModelForCausalLM.from_pretrained(path)
            for config in (network.config, network.generation_config):
                config.eos_token_id = tokenizer.eos_token_id
                config.pad_token_id = tokenizer.pad_token_id
            network.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        yield str(Path(folder))


def prompts_of(data: str, policy: Policy, tokens: int, count: int) -> list[str]:
    """The `count` prompts of a data set whose length, in the policy's template, is nearest to `tokens`."""
    texts: dict[str, None] = {}
    for found in all_candidates(data):
        prompt = found.candidates.prompt
        texts.setdefault(prompt if isinstance(prompt, str) else prompt[-1].content)
        for text in found.candidates.responses:
            texts.setdefault(text)
    lengths = [len(ids) for ids in policy.encode_prompts(list(texts), max_new_tokens=0)]
    nearest = sorted(zip(texts, lengths, strict=True), key=lambda one: (abs(one[1] - tokens), one[0]))
    return [text for text, _ in nearest[:count]]
