"""`guerdon explain`: why a reward gives a response its score, prefers one to another, and what moves a data set."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from guerdon.data.candidates import all_candidates
from guerdon.data.data_options import ColumnOptions
from guerdon.errors import ConfigError, GuerdonError, TextError
from guerdon.explain.attention import attention_paid
from guerdon.explain.contributions import feature_contributions, member_contributions
from guerdon.explain.explain_config import ExplainConfig
from guerdon.explain.explain_page import write_explain_page
from guerdon.explain.explanation import AttentionByWord, CaseExplained, RewardExplanation
from guerdon.explain.faithfulness_table import Progress, measure_faithfulness
from guerdon.explain.flips import shortest_flip
from guerdon.explain.importance import FeatureImportance, ScoredResponse, feature_importance
from guerdon.explain.methods import attribute
from guerdon.explain.prefixes import prefix_curve
from guerdon.explain.target import System, Target
from guerdon.explain.units import Case, Part, units_of
from guerdon.files import check_writable
from guerdon.metrics import sigmoid
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.scoring import scorer_name
from guerdon.rewards.transformer import TransformerReward
from guerdon.rewards.truncation import candidate_texts, refuse_truncation, report_totals
from guerdon.types import Candidates, Comparer, Prompt, Scorer, prompt_text

_PER_PROMPT = 4
"""Responses of one prompt that are looked at for what moves a data set; more where there are few prompts."""


def explain_reward(
    model: str | ScorerConfig | System,
    data: str | None = None,
    *,
    prompt: Prompt = "",
    response: str | None = None,
    versus: str | None = None,
    reference: str | None = None,
    config: ExplainConfig = ExplainConfig(),  # noqa: B008  # frozen
    page: str | Path | None = None,
    json: str | Path | None = None,
    progress: Progress = lambda what, done, total: None,
    **columns: Unpack[ColumnOptions],
) -> RewardExplanation:
    """Explains the score of a response, the difference between two, or the scores of a data set.

    Example:
        >>> found = explain_reward("longest", prompt="Hello?", response="Hi. I am here.", versus="Hi.")
        >>> found.cases[0].attribution.part("response")
        [('Hi. ', 4.0), ('I ', 2.0), ('am ', 3.0), ('here.', 5.0)]

    Args:
        model: what `load_scorer` takes, a scorer, or a comparer.
        data: rows to explain instead of `response`: what `guerdon score` reads.
        prompt: the prompt.
        response: the response.
        versus: another response, to explain why the first is preferred or not.
        reference: for scorers that need one.
        config: how it is explained.
        page: file for an HTML page.
        json: file for everything as JSON.
        progress: called with what is being done, how much of it is done, and of how much.
        columns: which columns of the data are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        ConfigError: options that do not fit each other or the model.
        DataError: rows that cannot be read, too many responses that are longer than the model reads, or a response
            without a score.
        MissingExtraError: captum is not installed.
        OutputError: a file cannot be written.
    """
    if (response is None) is (data is None):
        raise ConfigError("give a response to explain (--prompt, --response), or DATA with rows, and not both")
    if data is not None and versus is not None:
        raise ConfigError("--versus goes with --response; in DATA the second response of a row is the other one")
    for path in (page, json):
        if path is not None:
            check_writable(path)
    name, system = _loaded(model)
    target = Target(system)
    notes: list[str] = []
    importance = faithfulness = None
    if response is not None:
        cases = [Case(prompt, response, versus, reference)]
    else:
        rows = [one.candidates for one in all_candidates(str(data), **columns)]
        refuse_truncation([system], candidate_texts(rows))
        random.Random(config.seed).shuffle(rows)
        cases = [case for row in rows for case in _cases(row, pairs=target.scorer is None)]
        if not cases:
            raise ConfigError("a Comparer is explained on rows with two responses; DATA has none")
        if config.sample:
            importance = _importance(system, rows, config, notes, progress)
        if config.faithfulness:
            chosen = cases[: config.faithfulness_rows]
            faithfulness = measure_faithfulness(
                target,
                chosen,
                methods=() if config.method == "auto" else (config.method,),
                segments=config.segments,
                seed=config.seed,
                progress=progress,
            )
    shown = list(_explained(system, cases if data is None else cases[: config.rows], config, data is None, notes))
    report_totals([system])
    found = RewardExplanation(name, tuple(shown), importance, faithfulness, tuple(notes))
    if json is not None:
        found.save(str(json))
    if page is not None:
        write_explain_page(found, Path(page), config.language)
    return found


def explain_case(system: System, case: Case, config: ExplainConfig = ExplainConfig()) -> CaseExplained:  # noqa: B008
    """Explains one case. Raises TextError where a response has no score; else as `explain_reward`."""
    target = Target(system)
    first = target.ask([case])
    if first.reasons[0]:
        raise TextError(0, f"there is no score to explain: {first.reasons[0]}")
    parts: tuple[Part, ...] = ("prompt", "response") if config.with_prompt else ("response",)
    start = time.perf_counter()
    found = attribute(target, case, method=config.method, grain=config.grain, parts=parts, seed=config.seed)
    seconds = time.perf_counter() - start
    sides: dict[Part, Case] = {"response": case}
    if case.other is not None:
        sides["other"] = case.swapped()
    scores = {part: float("nan") for part in ("response", "other")}
    if target.scorer is not None:
        for part, side in sides.items():
            scores[part] = float(target.ask([replace(side, other=None)]).values[0])
    paid = {}
    if config.attention and isinstance(system, TransformerReward):
        paid = {part: _attention(system, side, part) for part, side in sides.items()}
    flip = shortest_flip(Target(system), case) if config.flip and case.other is not None else None
    return CaseExplained(
        case=case,
        score=scores["response"],
        other_score=scores["other"],
        preferred=_probability(system, case, found.total),
        attribution=found,
        members=tuple(member_contributions(system, case)),
        features=tuple(feature_contributions(system, case)),
        curves={part: prefix_curve(target, side) for part, side in sides.items()},
        flip=flip,
        attention=paid,
        seconds=seconds,
    )


def _loaded(model: str | ScorerConfig | System) -> tuple[str, System]:
    if isinstance(model, str):
        model = ScorerConfig(name=model)
    if isinstance(model, ScorerConfig):
        return model.name, model.load_system()
    return scorer_name(model), model


def _cases(row: Candidates, *, pairs: bool) -> Iterator[Case]:
    """The first two distinct responses of a row; of one response, a case without another."""
    first, *others = dict.fromkeys(text for text in row.responses if text.strip()) or [None]
    if first is not None and (others or not pairs):
        yield Case(row.prompt, first, others[0] if others else None, row.reference)


def _explained(
    system: System, cases: Sequence[Case], config: ExplainConfig, alone: bool, notes: list[str]
) -> Iterator[CaseExplained]:
    """The cases that have a score; the only one must have one."""
    for case in cases:
        try:
            yield explain_case(system, case, config)
        except TextError as error:
            if alone:
                raise
            notes.append(f"A row is left out: {error.fault}.")


def _importance(
    system: System, rows: Sequence[Candidates], config: ExplainConfig, notes: list[str], progress: Progress
) -> FeatureImportance | None:
    """What moves the scores of the data, by attributions of its responses."""
    if not isinstance(system, Scorer):
        notes.append("A Comparer gives no scores, so nothing can be said of what moves the scores of the whole data.")
        return None
    by_prompt: dict[str, dict[str, Case]] = {}
    for row in rows:
        for text in filter(str.strip, row.responses):
            by_prompt.setdefault(prompt_text(row.prompt), {}).setdefault(
                text, Case(row.prompt, text, None, row.reference)
            )
    each = max(_PER_PROMPT, math.ceil(config.sample / len(by_prompt)))
    texts = [case for cases in by_prompt.values() for case in list(cases.values())[:each]][: config.sample]
    scored, reasons = [], []
    for place, case in enumerate(texts):
        try:
            found = attribute(Target(system), case, method=config.method, grain="word", seed=config.seed)
        except TextError as error:
            reasons.append(error.fault)
            continue
        if np.isfinite(found.total) and np.isfinite(found.values).all():
            scored.append(ScoredResponse(case, prompt_text(case.prompt), found.total, found))
        else:
            reasons.append(found.reasons[0] if found.reasons else "it has no score")
        progress("what moves the scores", place + 1, len(texts))
    if reasons:
        notes.append(f"{len(reasons):,} of {len(texts):,} responses take no part in what moves scores: {reasons[0]}.")
    return feature_importance(scored, seed=config.seed) if len(scored) > 1 else None


def _attention(reward: TransformerReward, case: Case, part: Part) -> AttentionByWord:
    """The attention that one response gets, word by word, and the prompt before it."""
    paid = attention_paid(reward, case.prompt, case.response)
    units = tuple(units_of(case, ["prompt", "response"], "word"))
    layers, heads, _ = paid.heads.shape
    every = [[paid.onto(units, layer=layer, head=head) for head in range(heads)] for layer in range(layers)]
    named = tuple(replace(unit, part=part) if unit.part == "response" else unit for unit in units)
    return AttentionByWord(named, paid.onto(units), paid.special, np.array(every))


def _probability(system: System, case: Case, total: float) -> float:
    """P(the response is preferred), where the model has such a probability."""
    if case.other is None:
        return float("nan")
    if not isinstance(system, Scorer):
        return float(sigmoid(total))
    if isinstance(system, Comparer):
        try:
            return float(system.compare([case.prompt], [case.response], [case.other])[0])
        except GuerdonError:
            return float("nan")
    return float("nan")
