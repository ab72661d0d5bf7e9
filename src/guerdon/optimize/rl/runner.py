"""RLlib's EnvRunner for text: all answers of a step side by side, then one step of the environment."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import torch
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO

from guerdon.optimize.rl.config import RLConfig
from guerdon.optimize.rl.env import text_env
from guerdon.optimize.rl.module import TextModule
from guerdon.policy.decode import Sample, Sampling

REPORTED = ("seconds_sampling", "seconds_scoring", "tokens_sampled", "responses_without_reward", "talks_too_long")
"""Sums over what was sampled last, in `TextRunner.report`."""


class _Talk:
    """One conversation as tokens, and as RLlib's episode."""

    def __init__(self, prompt: list[int]) -> None:
        self.heard = list(prompt)
        self.tokens = 0
        self.episode = SingleAgentEpisode(observations=[prompt], len_lookback_buffer=0)

    def take(self, sample: Sample, reply: list[int], reward: float, over: bool) -> None:
        self.heard += [*sample.ids, *reply]
        self.tokens += len(sample.ids)
        self.episode.add_env_step(
            observation=reply,
            action=list(sample.ids),
            reward=reward,
            terminated=over,
            extra_model_outputs={"logp": list(sample.logps), "finished": sample.finished},
        )


class TextRunner(EnvRunner, Checkpointable):  # type: ignore[misc]
    """Asks the policy, and lets the environment reward what it says.

    The policy is loaded when it is first asked: where remote runners sample, the local one never needs it.
    """

    def __init__(self, *, config: Any, **options: Any) -> None:
        super().__init__(config=config, **options)
        self.settings: RLConfig = self.config.env_config["given"].settings
        self.module: TextModule | None = None
        self.report: dict[str, float] = {}
        self.reasons: list[str] = []
        """Why responses that were sampled last have no reward."""
        self.parts: dict[str, list[float]] = {}
        """What the parts of a composed reward said of what was sampled last."""
        self._weights: Any = None
        self._weights_seq_no = 0
        self._asked = 0
        self.make_env()

    def make_env(self) -> None:
        """Makes the environment."""
        self.env = text_env(self.config.env_config)

    def make_module(self) -> TextModule:
        """The policy, with the newest weights that were sent here."""
        if self.module is None:
            self.module = self.config.get_default_rl_module_spec().build()
            self.module.inference_only = True
            self.module.actor.eval()
            if self._weights is not None:
                self.module.set_state(self._weights)
        return self.module

    def assert_healthy(self) -> None:
        """Nothing that could be half made."""
        assert self.env is not None

    def get_spaces(self) -> dict[str, Any]:
        """Text in, text out."""
        spaces = (self.env.observation_space, self.env.action_space)
        return {INPUT_ENV_SPACES: spaces, INPUT_ENV_SINGLE_SPACES: spaces, DEFAULT_MODULE_ID: spaces}

    def sample(self, *, prompts: Sequence[int] = (), seed: int = 0, **_: Any) -> list[SingleAgentEpisode]:
        """Lets the policy answer prompts, `samples` times each.

        Args:
            prompts: indices of the environment's requests.
            seed: of the sampling.

        Returns:
            An episode for each answer, those to one prompt together: observations are tokens heard (the prompt first),
            actions tokens said, `extra_model_outputs` their log-probabilities and whether the turn ended by itself.
        """
        if not prompts:
            return []
        self.report = dict.fromkeys(REPORTED, 0.0)
        self.parts, self.reasons = {}, []
        start = time.perf_counter()
        policy, settings = self.make_module().policy, self.settings
        self._generator = torch.Generator().manual_seed(seed)
        observed, _ = self.env.reset(options={"prompts": [i for i in prompts for _ in range(settings.num_generations)]})
        coded = policy.encode_prompts(observed[:: settings.num_generations], max_new_tokens=settings.max_new_tokens)
        said = [sample for group in self._say(coded, settings.num_generations) for sample in group]
        talks = [_Talk(ids) for ids in coded for _ in range(settings.num_generations)]
        live = talks
        while live:
            live = self._turn(talks, live, said)
            said = [sample for (sample,) in self._say([talk.heard for talk in live], 1)]
        self.report["seconds_sampling"] = time.perf_counter() - start - self.report["seconds_scoring"]
        self.report["tokens_sampled"] = float(sum(talk.tokens for talk in talks))
        self._asked += len(talks)
        return [talk.episode for talk in talks]

    def _say(self, contexts: Sequence[Sequence[int]], each: int) -> list[list[Sample]]:
        sampling = Sampling(self.settings.max_new_tokens, self.settings.temperature)
        policy = self.make_module().policy
        return policy.sample_tokens(contexts, each, sampling, self._generator) if contexts else []

    def _turn(self, talks: Sequence[_Talk], live: Sequence[_Talk], said: Sequence[Sample]) -> list[_Talk]:
        """One step of the environment. Returns the talks that go on."""
        policy, row_of = self.make_module().policy, {id(talk): row for row, talk in enumerate(talks)}
        before = time.perf_counter()
        _, rewards, ended, _, infos = self.env.step([policy.text(sample) for sample in said])
        self.report["seconds_scoring"] += time.perf_counter() - before
        missing = [reason for reason in infos["reasons"] if reason]
        self.report["responses_without_reward"] += len(missing)
        self.reasons += missing
        for name, values in infos["parts"].items():
            self.parts.setdefault(name, []).extend(values.tolist())
        going, too_long = [], set()
        for talk, sample, reward, over in zip(live, said, rewards, ended, strict=True):
            row = row_of[id(talk)]
            reply = (
                [] if over else policy.encode_environment_turn(self.env.conversations[row], finished=sample.finished)
            )
            full = len(talk.heard) + len(sample.ids) + len(reply) + self.settings.max_new_tokens > policy.context_length
            if not over and full:
                too_long.add(row)
            elif not over:
                going.append(talk)
            talk.take(sample, reply, math.nan if row in too_long else float(reward), bool(over) or full)
        self.env.leave(too_long)
        self.report["talks_too_long"] += len(too_long)
        return going

    def get_metrics(self) -> Any:
        """What RLlib adds up over runners."""
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, self._asked, reduce="lifetime_sum")
        self._asked = 0
        return self.metrics.reduce()

    def get_state(self, components: Any = None, *, not_components: Any = None, **_: Any) -> dict[str, Any]:
        """The weights that the policy has, or will have when it is loaded."""
        state: dict[str, Any] = {}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components) and self._weights is not None:
            state |= {COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: self._weights}, WEIGHTS_SEQ_NO: self._weights_seq_no}
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes weights, unless they are older than those that are here."""
        if COMPONENT_RL_MODULE in state:
            number = state.get(WEIGHTS_SEQ_NO, 0)
            if number == 0 or number > self._weights_seq_no:
                given = state[COMPONENT_RL_MODULE]
                weights = ray.get(given) if isinstance(given, ray.ObjectRef) else given
                self._weights = weights.get(DEFAULT_MODULE_ID, weights)
                self._weights_seq_no = number or self._weights_seq_no
                if self.module is not None:
                    self.module.set_state(self._weights)

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """For RLlib's checkpoints."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[Any]:
        """None: weights are checkpointed by the learner."""
        return []
