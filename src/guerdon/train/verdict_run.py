"""A generative judge: a language model learns to name the better of two responses, by SFT and then by its reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from guerdon.ahead import Ahead
from guerdon.collation import Batch, Tokens, TokenTable, items_of
from guerdon.data.data_options import ReadOptions
from guerdon.data.published_sets import warn_trainer
from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.errors import TextError
from guerdon.files import check_writable
from guerdon.packing import default_budget
from guerdon.policy.model import Policy
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.saved import FILE_NAME, saving
from guerdon.rewards.training_data import TrainingPrompts, write_training_prompts
from guerdon.rewards.verdict_judge import (
    INSTRUCTIONS,
    KIND,
    VerdictComparer,
    VerdictReader,
    answers,
    ask_briefly,
    asked,
)
from guerdon.runs.folder import checkpoint_path, fingerprint_of, open_run
from guerdon.runs.log import OnStep
from guerdon.runs.loop import Loop, LoopConfig, Step, load_trainable
from guerdon.runs.ranks import device_name, on_first_process
from guerdon.train.batches import Batching, Cut, Targets, TokenBudget
from guerdon.train.judgements import Compared
from guerdon.train.plan import plan_steps
from guerdon.train.verdict_config import VerdictConfig
from guerdon.train.verdict_return import verdict_likelihood, verdict_return
from guerdon.types import AnyRow, Prompt, VerdictKind, origin_of, prompt_text


def train_verdict_judge(
    data: str | Path | Sequence[AnyRow],
    out: str | Path,
    config: VerdictConfig | None = None,
    *,
    resume: bool = False,
    on_step: OnStep | None = None,
    **reading: Unpack[ReadOptions],
) -> VerdictComparer:
    """Trains a causal language model that reads two responses and says which is better.

    Every comparison of a step is asked in both orders. The first steps learn the right verdicts by likelihood, the
    others maximise the expected reward of `guerdon.train.verdict_return`.

    Args:
        data: comparisons, or other rows that order responses of a prompt; or where to read them.
        out: folder of the judge, a `Comparer` for every verb; `out/run` keeps checkpoints and `metrics.jsonl`.
        config: how to train.
        resume: go on from the last checkpoint in `out`, with the same data and configuration.
        on_step: called after every step with the metrics so far.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`; a group is on one side of the hold-out.

    Raises:
        DataError: nothing orders two responses, or a question is too long for the model.
        ConfigError: options that do not fit together, or a resumed run that differs from the one begun.
        ModelError: the policy cannot be loaded, or training diverged.
        OutputError: `out` cannot be written, holds another run, or is in use.

    Example:
        >>> import guerdon
        >>> judge = guerdon.train_verdict_judge("preferences.jsonl", "runs/judge")
        >>> judge.compare(["Capital of France?"], ["Paris."], ["I do not know."])
    """
    config, out = config or VerdictConfig(), Path(out)
    check_writable(out / FILE_NAME)
    if isinstance(data, str | Path):
        warn_trainer(str(data))
    rows = load_rows(str(data), **reading) if isinstance(data, str | Path) else data
    with open_run(out, asdict(config), fingerprint_of(rows), resume=resume) as run:
        if not run.finished:
            torch.manual_seed(config.seed)  # of new adapters
            policy = Policy.load(
                config.policy, device=device_name(), dtype="float32", trust_remote_code=config.trust_remote_code
            )
            if config.lora_r:
                policy.add_lora(config.lora_r, config.lora_alpha)
            split = split_rows(rows, test=config.validation, seed=config.seed) if config.validation else None
            training, held_out = (split.train, split.test) if split else (rows, [])
            model = VerdictTrainee(VerdictReader(policy), config)
            if config.train_layers:
                model.net.freeze_below(config.train_layers)
            questions = VerdictQuestions.of(model.reader, config.verdict, training, held_out)
            loop, steps, validation = verdict_loop(model, questions, config, run.path, on_step)
            on_first_process(run.begin)  # only now is it sure that there is something to run
            kept = loop.train(steps, validation=validation, checkpoint=run.last_checkpoint if resume else None)
            if kept != loop.step:
                load_trainable(model, checkpoint_path(run.path, kept))
            on_first_process(lambda: save_verdict_judge(policy, out, training, config))
            on_first_process(run.finish)
    return VerdictComparer.load(out, device=device_name(), trust_remote_code=config.trust_remote_code)


def save_verdict_judge(policy: Policy, out: Path, rows: Sequence[AnyRow], config: VerdictConfig) -> None:
    """Writes the language model, adapters merged, with what it is asked. Raises OutputError."""
    content = {"instruction": INSTRUCTIONS[config.verdict], "verdict": config.verdict, "training": asdict(config)}
    with saving(out, KIND, content) as stage:
        policy.save(stage, training=asdict(config))
        write_training_prompts(stage, TrainingPrompts.of(row.prompt for row in rows))


@dataclass(frozen=True, slots=True)
class VerdictQuestions:
    """Every comparison as two questions, one in each order, over one table of encoded questions.

    In a comparison's `Compared`, `chosen` is the question that shows the preferred response first, `rejected` the
    other.
    """

    tokens: list[Tokens]
    verdicts: list[tuple[int, int]]
    """The tokens that are the verdicts for the first and for the second response of each question."""
    prompt_keys: list[str]
    training: list[Compared]
    held_out: list[Compared]

    @classmethod
    def of(
        cls, reader: VerdictReader, verdict: VerdictKind, training: Sequence[AnyRow], held_out: Sequence[AnyRow]
    ) -> VerdictQuestions:
        """Encodes the questions of all rows. Raises DataError where one is too long, or nothing is preferred."""
        found = cls([], [], [], [], [])
        for rows, judgements in ((training, found.training), (held_out, found.held_out)):
            if rows:
                judgements += found._add(reader, verdict, rows)
        return found

    def _add(self, reader: VerdictReader, verdict: VerdictKind, rows: Sequence[AnyRow]) -> list[Compared]:
        judged = JudgedResponses.of(rows, "pairs")
        differ = judged.better != judged.worse
        better, worse, shares = judged.better[differ], judged.worse[differ], judged.target[differ].tolist()
        shown = np.stack([better, worse], axis=1).ravel().tolist()  # each comparison in both orders, side by side
        beside = np.stack([worse, better], axis=1).ravel().tolist()
        prompts: list[Prompt] = [judged.prompts[place] for place in shown]
        a, b = ([judged.responses[place] for place in places] for places in (shown, beside))
        try:
            questions = asked(ask_briefly(INSTRUCTIONS[verdict]), prompts, a, b, None)
            tokens, verdicts = reader.encode(questions, answers(verdict, a, b))
        except TextError as error:
            raise error.at(origin_of(rows, prompts[error.index], a[error.index])) from None
        start = len(self.tokens)
        self.tokens.extend(tokens)
        self.verdicts.extend(verdicts)
        self.prompt_keys.extend(map(prompt_text, prompts))
        return [Compared(start + 2 * i, start + 2 * i + 1, share) for i, share in enumerate(shares)]


@dataclass(frozen=True, slots=True)
class VerdictBatching(Batching):
    """How steps are cut into micro-batches; their targets have the verdicts of each question, shape (n, 2), as well."""

    verdicts: Sequence[tuple[int, int]]

    def collate(self, cut: Cut) -> tuple[Batch, Targets]:
        """The micro-batch."""
        batch, targets = Batching.collate(self, cut)
        own = [self.verdicts[item] for item in items_of(cut.rows)]
        return batch, targets | {"verdicts": torch.tensor(own)}


class VerdictTrainee(nn.Module):
    """What the optimiser sees: questions to verdicts, and what these earn."""

    def __init__(self, reader: VerdictReader, config: VerdictConfig) -> None:
        super().__init__()
        self.net, self.reader, self.config = reader.net, reader, config
        self.warm = False
        """Whether the step is one of SFT."""

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.net._no_split_modules

    def forward(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """The summed loss of a micro-batch; and [pairs that are no tie, how many are right in both orders]."""
        ab, ba = self.reader.log_probabilities(batch, targets["verdicts"])[targets["pair"]].unbind(dim=1)
        logps = torch.stack([ab, ba.flip(1)], dim=1)  # of the preferred response first
        preference = targets["pair_values"][:, 0]
        if self.warm and self.training:
            value = verdict_likelihood(logps, preference)
        else:
            value = verdict_return(logps, preference, consistency=self.config.consistency, brier=self.config.brier)
        right = (logps[..., 0] > logps[..., 1]).all(dim=1)[preference != 0.5]
        return -value.sum(), torch.stack([torch.full_like(right.sum(), right.numel()), right.sum()]).float().detach()


def verdict_loop(
    model: VerdictTrainee, questions: VerdictQuestions, config: VerdictConfig, run: Path, on_step: OnStep | None = None
) -> tuple[Loop, Any, Step | None]:
    """The loop that trains a judge, its steps, and what is held out."""
    per_step = min(config.batch_size, len(questions.training))
    plan = plan_steps(
        questions.training, questions.prompt_keys, epochs=config.epochs, per_step=per_step, seed=config.seed
    )
    loop_config = LoopConfig(
        steps=len(plan),
        learning_rate=config.learning_rate or (5e-4 if config.lora_r else 2e-5),
        warmup_ratio=config.warmup_ratio,
        weight_decay=config.weight_decay,
        save_steps=config.eval_steps or max(1, len(plan) // 10),
        examples_per_step=per_step,
        early_stopping_patience=config.early_stopping_patience,
        seed=config.seed,
    )
    loop = Loop(model, loop_config, run, on_step=on_step)
    policy = model.reader.policy
    batching = VerdictBatching(
        TokenTable(questions.tokens),
        questions.prompt_keys,
        budget=TokenBudget(config.tokens_per_batch or default_budget()),
        pad_id=policy.tokenizer.pad_token_id,
        layout="shared" if model.net.reads_groups else "padded",
        positions=True,
        verdicts=questions.verdicts,
    )
    warm_steps = round(config.warm_start * len(plan))
    ahead = Ahead(lambda number: loop.prepared(batching.step(plan[number], loop.rank, loop.ranks)), len(plan))

    def step(number: int) -> Step:
        model.warm = number < warm_steps
        return ahead(number)

    return loop, step, batching.step(questions.held_out) if questions.held_out else None
