"""A training run from rows to a saved reward model."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from guerdon.batches import Tokens
from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.data.write import row_record
from guerdon.errors import ConfigError, ContractError, DataError, OutputError
from guerdon.files import atomic_write, check_writable
from guerdon.rewards.contract import FILE_NAME, read_card
from guerdon.rewards.ensemble import Ensemble, save_ensemble_card
from guerdon.rewards.load import load_scorer
from guerdon.rewards.net import disable_dropout, takes_positions
from guerdon.rewards.tfidf import TfidfReward
from guerdon.rewards.transformer import Lora, TransformerReward
from guerdon.train import examples
from guerdon.train.callbacks import EarlyStopping, MetricsLog, OnStep, Progress
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads, Judgement, Scale, TextTable
from guerdon.train.negatives import with_policy_negatives
from guerdon.train.objective import RewardObjective
from guerdon.train.plan import plan_steps, with_in_batch_negatives
from guerdon.types import AnyRow, Scorer

if TYPE_CHECKING:
    from guerdon.train.trainer import RewardTrainer, Steps, Trainee

logger = logging.getLogger(__name__)

RUN_FOLDER = "run"
RUN_FILE = "run.json"
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
    with _main_process_first() as main:
        if main:
            save_ensemble_card(out, names, config.conservative)
    scorer = load_scorer(out)
    assert isinstance(scorer, Ensemble)
    return scorer


def _rows(data: str | Path | Sequence[AnyRow], group: str | None, group_regex: str | None) -> Sequence[AnyRow]:
    if isinstance(data, str | Path):
        return load_rows(str(data), group=group, group_regex=group_regex)
    return data


@contextlib.contextmanager
def _main_process_first() -> Iterator[bool]:
    """Lets the first of a launcher's processes through before the others; gives whether this is the first.

    Should the first one fail, the launcher (`accelerate launch`, `torchrun`) ends the others.
    """
    from accelerate import PartialState

    state = PartialState(timeout=timedelta(days=1))  # a policy may generate for hours meanwhile
    with state.main_process_first():
        yield state.is_main_process


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is fixed before the first step."""

    train_rows: Sequence[AnyRow]
    reward: TransformerReward
    heads: Heads
    scales: dict[tuple[str, str], Scale]
    table: TextTable
    tokens: list[Tokens]
    steps: list[list[Judgement]]
    validation: list[list[Judgement]]


def prepare(rows: Sequence[AnyRow], held: Sequence[AnyRow] | None, config: TrainConfig, run: Path) -> Prepared:
    """Rows to a model, tokens and steps. Everything random comes from `config.seed`."""
    if config.policy:
        with _main_process_first():
            rows = with_policy_negatives(rows, config, run / "negatives.jsonl")
            if held is not None:
                held = with_policy_negatives(held, config, run / "negatives-validation.jsonl")
    if held is None and config.validation:
        split = split_rows(rows, test=config.validation, seed=config.seed)
        rows, held = split.train, split.test
    objectives = examples.resolve_objectives(rows, config)
    heads = examples.heads_for(rows, objectives)
    scales = examples.rating_scales(rows, heads, by_subset=config.normalise_ratings == "subset")
    table = TextTable()
    judged = examples.judgements(rows, table, objectives, heads, scales, config)
    per_step = min(config.pairs_per_step, len(judged))
    steps = plan_steps(judged, table.prompt_keys, epochs=config.epochs, per_step=per_step, seed=config.seed)
    checks = [_held_out(held, table, heads, scales, config)] if held else []
    if config.in_batch_negatives:
        steps = with_in_batch_negatives(steps, table, config.in_batch_negatives)
        checks = with_in_batch_negatives(checks, table, config.in_batch_negatives)
    reward = TransformerReward.create(
        config.backbone,
        attributes=heads.names,
        pooling=None if config.pooling == "auto" else config.pooling,
        max_length=config.max_length or None,
        lora=Lora(config.lora_rank, config.lora_alpha) if config.lora_rank else None,
        overlong=config.overlong,
        seed=config.seed,
    )
    if not config.dropout:
        disable_dropout(reward.net)
    encoded = reward.encode(table.prompts, table.responses)
    for warning in encoded.warnings():
        logger.warning(warning)
    return Prepared(rows, reward, heads, scales, table, encoded.tokens, steps, checks)


def _held_out(
    held: Sequence[AnyRow],
    table: TextTable,
    heads: Heads,
    scales: dict[tuple[str, str], Scale],
    config: TrainConfig,
) -> list[Judgement]:
    """Validation judgements, standardised as the training ones are."""
    objectives = examples.resolve_objectives(held, config)
    return examples.judgements(held, table, objectives, heads, scales, replace(config, balance_length=False))


def _train_one(
    rows: Sequence[AnyRow],
    held: Sequence[AnyRow] | None,
    out: Path,
    config: TrainConfig,
    resume: bool,
    on_step: OnStep | None,
) -> TransformerReward:
    from guerdon.train.trainer import Trainee, checkpoint_steps, load_trainable

    run = out / RUN_FOLDER
    fingerprint = _fingerprint([*rows, *(held or ())])
    with _main_process_first() as main:
        if main:
            _check_run(run, config, fingerprint, resume)
    if resume and _finished(out, config, fingerprint):
        return TransformerReward.load(out, overlong=config.overlong)
    prepared = prepare(rows, held, config, run)
    with _main_process_first() as main:
        if main:  # only now is it sure that there is something to run
            _mark_run(run, config, fingerprint)
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
    with _main_process_first() as main:
        if main:
            _save_baseline(prepared.train_rows, out / BASELINE_FOLDER)
            reward.save(out, training=asdict(config), merge=config.merge)
            for step in checkpoint_steps(run):
                shutil.rmtree(run / f"checkpoint-{step}", ignore_errors=True)
    return reward


def _save_baseline(rows: Sequence[AnyRow], folder: Path) -> None:
    """Puts beside the model what it must beat: TF-IDF fitted on the same rows, where they allow one."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        TfidfReward.fit(rows).save(folder)
    except DataError as error:
        logger.warning("no TF-IDF baseline is kept beside the model: %s", error)


def build_trainer(
    trainee: Trainee, prepared: Prepared, config: TrainConfig, run: Path, on_step: OnStep | None
) -> RewardTrainer:
    """The `RewardTrainer` of a run; it takes GPUs, bf16 and launchers as `transformers.Trainer` does."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers import PrinterCallback, TrainingArguments
    from transformers.integrations.integration_utils import TensorBoardCallback

    from guerdon.train.trainer import RewardTrainer

    total = len(prepared.steps)
    every = config.checkpoint_every or max(1, round(total / max(config.epochs, 1e-9) / 4))
    arguments = TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=1,
        max_steps=total,
        learning_rate=config.learning_rate or (2e-4 if config.lora_rank else 5e-5),
        lr_scheduler_type="linear",
        warmup_steps=round(config.warmup * total),
        weight_decay=config.weight_decay,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        logging_strategy="steps",
        logging_steps=max(1, min(10, total // 10)),
        eval_strategy="steps" if prepared.validation else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        metric_for_best_model="eval_loss" if prepared.validation else None,
        greater_is_better=False if prepared.validation else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
    )
    ranks = arguments.world_size
    per_step = len(prepared.steps[0])
    if per_step % ranks:
        raise ConfigError(
            f"--pairs-per-step {per_step} cannot be shared equally by {ranks} devices; use a multiple of {ranks}"
        )
    if config.gradient_checkpointing:
        prepared.reward.net.recompute_activations()
    callbacks: list[Any] = [MetricsLog(run)]
    if arguments.process_index == 0:
        callbacks.append(TensorBoardCallback(SummaryWriter(str(run / "tensorboard"))))
    if on_step:
        callbacks.append(Progress(on_step, per_step))
    if config.patience:
        callbacks.append(EarlyStopping(config.patience))
    trainer = RewardTrainer(
        trainee,
        arguments,
        _steps(prepared, prepared.steps, config, ranks),
        _steps(prepared, prepared.validation, config, 1) if prepared.validation else None,
        layer_decay=config.layer_decay,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _steps(prepared: Prepared, steps: list[list[Judgement]], config: TrainConfig, ranks: int) -> Steps:
    from guerdon.train.trainer import Steps

    reward = prepared.reward
    return Steps(
        steps,
        prepared.tokens,
        prepared.table,
        prepared.heads,
        budget=config.tokens_per_batch or (16384 if torch.cuda.is_available() else 2048),
        pad_id=reward.contract.pad_token_id,
        shared=reward.shares,
        positions=takes_positions(reward.net.classifier),
        ranks=ranks,
    )


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


def _fingerprint(rows: Sequence[AnyRow]) -> dict[str, Any]:
    """What tells one data set from another."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row_record(row), sort_keys=True, ensure_ascii=False, default=str).encode())
    sources = sorted({row.origin.source for row in rows if row.origin})
    return {"sources": [Path(source).name for source in sources], "rows": len(rows), "sha256": digest.hexdigest()}


def _mark_run(run: Path, config: TrainConfig, fingerprint: dict[str, Any]) -> None:
    """Says in the run folder whose it is."""
    with atomic_write(run / RUN_FILE) as file:
        json.dump({"config": asdict(config), "data": fingerprint}, file, indent=2)


def _check_run(run: Path, config: TrainConfig, fingerprint: dict[str, Any], resume: bool) -> None:
    """Checks that a run folder is free, or holds this very run and is to be resumed.

    Raises:
        OutputError: the folder holds a run and `resume` was not asked for.
        ConfigError: it holds another run than the one to resume.
    """
    marker = run / RUN_FILE
    mine = asdict(config)
    if marker.exists():
        if not resume:
            raise OutputError(
                f"{run.parent} holds a training run already. Fix: --resume goes on with it; or choose another --out"
            )
        theirs = json.loads(marker.read_text(encoding="utf-8"))
        differing = sorted(
            f"{name} was {theirs['config'].get(name)!r}, now {value!r}"
            for name, value in mine.items()
            if theirs["config"].get(name) != value
        )
        if theirs["data"]["sha256"] != fingerprint["sha256"]:
            differing.append(f"the data differs ({theirs['data']['rows']} rows then, {fingerprint['rows']} now)")
        if differing:
            raise ConfigError(f"cannot resume {run.parent}: " + "; ".join(differing))
    else:
        for left in run.glob(
            "negatives*.jsonl"
        ):  # of an attempt that never began: other rows, maybe, or another policy
            left.unlink()


def _finished(out: Path, config: TrainConfig, fingerprint: dict[str, Any]) -> bool:
    """Whether `out` holds the model that this very run gives."""
    try:
        card = read_card(out)
    except ContractError:
        return False
    return card["kind"] == "transformer" and bool(
        card["contract"].get("data") == fingerprint and card["training"] == asdict(config)
    )
