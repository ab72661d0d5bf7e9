"""A run of reinforcement learning: sampling steps, evaluations, checkpoints, and the policy at its end."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import torch

from guerdon.data.candidates import read_prompts
from guerdon.errors import ConfigError, MissingExtraError, ModelError
from guerdon.files import check_writable
from guerdon.optimize.drift_page import write_page
from guerdon.optimize.monitor import BEST_FILES, Monitor, mean_known, seed_of
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.prompts import check_references, prompt_stream, too_long, without
from guerdon.optimize.rl.environment import PromptEnvironment, TextEnvironment
from guerdon.optimize.rl.trajectories import Group, Rollouts, shape_rewards
from guerdon.optimize.rl.update import adapted_beta
from guerdon.optimize.rl.workers import RLSetup, Workers, load_policy, load_weights, start_workers
from guerdon.policy.model import Policy
from guerdon.rewards.load import RULES, ScorerConfig, load_picker
from guerdon.rewards.scoring import scorer_name
from guerdon.rewards.truncation import report_totals
from guerdon.runs.folder import RunFolder, fingerprint_of, new_checkpoint, open_run
from guerdon.runs.guard import MissingRewardGuard
from guerdon.runs.log import OnStep, RunLog
from guerdon.types import Candidates, Comparer, Scorer

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
MAX_RESAMPLINGS = 3
"""DAPO samples other prompts at most so often in a step, in place of those whose rewards are all equal."""

Reward = Scorer | Comparer | ScorerConfig | str | Path
Prompts = str | Path | Sequence[Candidates]


def train_rl_policy(
    reward: TextEnvironment | Reward,
    data: Prompts,
    out: str | Path,
    config: RLConfig | None = None,
    *,
    validation: Prompts = (),
    gold: Reward | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Policy:
    """Trains a language model by reinforcement learning, and saves it in Hugging Face layout.

    Args:
        reward: what the policy acts in, a `TextEnvironment`; or a scorer of single responses, or which scorer. Actors
            get copies of it, and load a `ScorerConfig` themselves.
        data: prompts, or where to read them.
        out: folder of the policy; `out/run` has checkpoints, `metrics.jsonl` and TensorBoard files, and `monitor.html`
            tells how the policy changed on held-out prompts.
        config: how to train.
        validation: held-out prompts, on which the policy is evaluated; the policy at the best evaluation is kept.
        gold: a reward that does not train, and says which evaluation is best; without one, the reward that trains.
        resume: go on from the last checkpoint in `out`.
        on_step: called after every step with its metrics.

    Returns:
        The policy that was saved.

    Raises:
        DataError: a prompt is too long.
        ConfigError: options that do not fit together, or a reward that cannot be used as it is set up.
        ModelError: the policy cannot be loaded or trained, or no response has a reward.
        MissingExtraError: there are to be actors, and Ray is not installed.
        OutputError: `out` cannot be written.

    Example:
        >>> import guerdon
        >>> config = guerdon.RLConfig(policy="smollm2", algorithm="grpo")
        >>> guerdon.train_rl_policy("runs/helpful", "prompts.jsonl", "better", config)
    """
    config = config or RLConfig()
    environment = _environment(reward, config)
    prompts, held_out = (_prompts(source, config) for source in (data, validation))
    if gold is not None and not held_out:
        raise ConfigError("a gold reward needs held-out prompts to be measured on. Fix: name some with --validation")
    gold_scorer = gold if gold is None else load_picker(gold)
    for asked, source in ((prompts, data), (held_out, validation)):
        rules = {"the reward": _rule(reward), "the gold reward": gold_scorer}
        check_references(rules, asked, str(source) if isinstance(source, str | Path) else "the data")
    out = Path(out)
    check_writable(out / "policy.json")
    with open_run(out, asdict(config), fingerprint_of(prompts), resume=resume) as folder:
        if folder.finished:
            return Policy.load(str(out))
        setup = RLSetup(config, environment)
        with start_workers(setup, keep_reference=bool(held_out)) as workers:
            every, room = [*prompts, *held_out], config.max_new_tokens
            faults = workers.on_learners(lambda one: too_long(one.policy, every, max_new_tokens=room), first=True)
            if held_out:
                held_out = without(
                    held_out, {at - len(prompts): why for at, why in faults.items() if at >= len(prompts)}
                )
            prompts = without(prompts, {at: why for at, why in faults.items() if at < len(prompts)})
            folder.begin()
            run = _Run(workers, prompts, folder, resume=resume)
            monitor = Monitor(workers, held_out, folder.path, gold=gold_scorer, step=run.step) if held_out else None
            name = scorer_name(str(reward) if isinstance(reward, Path) else reward)
            run.train(monitor, f"{out.name}, by {name}", on_step)
            weights = monitor.best_weights() if monitor else workers.weights()
            local = None if config.num_learners else workers.policy()
        policy = local or load_policy(config, "cpu", "float32")
        load_weights(policy, weights)
        policy.save(out, training=asdict(config))
        folder.finish()
        for file in folder.path.glob(BEST_FILES):
            file.unlink()
    here = [environment.scorer] if isinstance(environment, PromptEnvironment) and not config.num_env_runners else []
    report_totals([*here, gold_scorer])  # a runner in another process has said it there
    return policy


def _prompts(data: Prompts, config: RLConfig) -> Sequence[Candidates]:
    return read_prompts(str(data), question=config.question, map=config.map) if isinstance(data, str | Path) else data


def _rule(reward: object) -> object:
    """A reward that is named, where it is a rule: others are loaded by the actors."""
    name = reward.name if isinstance(reward, ScorerConfig) else str(reward)
    return RULES.get(name, reward)


def _environment(reward: TextEnvironment | Reward, config: RLConfig) -> TextEnvironment:
    if config.num_env_runners or config.num_learners:
        from importlib.util import find_spec

        if find_spec("ray") is None:
            raise MissingExtraError("RL on several processes", "ray[rllib]", "rl")
    if not isinstance(reward, TextEnvironment):
        if isinstance(reward, str | Path):
            reward = ScorerConfig(name=str(reward))
        reward = PromptEnvironment(reward)
        if config.max_turns > 1:
            raise ConfigError("--max-turns above 1 needs an environment that answers the policy (in Python)")
    if isinstance(reward, PromptEnvironment):
        if reward.max_turns > config.max_turns:
            raise ConfigError(
                f"the environment has {reward.max_turns} turns, and rewards the last. Fix: max_turns={reward.max_turns}"
            )
        if not config.num_env_runners:
            reward.scorer  # noqa: B018  # loads it, so that its faults come before the policy is loaded
    return reward


class _Run:
    """The steps of a run, and how far it has come."""

    def __init__(self, workers: Workers, prompts: Sequence[Candidates], folder: RunFolder, *, resume: bool) -> None:
        self.workers, self.prompts, self.folder = workers, prompts, folder
        self.config = workers.setup.config
        self.algorithm = self.config.row
        self.beta = self.algorithm.beta if self.config.beta is None else self.config.beta
        self.steps = self.config.steps_for(len(prompts))
        workers.sampling_steps = self.steps * self.config.max_new_tokens
        self.step = 0
        """Steps that are done."""
        self.drawn = 0
        """Prompts that were taken from the stream."""
        self.lost: list[int] = []
        """Prompts whose runner was lost before it gave trajectories."""
        self.guard = MissingRewardGuard()
        if resume and (checkpoint := folder.last_checkpoint):
            state = torch.load(checkpoint / STATE_FILE, weights_only=True)
            workers.on_learners(lambda learner: learner.load_state(state["learner"]))
            self.step, self.drawn, self.lost, self.beta = (state[n] for n in ("step", "drawn", "lost", "beta"))

    def train(self, monitor: Monitor | None, title: str, on_step: OnStep | None) -> None:
        """Samples and learns until the prompts are used up, or evaluations say stop."""
        config, steps = self.config, self.steps
        save_steps, eval_steps = config.every(config.save_steps, steps), config.every(config.eval_steps, steps)

        def evaluate() -> dict[str, float]:
            if not monitor:
                return {}
            found = monitor.evaluate(self.step)
            write_page(self.folder.out, monitor.evaluations, title)
            return found.metrics

        if monitor and not monitor.evaluations:
            evaluate()
        examples = config.prompts_per_step
        log = RunLog(self.folder.path, self.step, steps=steps, examples_per_step=examples, on_step=on_step)
        with closing(log):
            while self.step < steps and not (monitor and monitor.should_stop):
                start = time.perf_counter()
                metrics = self.train_step()
                metrics["seconds"] = time.perf_counter() - start
                if self.step % eval_steps == 0 or self.step == steps:
                    metrics |= evaluate()
                log.write(self.step, metrics)
                if self.step % save_steps == 0 or self.step == steps:
                    self._save()
                    if monitor:
                        monitor.prune()

    def train_step(self) -> dict[str, float | str]:
        """One sampling step and its update: y ~ pi(. | x), R(x, y), advantages, gradient."""
        config, step = self.config, self.step
        rollouts, prompts_sampled = self._sample()
        sampled = [one for group in rollouts.groups for one in group.trajectories]
        self.guard.note([one.reward for one in sampled], [one.reason for one in sampled])
        shaped = shape_rewards(sampled, config)
        size = config.num_generations
        groups = [
            Group(group.prompt, tuple(shaped[place * size : (place + 1) * size]))
            for place, group in enumerate(rollouts.groups)
        ]
        warmup = min(1.0, (step + 1) / max(1.0, config.warmup_ratio * self.steps))
        learning_rate = config.peak_learning_rate * warmup
        beta, seed = self.beta, config.seed * 1_000_003 + step
        metrics = self.workers.on_learners(
            lambda learner: learner.update(groups, beta=beta, learning_rate=learning_rate, seed=seed)
        )
        if "kl" in metrics and config.kl_target:
            self.beta = adapted_beta(beta, metrics["kl"], target=config.kl_target, responses=len(sampled))
        self.step += 1
        return (
            metrics
            | _reward_metrics(rollouts, [one.reward for one in shaped])
            | rollouts.metrics
            | {"beta": self.beta, "learning_rate": learning_rate, "prompts_sampled": float(prompts_sampled)}
        )

    def _sample(self) -> tuple[Rollouts, int]:
        """Trajectories for the prompts of a step, and how many prompts they took.

        For DAPO, other prompts are sampled until enough have rewards that differ.
        """
        wanted, asked = self.config.prompts_per_step, 0
        found, uniform = Rollouts(), []
        for attempt in range(1 + MAX_RESAMPLINGS * self.algorithm.drop_uniform):
            chosen = self._draw(wanted - len(found.groups))
            asked += len(chosen)
            seeds = [
                seed_of(self.config.seed, self.step, attempt, runner)
                for runner in range(max(1, self.config.num_env_runners))
            ]
            rollouts, lost = self.workers.sample([self.prompts[index] for index in chosen], seeds)
            self.lost += [chosen[place] for place in lost]
            if self.algorithm.drop_uniform:
                useful = [group for group in rollouts.groups if _rewards_differ(group)]
                uniform += [group for group in rollouts.groups if not _rewards_differ(group)]
                rollouts = replace(rollouts, groups=useful)
            found.add(rollouts)
            if len(found.groups) >= wanted:
                break
        found.groups = found.groups or uniform
        if not found.groups:
            raise ModelError("all runners were lost. Fix: look at Ray's logs; the last checkpoint is kept")
        return found, asked

    def _draw(self, count: int) -> list[int]:
        """The next prompts: first those whose runner was lost."""
        again, self.lost = self.lost[:count], self.lost[count:]
        stream = prompt_stream(len(self.prompts), self.config.seed, skip=self.drawn)
        self.drawn += count - len(again)
        return again + [next(stream) for _ in range(count - len(again))]

    def _save(self) -> None:
        state = {"step": self.step, "drawn": self.drawn, "lost": self.lost, "beta": self.beta}
        with new_checkpoint(self.folder.path, self.step) as stage:
            learner = self.workers.on_learners(lambda learner: learner.state(), first=True)
            torch.save(state | {"learner": learner}, stage / STATE_FILE)


def _rewards_differ(group: Group) -> bool:
    known = [one.reward for one in group.trajectories if math.isfinite(one.reward)]
    return bool(known) and min(known) < max(known)


def _reward_metrics(rollouts: Rollouts, shaped: Sequence[float]) -> dict[str, float | str]:
    """What was sampled: rewards as the environment gave them and as they were learnt from, lengths, what is missing."""
    trajectories = [one for group in rollouts.groups for one in group.trajectories]
    rewards = torch.tensor([one.reward for one in trajectories], dtype=torch.float64)
    known = rewards[~rewards.isnan()]
    reasons = Counter(one.reason for one in trajectories if one.reason)
    found: dict[str, float | str] = {
        "reward": mean_known(rewards.tolist()),
        "reward_std": float(known.std(correction=0)) if len(known) else math.nan,
        "shaped_reward": mean_known(shaped),
        "reward_missing": 1 - len(known) / len(rewards),
        "responses_without_reward": float(len(rewards) - len(known)),
        "response_tokens": mean_known([one.num_tokens for one in trajectories]),
        "responses_truncated": mean_known([not one.response.finished for one in trajectories]),
    }
    if reasons:
        found["reward_missing_reason"] = reasons.most_common(1)[0][0]
    return found | {f"reward/{name}": mean_known(values) for name, values in rollouts.info.items()}
