"""Candidates that take minutes: what each learns with, and how fast it is, measured on a few rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.metrics import Floats
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.scoring import score_texts
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Prompts, Responses, Scorer

WARM_UP_ROWS = 8
"""Rows that a candidate learns from, and texts that it scores, to tell its speed."""
BATCH_SIZE = 16
"""Smaller than the default of training: subsamples are small, and few steps teach nothing."""
LORA_R = 16


class OutOfTimeError(Exception):
    """The deadline passed while a candidate learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class CostlyCandidate:
    """A candidate that is too slow to be cross-validated."""

    name: str
    about: str
    """What it is, in a few words."""
    learn: Callable[[Sequence[AnyRow], Path, Callable[[], None]], Scorer]
    """Rows, an empty folder, and what to call when learning begins and after each step -> the scorer."""
    command: str
    """What to type to have it, with {data} and {out}."""
    reads_with_encoder: bool = False
    """Whether it reads with the vocabulary of the encoder, which may not know the language."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a candidate takes, as measured on a few rows."""

    fixed: float
    """To load and to save."""
    per_row: float
    """To learn from one row."""
    per_text: float
    """To score one text."""

    def seconds(self, rows: int, texts: int) -> float:
        """To learn from so many rows and to score so many texts."""
        return self.fixed + self.per_row * rows + self.per_text * texts


def costly_candidates(config: AdviseConfig) -> list[CostlyCandidate]:
    """Likelihood, both ways to fine-tune the encoder, and the decoder."""
    encoder, policy = config.encoder, config.policy
    lora = f"--lora-r {LORA_R}"
    return [
        _fine_tuned("fine-tuned", f"{encoder}, all weights fine-tuned", config, encoder, 0, f"--backbone {encoder}"),
        _fine_tuned("lora", f"{encoder}, fine-tuned by LoRA", config, encoder, LORA_R, f"--backbone {encoder} {lora}"),
        CostlyCandidate(
            "likelihood",
            f"log-probabilities under {policy}, weighted",
            partial(_likelihood, config),
            f"guerdon fit {{data}} --members likelihood --policy {policy} --out {{out}}",
        ),
        _fine_tuned("decoder", f"{policy}, fine-tuned by LoRA", config, policy, LORA_R, f"--backbone {policy} {lora}"),
    ]


def _fine_tuned(
    name: str, about: str, config: AdviseConfig, backbone: str, lora_r: int, options: str
) -> CostlyCandidate:
    training = TrainConfig(
        backbone=backbone,
        batch_size=BATCH_SIZE,
        lora_r=lora_r,
        validation=0.0,
        eval_steps=1_000_000,  # the last weights are kept: none between them are saved
        overlong="cut",
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )

    def learn(rows: Sequence[AnyRow], folder: Path, tick: Callable[[], None]) -> Scorer:
        from guerdon.train.train_run import train_reward_model

        return train_reward_model(rows, folder, training, on_step=lambda metrics: tick())

    return CostlyCandidate(
        name,
        about,
        learn,
        f"guerdon train {{data}} {options} --batch-size {BATCH_SIZE} --out {{out}}",
        reads_with_encoder=backbone == config.encoder,
    )


def _likelihood(config: AdviseConfig, rows: Sequence[AnyRow], folder: Path, tick: Callable[[], None]) -> Scorer:
    from guerdon.rewards.likelihood import LikelihoodFeatures, frozen_policy
    from guerdon.rewards.linear import LinearReward

    policy = frozen_policy(config.policy, config.device, config.trust_remote_code)
    features = LikelihoodFeatures(policy, config.policy)
    tick()
    reward = LinearReward.fit(features, JudgedResponses.of(rows), penalty=features.penalties[0])
    tick()
    return reward


def measure_cost(candidate: CostlyCandidate, rows: Sequence[AnyRow], prompts: Prompts, responses: Responses) -> Cost:
    """How long a candidate takes, from learning from a few rows and scoring a few texts."""
    ticks: list[float] = []
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scorer = candidate.learn(rows, Path(folder) / "warm-up", lambda: ticks.append(time.monotonic()))
        learnt = time.monotonic()
        score_texts(scorer, prompts, responses)
    learning = ticks[-1] - ticks[0]
    return Cost(learnt - begin - learning, learning / len(rows), (time.monotonic() - learnt) / len(responses))


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A candidate that learnt from some rows, and what it says of the held-out observations."""

    margins: Floats
    """Of the observations that were asked about; shape (k,)."""
    seconds: float
    """To learn."""
    texts_per_second: float


def try_candidate(
    candidate: CostlyCandidate, rows: Sequence[AnyRow], judged: JudgedResponses, held: np.ndarray, deadline: float
) -> Trial:
    """Learns from rows and scores the responses of the observations in `held`, shape (k,).

    Raises:
        OutOfTimeError: the deadline (by `time.monotonic`) passed while it learnt.
    """
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks > 1 and time.monotonic() > deadline:  # the first says that learning begins
            raise OutOfTimeError

    begin = time.monotonic()
    texts = np.unique([judged.better[held], judged.worse[held]])
    with tempfile.TemporaryDirectory() as folder:
        scorer = candidate.learn(rows, Path(folder) / "trial", tick)
        learnt = time.monotonic()
        found = score_texts(scorer, [judged.prompts[i] for i in texts], [judged.responses[i] for i in texts])
    scores = np.zeros(len(judged.responses))
    known = np.isfinite(found.values)
    scores[texts] = np.where(known, found.values, found.values[known].mean() if known.any() else 0.0)
    return Trial(judged.margins(scores)[held], learnt - begin, len(texts) / max(time.monotonic() - learnt, 1e-6))
