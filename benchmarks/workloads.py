"""What the benchmarks have in common: systems in turn, commands that are printed, and workloads of policies."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from guerdon.data.candidates import all_candidates
from guerdon.hf import quiet
from guerdon.models import resolve
from guerdon.policy.model import Policy

NEVER = "<file_sep>"
"""A token of SmolLM2 that no sampled answer holds: with it as the end of sequence every answer has the same length."""


def in_turn(systems: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """The seconds of each run of each system, and what its last run gave."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    results = {}
    for _ in range(repeats):
        for name, run in systems.items():
            start = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - start)
    return seconds, results


def guerdon(out: Path, *words: object) -> Path:
    """Runs a command, which is printed, unless its result is there."""
    command = [str(word) for word in (*words, "--out", out)]
    print("guerdon", shlex.join(command), flush=True)
    if not any((out / name).exists() for name in ("guerdon.json", "policy.json", "curve.json")):
        subprocess.run([sys.executable, "-m", "guerdon", *command], check=True, stdout=subprocess.DEVNULL)
    return out


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
