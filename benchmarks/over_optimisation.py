"""What happens to a gold reward when a policy is optimised for a proxy of it, after Gao et al. 2023 (arXiv:2210.10760).

The gold reward is a MiniLM that learned from people's comparisons of some prompts. Proxies are of another backbone, a
small language model, and learn on other prompts which of two answers gold prefers: 25, 100 or 400 pairs. Then

    bon   SmolLM2 answers held-out prompts 256 times, and each proxy picks the best of n
    rl    the small language model is trained by GRPO without a KL penalty, for a proxy of 100 pairs and for an ensemble
          of four of them (mean less one deviation), by three seeds; for 25 and 400 pairs by one

An evaluation every few steps measures proxy and gold on validation and on test prompts. What the monitor keeps, which
sees the validation prompts alone, is then held against the best checkpoint on the test prompts.

The commands that are run are printed; what stands in the folder already is not run again.

    python benchmarks/over_optimisation.py --data COMPARISONS.jsonl.gz
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.data.read import load_rows
from guerdon.data.write import row_record
from guerdon.metrics import (
    Floats,
    Interval,
    best_of_n_probabilities,
    bootstrap_distribution,
    format_interval,
    percentile_interval,
    spearman,
)
from guerdon.optimize.best_of_n import best_of_n, rewards_of
from guerdon.optimize.monitor import (
    EVALUATIONS_FILE,
    PolicyEvaluation,
    best_evaluation,
    evaluations_since_best,
    fit_gao,
    read_evaluations,
)
from guerdon.rewards.load import load_scorer
from guerdon.types import Comparison, prompt_text
from workloads import guerdon

signed = partial(format_interval, signed=True)

SIZES = (25, 100, 400)
"""Pairs that a proxy learns from."""
MIDDLE = 100
MOST = 256
"""Answers of SmolLM2 to a prompt."""
TOKENS = 32
LONGEST_PROMPT = 400
"""Characters."""
WATCHED = 48
"""Prompts of validation, and as many of test."""
PATIENCES = (3, 8)
"""Evaluations below the best after which the run stops: a fifth and a half of a run."""
STEPS, PROMPTS, RATE, EVAL_STEPS = 120, 8, 1e-4, 8
"""Of the runs of RL."""


def parts(data: str, out: Path) -> dict[str, Path]:
    """The comparisons dealt out by prompt: gold's, the policy's, and those that are watched."""
    rows = [row for row in load_rows(data) if isinstance(row, Comparison)]
    rows = [row for row in rows if len(prompt_text(row.prompt)) <= LONGEST_PROMPT]
    prompts = sorted({prompt_text(row.prompt) for row in rows})
    random.Random(0).shuffle(prompts)
    watched, half = 2 * WATCHED, (len(prompts) - 2 * WATCHED) // 2
    dealt = {"watched": prompts[:watched], "gold": prompts[watched:][:half], "policy": prompts[watched:][half:]}
    dealt["ask"] = dealt["policy"][:100]
    dealt["pick"] = prompts[WATCHED:watched]
    files = {}
    for name, own in dealt.items():
        files[name] = out / f"{name}.jsonl"
        place = {prompt: index for index, prompt in enumerate(own)}
        mine = sorted(
            (row for row in rows if prompt_text(row.prompt) in place), key=lambda r: place[prompt_text(r.prompt)]
        )
        files[name].write_text(
            "".join(json.dumps(row_record(row), ensure_ascii=False) + "\n" for row in mine), encoding="utf-8"
        )
    print({name: len(own) for name, own in dealt.items()}, "prompts", flush=True)
    return files


def small_policy(data: Path, out: Path, passes: int = 8) -> Path:
    """A language model of two million parameters, taught the texts of the comparisons from nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    if (out / "config.json").exists():
        return out
    rows = [row for row in load_rows(str(data)) if isinstance(row, Comparison)]
    asked = [(prompt_text(row.prompt), said) for row in rows for said in (row.chosen, row.rejected)]
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=["<end>", "<pad>"], initial_alphabet=alphabet)
    bare.train_from_iterator([text for pair in asked for text in pair], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<end>", pad_token="<pad>", model_max_length=1024
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=1024, eos_token_id=0, pad_token_id=1, bos_token_id=None,
        tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    coded = [[*tokenizer(f"{prompt}\n\n{said}")["input_ids"][-160:], 0] for prompt, said in asked]
    steps = passes * len(coded) // 32
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.1)
    drawn = random.Random(0)
    for step in range(steps):
        rows_now = drawn.sample(coded, 32)
        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row in rows_now], batch_first=True, padding_value=1
        )
        seen = (torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows_now]).unsqueeze(1)).long()
        loss = model(ids, attention_mask=seen, labels=ids.masked_fill(seen == 0, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        falling.step()
        optimiser.zero_grad()
        if step % 50 == 0:
            print(f"  small policy, step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def labelled(gold: Path, prompts: Path, policy: str, n: int, out: Path) -> Path:
    """Pairs of a policy's answers, no answer twice, the one first that gold prefers; in an order that mixes prompts."""
    made = guerdon(
        out / "answers", "optimize", "best-of-n", gold, prompts, "--policy", policy, "--n", n,
        "--max-new-tokens", TOKENS,
    )  # fmt: skip
    pairs, within = [], []
    for line in (made / "candidates.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        said, worth = record["responses"], record[gold.name]
        within.append(spearman(np.array(worth), np.array([len(text) for text in said])))
        for a, b in zip(range(0, n, 2), range(1, n, 2), strict=True):
            if said[a] and said[b] and worth[a] != worth[b]:
                better, worse = (a, b) if worth[a] > worth[b] else (b, a)
                pairs.append({"prompt": record["prompt"], "chosen": said[better], "rejected": said[worse]})
    print(f"gold and length, within a prompt, Spearman: {np.nanmean(within):+.2f}", flush=True)
    random.Random(0).shuffle(pairs)
    for size in SIZES:
        text = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs[:size])
        (out / f"pairs-{size}.jsonl").write_text(text, encoding="utf-8")
    return out


def proxy(folder: Path, size: int, backbone: Path, seed: int, members: int = 1) -> Path:
    """A proxy that learned from so many pairs; several members are an ensemble that counts their deviation off.

    Members take the seeds that follow, so those of different seeds lie far enough apart to share none.
    """
    name = f"ensemble-{size}-{seed}" if members > 1 else f"proxy-{size}-{seed}"
    several = ["--ensemble-size", members, "--ensemble-k", 1] if members > 1 else []
    steps = ["--epochs", max(3, 600 // size), "--batch-size", 16, "--validation", 0, "--learning-rate", "3e-4"]
    pairs = folder / f"pairs-{size}.jsonl"
    return guerdon(folder / name, "train", pairs, "--backbone", backbone, *steps, "--seed", seed * 10, *several)


def best_of(gold: Path, candidates: Path, proxies: dict[str, Path]) -> None:
    """Best of n by each proxy among answers that are there: the proxy's curve and gold's."""
    asked = [one for one in read_candidates(str(candidates)) if len(one.responses) == MOST]  # no answer said twice
    true = [one.values for one in rewards_of(load_scorer(gold), asked)]
    print(f"best of n, {len(asked)} prompts")
    for name, path in proxies.items():
        picks = [one.values for one in rewards_of(load_scorer(path), asked)]
        result = best_of_n(asked, {"proxy": picks, "gold": true}, n=MOST)
        for curve in result.curves:
            gains = "  ".join(f"{n}: {gain.point:+.3f}" for n, gain in zip(result.ns, curve.gains, strict=True))
            fit = fit_gao(result.kl_bounds, [gain.point for gain in curve.gains], "best-of-n")
            law = f"; Gao's fit: alpha {fit.alpha:.2f}, beta {fit.beta:.3f}, R2 {fit.r_squared:.2f}" if fit else ""
            print(f"  {name:9s} {curve.name:5s} {gains}\n    at {MOST} {signed(curve.gains[-1])}{law}", flush=True)
        best = result.ns[int(np.argmax([gain.point for gain in result.curves[1].gains]))]
        ends = [np.array([worth(*one, n) for one in zip(picks, true, strict=True)]) for n in (best, MOST)]
        turn = prompts_interval([ends[1] - ends[0]], lambda draws: draws[0][:, 0])
        print(f"    gold, from its best at n = {best} to {MOST}: {signed(turn)}", flush=True)


def worth(picks: Floats, values: Floats, n: int) -> float:
    """What the best of n by some scores is worth by others."""
    return float(best_of_n_probabilities(picks, n) @ values)


def train(
    reward: Path, prompts: Path, policy: Path, watched: Path, gold: Path, seed: int, out: Path
) -> list[PolicyEvaluation]:
    """A run of RL, evaluated every few steps on all prompts that are watched; its evaluations."""
    epochs = STEPS * PROMPTS / len(read_prompts(str(prompts)))
    run = guerdon(
        out, "optimize", "rl", reward, prompts, "--policy", policy, "--lora-r", 0, "--learning-rate", RATE,
        "--beta", 0, "--prompts-per-step", PROMPTS, "--epochs", f"{epochs:.4f}", "--max-new-tokens", TOKENS,
        "--validation", watched, "--gold", gold, "--eval-steps", EVAL_STEPS, "--eval-num-generations", 4,
        "--save-steps", 1000, "--seed", seed,
    )  # fmt: skip
    return read_evaluations(run / "run" / EVALUATIONS_FILE)


def halves(evaluations: Sequence[PolicyEvaluation]) -> tuple[list[PolicyEvaluation], Floats]:
    """The evaluations on the validation prompts, and gold on the test prompts, shape (evaluations, prompts)."""
    seen = []
    for one in evaluations:
        proxy, gold = one.proxy_by_prompt[:WATCHED], one.gold_by_prompt[:WATCHED]
        low, true = float(np.nanmean(proxy)), float(np.nanmean(gold))
        seen.append(replace(one, proxy=low, gold=true, proxy_by_prompt=proxy, gold_by_prompt=gold))
    return seen, np.array([one.gold_by_prompt[WATCHED:] for one in evaluations])


def kept(evaluations: Sequence[PolicyEvaluation], patience: int) -> int:
    """Place of the evaluation whose policy a run with this patience keeps."""
    ends = range(1, len(evaluations) + 1)
    end = next((end for end in ends if evaluations_since_best(evaluations[:end]) >= patience), len(evaluations))
    return evaluations.index(best_evaluation(evaluations[:end]))


def tell(name: str, evaluations: Sequence[PolicyEvaluation]) -> None:
    """The course of a run, and what the monitor's choice is worth on the test prompts."""
    seen, test = halves(evaluations)
    means = test.mean(axis=1)
    best, last = int(means.argmax()), len(evaluations) - 1
    print(f"{name}")
    for index in range(0, len(evaluations), max(1, len(evaluations) // 8)):
        one = evaluations[index]
        print(
            f"  step {one.step:4d}  KL {one.kl:6.2f}  proxy {one.proxy:+.3f}  gold, test {means[index]:+.3f}  "
            f"tokens {one.response_tokens:4.1f}  repetition {one.repetition:.2f}  distinct-2 {one.distinct:.2f}"
        )
    fit = fit_gao([one.kl for one in evaluations[1:]], list(means[1:] - means[0]), "rl")
    print(
        f"  proxy from first to last {evaluations[last].proxy - evaluations[0].proxy:+.3f}"
        + (f"; R2 of Gao's fit {fit.r_squared:.2f}" if fit else "")
        + f"; gold, test: best at step {evaluations[best].step} {means[best] - means[0]:+.3f}"
    )
    for patience in PATIENCES:
        place = kept(seen, patience)
        gain = means[place] - means[0]
        turn = prompts_interval([test[last] - test[place]], lambda draws: draws[0][:, 0])
        print(
            f"  patience {patience}: kept at step {evaluations[place].step} {gain:+.3f}, "
            f"{gain / (means[best] - means[0]):.0%} of the best gain; from there to the last {signed(turn)}",
            flush=True,
        )


def prompts_interval(values: Sequence[Floats], statistic: Callable[[list[Floats]], Floats]) -> Interval:
    """A statistic of means over prompts, with its 95% interval over resampled prompts.

    Args:
        values: arrays whose last axis is the prompts.
        statistic: from those means, each of shape (draws, ...), to a value for each draw.
    """
    flat = [np.atleast_2d(one).T for one in values]  # (prompts, rest)

    def of(weights: Floats) -> Floats:
        return statistic([weights @ one / weights.sum(axis=1, keepdims=True) for one in flat])

    codes = np.arange(len(flat[0]))
    point = of(np.ones((1, len(codes))))[0]
    return percentile_interval(float(point), bootstrap_distribution(of, codes))


def compare(single: Sequence[Sequence[PolicyEvaluation]], joint: Sequence[Sequence[PolicyEvaluation]]) -> None:
    """Whether the ensemble's gold turns later, over seeds together, on the test prompts."""
    steps = np.array([one.step for one in single[0]])
    one, other = (np.mean([halves(evaluations)[1] for evaluations in runs], axis=0) for runs in (single, joint))
    later = prompts_interval([one, other], lambda m: steps[m[1].argmax(axis=1)] - steps[m[0].argmax(axis=1)])
    higher = prompts_interval([one, other], lambda m: m[1].max(axis=1) - m[0].max(axis=1))
    end = prompts_interval([one, other], lambda m: m[1][:, -1] - m[0][:, -1])
    print(
        f"ensemble minus one proxy, {len(single)} seeds: gold's peak {signed(later)} steps later, "
        f"{signed(higher)} higher; gold at the end {signed(end)} higher"
    )


def main() -> None:
    """Prepares what is not there, and tells what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="comparisons of answers to several hundred prompts")
    parser.add_argument("--stages", nargs="+", choices=("bon", "rl"), default=["bon", "rl"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/over-optimisation"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    files = parts(arguments.data, out)
    small = small_policy(files["policy"], out / "small")
    gold = guerdon(out / "gold", "train", files["gold"], "--epochs", 6, "--overlong", "cut")
    if "rl" in arguments.stages:
        folder = labelled(gold, files["ask"], str(small), 8, out / "rl")
        runs = {}
        for seed in arguments.seeds:
            rewards = {"proxy": proxy(folder, MIDDLE, small, seed)}
            rewards["ensemble"] = proxy(folder, MIDDLE, small, seed, members=4)
            for kind, reward in rewards.items():
                where = folder / f"run-{kind}-{MIDDLE}-{seed}"
                runs[kind, seed] = train(reward, files["policy"], small, files["watched"], gold, seed, where)
                tell(f"RL, {kind} of {MIDDLE} pairs, seed {seed}", runs[kind, seed])
        compare(*([runs[kind, seed] for seed in arguments.seeds] for kind in ("proxy", "ensemble")))
        for size in SIZES:
            if size != MIDDLE:
                where = folder / f"run-proxy-{size}-0"
                evaluations = train(
                    proxy(folder, size, small, 0), files["policy"], small, files["watched"], gold, 0, where
                )
                tell(f"RL, proxy of {size} pairs, seed 0", evaluations)
    if "bon" in arguments.stages:
        folder = labelled(gold, files["ask"], "smollm2", 8, out / "bon")
        proxies = {f"{size} pairs": proxy(folder, size, small, 0) for size in SIZES}
        proxies["ensemble"] = proxy(folder, MIDDLE, small, 0, members=4)
        made = guerdon(
            folder / "many", "optimize", "best-of-n", gold, files["pick"], "--policy", "smollm2", "--n", MOST,
            "--max-new-tokens", TOKENS,
        )  # fmt: skip
        best_of(gold, made / "candidates.jsonl", proxies)


if __name__ == "__main__":
    main()
