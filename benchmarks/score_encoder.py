"""Scoring speed of an encoder reward model, in texts/s, against the HF pipeline and `CrossEncoder.predict`.

One MiniLM reward model with its native classification path, saved once and loaded by all three; the same (prompt,
response) texts in the same order; float32 on the CPU. The systems run in turn, several times; medians are compared, and
the scores must be equal. The share of the machine's matmul peak counts the products of every layer on real tokens:
padding is not work, and what guerdon leaves out of the last layer counts as done.

    python benchmarks/score_encoder.py --data COMPARISONS.jsonl.gz
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

from guerdon.data.read import load_rows
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison, prompt_text
from workloads import in_turn


def matmul_peak(repeats: int = 5) -> float:
    """GFLOP/s of the best of several float32 1024-cubed products."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        best = max(best, 10 * 2 * 1024**3 / (time.perf_counter() - start) / 1e9)
    return best


def flops(model: TransformerReward, lengths: list[int]) -> float:
    """Floating-point operations of the matrix products of one pass: 2 a weight and token, and attention's 4 L^2 H."""
    config = model.net.classifier.config
    hidden, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * hidden * hidden + 2 * hidden * config.intermediate_size)
    return float(sum(2 * weights * n + layers * 4 * n * n * hidden for n in lengths))


def main() -> None:
    """Runs the systems in turn and prints medians, ratios and the share of the peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="starter", help="comparisons")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows = [row for row in load_rows(arguments.data) if isinstance(row, Comparison)]
    texts = list(dict.fromkeys((prompt_text(row.prompt), text) for row in rows for text in (row.chosen, row.rejected)))
    texts = texts[: arguments.texts]
    prompts, responses = [p for p, _ in texts], [r for _, r in texts]

    from sentence_transformers import CrossEncoder
    from transformers import pipeline

    with tempfile.TemporaryDirectory() as folder:
        made = TransformerReward.create("minilm", pooling="native", overlong="cut")
        made.save(folder)
        reward = TransformerReward.load(folder, device="cpu", overlong="cut")
        lengths = [len(tokens) for tokens in reward.encode(prompts, responses).tokens]
        classify = pipeline("text-classification", model=folder, function_to_apply="none", device="cpu")
        cross = CrossEncoder(folder, device="cpu", activation_fn=torch.nn.Identity())
        pairs = [{"text": p, "text_pair": r} for p, r in texts]

        def piped(batch: int) -> np.ndarray:
            results = classify(pairs, batch_size=batch, truncation="longest_first", max_length=512)
            return np.array([result["score"] for result in results])

        systems: dict[str, Callable[[], np.ndarray]] = {
            "guerdon": lambda: reward.score(prompts, responses),
            "HF pipeline, batch 1": lambda: piped(1),
            "HF pipeline, batch 32": lambda: piped(32),
            "CrossEncoder.predict": lambda: np.asarray(cross.predict(texts, show_progress_bar=False)),
        }
        seconds, scores = in_turn(systems, arguments.repeats)
    whole = np.array(lengths) < reward.contract.max_length  # the libraries cut long texts in different places
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    peak = matmul_peak()
    print(f"{len(texts)} texts, {np.mean(lengths):.0f} tokens on average; matmul peak {peak:.0f} GFLOP/s")
    for name, value in medians.items():
        gap = float(np.abs(scores[name] - scores["guerdon"])[whole].max())
        rate = flops(reward, lengths) / value / 1e9
        print(
            f"{name:24s} {len(texts) / value:7.1f} texts/s  {rate:6.1f} GFLOP/s ({rate / peak:.0%} of peak)  "
            f"largest score difference {gap:.1e}"
        )
    pipe = min(value for name, value in medians.items() if "pipeline" in name)
    print(f"guerdon / HF pipeline at its better batch size: {pipe / medians['guerdon']:.2f}x  (target 1.6x)")
    print(f"guerdon / CrossEncoder.predict: {medians['CrossEncoder.predict'] / medians['guerdon']:.2f}x  (target 1.2x)")


if __name__ == "__main__":
    main()
