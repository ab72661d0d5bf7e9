"""Runners and learners as Ray actors. RLlib serves as the pool of them, and nothing more.

`EnvRunnerGroup` starts runners, notices those that are lost and has Ray replace them; `LearnerGroup` starts learners
and joins them in a process group of torch. What they do is ours (`workers.py`), as in a run without actors.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from guerdon.errors import ConfigError, DataError, GuerdonError, ModelError, OutputError
from guerdon.optimize.rl.learner_ranks import Ranks
from guerdon.optimize.rl.trajectories import Rollouts
from guerdon.optimize.rl.workers import Learner, RLSetup, Weights, load_policy, load_weights, sampling_placement
from guerdon.policy.model import Policy
from guerdon.types import Candidates

T = TypeVar("T")
logger = logging.getLogger(__name__)

RESTART_SECONDS = 120.0
"""How long to wait for a runner where all are lost."""


def _rllib_config(setup: RLSetup) -> AlgorithmConfig:
    """How RLlib starts actors: where, how many, and what they are made from."""
    config, found = setup.config, AlgorithmConfig()
    gpus = ray.cluster_resources().get("GPU", 0.0) if torch.cuda.is_available() else 0.0
    share = min(1.0, gpus / max(1, config.num_env_runners + config.num_learners))
    found.framework("torch")
    found.environment(env_config={"setup": setup})
    found.env_runners(env_runner_cls=RunnerActor, num_env_runners=config.num_env_runners, num_gpus_per_env_runner=share)
    found.learners(num_learners=config.num_learners, num_gpus_per_learner=share)
    found.training(learner_class=LearnerActor)
    found.fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=0)
    return found


def _caught(work: Callable[[], Any]) -> Any:
    """What `work` gives, or its error as a value, which ends no actor and keeps its message on the way home."""
    try:
        return work()
    except GuerdonError as error:
        kinds = (ConfigError, ModelError, OutputError, DataError)  # those with a message alone can be pickled
        return next((kind for kind in kinds if isinstance(error, kind)), GuerdonError)(str(error))
    except Exception as error:
        logger.exception("an actor failed")
        return ModelError(f"a Ray actor failed: {type(error).__name__}: {error}")


class RunnerActor(EnvRunner):  # type: ignore[misc]
    """Samples trajectories with a policy of its own, which is loaded when it is first needed."""

    policy: Policy | None = None

    def assert_healthy(self) -> None:
        """There is nothing that could be half made."""

    def get_spaces(self) -> dict[str, Any]:
        """Nobody asks: text has no spaces."""
        return {}

    def sample(
        self, *, tasks: Sequence[Candidates], weights: Weights, seed: int
    ) -> tuple[int, Rollouts | GuerdonError]:
        """Samples trajectories; gives the number of the runner, and what came of it."""
        return self.worker_index, _caught(lambda: self._sample(tasks, weights, seed))

    def _sample(self, tasks: Sequence[Candidates], weights: Weights, seed: int) -> Rollouts:
        setup: RLSetup = self.config.env_config["setup"]
        if self.policy is None:
            self.policy = load_policy(setup.config, *sampling_placement())
        load_weights(self.policy, weights)
        return setup.sample(self.policy, tasks, seed)


class LearnerActor(TorchLearner):  # type: ignore[misc]
    """One of the learners that share an update."""

    learner: Learner | GuerdonError

    def build(self) -> None:
        """Loads the policy; RLlib's modules, connectors and optimisers have no part in it."""
        config = self.config.env_config["setup"].config
        ranks = Ranks(torch.distributed.get_rank(), config.num_learners)
        self.learner = _caught(lambda: Learner(config, ranks))

    def compute_loss_for_module(self, **_: Any) -> Any:
        """Not asked for: the loss is taken in micro-batches, inside the update."""
        raise NotImplementedError


class RemoteLearners:
    """The learners of a `LearnerGroup`."""

    def __init__(self, group: LearnerGroup) -> None:
        self._group = group

    def apply(self, work: Callable[[Learner], T], *, first: bool = False) -> T:
        """Lets every learner, or the first alone, do something, all at once; gives what the first one gives."""

        def call(actor: LearnerActor) -> Any:
            if first and torch.distributed.get_rank():
                return None
            learner = actor.learner
            return _caught(lambda: work(learner)) if isinstance(learner, Learner) else learner

        found = [result.get() for result in self._group.foreach_learner(call)]
        for one in found:
            if isinstance(one, GuerdonError):
                raise one
            if isinstance(one, Exception):
                raise ModelError(f"a learner was lost ({one}). Fix: resume from the last checkpoint") from one
        result: T = found[0]
        return result


class RemoteRunners:
    """The runners of an `EnvRunnerGroup`; one that is lost is replaced, and its tasks are given back."""

    def __init__(self, group: EnvRunnerGroup) -> None:
        self._group = group

    def sample(self, tasks: Sequence[Candidates], seeds: Sequence[int], weights: Weights) -> tuple[Rollouts, list[int]]:
        """Deals the tasks out over the runners that are there; see `Workers.sample`."""
        ids = self._healthy()
        share = {number: range(place, len(tasks), len(ids)) for place, number in enumerate(ids)}
        busy = [number for number in ids if share[number]]
        sent = ray.put(weights)
        calls = [
            {"tasks": [tasks[place] for place in share[number]], "weights": sent, "seed": seeds[number - 1]}
            for number in busy
        ]
        came: dict[int, Rollouts | GuerdonError] = dict(
            self._group.foreach_env_runner("sample", kwargs=calls, local_env_runner=False, remote_worker_ids=busy)
        )
        found = Rollouts()
        for number in busy:
            rollouts = came.get(number)
            if isinstance(rollouts, GuerdonError):
                raise rollouts
            if rollouts is not None:
                found.add(rollouts)
        if lost := [number for number in busy if number not in came]:
            logger.warning("%d of %d runners were lost; their prompts are asked again", len(lost), len(busy))
        return found, [place for number in lost for place in share[number]]

    def _healthy(self) -> list[int]:
        end = time.monotonic() + RESTART_SECONDS
        while True:
            self._group.probe_unhealthy_env_runners()
            if ids := list(self._group.healthy_env_runner_ids()):
                return ids
            if time.monotonic() > end:
                raise ModelError("all runners are lost. Fix: look at Ray's logs; the last checkpoint is kept")
            time.sleep(1.0)


@contextmanager
def _starting(what: str) -> Iterator[None]:
    """Gives what Ray raises in many lines as one message."""
    try:
        yield
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        raise ModelError(f"Ray cannot start the {what}: {lines[0]} ... {lines[-1].strip()}") from error


@contextmanager
def remote_learners(setup: RLSetup) -> Iterator[RemoteLearners]:
    """Starts the learners, and ends them with the block."""
    with _starting("learners"):
        group = LearnerGroup(config=_rllib_config(setup), module_spec=RLModuleSpec())
    try:
        yield RemoteLearners(group)
    finally:
        group.shutdown()


@contextmanager
def remote_runners(setup: RLSetup) -> Iterator[RemoteRunners]:
    """Starts the runners, and ends them with the block."""
    with _starting("runners"):
        group = EnvRunnerGroup(config=_rllib_config(setup), local_env_runner=False)
    try:
        yield RemoteRunners(group)
    finally:
        group.stop()
