"""A run of RL fine-tuning: checkpoints, figures, and the policy at its end."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from safetensors.torch import load_file, save_file

from guerdon.errors import ConfigError
from guerdon.files import check_writable, output_error
from guerdon.optimize.monitor import LOOKS_FILE, Monitor
from guerdon.optimize.prompts import check_lengths, fingerprint_of
from guerdon.optimize.rl.algorithms import algorithm_named
from guerdon.optimize.rl.config import RLConfig
from guerdon.optimize.rl.env import Given, Reply
from guerdon.optimize.rl.loop import TextAlgorithm, TextConfig
from guerdon.optimize.rl.update import reference_of
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.policy.net import PolicyNet
from guerdon.rewards.load import ScorerConfig
from guerdon.runs.checkpoints import checkpoint_steps
from guerdon.runs.folder import RUN_FOLDER, check_run, mark_run
from guerdon.runs.log import OnStep, RunLog
from guerdon.types import Candidates, Scorer


def train_rl(
    scorer: Scorer | ScorerConfig,
    requests: Sequence[Candidates],
    out: str | Path,
    config: RLConfig | None = None,
    *,
    validation: Sequence[Candidates] = (),
    gold: Scorer | None = None,
    reply: Reply | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Policy:
    """Fine-tunes a policy by RL, and saves it in HF layout.

    Args:
        scorer: the reward, or which one it is; from a `ScorerConfig` every runner loads its own.
        requests: prompts (`guerdon.data.candidates.read_prompts`).
        out: folder of the policy; `out/run` keeps checkpoints, `metrics.jsonl` and TensorBoard files.
        config: how to train.
        validation: held-out prompts to watch the policy on (`guerdon.optimize.monitor`); the one at the peak is kept.
        gold: a reward that does not train and says where the peak is; without one, the reward that trains.
        reply: who speaks between the policy's turns, where it has several.
        resume: go on from the last checkpoint in `out`.
        on_step: called after every step with its figures.

    Raises:
        DataError: a prompt is too long.
        ConfigError: options that do not fit together.
        ModelError: the policy cannot be loaded or trained, or no answer has a reward.
        OutputError: `out` cannot be written.
    """
    config = config or RLConfig()
    algorithm_named(config.algorithm)
    if config.max_turns > 1 and reply is None:
        raise ConfigError("turns above 1 take a reply: who speaks between the policy's turns")
    if gold is not None and not validation:
        raise ConfigError("a gold reward watches on held-out prompts. Fix: name some with --validation")
    out = Path(out)
    run = out / RUN_FOLDER
    check_writable(out / "policy.json")
    fingerprint = fingerprint_of(requests)
    check_run(run, config, fingerprint, resume)
    policy = Policy.load(config.policy, dtype="float32", trust_remote_code=config.trust_remote_code)
    check_lengths(policy, [*requests, *validation], max_new_tokens=config.max_new_tokens)
    if config.lora_r:
        policy.add_lora(config.lora_r, config.lora_alpha)
    given = Given(config, requests, scorer, reply)
    with running(given) as algorithm:
        mark_run(run, config, fingerprint)
        watched = None
        if validation:
            watched = Watched(
                policy, scorer.load() if isinstance(scorer, ScorerConfig) else scorer, gold, validation, run, config
            )
        _train(algorithm, run, config, resume, on_step, watched)
        weights = watched.best() if watched else _weights(algorithm)
    _load(policy, weights)
    policy.save(out, training=asdict(config))
    for step in checkpoint_steps(run):
        shutil.rmtree(run / f"checkpoint-{step}", ignore_errors=True)
    return policy


class Watched:
    """The monitor of a run, and the weights at its peak."""

    def __init__(
        self,
        policy: Policy,
        proxy: Scorer,
        gold: Scorer | None,
        requests: Sequence[Candidates],
        run: Path,
        config: RLConfig,
    ) -> None:
        self.policy, self.run, self.every = policy, run, config.eval_steps
        self.monitor = Monitor(
            policy,
            requests,
            proxy,
            gold,
            run / LOOKS_FILE,
            reference=reference_of(PolicyNet(policy.model)),
            sampling=Sampling(config.max_new_tokens, config.temperature),
            samples=config.eval_num_generations,
            patience=config.early_stopping_patience,
            seed=config.seed,
        )

    def begin(self, step: int, steps: int) -> None:
        """Forgets looks behind a step, which the run goes on from."""
        self.every = self.every or max(1, steps // 10)
        self.monitor.looks = [look for look in self.monitor.looks if look.step <= step]

    def due(self, step: int, steps: int) -> bool:
        """Whether a look is to be taken after a step."""
        return step % self.every == 0 or step == steps

    def look(self, step: int, weights: dict[str, Any]) -> dict[str, float]:
        """Takes a look at some weights; keeps them where it is the best so far. Returns figures."""
        _load(self.policy, weights)
        look = self.monitor.look(step)
        if self.monitor.peak is look:
            save_file(weights, self._file(step))
        return {f"look/{name}": getattr(look, name) for name in ("proxy", "gold", "kl", "tokens", "repetition")}

    def prune(self) -> None:
        """Lets go of weights that are the best no more; called when a checkpoint knows of the better ones."""
        for file in self.run.glob(f"{_PEAK}*"):
            if file != self._file(self.monitor.peak.step):
                file.unlink()

    def best(self) -> dict[str, Any]:
        """The weights at the peak."""
        file = self._file(self.monitor.peak.step)
        weights = load_file(file)
        file.unlink()
        return weights

    def _file(self, step: int) -> Path:
        return self.run / f"{_PEAK}{step}.safetensors"


_PEAK = "peak-"


@contextmanager
def running(given: Given) -> Iterator[TextAlgorithm]:
    """Builds the algorithm, on the Ray that is running, or on one of its own, which ends with it."""
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of what is as it should be
    started = not ray.is_initialized()
    if started:
        # A dashboard, and a guess at the object store's size, would cost seconds and gigabytes.
        cpus = max(os.cpu_count() or 1, 1 + given.settings.num_env_runners + given.settings.num_learners)
        ray.init(
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            logging_level=logging.ERROR,
        )
    algorithm: Any = TextConfig().given(given).build_algo()
    try:
        yield algorithm
    finally:
        algorithm.stop()
        if started:
            ray.shutdown()


def _train(
    algorithm: TextAlgorithm,
    run: Path,
    config: RLConfig,
    resume: bool,
    on_step: OnStep | None,
    watched: Watched | None,
) -> None:
    done = checkpoint_steps(run) if resume else []
    if done:
        algorithm.restore_from_path(str((run / f"checkpoint-{done[-1]}").absolute()))
    steps, first = algorithm.steps, algorithm.iteration
    every = config.save_steps or max(1, steps // 10)
    log = RunLog(run, first)
    if watched:
        watched.begin(first, steps)
        if not watched.monitor.looks:
            watched.look(0, _weights(algorithm))
    start = time.monotonic()
    while algorithm.iteration < steps and not (watched and watched.monitor.should_stop):
        before = time.perf_counter()
        algorithm.train()
        step = algorithm.iteration
        figures = algorithm.figures | {"seconds": time.perf_counter() - before}
        if watched and watched.due(step, steps):
            figures |= watched.look(step, _weights(algorithm))
        log.write(step, figures)
        if on_step:
            left = (time.monotonic() - start) / (step - first) * (steps - step)
            on_step({"step": float(step), "steps": float(steps), "seconds_left": left} | figures)
        if step % every == 0 or step == steps:
            _checkpoint(algorithm, run)
            if watched:
                watched.prune()
    log.close()


def _weights(algorithm: TextAlgorithm) -> dict[str, Any]:
    """What is trained, by name."""
    return dict(algorithm.learner_group.get_weights()[DEFAULT_MODULE_ID])


def _checkpoint(algorithm: TextAlgorithm, run: Path) -> None:
    """Writes a checkpoint aside and renames it, so that one that is there is whole; then lets the older go."""
    step = algorithm.iteration
    whole, part = run / f"checkpoint-{step}", run / f".checkpoint-{step}"
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(whole, ignore_errors=True)
    try:
        algorithm.save_to_path(str(part.absolute()))
        part.rename(whole)
    except OSError as error:
        raise output_error(part, error) from error
    for older in checkpoint_steps(run)[:-1]:
        shutil.rmtree(run / f"checkpoint-{older}", ignore_errors=True)


def _load(policy: Policy, weights: dict[str, Any]) -> None:
    """Puts trained tensors of a module (`net.model. ...`) into a policy of the same making."""
    own = dict(policy.model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            if name.startswith("net.model."):
                own[name.removeprefix("net.model.")].copy_(torch.as_tensor(value))
