"""What a reward is good for: best of n, and a short run of reinforcement learning, both judged by a gold reward.

Agreement with people is measured because it should foretell this; `foretold` says how far it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.data.values import plain
from guerdon.errors import ConfigError, DataError, OutputError
from guerdon.evaluate.downstream_config import DownstreamConfig
from guerdon.evaluate.foretold import foretold
from guerdon.evaluate.results import Evaluation
from guerdon.evaluate.systems import System
from guerdon.files import check_writable, write_json
from guerdon.metrics import Interval, mean_interval
from guerdon.optimize.best_of_n import BestOfN, best_of_n, rewards_of
from guerdon.optimize.best_of_n_run import response_sampler
from guerdon.optimize.monitor import EVALUATIONS_FILE, read_evaluations
from guerdon.optimize.optimize_config import BestOfNConfig, RLConfig
from guerdon.optimize.prompts import sample_candidates
from guerdon.rewards.load import ScorerConfig, load_picker
from guerdon.rewards.score_rows import Progress, silent
from guerdon.rewards.truncation import candidate_texts, refuse_truncation, report_totals
from guerdon.types import Candidates, Scorer, group_key

FILE = "downstream.json"
_FEWEST_PROMPTS = 8
"""Prompts that RL needs at the least: half of them are held out."""


@dataclass(frozen=True, slots=True)
class RLResult:
    """What a short run of RL by one reward brought, on held-out prompts."""

    before: Interval
    """Mean gold reward of the policy at the start."""
    after: Interval
    """And of the policy after the last step: not the best one, which gold would choose."""
    gain: Interval
    """The difference, prompt by prompt."""
    own_gain: Interval
    """How much the reward rose that trained."""
    kl: float
    """KL from the policy at the start, in nats per response."""


@dataclass(frozen=True, slots=True)
class DownstreamResult:
    """One reward put to use."""

    system: str
    is_baseline: bool
    gold: Mapping[int, Interval]
    """n -> mean gold reward of the response that it picks out of n; n = 1 is a response at random."""
    gain: Mapping[int, Interval]
    """The same minus that of n = 1, from the same resamples."""
    rl: RLResult | None = None


@dataclass(frozen=True, slots=True)
class Downstream:
    """Rewards put to use on the same prompts and responses."""

    gold: str
    """What judges: the name of a scorer, or the scores of the data."""
    prompts: int
    results: tuple[DownstreamResult, ...]
    oracle: Mapping[int, Interval]
    """n -> what picking by gold itself brings."""
    foretold: Mapping[str, Interval]
    """Metric of agreement -> its rank correlation with the gain of the largest n over the rewards; empty for fewer than
    six rewards. The intervals draw rows, prompts and rewards anew, and are wide: there are few rewards."""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        return dict(plain(asdict(self)))


def evaluate_downstream(
    systems: Mapping[str, System],
    data: str | Sequence[Candidates],
    out: str | Path,
    config: DownstreamConfig | None = None,
    *,
    gold: Scorer | None = None,
    gold_name: str = "gold",
    baselines: Mapping[str, System] | None = None,
    agreement: Evaluation | None = None,
    placed: ScorerConfig | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Downstream:
    """Lets every reward pick the best of n and train a policy for some steps; a gold reward says what that brought.

    All rewards pick among the same responses, so their gains are paired. RL trains on one half of the prompts and is
    measured on the other.

    Example:
        >>> evaluate_downstream({"mine": load_scorer("my-reward")}, "pool.jsonl", "downstream").results[0].gain[8]
        Interval(point=0.21, low=0.12, high=0.3)

    Args:
        systems: name -> scorers; comparers take no part.
        data: prompts with responses (and scores, where there is no gold reward), or prompts for the policy.
        out: folder of what is sampled and trained, and of downstream.json.
        config: where the responses come from, and whether there is RL.
        gold: what judges; None takes the scores of the data.
        gold_name: what it is called.
        baselines: name -> scorers that stand beside; they pick, and train nothing.
        agreement: how far the same systems agree with people, to say which metric foretold the gain.
        placed: how scorers are loaded; its device and trust count for the policy as well (RL itself takes a GPU where
            there is one).
        seed: random seed of sampling, training and intervals.
        progress: shows how far it is.

    Raises:
        ConfigError: there is no gold reward and no scores, or RL lacks a policy.
        DataError: too few responses, or too few prompts for RL.
        ModelError: the policy cannot be loaded.
        OutputError: `out` holds something already, or cannot be written.
    """
    config, out = config or DownstreamConfig(), Path(out)
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    every = {name: load_picker(one) for name, one in {**systems, **(baselines or {})}.items()}
    notes: list[str] = []
    candidates = _candidates(data, out, config, placed, seed, progress)
    refuse_truncation([*every.values(), gold], candidate_texts(candidates))
    judged = _gold_values(candidates, gold, gold_name, progress)
    rewards = {}
    for name, scorer in every.items():
        with progress(f"scoring by {name}", sum(len(one.responses) for one in candidates)) as advance:
            rewards[name] = [one.values for one in rewards_of(scorer, candidates, on_progress=advance)]
    # A response that one reward cannot score takes no part for any, so that all pick from the same.
    known = [~np.isnan(np.stack(parts)).any(axis=0) for parts in zip(judged, *rewards.values(), strict=True)]
    judged = [np.where(there, values, np.nan) for there, values in zip(known, judged, strict=True)]

    def picked_by(values: Sequence[np.ndarray]) -> BestOfN:
        return best_of_n(candidates, {"picks": values, "gold": judged}, n=config.n or None, seed=seed)

    curves, best = {name: picked_by(values) for name, values in rewards.items()}, picked_by(judged)
    trained = {name: every[name] for name in systems} if config.rl_steps else {}
    rl = {
        name: _train(one, name, candidates, gold, out, config, placed, seed, progress) for name, one in trained.items()
    }
    report_totals([*every.values(), gold])
    results = tuple(
        DownstreamResult(
            system=name,
            is_baseline=name not in systems,
            gold=dict(zip(curves[name].ns, curves[name].curves[1].means, strict=True)),
            gain=dict(zip(curves[name].ns, curves[name].curves[1].gains, strict=True)),
            rl=rl.get(name),
        )
        for name in every
    )
    if best.left_out:
        notes.append(f"{len(best.left_out):,} prompts have too few responses with every reward, and are left out.")
    told, note = foretold(agreement, candidates, rewards, judged, best.ns[-1], seed) if agreement else ({}, "")
    notes += [note] if note else []
    found = Downstream(
        gold="the scores of the data" if gold is None else gold_name,
        prompts=best.prompts,
        results=results,
        oracle=dict(zip(best.ns, best.curves[1].means, strict=True)),
        foretold=told,
        notes=tuple(notes),
    )
    write_json(out / FILE, found.to_dict())
    return found


def check_folder(out: str | Path) -> None:
    """Raises OutputError where the folder cannot be written or holds something: old responses are not taken for new."""
    check_writable(Path(out) / FILE)
    if Path(out).is_dir() and any(Path(out).iterdir()):
        raise OutputError(f"{out} is not empty. Fix: choose another folder (--downstream-out), or remove it")


def _candidates(
    data: str | Sequence[Candidates],
    out: Path,
    config: DownstreamConfig,
    placed: ScorerConfig | None,
    seed: int,
    progress: Progress,
) -> Sequence[Candidates]:
    """The prompts with their responses: those of the data, else sampled from the policy."""
    given = data if not isinstance(data, str) else None
    if given is None and config.policy is None:
        given = read_candidates(str(data))
    if given is not None and (config.policy is None or all(len(one.responses) > 1 for one in given)):
        return given
    prompts = read_prompts(data) if isinstance(data, str) else given or ()
    settings = BestOfNConfig(
        policy=config.policy,
        n=config.n or 8,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=seed,
    )
    assert config.policy is not None
    with progress("sampling responses", len(prompts)) as advance:
        sampler, prompts = response_sampler(settings, config.policy, prompts, placed)
        return sample_candidates(prompts, sampler, out / "answers.jsonl", advance)


def _gold_values(
    candidates: Sequence[Candidates], gold: Scorer | None, name: str, progress: Progress
) -> list[np.ndarray]:
    if gold is not None:
        with progress(f"scoring by {name}", sum(len(one.responses) for one in candidates)) as advance:
            return [one.values.astype(np.float64) for one in rewards_of(gold, candidates, on_progress=advance)]
    if any(one.scores is None for one in candidates):
        raise ConfigError("there is nothing to judge by: the responses have no scores. Fix: name a --gold reward")
    return [np.asarray(one.scores, dtype=np.float64) for one in candidates]


def _train(
    scorer: Scorer,
    name: str,
    candidates: Sequence[Candidates],
    gold: Scorer | None,
    out: Path,
    config: DownstreamConfig,
    placed: ScorerConfig | None,
    seed: int,
    progress: Progress,
) -> RLResult:
    """Trains the policy by one reward on every other prompt, and measures gold on the rest, before and after."""
    from guerdon.optimize.rl.rl_run import train_rl_policy

    if gold is None:
        raise ConfigError(
            "RL makes new responses, which the scores of the data do not judge. Fix: name a --gold reward"
        )
    if len(candidates) < _FEWEST_PROMPTS:
        raise DataError(f"RL needs {_FEWEST_PROMPTS} prompts, half of them held out; there are {len(candidates)}")
    train, held = candidates[::2], candidates[1::2]
    folder = out / f"rl-{''.join(c if c.isalnum() else '-' for c in name)}"
    assert config.policy is not None
    settings = RLConfig(
        policy=config.policy,
        prompts_per_step=config.prompts_per_step,
        epochs=config.rl_steps * config.prompts_per_step / len(train),
        learning_rate=config.learning_rate,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        eval_steps=config.rl_steps,
        eval_num_generations=4,
        seed=seed,
        trust_remote_code=placed is not None and placed.trust_remote_code,
    )
    with progress(f"training by {name}", config.rl_steps) as advance:
        train_rl_policy(scorer, train, folder, settings, validation=held, gold=gold, on_step=lambda *_: advance(1))
    evaluations = read_evaluations(folder / "run" / EVALUATIONS_FILE)
    first, last = evaluations[0], evaluations[-1]
    keys = [group_key(one) for one in held]
    gold_before, gold_after = np.array(first.gold_by_prompt), np.array(last.gold_by_prompt)
    own = np.array(last.proxy_by_prompt) - np.array(first.proxy_by_prompt)
    return RLResult(
        before=mean_interval(gold_before, keys),
        after=mean_interval(gold_after, keys),
        gain=mean_interval(gold_after - gold_before, keys),
        own_gain=mean_interval(own, keys),
        kl=last.kl,
    )
