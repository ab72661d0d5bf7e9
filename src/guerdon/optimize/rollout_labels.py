"""Labels for steps that nobody judged: how often a policy that goes on behind a step ends well (Math-Shepherd).

    y_k = share of n continuations of steps 1 .. k whose answer is right,    y of the last step: is the answer right

Wang et al. 2024 (arXiv:2312.08935), soft estimation; their hard one is 1 where any continuation is right.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.data.candidates import all_candidates
from guerdon.data.write import check_ending, write_rows
from guerdon.errors import ConfigError, DataError
from guerdon.optimize.optimize_config import LabelConfig
from guerdon.optimize.prompts import check_references, sample_candidates
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.process import step_spans
from guerdon.rewards.score_rows import Progress, silent
from guerdon.rewards.scoring import score_texts
from guerdon.types import Candidates, Row, Scorer, Steps, prompt_text

_KEPT = ("prompt", "reference", "subset", "group", "id", "extra", "origin")
"""What a solution keeps of the row that it stood in."""


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """What `label_steps` did."""

    solutions: int
    steps: int
    unlabelled: int
    """Steps whose continuations could not be checked."""
    mean: float
    """The mean label."""


def label_steps(
    data: str, out: str | Path, config: LabelConfig | None = None, *, progress: Progress = silent
) -> LabelledSteps:
    """Writes solutions with a label for every step, to be learnt from with `train --objective process`.

    A response is cut at empty lines, or, where it has none, at every line break. Continuations are kept beside `out`,
    under a name that goes with these options, so that a labelling that was cut short goes on where it was.

    Example:
        >>> done = label_steps("solutions.jsonl", "steps.jsonl", LabelConfig(policy="my-policy"))
        >>> model = train_reward_model("steps.jsonl", "checker")

    Args:
        data: prompts with responses, and the reference that the checker compares with.
        out: file of the rows, whose ending chooses the format.
        config: which policy goes on, how often, and what checks it.
        progress: shows how far it is.

    Raises:
        DataError: rows that cannot be used, or no prompt has a reference.
        ConfigError: the policy cannot go on behind a beginning.
        ModelError: policy or checker cannot be loaded.
        OutputError: a file cannot be written.
    """
    config, out = config or LabelConfig(), Path(out)
    check_ending(out)
    found = [one.candidates for one in all_candidates(data, question=config.question, map=config.map)]
    checker = ScorerConfig(name=config.checker, trust_remote_code=config.trust_remote_code).load()
    check_references({config.checker: checker}, found, data)
    policy = Policy.load(config.policy, trust_remote_code=config.trust_remote_code)
    if policy.model.config.is_encoder_decoder:
        raise ConfigError(f"--policy {config.policy} is no causal model: it cannot go on behind a beginning")
    solutions = [(one, response) for one in found for response in one.responses if response.strip()]
    if not solutions:
        raise DataError(f"{data}: no prompt has a response whose steps could be labelled")
    spans = [_steps_of(response) for _, response in solutions]
    asked = [replace(one, responses=()) for (one, _), own in zip(solutions, spans, strict=True) for _ in own[1:]]
    begun = [text[:start] for (_, text), own in zip(solutions, spans, strict=True) for start, _ in own[1:]]
    options: dict[str, Any] = {
        "begun": begun,
        "num_generations": config.samples,
        "sampling": Sampling(config.max_new_tokens, config.temperature),
        "seed": config.seed,
    }
    with progress("going on behind every step", len(asked)) as advance:
        rolled = sample_candidates(
            asked,
            lambda prompts, done: policy.sample_texts(prompts, **options, done=done),
            out.with_name(f"{out.name}.rollouts-{_digest(asked, begun, config)}.jsonl"),
            advance,
        )
    ended = [[start + text for text in one.responses] for start, one in zip(begun, rolled, strict=True)]
    shares = iter(_shares(checker, asked, ended, hard=config.hard))
    whole = _shares(checker, [one for one, _ in solutions], [[text] for _, text in solutions], hard=config.hard)
    rows = [
        Steps(
            steps=tuple(response[start:stop] for start, stop in own),
            labels=(*islice(shares, len(own) - 1), last),
            **{name: getattr(one, name) for name in _KEPT},
        )
        for (one, response), own, last in zip(solutions, spans, whole, strict=True)
    ]
    write_rows(rows, out)
    labels = [label for row in rows for label in row.labels]
    known = [label for label in labels if label is not None]
    return LabelledSteps(len(rows), len(labels), len(labels) - len(known), float(np.mean(known)) if known else math.nan)


def _digest(asked: Sequence[Candidates], begun: Sequence[str], config: LabelConfig) -> str:
    """Of all that continuations depend on."""
    options = (config.policy, config.samples, config.max_new_tokens, config.temperature, config.seed)
    texts = [(prompt_text(one.prompt), start) for one, start in zip(asked, begun, strict=True)]
    return hashlib.sha256(json.dumps([options, texts]).encode()).hexdigest()[:8]


def _steps_of(response: str) -> list[tuple[int, int]]:
    """Where the steps of a response begin and end."""
    paragraphs = step_spans(response, "paragraph")
    return paragraphs if len(paragraphs) > 1 else step_spans(response, "line")


def _shares(checker: Scorer, rows: Sequence[Row], texts: Sequence[Sequence[str]], *, hard: bool) -> list[float | None]:
    """Of several solutions to each row, the share that is right; None where none can be checked."""
    flat = [(row, text) for row, own in zip(rows, texts, strict=True) for text in own]
    found = score_texts(
        checker, [row.prompt for row, _ in flat], [text for _, text in flat], [row.reference for row, _ in flat]
    ).values
    shares: list[float | None] = []
    for own in np.split(found, np.cumsum([len(own) for own in texts])[:-1]):
        right = own[~np.isnan(own)] >= 0.5
        shares.append(None if not len(right) else float(right.any() if hard else right.mean()))
    return shares
