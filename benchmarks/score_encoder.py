"""Scoring speed of an encoder reward model, in texts/s, against `CrossEncoder.predict` and the HF pipeline.

One MiniLM reward model with its native classification path, saved once and loaded by all; the same (prompt, response)
texts in the same order, on whatever device there is, like for like in float32 and on a GPU in bfloat16 too. The systems
run in turn, several times after a pass that is not timed; medians are compared, `CrossEncoder` at the batch size that
proves best, and the scores must be equal. The pipeline runs on a CPU alone: it is slower than `CrossEncoder` on a GPU.

The work has two parts: tokenizing, and the model on batches that lie on the device. Each is timed alone; done side by
side, the whole takes little longer than the longer one. The share of the matmul peak counts the products of every layer
on real tokens: padding is not work, and what Guerdon leaves out of the last layer counts as done.

    python benchmarks/score_encoder.py --data COMPARISONS.jsonl.gz
    python benchmarks/score_encoder.py --data COMPARISONS.jsonl.gz --budgets 16384 65536 262144      on a GPU
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # all cores, for every system alike

import numpy as np
import torch

from device_facts import add_result_option, device_name, peaks, summary, synchronize, write_result
from guerdon import packing
from guerdon.collation import Batch
from guerdon.cpu import map_on_cores
from guerdon.data.read import load_rows
from guerdon.rewards.reward_net import takes_positions
from guerdon.rewards.streaming import moved
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison, prompt_text
from workloads import in_turn

GUERDON, TOKENIZER, MODEL = "guerdon", "tokenizing alone", "model alone"

Texts = Sequence[tuple[str, str]]
"""Prompts with a response each."""


def flops(model: TransformerReward, lengths: Sequence[int]) -> float:
    """Floating-point operations of the matrix products of one pass: 2 a weight and token, and attention's 4 L^2 H."""
    config = model.net.classifier.config
    hidden, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * hidden * hidden + 2 * hidden * config.intermediate_size)
    return float(sum(2 * weights * n + layers * 4 * n * n * hidden for n in lengths))


def batches_of(reward: TransformerReward, texts: Texts) -> list[Batch]:
    """All texts as batches on the device, each in the order and of the size in which they are scored."""
    prompts, responses = [prompt for prompt, _ in texts], [response for _, response in texts]
    tokens = reward.encode(prompts, responses).tokens
    cut = packing.batches(
        tokens,
        range(len(tokens)),
        prompts,
        budget=reward.tokens_per_batch,
        pad_id=reward.contract.pad_token_id,
        shared=reward.shares,
        positions=takes_positions(reward.net.classifier),
    )
    return [moved(batch, reward.device) for _, batch in cut]


def model_alone(reward: TransformerReward, batches: Sequence[Batch]) -> None:
    """The passes of the network, and nothing else."""

    def read(batch: Batch) -> None:
        with torch.inference_mode():
            reward.net(**batch)

    reward.net.eval()
    for _ in (map_on_cores if reward.device.type == "cpu" else map)(read, batches):
        pass
    synchronize()


def crossed(cross: Any, batch: int, texts: Texts) -> np.ndarray:
    """The scores of `CrossEncoder`."""
    return np.asarray(cross.predict(list(texts), batch_size=batch, show_progress_bar=False), dtype=np.float32)


def piped(classify: Any, batch: int, texts: Texts) -> np.ndarray:
    """The scores of the pipeline."""
    pairs = [{"text": prompt, "text_pair": response} for prompt, response in texts]
    results = classify(pairs, batch_size=batch, truncation="longest_first", max_length=512)
    return np.array([result["score"] for result in results], dtype=np.float32)


def systems_of(
    folder: str, reward: TransformerReward, dtype: torch.dtype, batches: Sequence[int]
) -> dict[str, Callable[[Texts], np.ndarray]]:
    """What scores texts, by name."""
    from sentence_transformers import CrossEncoder
    from transformers import pipeline

    device = device_name()
    cross = CrossEncoder(folder, device=device, activation_fn=torch.nn.Identity(), model_kwargs={"dtype": dtype})
    found: dict[str, Callable[[Texts], np.ndarray]] = {
        GUERDON: lambda texts: reward.score([prompt for prompt, _ in texts], [response for _, response in texts]),
        **{f"CrossEncoder, batch {batch}": partial(crossed, cross, batch) for batch in batches},
    }
    if device == "cpu":
        classify = pipeline("text-classification", model=folder, function_to_apply="none", device=device)
        found |= {f"HF pipeline, batch {batch}": partial(piped, classify, batch) for batch in (1, 32)}
    return found


def measured(
    reward: TransformerReward, systems: Mapping[str, Callable[[Texts], Any]], texts: Texts, repeats: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """The seconds of each run of each system and of the parts of the work, and the scores."""
    prompts, responses = [prompt for prompt, _ in texts], [response for _, response in texts]
    laid = batches_of(reward, texts)
    runs: dict[str, Callable[[], Any]] = {
        **{name: partial(run, texts) for name, run in systems.items()},
        TOKENIZER: lambda: reward.encode(prompts, responses),
        MODEL: lambda: model_alone(reward, laid),
    }
    warm = texts if reward.device.type == "cuda" else texts[:32]
    for run in systems.values():
        run(warm)
    model_alone(reward, laid[:4])
    return in_turn(runs, repeats)


def result_of(
    seconds: Mapping[str, Sequence[float]], scores: Mapping[str, Any], whole: np.ndarray, work: float, peak: float
) -> dict[str, Any]:
    """Texts/s of every system, and what is asked of Guerdon.

    Args:
        seconds: of each run of each system and of the parts.
        scores: of each system.
        whole: which texts nobody cuts, shape (n,): the libraries cut long ones in different places.
        work: floating-point operations of all texts.
        peak: the matmul peak, in 10^12 operations a second.
    """
    count, middle = len(whole), {name: statistics.median(runs) for name, runs in seconds.items()}
    found: dict[str, Any] = {}
    for name, runs in seconds.items():
        rates = [count / one for one in runs]
        found[name] = summary(rates, work_tflop=work / count / 1e12, peak_tflops=peak)
        if name in scores and name not in (TOKENIZER, MODEL):
            found[name]["largest_difference"] = float(np.abs(scores[name] - scores[GUERDON])[whole].max(initial=0.0))
    own = middle[GUERDON]
    peers = {name: value for name, value in middle.items() if name not in (GUERDON, TOKENIZER, MODEL)}
    best = min(peers, key=peers.__getitem__)
    return {
        "systems": found,
        "best_peer": best,
        "over_best_peer": peers[best] / own,
        "over_longer_part": own / max(middle[TOKENIZER], middle[MODEL]),
    }


def show(title: str, result: Mapping[str, Any]) -> None:
    """Prints what was measured in one type."""
    print(title)
    for name, one in result["systems"].items():
        gap = f"  largest score difference {one['largest_difference']:.1e}" if "largest_difference" in one else ""
        share = "" if name == TOKENIZER else f"  {one['share_of_peak']:6.1%} of the peak"
        print(f"  {name:26s} {one['median']:9.1f} texts/s{share}{gap}")
    print(f"  guerdon / {result['best_peer']}: {result['over_best_peer']:.2f}x")
    print(f"  time / longer of tokenizing and model alone: {result['over_longer_part']:.2f}")


def main() -> None:
    """Measures every type and budget, prints medians and ratios, and writes them."""
    gpu = device_name() == "cuda"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="comparisons")
    parser.add_argument("--texts", type=int, default=3400 if gpu else 512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"] if gpu else ["float32"])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 256, 512, 1024] if gpu else [8, 32])
    parser.add_argument("--budgets", type=int, nargs="+", default=[0], help="padded tokens a batch; 0: as it is scored")
    add_result_option(parser)
    arguments = parser.parse_args()
    rows = [row for row in load_rows(arguments.data) if isinstance(row, Comparison)]
    every = dict.fromkeys((prompt_text(row.prompt), text) for row in rows for text in (row.chosen, row.rejected))
    texts, top, results = list(every)[: arguments.texts], peaks(), {}
    with tempfile.TemporaryDirectory() as folder:
        TransformerReward.create("minilm", pooling="native", overlong="cut").save(folder)
        for dtype in arguments.dtypes:
            reward = TransformerReward.load(folder, device=device_name(), dtype=dtype, overlong="cut")
            usual = reward.tokens_per_batch
            lengths = [len(one) for one in reward.encode([prompt for prompt, _ in texts], [r for _, r in texts]).tokens]
            whole = np.array(lengths) < reward.contract.max_length
            systems = systems_of(folder, reward, getattr(torch, dtype), arguments.batches)
            for budget in arguments.budgets:
                reward.tokens_per_batch = budget or usual
                seconds, scores = measured(reward, systems, texts, arguments.repeats)
                result = result_of(seconds, scores, whole, flops(reward, lengths), top[dtype])
                title = f"{dtype}, {reward.tokens_per_batch} tokens a batch"
                results[title] = result
                show(f"{title}: {len(texts)} texts, {np.mean(lengths):.0f} tokens on average", result)
    parallel = os.environ["TOKENIZERS_PARALLELISM"]
    write_result(arguments, {"texts": len(texts), "tokenizers_parallelism": parallel, **results}, top)


if __name__ == "__main__":
    main()
