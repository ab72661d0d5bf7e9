"""Generation speed, in tokens/s, against Transformers' `generate` at its best batch size.

SmolLM2-135M-Instruct, the same prompts and the same lengths (answers never end by themselves), temperature 1, float32
on the CPU, bfloat16 on a GPU. The systems run in turn, several times; medians are compared.

    python benchmarks/generate.py --data DIALOGUES.jsonl.gz
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch

from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from workloads import endless, in_turn, prompts_of


def hf_generate(policy: Policy, prompts: list[list[int]], each: int, tokens: int, batch: int) -> None:
    """Transformers' own sampling, `batch` answers side by side."""
    wide = max(1, batch // each)
    for start in range(0, len(prompts), wide):
        chosen = prompts[start : start + wide]
        padded = policy.tokenizer.pad({"input_ids": chosen}, padding_side="left", return_tensors="pt")
        output = policy.model.generate(
            **padded.to(policy.model.device), do_sample=True, top_k=0, max_new_tokens=tokens, num_return_sequences=each
        )
        assert output.shape == (len(chosen) * each, max(map(len, chosen)) + tokens)


def main() -> None:
    """Runs the systems in turn and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="rows with prompts")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--each", type=int, default=8, help="answers to each prompt")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64], help="of Transformers")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with endless("smollm2") as folder:
        policy = Policy.load(folder)
    for length, tokens in ((125, 45), (25, 128)):
        prompts = policy.encode_prompts(
            prompts_of(arguments.data, policy, length, arguments.prompts), max_new_tokens=tokens
        )
        count = len(prompts) * arguments.each * tokens
        sampling = Sampling(max_new_tokens=tokens)
        systems: dict[str, Callable[[], object]] = {
            "guerdon": lambda p=prompts, s=sampling: policy.sample_tokens(p, arguments.each, s, torch.Generator()),
        }
        for batch in arguments.batches:
            systems[f"generate, batch {batch}"] = lambda p=prompts, t=tokens, b=batch: hf_generate(
                policy, p, arguments.each, t, b
            )
        with torch.inference_mode():
            seconds, _ = in_turn(systems, arguments.repeats)
        rates = {name: [count / one for one in own] for name, own in seconds.items()}
        medians = {name: statistics.median(values) for name, values in rates.items()}
        mean = sum(map(len, prompts)) / len(prompts)
        print(f"prompts of {mean:.0f} tokens, {len(prompts)} x {arguments.each} answers of {tokens}")
        for name, value in medians.items():
            print(f"  {name:20s} {value:7.1f} tokens/s  (least {min(rates[name]):.1f}, most {max(rates[name]):.1f})")
        best = max(value for name, value in medians.items() if name != "guerdon")
        print(f"  guerdon / generate at its best: {medians['guerdon'] / best:.2f}x  (target 1.3x)", flush=True)


if __name__ == "__main__":
    main()
