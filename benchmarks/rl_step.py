"""One full step of RL (generate, score, update), in samples/s, against TRL's GRPOTrainer.

SmolLM2-135M-Instruct with LoRA on all linear layers (rank 16), GRPO with beta 0.04, groups of 8, the same prompts, the
same answer lengths (answers never end by themselves), the same MiniLM reward on both sides, float32 on the CPU,
bfloat16 products on a GPU, where TRL's weights are in bfloat16 too. TRL runs with the micro-batch, and on a GPU the way
to generate, that prove fastest. The systems run in turn, several times; medians are compared. The first step of each is
left out. The share of the matmul peak counts 8 operations a weight of the layers for each token of an answer: 2 to
sample it, 2 for the reference, 4 for the update, in which the frozen weights have no gradient.

    python benchmarks/rl_step.py --data DIALOGUES.jsonl.gz
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from typing import Any

import torch

from device_facts import add_result_option, layer_parameters, peaks, summary, usual_dtype, write_result
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.rl_run import train_rl_policy
from guerdon.policy.model import Policy
from guerdon.rewards.adapters import trl_reward
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Candidates, Scorer
from workloads import endless, prompts_of

logger = logging.getLogger(__name__)

GROUP = 8
PHASES = ("sampling", "environment", "learning")
GENERATION: dict[str, dict[str, Any]] = {
    "generate": {},
    "static": {"cache_implementation": "static"},
    "continuous": {"use_transformers_continuous_batching": True},
    "vllm": {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3},
}
"""Ways of TRL to generate: names of this benchmark -> options of TRL."""


def guerdon_seconds(folder: str, prompts: list[str], tokens: int, scorer: Scorer, steps: int) -> list[dict[str, float]]:
    """Of each step but the first: seconds in all, and of each phase."""
    settings = RLConfig(
        policy=folder, num_generations=GROUP, prompts_per_step=len(prompts), epochs=steps + 1,
        max_new_tokens=tokens, beta=0.04, learning_rate=1e-5,
    )  # fmt: skip
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as out:
        rows = [Candidates(prompt=prompt) for prompt in prompts]
        train_rl_policy(scorer, rows, out, settings, on_step=found.append)
    names = {"all": "seconds"} | {phase: f"seconds_{phase}" for phase in PHASES}
    return [{name: step[metric] for name, metric in names.items()} for step in found[1:]]


def trl_seconds(
    folder: str, prompts: list[str], tokens: int, scorer: Scorer, steps: int, micro_batch: int, generation: str
) -> list[float]:
    """Of each step but the first."""
    cuda = torch.cuda.is_available()
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        """Notes when steps end."""

        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: object, **__: object) -> None:
            self.ends.append(time.perf_counter())

    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        trainer = GRPOTrainer(
            model=folder,
            reward_funcs=[trl_reward(scorer)],
            args=GRPOConfig(
                out,
                per_device_train_batch_size=micro_batch,
                gradient_accumulation_steps=len(prompts) * GROUP // micro_batch,
                num_generations=GROUP,
                max_completion_length=tokens,
                max_steps=steps + 1,
                beta=0.04,
                learning_rate=1e-5,
                temperature=1.0,
                gradient_checkpointing=False,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=not cuda,
                bf16=cuda,
                model_init_kwargs={"dtype": "bfloat16" if cuda else "float32"},
                shuffle_dataset=False,
                **GENERATION[generation],
            ),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
            train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in prompts]),
            callbacks=[clock],
        )
        trainer.train()
        logged = [line for line in trainer.state.log_history if "completions/mean_length" in line]
        assert all(line["completions/mean_length"] == tokens for line in logged), "answers of other lengths"
    return [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)]


def main() -> None:
    """Runs the systems in turn and prints medians, ratios and the share of each phase."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="rows with prompts")
    parser.add_argument("--responses", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3 if cuda else 1, help="timed steps of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[16, 64] if cuda else [2, 4, 8], help="of TRL")
    parser.add_argument(
        "--generation", nargs="+", choices=GENERATION, default=["generate", "static"] if cuda else ["generate"],
        help="of TRL; those that do not run here are left out",
    )  # fmt: skip
    parser.add_argument("--workloads", nargs="+", default=["125/45", "25/128"], help="tokens of prompt / answer")
    add_result_option(parser)
    arguments = parser.parse_args()
    peak, results = peaks(), dict[str, Any]()
    scorer = TransformerReward.create("minilm", overlong="cut")
    with endless("smollm2") as folder:
        policy = Policy.load(folder, device="cpu")
        for length, tokens in (map(int, workload.split("/")) for workload in arguments.workloads):
            prompts = prompts_of(arguments.data, policy, length, arguments.responses // GROUP)
            own: list[dict[str, float]] = []
            ways = [(micro, way) for way in arguments.generation for micro in arguments.micro_batches]
            theirs: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
            for _ in range(arguments.repeats):
                own += guerdon_seconds(folder, prompts, tokens, scorer, arguments.steps)
                for way in list(theirs):
                    try:
                        theirs[way] += trl_seconds(folder, prompts, tokens, scorer, arguments.steps, *way)
                    except Exception:
                        logger.exception("TRL does not run with %s", way)
                        del theirs[way]
            report(length, tokens, arguments.responses, own, theirs)
            work = 8e-12 * layer_parameters(policy.model) * tokens
            results[f"{length}/{tokens}"] = result_of(own, theirs, arguments.responses, work, peak)
            write_result(arguments, results, peak)


def result_of(
    own: list[dict[str, float]],
    theirs: dict[tuple[int, str], list[float]],
    responses: int,
    work: float,
    peak: dict[str, float],
) -> dict[str, Any]:
    """Samples/s of each system, with the share of the peak: `work` is the 10^12 operations of a sample."""
    seconds = {"guerdon": [step["all"] for step in own]}
    seconds |= {f"TRL, micro-batch {micro}, {way}": found for (micro, way), found in theirs.items()}
    best = peak[str(usual_dtype()).removeprefix("torch.")]
    found = {
        name: summary([responses / one for one in runs], work_tflop=work, peak_tflops=best)
        for name, runs in seconds.items()
    }
    found["guerdon"]["phases"] = own
    return found


def report(
    length: int,
    tokens: int,
    responses: int,
    own: list[dict[str, float]],
    theirs: dict[tuple[int, str], list[float]],
) -> None:
    """Prints one workload."""
    mine = statistics.median(step["all"] for step in own)
    print(f"prompts of about {length} tokens, {responses} answers of {tokens}, groups of {GROUP}")
    print(f"  guerdon                 {responses / mine:6.2f} samples/s  ({mine:.1f} s a step)")
    rest = statistics.median(1 - sum(step[phase] for phase in PHASES) / step["all"] for step in own)
    for phase in PHASES:
        share = statistics.median(step[phase] / step["all"] for step in own)
        print(f"    {phase:11s} {share:6.1%}")
    print(f"    the rest    {rest:6.1%}  (target under 5%)")
    for (micro, way), seconds in theirs.items():
        median = statistics.median(seconds)
        print(f"  TRL, micro-batch {micro}, {way}: {responses / median:6.2f} samples/s  ({median:.1f} s a step)")
    if theirs:
        best = min(statistics.median(seconds) for seconds in theirs.values())
        print(f"  guerdon / TRL at its fastest: {best / mine:.2f}x", flush=True)


if __name__ == "__main__":
    main()
