"""Who samples and who learns in a run: this process, which then holds one policy, or Ray actors (`actors.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor

from guerdon import hf
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import TextEnvironment
from guerdon.optimize.rl.learner_ranks import Ranks
from guerdon.optimize.rl.trajectories import Group, Rollouts, sample_trajectories
from guerdon.optimize.rl.update import ActorCritic, RefLogps, Updater, reference_of
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet
from guerdon.types import Candidates

if TYPE_CHECKING:
    from guerdon.optimize.rl.actors import RemoteLearners, RemoteRunners

T = TypeVar("T")
Weights = Mapping[str, Tensor]
"""What is trained of a policy, by the names of its parameters, on the CPU."""


@dataclass(frozen=True, slots=True)
class RLSetup:
    """What every process of a run is made from."""

    config: RLConfig
    environment: TextEnvironment

    def __deepcopy__(self, _: Any) -> RLSetup:
        """RLlib copies its configuration again and again; the environment in it stays one."""
        return self

    def sample(self, policy: Policy, tasks: Sequence[Candidates], seed: int, num_generations: int = 0) -> Rollouts:
        """Lets a policy act in the environment."""
        config = self.config
        return sample_trajectories(
            policy,
            self.environment,
            tasks,
            num_generations=num_generations or config.num_generations,
            sampling=Sampling(config.max_new_tokens, config.temperature),
            max_turns=config.max_turns,
            seed=seed,
        )


Precision = Literal["bfloat16", "float32"]


def sampling_placement() -> tuple[str, Precision]:
    """Device and precision of the policy that samples; in float32 it can be the learner's own."""
    return ("cuda", "bfloat16") if torch.cuda.is_available() else ("cpu", "float32")


def load_policy(config: RLConfig, device: str, dtype: Precision) -> Policy:
    """The policy at the start, with new adapters that are the same in every process."""
    policy = Policy.load(config.policy, device=device, dtype=dtype, trust_remote_code=config.trust_remote_code)
    if config.lora_r:
        torch.manual_seed(config.seed)
        policy.add_lora(config.lora_r, config.lora_alpha)
    return policy


def policy_weights(policy: Policy) -> Weights:
    """What is trained of a policy."""
    named = policy.model.named_parameters()
    return {name: value.detach().cpu().clone() for name, value in named if value.requires_grad}


def load_weights(policy: Policy, weights: Weights) -> None:
    """Puts weights into a policy of the same making, each in the precision that it has there."""
    own = dict(policy.model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


class Sampler:
    """A copy of a policy in this process that samples in a precision of its own, without adapters."""

    def __init__(self, config: RLConfig, device: str, dtype: Precision) -> None:
        self.policy = Policy.load(config.policy, device=device, dtype=dtype, trust_remote_code=config.trust_remote_code)
        self._weights = dict(self.policy.model.named_parameters())

    def like(self, policy: Policy) -> Policy:
        """The copy with the weights that a policy has now, adapters folded in; they stay on the device."""
        with torch.no_grad():
            for name, value in hf.trained_weights(policy.model):
                self._weights[name].copy_(value)
        return self.policy


class Learner:
    """A learner in this process."""

    def __init__(self, config: RLConfig, ranks: Ranks | None = None, *, keep_reference: bool = False) -> None:
        """Loads the policy in float32; `keep_reference` does so even where the algorithm has no KL."""
        self.config = config
        self.policy = load_policy(config, "cuda" if torch.cuda.is_available() else "cpu", "float32")
        actor = ActorCritic(PolicyNet(self.policy.model), critic=config.row.critic)
        self.reference: RefLogps | None = None
        if config.row.kl != "none" or keep_reference:
            self.reference = reference_of(actor.net)
        trained = [parameter for parameter in actor.parameters() if parameter.requires_grad]
        self.updater = Updater(
            actor,
            torch.optim.AdamW(trained, lr=config.peak_learning_rate, weight_decay=config.weight_decay),
            config,
            reference=self.reference if config.row.kl != "none" else None,
            pad_id=self.policy.tokenizer.pad_token_id,
            ranks=ranks,
            exact_logps=sampling_placement()[1] == "float32",
        )

    def update(self, groups: Sequence[Group], *, beta: float, learning_rate: float, seed: int) -> dict[str, float]:
        """Learns from the trajectories of one sampling step; gives metrics."""
        start = time.perf_counter()
        for group in self.updater.optimizer.param_groups:
            group["lr"] = learning_rate
        metrics = self.updater.update(groups, beta=beta, generator=torch.Generator().manual_seed(seed))
        return metrics | {"seconds_learning": time.perf_counter() - start}

    def state(self) -> dict[str, Any]:
        """Trained parameters, critic included, and the optimiser's state."""
        named = self.updater.actor.named_parameters()
        return {
            "parameters": {name: value.detach().cpu() for name, value in named if value.requires_grad},
            "optimizer": self.updater.optimizer.state_dict(),
            "skipped": self.updater.skipped,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self.updater.actor.load_state_dict(state["parameters"], strict=False)
        self.updater.optimizer.load_state_dict(state["optimizer"])
        self.updater.skipped = state["skipped"]


class Workers:
    """Who learns and who samples in a run, and the one policy of this process, if it has one."""

    def __init__(self, setup: RLSetup, learner: Learner | RemoteLearners, runners: RemoteRunners | None = None) -> None:
        self.setup, self.learner, self.runners = setup, learner, runners
        self._copy: tuple[Policy, RefLogps] | None = None
        self._sampler: Sampler | None = None
        self.sampling_steps = 0
        """How many tokens, one after the other, the run is going to sample, as far as is known."""

    def on_learners(self, work: Callable[[Learner], T], *, first: bool = False) -> T:
        """Lets every learner, or the first alone, do something, all at once; gives what the first one gives."""
        return work(self.learner) if isinstance(self.learner, Learner) else self.learner.apply(work, first=first)

    def weights(self) -> Weights:
        """What is trained of the policy."""
        return self.on_learners(lambda learner: policy_weights(learner.policy), first=True)

    def sample(self, tasks: Sequence[Candidates], seeds: Sequence[int]) -> tuple[Rollouts, list[int]]:
        """Samples trajectories by the newest weights, with a seed for each runner.

        Returns:
            What was sampled, and the places of the tasks whose runner was lost.
        """
        if self.runners is None:
            return self.setup.sample(self.sampler(), tasks, seeds[0]), []
        return self.runners.sample(tasks, seeds, self.weights())

    def policy(self) -> Policy:
        """The policy with the newest weights: the learner's own where it is in this process."""
        if isinstance(self.learner, Learner):
            return self.learner.policy
        policy, _ = self._own_copy()
        load_weights(policy, self.weights())
        return policy

    def sampler(self) -> Policy:
        """What samples here, with the newest weights: the policy itself, or a copy in a precision of its own.

        The copy is beside the learner that is in this process, and weights go from one to the other on the device.
        """
        device, dtype = sampling_placement()
        if dtype == "float32" or not isinstance(self.learner, Learner):
            return self.policy()
        if self._sampler is None:
            self._sampler = Sampler(self.setup.config, device, dtype)
            self._sampler.policy.expect_steps(self.sampling_steps)
        return self._sampler.like(self.learner.policy)

    def reference(self) -> RefLogps:
        """The reference policy, in this process."""
        if isinstance(self.learner, Learner):
            assert self.learner.reference is not None
            return self.learner.reference
        return self._own_copy()[1]

    def _own_copy(self) -> tuple[Policy, RefLogps]:
        config = self.setup.config
        if self._copy is None:
            policy = load_policy(config, *sampling_placement())
            self._copy = policy, reference_of(PolicyNet(policy.model))
        return self._copy


@contextmanager
def start_workers(setup: RLSetup, *, keep_reference: bool) -> Iterator[Workers]:
    """Starts what the configuration asks for; Ray only where there are actors. Evaluations need the reference."""
    config = setup.config
    with ExitStack() as stack:
        if not config.num_learners and not config.num_env_runners:
            yield Workers(setup, Learner(config, keep_reference=keep_reference))
            return
        from guerdon.optimize.rl import actors
        from guerdon.runs.ray_cluster import ray_running

        stack.enter_context(ray_running(config.num_env_runners + config.num_learners))
        learner = (
            stack.enter_context(actors.remote_learners(setup))
            if config.num_learners
            else Learner(config, keep_reference=keep_reference)
        )
        runners = stack.enter_context(actors.remote_runners(setup)) if config.num_env_runners else None
        yield Workers(setup, learner, runners)
