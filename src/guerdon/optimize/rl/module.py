"""The policy as RLlib's RLModule: what a learner trains and what a runner samples from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule

from guerdon.optimize.rl.algorithms import algorithm_named
from guerdon.optimize.rl.config import RLConfig
from guerdon.optimize.rl.update import ActorCritic
from guerdon.policy.model import Policy
from guerdon.policy.net import PolicyNet


class TextModule(TorchRLModule):  # type: ignore[misc]
    """A language model with its tokenizer, and a critic where the algorithm has one; `model_config["rl"]` says which.

    Its state is what is trained and nothing else: a frozen base stays where it is.
    """

    policy: Policy
    actor: ActorCritic

    def setup(self) -> None:
        """Loads the policy."""
        settings: RLConfig = self.model_config["rl"]
        torch.manual_seed(settings.seed)  # of new adapters: the same for every learner and runner
        # A runner may sample in the GPU's own precision; what is trained is float32.
        self.policy = Policy.load(
            settings.policy,
            device=None if self.inference_only else "cpu",
            dtype="auto" if self.inference_only else "float32",
            trust_remote_code=settings.trust_remote_code,
        )
        if settings.lora_r:
            self.policy.add_lora(settings.lora_r, settings.lora_alpha)
        critic = algorithm_named(settings.algorithm).critic and not self.inference_only
        self.actor = ActorCritic(PolicyNet(self.policy.model), critic=critic)

    def get_state(self, components: Any = None, *, inference_only: bool = False, **_: Any) -> dict[str, Any]:
        """Trained tensors by name, on the CPU; for sampling, those of the policy alone."""
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.actor.named_parameters()
            if parameter.requires_grad and not (inference_only and name.startswith("value_head"))
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes tensors by name, each into the precision that it has here."""
        own = dict(self.actor.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(torch.as_tensor(value))

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        raise NotImplementedError("TextRunner samples from `policy`, and TextLearner trains `actor`")
