"""A run of best-of-n: sample or read responses, let a reward pick, measure what that gains, write the files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.errors import DataError, OutputError
from guerdon.files import atomic_write, check_writable, write_json
from guerdon.metrics import Floats
from guerdon.optimize.best_of_n import BestOfN, best_of_n, candidate_records, rewards_of, training_records
from guerdon.optimize.optimize_config import BestOfNConfig
from guerdon.optimize.prompts import ResponseSampler, check_references, sample_candidates, too_long, without
from guerdon.report.drawing import SERIES, new_figure, plain_axis, save_figure
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.score_rows import Progress, reward_label, silent
from guerdon.rewards.scoring import joined, no_reward_summary, scorer_name
from guerdon.rewards.truncation import candidate_texts, refuse_truncation, report_totals
from guerdon.runs.folder import RUN_FILE, RUN_FOLDER, RunFolder, fingerprint_of
from guerdon.runs.lock import locked
from guerdon.types import Candidates, Comparer, Rewards, Scorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GIVEN = "score in the data"
"""What the scores of the data itself are called beside those of the scorers."""
_POLICY_N = 16


@dataclass(frozen=True, slots=True)
class BestOfNRun:
    """What `run_best_of_n` did; the files are in `out`."""

    out: Path
    curves: BestOfN
    without_reward: Mapping[str, str]
    """Scorer -> how many responses it gave no reward, and why; those that rewarded all are not in it."""


def run_best_of_n(
    scorer: Scorer | Comparer | ScorerConfig | str,
    data: str,
    out: str | Path = "best-of-n",
    config: BestOfNConfig | None = None,
    *,
    gold: Sequence[Scorer | Comparer | ScorerConfig | str] = (),
    resume: bool = False,
    progress: Progress = silent,
) -> BestOfNRun:
    """Keeps the response with the highest reward out of n, measures what that gains, and writes rows to train on.

    The responses are sampled from a policy; without one, the data holds them. The folder then holds candidates.jsonl
    (all responses with their rewards), sft.jsonl (`prompt`, `completion`: the best), pairs.jsonl (`prompt`, `chosen`,
    `rejected`: best and worst, for DPO), curve.json and curve.png. Ids, subsets and own columns are kept in all.

    Example:
        >>> run = run_best_of_n("longest", "responses.jsonl", "best")
        >>> run.curves.ns, [mean.point for mean in run.curves.curves[0].means]
        ((1, 2, 4), [2.5, 3.0, 4.0])

    Args:
        scorer: the scorer that picks, its name, or its configuration; a comparer picks by its mean win rate among the
            responses to a prompt. The device and trust of a configuration count for
            the policy as well.
        data: prompts, or without a policy prompts with their responses: rows with `responses`, or several to a prompt.
        out: folder for everything that is made.
        config: where the responses come from, and how many.
        gold: scorers that only watch: those that did not pick show whether the responses got better.
        resume: go on with a run that was cut short in the same folder.
        progress: shows how far it is.

    Raises:
        DataError: rows that cannot be used, or too few responses with a reward.
        ConfigError: the folder holds a run of other options or other prompts.
        ModelError: a scorer or the policy cannot be loaded.
        OutputError: the folder holds something else, or cannot be written.
    """
    out, config = Path(out), config or BestOfNConfig()
    check_writable(out / "curve.json")
    if out.is_dir() and any(out.iterdir()) and not (out / RUN_FOLDER / RUN_FILE).exists():
        raise OutputError(f"{out} is not empty, and no such run wrote it. Fix: choose another --out")
    names = [scorer_name(one) for one in (scorer, *gold)]
    candidates = (read_prompts if config.policy else read_candidates)(data, question=config.question, map=config.map)
    run = RunFolder(out, {"model": names[0], "data": data, **asdict(config)}, fingerprint_of(candidates))
    with locked(run.path):
        run.check(resume=resume)
        loaded = [load_picker(one) for one in (scorer, *gold)]
        scorers = dict(zip(_labels(names), loaded, strict=True))
        check_references(scorers, candidates, data)
        if config.policy:
            sampler, candidates = response_sampler(
                config, config.policy, candidates, scorer if isinstance(scorer, ScorerConfig) else None
            )
            run.begin()
            with progress("sampling responses", len(candidates)) as advance:
                candidates = sample_candidates(candidates, sampler, out / "answers.jsonl", advance)
        else:
            _check_responses(candidates, data)
            refuse_truncation(scorers.values(), candidate_texts(candidates))
            run.begin()
        rewards: dict[str, list[Rewards]] = {}
        for name, one in scorers.items():
            with progress(f"scoring by {name}", sum(len(each.responses) for each in candidates)) as advance:
                rewards[name] = rewards_of(one, candidates, on_progress=advance)
        report_totals(scorers.values())
        values: dict[str, Sequence[Floats]] = {name: [one.values for one in found] for name, found in rewards.items()}
        values |= _given(candidates)
        why = [[reason for one in each for reason in one.reasons] for each in zip(*rewards.values(), strict=True)]
        n = config.n or (_POLICY_N if config.policy else None)
        curves = best_of_n(candidates, values, n=n, reasons=why, seed=config.seed)
        _write(out, candidates, values, rewards, curves)
        run.finish()
    summaries = {name: no_reward_summary(joined(found)) for name, found in rewards.items()}
    return BestOfNRun(out, curves, {name: summary for name, summary in summaries.items() if summary})


def _check_responses(candidates: Sequence[Candidates], data: str) -> None:
    if all(len(one.responses) < 2 for one in candidates):
        raise DataError(
            f"{data}: no prompt has two responses to pick from. Fix: give rows with `responses`, or several rows to a "
            "prompt; or name a --policy that responds to the prompts"
        )


def _labels(names: Sequence[str]) -> list[str]:
    """A short name for each scorer, all different."""
    labels: list[str] = []
    for name in names:
        label = reward_label(name)
        labels.append(label if label not in labels else f"{label} ({len(labels)})")
    return labels


def response_sampler(
    config: BestOfNConfig, policy: str, prompts: Sequence[Candidates], placed: ScorerConfig | None
) -> tuple[ResponseSampler, list[Candidates]]:
    """What samples responses as the options say, a policy of this process or an endpoint; the prompts that it reads."""
    from guerdon.policy.decode import Sampling
    from guerdon.policy.endpoint import Endpoint
    from guerdon.policy.model import Policy

    options: dict[str, Any] = {
        "num_generations": config.n or _POLICY_N,
        "sampling": Sampling(config.max_new_tokens, config.temperature, config.top_p),
        "seed": config.seed,
    }
    source: Endpoint | Policy
    if config.endpoint:
        source = Endpoint(config.endpoint, policy, key=os.environ.get("OPENAI_API_KEY"), skip_refused=True)
    else:
        device, trust = (placed.device, placed.trust_remote_code) if placed else (None, False)
        source = Policy.load(policy, device=device, trust_remote_code=trust)
        prompts = without(prompts, too_long(source, prompts, max_new_tokens=config.max_new_tokens))
    return lambda asked, done: source.sample_texts(asked, **options, done=done), list(prompts)


def _given(candidates: Sequence[Candidates]) -> dict[str, Sequence[Floats]]:
    """The scores of the data itself, where all responses have one."""
    given = [np.asarray(one.scores, dtype=np.float64) for one in candidates if one.scores is not None]
    complete = len(given) == len(candidates) and not any(np.isnan(scores).any() for scores in given)
    return {GIVEN: given} if complete else {}


def _write(
    out: Path,
    candidates: Sequence[Candidates],
    values: Mapping[str, Sequence[Floats]],
    rewards: Mapping[str, Sequence[Rewards]],
    curves: BestOfN,
) -> None:
    best, pairs = training_records(candidates, next(iter(values.values())))
    columns = {_free(name, candidates): column for name, column in values.items()}
    given = {_free(name, candidates): column for name, column in rewards.items()}
    everything = candidate_records(candidates, columns, given)
    for name, records in {"candidates.jsonl": everything, "sft.jsonl": best, "pairs.jsonl": pairs}.items():
        with atomic_write(out / name) as file:
            file.writelines(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    write_json(out / "curve.json", curves.to_dict())
    save_figure(best_of_n_figure(curves), out / "curve.png")


def _free(name: str, candidates: Sequence[Candidates]) -> str:
    """The name of a column for these rewards that no row has already."""
    while any(taken in one.extra for one in candidates for taken in (name, f"{name}_reason")):
        name = f"reward_{name}"
    return name


def best_of_n_figure(result: BestOfN) -> Figure:
    """One panel for each value, over n on a logarithmic axis, with 95% intervals; above, the bound on the KL."""
    count = len(result.curves)
    figure = new_figure(4.6 * count + 0.4, 3.7)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for place, (axis, curve) in enumerate(zip(axes, result.curves, strict=True)):
        points = [mean.point for mean in curve.means]
        colour = SERIES[place % len(SERIES)]
        axis.plot(result.ns, points, marker="o", color=colour)
        low, high = zip(*((mean.low, mean.high) for mean in curve.means), strict=True)
        axis.fill_between(result.ns, low, high, color=colour, alpha=0.15, lw=0)
        axis.set_xscale("log", base=2)
        axis.set_xticks(result.ns, [str(n) for n in result.ns])
        axis.set_xlabel("n, responses to pick from")
        axis.set_title(f"{curve.name}{' (picks)' if place == 0 else ' (only watches)'}", fontsize=10, loc="left")
        plain_axis(axis)
        above = axis.secondary_xaxis("top")
        above.set_xticks(result.ns, [f"{kl:.2f}" for kl in result.kl_bounds], fontsize=8)
        above.set_xlabel("KL from the policy, at most (nats)", fontsize=8)
        above.minorticks_off()
    return figure
