"""What is fixed before the first step: rows to a model, tokens and the steps of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from guerdon.data.split import split_rows
from guerdon.errors import TextError
from guerdon.hf import Lora
from guerdon.packing import Tokens
from guerdon.rewards.net import disable_dropout
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.ranks import main_process_first
from guerdon.train import examples
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads, Judgement, Scale, TextTable
from guerdon.train.negatives import with_policy_negatives
from guerdon.train.plan import plan_steps, with_in_batch_negatives
from guerdon.types import AnyRow, origin_of

logger = logging.getLogger(__name__)


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
        with main_process_first():
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
        trust_remote_code=config.trust_remote_code,
    )
    if not config.dropout:
        disable_dropout(reward.net)
    try:
        encoded = reward.encode(table.prompts, table.responses)
    except TextError as error:
        text = table.prompts[error.index], table.responses[error.index]
        raise error.at(origin_of([*rows, *(held or ())], *text)) from None
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
