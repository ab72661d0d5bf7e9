"""Generation speed, in tokens/s, against Transformers at its best.

That is `generate` over batch sizes, and on a GPU also with a static compiled cache, and continuous batching.
SmolLM2-135M-Instruct, the same prompts and the same lengths (answers never end by themselves), temperature 1, float32
on the CPU, bfloat16 on a GPU, where kernels are compiled and captured in a run that is not timed. The systems run in
turn, several times; medians are compared. The share of the matmul peak counts 2 operations a weight of layers and
output layer for each token of an answer, and 2 a weight of the layers for each token of a prompt, once a prompt.

    python benchmarks/generate.py --data DIALOGUES.jsonl.gz
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig

from device_facts import add_result_option, layer_parameters, peaks, summary, usual_dtype, write_result
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from workloads import endless, in_turn, prompts_of

logger = logging.getLogger(__name__)


def guerdon_sampling(policy: Policy, prompts: list[list[int]], each: int, tokens: int) -> None:
    """All answers side by side."""
    policy.sample_tokens(prompts, each, Sampling(max_new_tokens=tokens), torch.Generator())


def hf_generate(
    policy: Policy, prompts: list[list[int]], each: int, tokens: int, batch: int, cache: str | None = None
) -> None:
    """Transformers' own sampling, `batch` answers side by side."""
    wide = max(1, batch // each)
    for start in range(0, len(prompts), wide):
        chosen = prompts[start : start + wide]
        padded = policy.tokenizer.pad({"input_ids": chosen}, padding_side="left", return_tensors="pt")
        output = policy.model.generate(
            **padded.to(policy.model.device),
            do_sample=True,
            top_k=0,
            max_new_tokens=tokens,
            num_return_sequences=each,
            cache_implementation=cache,
        )
        assert output.cpu().shape == (len(chosen) * each, max(map(len, chosen)) + tokens)


def hf_continuous(policy: Policy, prompts: list[list[int]], each: int, tokens: int) -> None:
    """Transformers' continuous batching, with graphs that are kept from call to call."""
    config = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        num_return_sequences=each,
        eos_token_id=policy.model.generation_config.eos_token_id,
        pad_token_id=policy.model.generation_config.pad_token_id,
    )
    found = policy.model.generate_batch(prompts, generation_config=config, persistent_manager=True)
    assert [len(one.generated_tokens) for one in found.values()] == [tokens] * (len(prompts) * each)


def systems_of(
    folder: str, prompts: list[list[int]], each: int, tokens: int, batches: list[int]
) -> dict[str, Callable[[], object]]:
    """What is compared on this machine, by name; each has been run once, and those that cannot run are left out."""
    policy = Policy.load(folder)
    systems: dict[str, Callable[[], object]] = {"guerdon": partial(guerdon_sampling, policy, prompts, each, tokens)}
    for batch in batches:
        systems[f"generate, batch {batch}"] = partial(hf_generate, policy, prompts, each, tokens, batch)
    if policy.model.device.type == "cuda":
        compiled = Policy(policy.model, policy.tokenizer)
        compiled.expect_steps(1_000_000)
        systems["guerdon, compiled"] = partial(guerdon_sampling, compiled, prompts, each, tokens)
        own = Policy.load(folder)  # a static cache and continuous batching change the model that they run
        for batch in batches[-2:]:
            name = f"generate, static cache, batch {batch}"
            systems[name] = partial(hf_generate, own, prompts, each, tokens, batch, "static")
        paged = Policy.load(folder)
        systems["generate_batch (continuous)"] = partial(hf_continuous, paged, prompts, each, tokens)
        for name, run in list(systems.items()):
            try:
                run()
            except Exception:
                if name.startswith("guerdon"):
                    raise
                logger.exception("%s does not run here", name)
                del systems[name]
    return systems


def main() -> None:
    """Runs the systems in turn and prints medians and ratios."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="rows with prompts")
    parser.add_argument("--prompts", type=int, default=32 if cuda else 8)
    parser.add_argument("--each", type=int, default=8, help="answers to each prompt")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[64, 128, 256] if cuda else [16, 32, 64], help="of Transformers"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workloads", nargs="+", default=["125/45", "25/128"], help="tokens of prompt / answer")
    add_result_option(parser)
    arguments = parser.parse_args()
    peak, results = peaks(), dict[str, Any]()
    with endless("smollm2") as folder:
        tokenizing = Policy.load(folder, device="cpu")
        for length, tokens in (map(int, workload.split("/")) for workload in arguments.workloads):
            texts = prompts_of(arguments.data, tokenizing, length, arguments.prompts)
            prompts = tokenizing.encode_prompts(texts, max_new_tokens=tokens)
            count = len(prompts) * arguments.each * tokens
            systems = systems_of(folder, prompts, arguments.each, tokens, sorted(arguments.batches))
            seconds, _ = in_turn(systems, arguments.repeats)
            work = tflop_per_token(tokenizing, prompts, arguments.each, tokens)
            best = peak[str(usual_dtype()).removeprefix("torch.")]
            results[f"{length}/{tokens}"] = found = {
                name: summary([count / one for one in own], work_tflop=work, peak_tflops=best)
                for name, own in seconds.items()
            }
            mean = sum(map(len, prompts)) / len(prompts)
            print(f"prompts of {mean:.0f} tokens, {len(prompts)} x {arguments.each} answers of {tokens}")
            report(found)
            write_result(arguments, results, peak)


def tflop_per_token(policy: Policy, prompts: list[list[int]], each: int, tokens: int) -> float:
    """10^12 operations of a token of an answer, and of its share of the prompts."""
    layers, head = layer_parameters(policy.model), policy.model.get_output_embeddings().weight.numel()
    of_prompts = 2 * layers * sum(map(len, prompts)) / (len(prompts) * each * tokens)
    return float(2 * (layers + head) + of_prompts) / 1e12


def report(found: dict[str, Any]) -> None:
    """Prints one workload: tokens/s of each system."""
    for name, one in found.items():
        spread = f"(least {one['least']:.1f}, most {one['most']:.1f})"
        print(f"  {name:36s} {one['median']:8.1f} tokens/s  {spread}  {one['share_of_peak']:.1%} of the matmul peak")
    best = max(one["median"] for name, one in found.items() if not name.startswith("guerdon"))
    for name, one in found.items():
        if name.startswith("guerdon"):
            print(f"  {name} / Transformers at its best: {one['median'] / best:.2f}x", flush=True)


if __name__ == "__main__":
    main()
