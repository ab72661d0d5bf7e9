"""Training speed of a decoder reward model, in pairs/s, against TRL's `RewardTrainer`.

Same model, same real dialogues, same pairs in an optimiser step; float32 on a CPU, on a GPU float32 weights and bf16
products on both sides. Each system passes over all pairs, in turn, several times; medians are compared. On a GPU a
pass before it, which is not timed, warms every run up. TRL runs at its defaults (random micro-batches of eight pairs,
activations recomputed) and at its fastest setting: micro-batches grouped by length, nothing recomputed, in the size
that proves fastest. Losses and scores are the same mathematics: tests/test_losses.py and
tests/rewards/test_transformer.py hold that.

Utilisation is 6 x parameters of the layers x tokens computed, padding left out, over the measured matmul peak. A prompt
that Guerdon computes once for both responses counts once.

    python benchmarks/train_decoder.py --data DIALOGUES.jsonl.gz
    python benchmarks/train_decoder.py --data DIALOGUES.jsonl.gz --pairs 512 --json smollm2.json         on a GPU
    python benchmarks/train_decoder.py --data DIALOGUES.jsonl.gz --pairs 512 --model Llama-3.2-1B        random weights
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from device_facts import add_result_option, layer_parameters, peaks, summary, synchronize, write_result
from guerdon.data.read import load_rows
from guerdon.hf import quiet
from guerdon.models import resolve
from guerdon.runs.loop import Step
from guerdon.train.batch_choice import computing_rows
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import prepare, training_loop
from guerdon.types import Comparison, Message, Row
from memory import SHAPES, classifier


def messages(row: Row) -> list[dict[str, str]]:
    """The prompt as TRL takes it."""
    turns = (Message("user", row.prompt),) if isinstance(row.prompt, str) else row.prompt
    return [{"role": turn.role, "content": turn.content} for turn in turns]


@contextlib.contextmanager
def backbone(name: str) -> Iterator[str]:
    """The model; of a shape of benchmarks/memory.py one with random weights and SmolLM2's tokenizer."""
    if name not in SHAPES:
        yield resolve(name)
        return
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder, quiet():
        torch.manual_seed(0)
        model: Any = classifier(SHAPES[name], "all weights")
        model.bfloat16().save_pretrained(folder)
        AutoTokenizer.from_pretrained(resolve("smollm2")).save_pretrained(folder)
        yield folder


def guerdon_run(rows: list[Comparison], path: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Pairs/s of `guerdon train`, optimiser included; tokens a pair; and the parameters of the layers."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            backbone=path,
            epochs=1 + arguments.warm_up,
            batch_size=arguments.batch_size,
            max_length=arguments.max_length,
            overlong="cut",
            validation=0,
        )
        prepared, reward = prepare(rows, (), config)
        loop, steps, _ = training_loop(prepared, 0, reward, Path(folder))
        count = len(rows) // arguments.batch_size
        done: list[Step] = []

        def take(first: int) -> None:
            for number in range(first, first + count):
                done.append(steps(number))
                loop.update(done[-1])

        with computing_rows(loop, reward.net):
            for epoch in range(arguments.warm_up):
                take(epoch * count)
            done.clear()
            rate = timed(lambda: take(arguments.warm_up * count), len(rows))
        return {
            "rate": rate,
            "tokens": sum(map(real_tokens, done)) / len(rows),
            "parameters": layer_parameters(reward.net.classifier),
        }


def real_tokens(step: Step) -> int:
    """The tokens that a step computes, padding left out."""
    counts = []
    for batch, _ in step.micro_batches:
        if "segments" in batch:
            counts.append(int((batch["segments"] >= 0).sum()))
        else:  # packed rows have no mask, and no padding
            counts.append(int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum()))
    return sum(counts)


def trl_run(
    rows: list[Comparison], path: str, arguments: argparse.Namespace, *, micro_batch: int, grouped: bool
) -> dict[str, float]:
    """The same of TRL's RewardTrainer."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    data = Dataset.from_list(
        [
            {
                "prompt": messages(row),
                "chosen": [{"role": "assistant", "content": row.chosen}],
                "rejected": [{"role": "assistant", "content": row.rejected}],
            }
            for row in rows
        ]
    )
    started = []

    class Clock(TrainerCallback):
        """Notes when each pass over the pairs begins."""

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            synchronize()
            started.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        config = RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=arguments.batch_size // micro_batch,
            num_train_epochs=1 + arguments.warm_up,
            max_length=arguments.max_length,
            **({"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"} if grouped else {}),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            bf16=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = RewardTrainer(
            model=model, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Clock()]
        )
        lengths = [(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in trainer.train_dataset]
        if grouped:
            trainer.train_dataset = trainer.train_dataset.add_column("length", list(map(max, lengths)))
            trainer._set_signature_columns_if_needed()
            trainer._signature_columns.append("length")  # else it is taken away before the sampler sees it
        trainer.train()
        synchronize()
        seconds = time.perf_counter() - started[-1]
    return {
        "rate": len(lengths) / seconds,
        "tokens": sum(map(sum, lengths)) / len(lengths),
        "parameters": layer_parameters(model),
    }


def timed(train: Callable[[], object], pairs: int) -> float:
    """Pairs/s of a training run."""
    synchronize()
    start = time.perf_counter()
    train()
    synchronize()
    return pairs / (time.perf_counter() - start)


def results(runs: dict[str, list[dict[str, float]]], peak: float) -> dict[str, Any]:
    """What each system reached, in pairs/s, and the share of the peak in TFLOP/s."""
    found = {}
    for name, own in runs.items():
        tflop = 6e-12 * own[0]["parameters"] * own[0]["tokens"]
        rates = [run["rate"] for run in own]
        found[name] = summary(rates, work_tflop=tflop, peak_tflops=peak) | {"tokens_a_pair": own[0]["tokens"]}
    return found


def systems_of(
    rows: list[Comparison], path: str, arguments: argparse.Namespace
) -> dict[str, Callable[[], dict[str, float]]]:
    """What is compared, by name."""
    found: dict[str, Callable[[], dict[str, float]]] = {
        "guerdon": lambda: guerdon_run(rows, path, arguments),
        "TRL, defaults": lambda: trl_run(rows, path, arguments, micro_batch=8, grouped=False),
    }
    for size in (size for size in arguments.micro_batches if size <= arguments.batch_size):
        found[f"TRL, grouped, micro-batch {size}"] = lambda size=size: trl_run(  # type: ignore[misc]
            rows, path, arguments, micro_batch=size, grouped=True
        )
    return found


def report(found: dict[str, Any]) -> None:
    """Prints the medians and the ratios."""
    for name, one in found.items():
        spread = f"(min {one['least']:.3f}, max {one['most']:.3f})"
        print(f"{name:30s} {one['median']:8.3f} pairs/s  {spread}  {one['share_of_peak']:.1%} of the matmul peak")
    others = {name: one["median"] for name, one in found.items() if name != "guerdon"}
    if "guerdon" in found and others:
        own = found["guerdon"]["median"]
        print(f"guerdon / TRL at defaults:  {own / others['TRL, defaults']:.2f}x")
        print(f"guerdon / TRL at its best:  {own / max(others.values()):.2f}x")


def main(options: Sequence[str] | None = None) -> None:
    """Runs the systems in turn, and prints and writes what they reach."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="comparisons")
    parser.add_argument("--model", default="smollm2", help=f"a model, or a shape: {', '.join(SHAPES)}")
    parser.add_argument("--pairs", type=int, default=512 if gpu else 32, help="pairs of a pass, a multiple of a step's")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs of a step, a multiple of 8")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=int(gpu), help="passes before the one that is timed")
    parser.add_argument("--micro-batches", type=int, nargs="*", default=[8, 16, 32] if gpu else [2, 1], help="of TRL")
    add_result_option(parser)
    arguments = parser.parse_args(options)
    if arguments.pairs % arguments.batch_size or arguments.batch_size % 8:
        parser.error(f"{arguments.pairs} pairs are no whole steps of {arguments.batch_size}, or these no multiple of 8")
    logging.basicConfig(format="  %(message)s")
    logging.getLogger("guerdon.train.batch_choice").setLevel(logging.INFO)  # which layout is taken
    rows = [row for row in load_rows(arguments.data) if isinstance(row, Comparison)]
    rows = random.Random(0).sample(rows, arguments.pairs)
    peak = peaks()
    runs: dict[str, list[dict[str, float]]] = {}
    with backbone(arguments.model) as path:
        systems = systems_of(rows, path, arguments)
        for _ in range(arguments.repeats):
            for name, run in systems.items():
                runs.setdefault(name, []).append(run())
                print(f"  {name}: {runs[name][-1]['rate']:.3f} pairs/s", flush=True)
                write_result(arguments, results(runs, peak["bfloat16" if gpu else "float32"]), peak)
    report(results(runs, peak["bfloat16" if gpu else "float32"]))


if __name__ == "__main__":
    main()
