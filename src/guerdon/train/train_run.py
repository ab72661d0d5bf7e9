"""A training run, from rows to a saved reward model. CONTRIBUTING describes the way module by module."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from guerdon.ahead import Ahead, beside
from guerdon.collation import TokenTable
from guerdon.data.data_options import ReadOptions
from guerdon.data.published_sets import warn_trainer
from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.errors import ConfigError, DataError, TextError
from guerdon.files import check_writable
from guerdon.hf import Lora
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.encode import Encoder
from guerdon.rewards.ensemble import save_ensemble_card
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.reward_net import disable_dropout, is_decoder, takes_positions
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.terms import BASELINE_FOLDER, fit_tfidf
from guerdon.rewards.training_data import TrainingPrompts
from guerdon.rewards.transformer import TransformerReward
from guerdon.rewards.truncation import check_truncation
from guerdon.runs.folder import RunFolder, checkpoint_path, fingerprint_of, open_run
from guerdon.runs.log import OnStep
from guerdon.runs.loop import Loop, LoopConfig, Step, load_trainable
from guerdon.runs.ranks import device_name, is_first_process, is_sharded, main_process_first, on_first_process
from guerdon.train.augmentation import with_counterfactuals
from guerdon.train.batch_choice import computing_rows, measured_batching
from guerdon.train.batches import Batching, RewardTrainee, TokenBudget
from guerdon.train.judgements import PREFERENCE, JudgedData, Judgement, Scale, TextTable, judge_rows
from guerdon.train.negatives import with_policy_negatives
from guerdon.train.plan import plan_steps, with_in_batch_negatives
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Origin, Prompt, Scorer, origin_of

logger = logging.getLogger(__name__)

_STATISTICS_SAMPLE = 512
"""Training texts whose scores give the contract's mean and deviation."""


def train_reward_model(
    data: str | Path | Sequence[AnyRow],
    out: str | Path,
    config: TrainConfig | None = None,
    *,
    validation: str | Path | Sequence[AnyRow] | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
    **reading: Unpack[ReadOptions],
) -> Scorer:
    """Trains a reward model, or an ensemble, and saves it.

    Args:
        data: rows, or where to read them (file, hub name, or `starter`).
        out: folder of the model; `out/run` keeps checkpoints, `metrics.jsonl` and TensorBoard files, `out/baseline` a
            TF-IDF reward of the same rows, which the model must beat.
        config: how to train.
        validation: rows to choose the checkpoint by; None holds out a share of `data` by prompt or group.
        resume: go on from the last checkpoint in `out`, with the same data and configuration.
        on_step: called after every step with the metrics so far.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`; a group is on one side of the hold-out.

    Returns:
        The trained model, as `load_scorer(out)` gives it.

    Raises:
        DataError: rows that cannot be used.
        ConfigError: options that do not fit together, or a resumed run that differs from the one begun.
        ModelError: the backbone cannot be loaded, or training diverged.
        OutputError: `out` cannot be written, holds another run, or is in use.

    Example:
        >>> import guerdon
        >>> config = guerdon.TrainConfig(backbone="minilm", epochs=1)
        >>> model = guerdon.train_reward_model("preferences.jsonl", "runs/helpful", config)
        >>> model.score(["Capital of France?"], ["Paris."])
    """
    config = config or TrainConfig()
    train_and_save(data, out, config, validation=validation, resume=resume, on_step=on_step, **reading)
    return ScorerConfig(
        name=str(out), device=device_name(), overlong=config.overlong, trust_remote_code=config.trust_remote_code
    ).load()


def train_and_save(
    data: str | Path | Sequence[AnyRow],
    out: str | Path,
    config: TrainConfig,
    *,
    validation: str | Path | Sequence[AnyRow] | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
    **reading: Unpack[ReadOptions],
) -> None:
    """`train_reward_model` for those who need the folder alone: it spares them the time and the memory of loading."""
    if config.base_dtype != "float32" and is_sharded():
        raise ConfigError(
            f"--base-dtype {config.base_dtype} does not go with FSDP and DeepSpeed, which shard weights of one type. "
            "Fix: --base-dtype float32, or launch without them"
        )
    out = Path(out)
    check_writable(out / FILE_NAME)
    rows = _rows(data, reading)
    held_out = None if validation is None else _rows(validation, reading)
    fingerprint = fingerprint_of([*rows, *(held_out or ())])
    with open_run(out, asdict(config), fingerprint, resume=resume) as run:
        if not run.finished:
            rows, held_out = _hold_out(rows, held_out, config, run)
            training = with_counterfactuals(rows, config.augment, config.augment_share, config.seed)
            prepared, reward = prepare(training, held_out, config)
            on_first_process(run.begin)  # only now is it sure that there is something to run
            counts_words = not prepared.judged.step_unit  # they say nothing of single steps
            baseline = beside(lambda: _fit_baseline(rows)) if counts_words and is_first_process() else None
            _train_members(prepared, reward, run, resume=resume, on_step=on_step)
            if baseline is not None:
                _save_baseline(baseline(), out / BASELINE_FOLDER)
            on_first_process(run.finish)


def _rows(data: str | Path | Sequence[AnyRow], reading: ReadOptions) -> Sequence[AnyRow]:
    if isinstance(data, str | Path):
        warn_trainer(str(data))
        return load_rows(str(data), **reading)
    return data


def _hold_out(
    rows: Sequence[AnyRow], held_out: Sequence[AnyRow] | None, config: TrainConfig, run: RunFolder
) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
    """What is trained on and what chooses the checkpoint, with the texts that a policy generates for them."""
    if config.negatives_policy:
        with main_process_first() as main:
            if main and not run.begun:  # answers of an attempt that never began: other rows, maybe, or another policy
                for left in run.path.glob("negatives*.jsonl"):
                    left.unlink()
            rows = with_policy_negatives(rows, config, run.path / "negatives.jsonl")
            if held_out is not None:
                held_out = with_policy_negatives(held_out, config, run.path / "negatives-validation.jsonl")
    if held_out is not None:
        _warn_of_seen(rows, held_out)
        return rows, held_out
    if not config.validation:
        return rows, ()
    split = split_rows(rows, test=config.validation, seed=config.seed)
    return split.train, split.test


def _warn_of_seen(rows: Sequence[AnyRow], held_out: Sequence[AnyRow]) -> None:
    """Warns where validation rows are no unseen ones."""
    seen = TrainingPrompts.of(row.prompt for row in rows).seen(row.prompt for row in held_out)
    if count := sum(found is True for found in seen):
        logger.warning(
            "%d of %d validation rows (%.0f%%) have a prompt that is in the training data as well: accuracy on them "
            "does not tell how the model does on prompts that it has not seen. Fix: split by prompt first "
            "(guerdon data split)",
            count, len(held_out), 100 * count / len(held_out),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is fixed before the first step, shared by the members of an ensemble."""

    config: TrainConfig
    prompts: list[Prompt]
    """Of the training rows."""
    judged: JudgedData
    plans: list[list[list[Judgement]]]
    """The steps of each member."""
    tokens: TokenTable
    """The tokens of every text of the table."""


def prepare(
    rows: Sequence[AnyRow], held_out: Sequence[AnyRow], config: TrainConfig
) -> tuple[Prepared, TransformerReward]:
    """Rows to judgements, steps and tokens, and to the untrained model of the first member."""
    judged = judge_rows(rows, held_out, config)
    table = judged.table
    plans = [
        plan_steps(
            judged.training,
            table.prompt_keys,
            epochs=config.epochs,
            per_step=min(config.batch_size, len(judged.training)),
            seed=config.seed + number,
        )
        for number in range(config.ensemble_size)
    ]
    if config.in_batch_negatives:
        plans = [with_in_batch_negatives(plan, table, config.in_batch_negatives) for plan in plans]
        [validation] = with_in_batch_negatives([judged.validation], table, config.in_batch_negatives)
        judged = replace(judged, validation=validation)
    reward = _new_reward(config, judged)
    tokens = _encode(reward.encoder, table, [*rows, *held_out])
    return Prepared(config, [row.prompt for row in rows], judged, plans, tokens), reward


def _encode(encoder: Encoder, table: TextTable, rows: Sequence[AnyRow]) -> TokenTable:
    """Tokenizes all texts; refused are those that may not be cut, and all of them where too many would be."""

    def place(text: int) -> Origin | None:
        return origin_of(rows, table.prompts[text], table.responses[text])

    try:
        encoded = encoder.encode(table.prompts, table.responses)
    except TextError as error:
        raise error.at(place(error.index)) from None
    if cut := encoded.cut_responses:
        check_truncation(encoder, len(cut), len(table.responses), table.responses[cut[0]], place(cut[0]))
    encoder.report(encoded)
    return TokenTable(encoded.tokens)


def _new_reward(config: TrainConfig, judged: JudgedData, number: int = 0) -> TransformerReward:
    """An untrained model for one member. Everything random comes from its seed."""
    reward = TransformerReward.create(
        config.backbone,
        attributes=judged.outputs.names,
        pooling="steps" if judged.step_unit else None if config.pooling == "auto" else config.pooling,
        max_length=config.max_length or None,
        step_unit=judged.step_unit,
        aggregation=config.aggregation if judged.step_unit else "",
        lora=Lora(config.lora_r, config.lora_alpha, config.base_dtype) if config.lora_r else None,
        keep_reasoning=config.keep_reasoning,
        overlong=config.overlong,
        seed=config.seed + number,
        device="cpu",  # the loop moves it, or the part of it that this device has
        trust_remote_code=config.trust_remote_code,
    )
    if config.disable_dropout:
        disable_dropout(reward.net)
    return reward


def _train_members(
    prepared: Prepared, first: TransformerReward, run: RunFolder, *, resume: bool, on_step: OnStep | None
) -> None:
    """Trains the model, or each member of an ensemble in a folder of its own that has not finished yet."""
    config = prepared.config
    if config.ensemble_size == 1:
        _train_one(prepared, 0, first, run, resume, on_step)
        return
    members = [
        RunFolder(run.out / f"member-{number}", run.config | {"ensemble_size": 1, "seed": seed}, run.data)
        for number, seed in enumerate(range(config.seed, config.seed + config.ensemble_size))
    ]
    for number, member in enumerate(members):
        if not member.finished:
            on_first_process(member.begin)
            reward = _new_reward(config, prepared.judged, number) if number else first
            _train_one(prepared, number, reward, member, resume, on_step)
            on_first_process(member.finish)
    on_first_process(lambda: save_ensemble_card(run.out, [member.out.name for member in members], config.ensemble_k))


def _train_one(
    prepared: Prepared, number: int, reward: TransformerReward, run: RunFolder, resume: bool, on_step: OnStep | None
) -> None:
    """Trains one model and saves it in the folder of its run."""
    loop, steps, validation = training_loop(prepared, number, reward, run.path, on_step)
    with computing_rows(loop, reward.net):
        kept = loop.train(steps, validation=validation, checkpoint=run.last_checkpoint if resume else None)
    trainee = loop.bare
    if loop.sharded:  # each device has a part: put the whole together in a model of its own
        reward = _new_reward(prepared.config, prepared.judged, number)
        trainee = RewardTrainee(reward.net, prepared.config, prepared.judged.outputs)
    if loop.sharded or kept != loop.step:
        load_trainable(trainee, checkpoint_path(run.path, kept))
    trainee.eval()
    trained, options, prompts = _with_contract(prepared, reward, run.data), run.config, prepared.prompts
    merge = prepared.config.merge_lora
    metrics = {"validation loss": loop.best_loss} if validation else {}
    on_first_process(
        lambda: trained.save(run.out, training=options, merge=merge, training_prompts=prompts, metrics=metrics)
    )


def training_loop(
    prepared: Prepared, number: int, reward: TransformerReward, run: Path, on_step: OnStep | None = None
) -> tuple[Loop, Callable[[int], Step], Step | None]:
    """The loop that trains a model, its steps, and what is held out; to be run inside `computing_rows`."""
    config, plan = prepared.config, prepared.plans[number]
    if config.gradient_checkpointing:
        reward.net.recompute_activations()
    loop_config = LoopConfig(
        steps=len(plan),
        learning_rate=config.learning_rate or (2e-4 if config.lora_r else 5e-5),
        warmup_ratio=config.warmup_ratio,
        weight_decay=config.weight_decay,
        save_steps=config.eval_steps or max(1, round(len(plan) / config.epochs / 4)),
        examples_per_step=len(plan[0]),
        early_stopping_patience=config.early_stopping_patience,
        seed=config.seed + number,
    )
    loop = Loop(RewardTrainee(reward.net, config, prepared.judged.outputs), loop_config, run, on_step=on_step)
    batching = plain_batching(prepared, reward)
    batching = measured_batching(loop, reward.net, batching, plan, tokens=config.tokens_per_batch)
    validation = batching.step(prepared.judged.validation) if prepared.judged.validation else None
    ahead = Ahead(lambda step: loop.prepared(batching.step(plan[step], loop.rank, loop.ranks)), len(plan))
    return loop, ahead, validation


def plain_batching(prepared: Prepared, reward: TransformerReward) -> Batching:
    """How steps are cut where nothing is measured."""
    return Batching(
        prepared.tokens,
        prepared.judged.table.prompt_keys,
        budget=TokenBudget(prepared.config.tokens_per_batch or _default_budget(reward)),
        pad_id=reward.contract.pad_token_id,
        layout="shared" if reward.shares else "padded",
        positions=takes_positions(reward.net.classifier),
    )


def _default_budget(reward: TransformerReward) -> int:
    """Tokens of a micro-batch where nothing is measured: a GPU wants them large; on a CPU small ones run as fast."""
    if torch.cuda.is_available():
        return 16384
    return 1024 if is_decoder(reward.net.classifier) else 2048


def _with_contract(prepared: Prepared, reward: TransformerReward, data: dict[str, Any]) -> TransformerReward:
    """The trained model with the facts of its training in its contract."""
    judged = prepared.judged
    contract = replace(
        _units(reward.contract, judged), dtype="bfloat16" if torch.cuda.is_available() else "float32", data=data
    )
    rng = np.random.default_rng(prepared.config.seed)
    count = len(judged.table)
    sample = np.sort(rng.choice(count, size=min(count, _STATISTICS_SAMPLE), replace=False))
    logits = reward.logits_of([prepared.tokens[i] for i in sample], [judged.table.prompt_keys[i] for i in sample])
    shift, scale, weights = (
        np.asarray(part, np.float32) for part in (contract.shift, contract.scale, contract.weights)
    )
    scores = (shift + scale * logits) @ weights
    reward.contract = replace(contract, mean=float(scores.mean()), std=float(scores.std()) or 1.0)
    return reward


def _units(contract: ScoreContract, judged: JudgedData) -> ScoreContract:
    """Weights, shift and scale of the outputs: rated ones come back in the units of the data."""
    names = judged.outputs.names
    scales = [judged.scales.get(name, Scale(0.0, 1.0)) for name in names]
    if PREFERENCE in names:
        weights = tuple(float(name == PREFERENCE) for name in names)
    else:
        weights = (1 / len(names),) * len(names)
    return replace(
        contract,
        weights=weights,
        shift=tuple(scale.mean for scale in scales),
        scale=tuple(scale.std for scale in scales),
        temperature=scales[0].std if len(names) == 1 else 1.0,  # pairs were fitted before the change of units
    )


def _fit_baseline(rows: Sequence[AnyRow]) -> LinearReward | None:
    """What the model must beat: TF-IDF fitted on the same rows, where they allow one."""
    try:
        return fit_tfidf(rows)
    except DataError as error:
        logger.warning("no TF-IDF baseline is kept beside the model: %s", error)
        return None


def _save_baseline(baseline: LinearReward | None, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if baseline is not None:
        baseline.save(folder)
