"""Training speed of a decoder reward model, in pairs/s, against TRL's `RewardTrainer`.

Same model, same real dialogues, same pairs in an optimiser step, float32 on the CPU (bf16 on a GPU, both sides). Each
system runs the same number of steps in turn, several times; medians are compared. TRL runs at its defaults
(random micro-batches of eight pairs, activations recomputed) and at its fastest setting (micro-batches grouped by
length, nothing recomputed, in the size that proves fastest; larger ones are slower still on a CPU). Losses and scores
are the same mathematics: tests/test_losses.py and tests/rewards/test_transformer.py hold that.

    python benchmarks/train_decoder.py --data DIALOGUES.jsonl.gz
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from guerdon.data.read import load_rows
from guerdon.models import resolve
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import prepare, training_loop
from guerdon.types import Comparison, Message, Row


def messages(row: Row) -> list[dict[str, str]]:
    """The prompt as TRL takes it."""
    turns = (Message("user", row.prompt),) if isinstance(row.prompt, str) else row.prompt
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def guerdon_rate(rows: list[Comparison], arguments: argparse.Namespace) -> float:
    """Pairs/s of `guerdon train`, optimiser included."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            backbone=arguments.model,
            epochs=1,
            batch_size=arguments.batch_size,
            max_length=arguments.max_length,
            overlong="cut",
            validation=0,
        )
        prepared, reward = prepare(rows, (), config)
        loop, steps, _ = training_loop(prepared, 0, reward, Path(folder))
        count = len(prepared.plans[0])
        return timed(lambda: [loop.update(steps(number)) for number in range(count)], count * arguments.batch_size)


def trl_rate(rows: list[Comparison], arguments: argparse.Namespace, *, micro_batch: int, grouped: bool) -> float:
    """Pairs/s of TRL's RewardTrainer, optimiser included."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    path = resolve(arguments.model)
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
    with tempfile.TemporaryDirectory() as folder:
        config = RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=arguments.batch_size // micro_batch,
            num_train_epochs=1,
            max_length=arguments.max_length,
            **({"gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"} if grouped else {}),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            bf16=torch.cuda.is_available(),
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = RewardTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
        if grouped:
            lengths = [max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in trainer.train_dataset]
            trainer.train_dataset = trainer.train_dataset.add_column("length", lengths)
            trainer._set_signature_columns_if_needed()
            trainer._signature_columns.append("length")  # else it is taken away before the sampler sees it
        return timed(trainer.train, len(trainer.train_dataset))


def timed(train: Callable[[], object], pairs: int) -> float:
    """Pairs/s of a training run."""
    start = time.perf_counter()
    train()
    return pairs / (time.perf_counter() - start)


def main() -> None:
    """Runs the systems in turn and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="comparisons")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--pairs", type=int, default=32, help="pairs of one timed run")
    parser.add_argument("--batch-size", type=int, default=32, help="a multiple of 8")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows = [row for row in load_rows(arguments.data) if isinstance(row, Comparison)]
    rows = random.Random(0).sample(rows, arguments.pairs)
    systems: dict[str, Callable[[], float]] = {
        "guerdon": lambda: guerdon_rate(rows, arguments),
        "TRL, defaults": lambda: trl_rate(rows, arguments, micro_batch=8, grouped=False),
        "TRL, grouped, micro-batch 2": lambda: trl_rate(rows, arguments, micro_batch=2, grouped=True),
        "TRL, grouped, micro-batch 1": lambda: trl_rate(rows, arguments, micro_batch=1, grouped=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(arguments.repeats):
        for name, run in systems.items():
            rates[name].append(run())
            print(f"  {name}: {rates[name][-1]:.3f} pairs/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(value for name, value in medians.items() if name != "guerdon")
    for name, value in medians.items():
        print(f"{name:30s} {value:7.3f} pairs/s  (min {min(rates[name]):.3f}, max {max(rates[name]):.3f})")
    print(f"guerdon / TRL at defaults:  {medians['guerdon'] / medians['TRL, defaults']:.2f}x  (target 3x)")
    print(f"guerdon / TRL at its best:  {medians['guerdon'] / best:.2f}x  (target 1.5x)")


if __name__ == "__main__":
    main()
