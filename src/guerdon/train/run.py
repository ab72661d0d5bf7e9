"""A training run from rows to a saved reward model."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from guerdon.data.read import load_rows
from guerdon.errors import ConfigError, ContractError, DataError
from guerdon.files import check_writable
from guerdon.rewards.contract import FILE_NAME, read_card
from guerdon.rewards.ensemble import Ensemble, save_ensemble_card
from guerdon.rewards.load import load_scorer
from guerdon.rewards.net import is_decoder, takes_positions
from guerdon.rewards.tfidf import TfidfReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.callbacks import EarlyStopping, OnStep, run_callbacks
from guerdon.runs.folder import RUN_FOLDER, check_run, fingerprint_of, mark_run
from guerdon.runs.ranks import main_process_first
from guerdon.train import examples
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads, Judgement, Scale
from guerdon.train.objective import RewardObjective
from guerdon.train.prepare import Prepared, prepare
from guerdon.types import AnyRow, Scorer

if TYPE_CHECKING:
    from guerdon.runs.trainer import StepTrainer
    from guerdon.train.trainee import Steps, Trainee

logger = logging.getLogger(__name__)

BASELINE_FOLDER = "baseline"
_STATISTICS_SAMPLE = 512
"""Training texts whose scores give the contract's mean and deviation."""


def train(
    data: str | Path | Sequence[AnyRow],
    out: str | Path,
    config: TrainConfig | None = None,
    *,
    validation: str | Path | Sequence[AnyRow] | None = None,
    group: str | None = None,
    group_regex: str | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> Scorer:
    """Trains a reward model, or an ensemble, and saves it.

    Args:
        data: rows, or where to read them (file, hub name, or `starter`).
        out: folder of the model; `out/run` keeps checkpoints, `metrics.jsonl` and TensorBoard files.
        config: how to train.
        validation: rows to choose the checkpoint by; None holds out a share of `data` by prompt or group.
        group: column whose value keeps rows on one side of the hold-out.
        group_regex: its first capture group is used instead of the whole value.
        resume: go on from the last checkpoint in `out`, with the same data and configuration.
        on_step: called after every step with the figures so far.

    Returns:
        The trained model, as `load_scorer(out)` gives it.

    Raises:
        DataError: rows that cannot be used.
        ConfigError: options that do not fit together, or a resumed run that differs from the one begun.
        ModelError: the backbone cannot be loaded, or training diverged.
        OutputError: `out` cannot be written, or holds another run.
    """
    config = config or TrainConfig()
    out = Path(out)
    check_writable(out / FILE_NAME)
    rows = _rows(data, group, group_regex)
    held = None if validation is None else _rows(validation, group, group_regex)
    if config.members == 1:
        return _train_one(rows, held, out, config, resume, on_step)
    names = [f"member-{index}" for index in range(config.members)]
    for index, name in enumerate(names):
        member = replace(config, members=1, seed=config.seed + index)
        _train_one(rows, held, out / name, member, resume, on_step)
    with main_process_first() as main:
        if main:
            save_ensemble_card(out, names, config.conservative)
    scorer = load_scorer(out)
    assert isinstance(scorer, Ensemble)
    return scorer


def _rows(data: str | Path | Sequence[AnyRow], group: str | None, group_regex: str | None) -> Sequence[AnyRow]:
    if isinstance(data, str | Path):
        return load_rows(str(data), group=group, group_regex=group_regex)
    return data


def _train_one(
    rows: Sequence[AnyRow],
    held: Sequence[AnyRow] | None,
    out: Path,
    config: TrainConfig,
    resume: bool,
    on_step: OnStep | None,
) -> TransformerReward:
    from guerdon.runs.trainer import checkpoint_steps, load_trainable
    from guerdon.train.trainee import Trainee

    run = out / RUN_FOLDER
    fingerprint = fingerprint_of([*rows, *(held or ())])
    with main_process_first() as main:
        if main:
            check_run(run, config, fingerprint, resume)
    if resume and _is_finished(out, config, fingerprint):
        return TransformerReward.load(out, overlong=config.overlong)
    prepared = prepare(rows, held, config, run)
    with main_process_first() as main:
        if main:  # only now is it sure that there is something to run
            mark_run(run, config, fingerprint)
            for left in out.glob(".*.tmp"):  # by a run that was killed while it saved
                shutil.rmtree(left, ignore_errors=True)
    reward = prepared.reward
    trainee = Trainee(reward.net, RewardObjective(config, prepared.heads))
    trainer = build_trainer(trainee, prepared, config, run, on_step)
    steps = checkpoint_steps(run) if resume else []
    trainer.train(resume_from_checkpoint=str(run / f"checkpoint-{steps[-1]}") if steps else None)
    best = trainer.state.best_global_step
    if best and prepared.validation and best != trainer.state.global_step:
        load_trainable(trainee, run / f"checkpoint-{best}")
    trainer.accelerator.wait_for_everyone()
    reward = _finish(prepared, trainee, config, fingerprint)
    with main_process_first() as main:
        if main:
            _save_baseline(prepared.train_rows, out / BASELINE_FOLDER)
            reward.save(out, training=asdict(config), merge=config.merge)
            for step in checkpoint_steps(run):
                shutil.rmtree(run / f"checkpoint-{step}", ignore_errors=True)
    return reward


def _is_finished(out: Path, config: TrainConfig, fingerprint: dict[str, Any]) -> bool:
    """Whether `out` holds the model that this very run gives."""
    try:
        card = read_card(out)
    except ContractError:
        return False
    return card["kind"] == "transformer" and bool(
        card["contract"].get("data") == fingerprint and card["training"] == asdict(config)
    )


def _save_baseline(rows: Sequence[AnyRow], folder: Path) -> None:
    """Puts beside the model what it must beat: TF-IDF fitted on the same rows, where they allow one."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        TfidfReward.fit(rows).save(folder)
    except DataError as error:
        logger.warning("no TF-IDF baseline is kept beside the model: %s", error)


def build_trainer(
    trainee: Trainee, prepared: Prepared, config: TrainConfig, run: Path, on_step: OnStep | None
) -> StepTrainer:
    """The `StepTrainer` of a run; it takes GPUs, bf16 and launchers as `transformers.Trainer` does."""
    from guerdon.runs.trainer import StepTrainer, step_arguments

    total = len(prepared.steps)
    arguments = step_arguments(
        run,
        steps=total,
        learning_rate=config.learning_rate or (2e-4 if config.lora_rank else 5e-5),
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        checkpoint_every=config.checkpoint_every or max(1, round(total / max(config.epochs, 1e-9) / 4)),
        validates=bool(prepared.validation),
        seed=config.seed,
    )
    ranks = arguments.world_size
    per_step = len(prepared.steps[0])
    if per_step % ranks:
        raise ConfigError(
            f"--pairs-per-step {per_step} cannot be shared equally by {ranks} devices; use a multiple of {ranks}"
        )
    if config.gradient_checkpointing:
        prepared.reward.net.recompute_activations()
    callbacks = run_callbacks(run, on_step, per_step, main=arguments.process_index == 0)
    if config.patience:
        callbacks.append(EarlyStopping(config.patience))
    return StepTrainer(
        trainee,
        arguments,
        _steps(prepared, prepared.steps, config, ranks),
        _steps(prepared, prepared.validation, config, 1) if prepared.validation else None,
        layer_decay=config.layer_decay,
        callbacks=callbacks,
    )


def _steps(prepared: Prepared, steps: list[list[Judgement]], config: TrainConfig, ranks: int) -> Steps:
    from guerdon.train.trainee import Steps

    reward = prepared.reward
    return Steps(
        steps,
        prepared.tokens,
        prepared.table,
        prepared.heads,
        budget=config.tokens_per_batch or _default_budget(reward),
        pad_id=reward.contract.pad_token_id,
        shared=reward.shares,
        positions=takes_positions(reward.net.classifier),
        ranks=ranks,
    )


def _default_budget(reward: TransformerReward) -> int:
    """Tokens of a micro-batch: a GPU wants them large; on a CPU small ones run as fast and hold less padding."""
    if torch.cuda.is_available():
        return 16384
    return 1024 if is_decoder(reward.net.classifier) else 2048


def _finish(
    prepared: Prepared, trainee: Trainee, config: TrainConfig, fingerprint: dict[str, Any]
) -> TransformerReward:
    """The trained model with the facts of its training in its contract."""
    reward, heads = prepared.reward, prepared.heads
    trainee.eval()
    contract = _units(reward.contract, heads, prepared.scales, config)
    contract = replace(
        contract,
        dtype="bfloat16" if torch.cuda.is_available() else "float32",
        data=fingerprint,
    )
    reward = TransformerReward(reward.net.model, reward.tokenizer, contract, overlong=config.overlong)
    rng = np.random.default_rng(config.seed)
    count = len(prepared.table)
    sample = np.sort(rng.choice(count, size=min(count, _STATISTICS_SAMPLE), replace=False))
    logits = reward.logits_of([prepared.tokens[i] for i in sample], [prepared.table.prompt_keys[i] for i in sample])
    shift, scale, weights = (
        np.asarray(part, np.float32) for part in (contract.shift, contract.scale, contract.weights)
    )
    scores = (shift + scale * logits) @ weights
    reward.contract = replace(contract, mean=float(scores.mean()), std=float(scores.std()) or 1.0)
    return reward


def _units(contract: Any, heads: Heads, scales: dict[tuple[str, str], Scale], config: TrainConfig) -> Any:
    """Weights, shift and scale of the outputs: rated ones come back in the units of the data."""
    overall = config.normalise_ratings == "overall"
    by_name = {name: scales["", name] if overall else Scale(0.0, 1.0) for name in heads.rated}
    shift = tuple(by_name[name].mean if name in by_name else 0.0 for name in heads.names)
    scale = tuple(by_name[name].std if name in by_name else 1.0 for name in heads.names)
    if examples.PREFERENCE in heads.names:
        weights = tuple(1.0 if name == examples.PREFERENCE else 0.0 for name in heads.names)
    else:
        weights = tuple(1 / len(heads.names) for _ in heads.names)
    temperature = scale[0] if len(heads.names) == 1 else 1.0  # pairs were fitted before the change of units
    return dataclasses.replace(contract, weights=weights, shift=shift, scale=scale, temperature=temperature)
