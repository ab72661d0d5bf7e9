"""RLlib's Algorithm for text: sample, shape the rewards, learn, send the weights round."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.tune.registry import register_env

from guerdon.errors import GuerdonError, ModelError
from guerdon.optimize.prompts import prompt_stream
from guerdon.optimize.rl.algorithms import algorithm_named
from guerdon.optimize.rl.env import NAME, Given, TextSpace, text_env
from guerdon.optimize.rl.learner import TextLearner
from guerdon.optimize.rl.module import TextModule
from guerdon.optimize.rl.runner import REPORTED, TextRunner
from guerdon.optimize.rl.shaping import Shaping, shape
from guerdon.optimize.rl.update import AdaptiveBeta, Group
from guerdon.policy.decode import Sample
from guerdon.runs.guard import MissingRewardGuard

logger = logging.getLogger(__name__)

RESAMPLINGS = 3
"""DAPO samples other prompts at most so often in a step, in place of those whose answers are all worth the same."""


_Sampled: TypeAlias = tuple[int, list[SingleAgentEpisode], dict[str, float], dict[str, list[float]], list[str]]
"""What a runner brings: its number, episodes, sums, the rewards of parts, and why responses have no reward."""


class TextAlgorithm(Algorithm):  # type: ignore[misc]
    """Group-relative and actor-critic algorithms of `ALGORITHMS`, on runners and learners of any number."""

    def setup(self, config: Any) -> None:
        """Builds runners and learners."""
        super().setup(config)
        given: Given = self.config.env_config["given"]
        self.settings = given.settings
        self.row = algorithm_named(self.settings.algorithm)
        beta = self.row.beta if self.settings.beta is None else self.settings.beta
        self.beta = AdaptiveBeta(beta, self.settings.kl_target or None)
        self.requests = given.requests
        self.steps = max(1, math.ceil(len(self.requests) * self.settings.epochs / self.settings.prompts_per_step))
        self.drawn = 0
        """Prompts that were taken from the stream."""
        self.again: list[int] = []
        """Prompts whose runner was lost before it had answered."""
        self.guard = MissingRewardGuard()
        self.figures: dict[str, float] = {}
        """Of the last step."""
        self.send_weights()

    def send_weights(self) -> None:
        """Sends the learners' weights to the runners."""
        self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)

    def training_step(self) -> None:
        """One sampling step and its update."""
        step = self.iteration
        groups, report = self._gather(step)
        raw = np.array([reward for group in groups for reward in group.rewards])
        self.guard.note(raw, self.reasons)
        told = self._shaped(groups)
        figures = self.learner_group.update(
            training_data=TrainingData(batches=[told] * max(1, self.settings.num_learners)),
            beta=self.beta.beta,
            rate=min(1.0, (step + 1) / max(1.0, self.settings.warmup_ratio * self.steps)),
            seed=self.settings.seed * 1_000_003 + step,
        )[0]["figures"]
        self.send_weights()
        if "kl" in figures:
            self.beta.see(figures["kl"], len(raw))
        known = raw[np.isfinite(raw)]
        figures |= report | {
            "beta": self.beta.beta,
            "reward_told": figures["reward"],
            "reward": float(known.mean()) if len(known) else math.nan,
            "reward_std": float(known.std()) if len(known) else math.nan,
        }
        self.figures = figures
        for name, value in figures.items():
            self.metrics.log_value(("guerdon", name), value, window=1)

    def _gather(self, step: int) -> tuple[list[Group], dict[str, float]]:
        """Answers to the prompts of a step; for DAPO, until enough prompts have answers that differ in worth."""
        wanted = self.settings.prompts_per_step
        found: list[Group] = []
        spare: list[Group] = []
        report = dict.fromkeys((*REPORTED, "prompts_asked"), 0.0)
        self.parts: dict[str, list[float]] = {}
        self.reasons: list[str] = []
        for attempt in range(1 + RESAMPLINGS * self.row.drop_uniform):
            asked = self._draw(wanted - len(found))
            groups = self._sample(asked, (self.settings.seed, step, attempt), report)
            report["prompts_asked"] += len(asked)
            for group in groups:
                known = [reward for reward in group.rewards if math.isfinite(reward)]
                useful = not self.row.drop_uniform or (known and min(known) < max(known))
                (found if useful else spare).append(group)
            if len(found) >= wanted:
                break
        if not found and not spare:
            raise ModelError("no runner answered. Fix: look at the runners' errors above; the last checkpoint is kept")
        for name, values in self.parts.items():
            known = [value for value in values if math.isfinite(value)]
            report[f"reward/{name}"] = sum(known) / len(known) if known else math.nan
        return found or spare, report

    def _draw(self, count: int) -> list[int]:
        taken, self.again = self.again[:count], self.again[count:]
        fresh = count - len(taken)
        stream = prompt_stream(len(self.requests), self.settings.seed, skip=self.drawn)
        self.drawn += fresh
        return taken + [next(stream) for _ in range(fresh)]

    def _sample(self, prompts: list[int], seed: tuple[int, ...], report: dict[str, float]) -> list[Group]:
        """Lets the runners answer; what a lost runner had is asked again in the next step."""
        runners = self.env_runner_group
        indices = runners.healthy_env_runner_ids() or [0]
        share = {index: prompts[place :: len(indices)] for place, index in enumerate(indices)}
        numbers = {index: _number(*seed, place) for place, index in enumerate(indices)}

        def ask(runner: TextRunner) -> _Sampled | GuerdonError:
            index = runner.worker_index
            try:
                episodes = runner.sample(prompts=share[index], seed=numbers[index])
            except GuerdonError as error:  # RLlib would restart the runner again and again
                return error
            return index, episodes, runner.report, runner.parts, runner.reasons

        remote = runners.num_healthy_remote_env_runners() > 0
        answers = runners.foreach_env_runner(ask, local_env_runner=not remote)
        for answer in answers:
            if isinstance(answer, GuerdonError):
                raise answer
        came = {index for index, *_ in answers}
        self.again += [prompt for index in indices if index not in came for prompt in share[index]]
        if came != set(indices):
            logger.warning(
                "%d of %d runners were lost; their prompts are asked again", len(indices) - len(came), len(indices)
            )
        groups = []
        for _, episodes, numbers_of, parts, reasons in answers:
            self.reasons += reasons
            for name in REPORTED:
                report[name] += numbers_of[name]
            for name, values in parts.items():
                self.parts.setdefault(name, []).extend(values)
            count = self.settings.num_generations
            groups += [_group(episodes[start : start + count]) for start in range(0, len(episodes), count)]
        return groups

    def _shaped(self, groups: Sequence[Group]) -> list[Group]:
        settings = self.settings
        answers = [answer for group in groups for answer in group.answers]
        told = shape(
            np.array([reward for group in groups for reward in group.rewards]),
            np.array([len(answer.ids) - len(answer.environment_positions) for answer in answers]),
            np.array([answer.finished for answer in answers]),
            Shaping(
                "drop" if settings.mask_truncated_completions else "score",
                settings.missing_eos_penalty,
                settings.token_penalty,
                settings.whiten_rewards,
                settings.reward_clip,
            ),
        ).tolist()
        count = settings.num_generations
        return [
            Group(group.prompt, group.answers, tuple(told[place * count : (place + 1) * count]))
            for place, group in enumerate(groups)
        ]

    def get_state(self, components: Any = None, *, not_components: Any = None, **options: Any) -> dict[str, Any]:
        """RLlib's state, and how far the prompts have come."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **options)
        return state | {"guerdon": {"drawn": self.drawn, "again": list(self.again), "beta": self.beta.beta}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        super().set_state(state)
        if "guerdon" in state:
            own = state["guerdon"]
            self.drawn, self.again, self.beta.beta = own["drawn"], list(own["again"]), own["beta"]


def _group(episodes: Sequence[SingleAgentEpisode]) -> Group:
    """Episodes that began with one prompt, as answers to it."""
    answers = [_answer(episode) for episode in episodes]
    rewards = tuple(float(episode.get_rewards()[-1]) for episode in episodes)
    return Group(tuple(episodes[0].get_observations(0)), tuple(answers), rewards)


def _answer(episode: SingleAgentEpisode) -> Sample:
    """A conversation after its prompt, as one answer in which what was heard does not count."""
    ids: list[int] = []
    logps: list[float] = []
    heard: list[int] = []
    outputs = episode.extra_model_outputs
    for turn in range(len(episode)):
        said = episode.get_actions(turn)
        ids += said
        logps += outputs["logp"][turn]
        reply = episode.get_observations(turn + 1) if turn + 1 < len(episode) else []
        heard += range(len(ids), len(ids) + len(reply))
        ids += reply
        logps += [0.0] * len(reply)
    return Sample(tuple(ids), tuple(logps), bool(outputs["finished"][-1]), tuple(heard))


def _number(*parts: int) -> int:
    """A seed from several numbers."""
    return random.Random(str(parts)).getrandbits(62)


class TextConfig(AlgorithmConfig):  # type: ignore[misc]
    """RLlib's configuration of a run: `TextConfig().given(Given(...)).build_algo()`, or under Tune."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or TextAlgorithm)
        self.api_stack(enable_rl_module_and_learner=True, enable_env_runner_and_connector_v2=True)
        self.framework("torch")
        self.fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=0)
        self.debugging(log_level="ERROR")

    def given(self, given: Given) -> TextConfig:
        """Says what to train with which reward, on how many runners and learners."""
        register_env(NAME, text_env)
        settings, space = given.settings, TextSpace()
        gpu = 1 if torch.cuda.is_available() else 0
        self.environment(NAME, env_config={"given": given}, observation_space=space, action_space=space)
        self.env_runners(
            env_runner_cls=TextRunner,
            num_env_runners=settings.num_env_runners,
            num_gpus_per_env_runner=gpu if settings.num_env_runners else 0,
        )
        self.learners(num_learners=settings.num_learners, num_gpus_per_learner=gpu)
        self.debugging(seed=settings.seed)
        return self

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The policy."""
        space = TextSpace()
        return RLModuleSpec(
            TextModule,
            observation_space=space,
            action_space=space,
            model_config={"rl": self.env_config["given"].settings},
        )

    def get_default_learner_class(self) -> type[TextLearner]:
        """Its learner."""
        return TextLearner
