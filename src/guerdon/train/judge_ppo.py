"""The same judge by RLlib's PPO (Schulman et al. 2017): from sampled episodes, without knowing what other actions earn.

RLlib's parts are taken as they come: its runner steps the environment, its PPO computes advantages and loss. Ours are
the environment, the module, and one optimiser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env
from torch import Tensor

from guerdon.metrics import Floats
from guerdon.rewards.early_judge import STOP_FEATURES, stop_features
from guerdon.runs.ray_cluster import ray_running
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.judge_environment import EXTRAS, JudgeEnvironment
from guerdon.train.judge_readings import Readings

ENVIRONMENT = "guerdon-judge"
ENTROPY = 0.03
READ_ON = 6.0
"""q at the start: a judge that answers early learns from beginnings, and ranks whole responses worse for it."""
AVERAGED = 0.04
"""How much of the newest weights goes into their mean at each iteration: what a single one learns is mostly noise."""


class JudgeModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """The policy exp(q) : exp(d / 2) : exp(-d / 2) on observations of `JudgeEnvironment`, and the value of a state."""

    def setup(self) -> None:
        """Makes the weights of r, which begin at 0, of q, and of the value.

        `gain` of the model_config multiplies r: with it a smaller learning rate takes r as far.
        """
        self.gain = float(self.model_config.get("gain", 1.0))
        self.width = (self.observation_space.shape[0] - EXTRAS) // 2
        self.reward_weights = torch.nn.Parameter(torch.zeros(self.width))
        self.stop_weights = torch.nn.Parameter(torch.zeros(len(STOP_FEATURES)))
        self.value_weights = torch.nn.Parameter(torch.zeros(len(STOP_FEATURES)))
        with torch.no_grad():
            self.stop_weights[0] = READ_ON

    def _state(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """The d of each state, the features of q, and whether there is more to read."""
        seen = batch[Columns.OBS]
        a, b, extras = seen.split([self.width, self.width, EXTRAS], dim=-1)
        difference = self.gain * ((a - b) @ self.reward_weights)
        chunks, one_ended, both_ended = extras.unbind(dim=-1)
        features = stop_features(difference.detach(), chunks.clamp(min=1.0), one_ended)
        return difference, torch.stack(features, dim=-1), both_ended > 0

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Tensor]:
        """Logits of reading on, preferring a, and preferring b."""
        difference, features, both_ended = self._state(batch)
        q = (features @ self.stop_weights).masked_fill(both_ended, -1e4)
        return {Columns.ACTION_DIST_INPUTS: torch.stack([q, difference / 2, -difference / 2], dim=-1)}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """What a state is worth, by the same features as q."""
        return self._state(batch)[1] @ self.value_weights


class JudgeLearner(PPOTorchLearner):  # type: ignore[misc]
    """PPO whose weight decay holds the weights of r alone: the others are few."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """AdamW; `weight_decay` stands in the module's model_config."""
        module = self.module[module_id].unwrapped()
        named = dict(module.named_parameters())
        decayed = named.pop("reward_weights")
        decay = float(module.model_config.get("weight_decay", 0.0))
        groups = [{"params": [decayed], "weight_decay": decay}, {"params": [*named.values()], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=config.lr)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=[decayed, *named.values()], lr_or_lr_schedule=config.lr
        )


def make_environment(context: Mapping[str, Any]) -> gym.vector.VectorEnv:
    """`JudgeEnvironment` from RLlib's `env_config`: readings, cost, seed."""
    options = {name: context[name] for name in ("num_envs", "cost", "seed") if name in context}
    return JudgeEnvironment(context["readings"], **options)


def ppo_config(readings: Readings, given: JudgeConfig) -> PPOConfig:
    """RLlib's PPO for a judge, with what suits linear rewards on some thousand comparisons."""
    register_env(ENVIRONMENT, make_environment)
    context = {"readings": readings, "cost": given.training_cost, "seed": given.seed}
    config = PPOConfig().environment(ENVIRONMENT, env_config=context)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=64, gym_env_vectorize_mode="vector_entry_point")
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=JudgeModule, model_config={"weight_decay": 6.0}))
    config.training(
        learner_class=JudgeLearner,
        train_batch_size_per_learner=4096,
        minibatch_size=1024,
        num_epochs=4,
        lr=1e-3,
        gamma=1.0,
        lambda_=1.0,
        entropy_coeff=ENTROPY,
        use_kl_loss=False,
        vf_loss_coeff=0.5,
    )
    config.learners(num_learners=0)
    config.debugging(seed=given.seed, log_level="ERROR")
    return config


def fit_ppo(readings: Readings, config: JudgeConfig, iterations: int) -> Iterator[tuple[int, Floats]]:
    """Each iteration's number, from 1, and the running mean of the weights of r."""
    with ray_running():
        algorithm = ppo_config(readings, config).build_algo()
        try:
            mean = np.zeros(readings.values.shape[1])
            for iteration in range(1, iterations + 1):
                algorithm.train()
                mean += max(AVERAGED, 1 / iteration) * (reward_weights(algorithm) - mean)
                yield iteration, mean.copy()
        finally:
            algorithm.stop()


def reward_weights(algorithm: Any) -> Floats:
    """The weights of r that an algorithm has by now."""
    weights = algorithm.get_module(DEFAULT_MODULE_ID).reward_weights
    return np.asarray(weights.detach().cpu().numpy(), dtype=np.float64)
