"""Which kind of reward suits the data: candidates compared within a time limit, and a recommendation with evidence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from guerdon.data.data_options import ReadOptions
from guerdon.data.read import load_rows
from guerdon.data.split import normalised
from guerdon.evaluate.advice import Advice, CandidateResult
from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.evaluate.advise_page import write_advice_page
from guerdon.evaluate.cheap_candidates import CHEAP, CheapResult, compare_cheap
from guerdon.evaluate.costly_candidates import CostlyCandidate, costly_candidates
from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.evaluate.learning_curve import expected_gain
from guerdon.evaluate.recommendation import choose, gain_sentence, next_commands, task_notes, worth_of
from guerdon.evaluate.results import FEW_CLUSTERS
from guerdon.evaluate.successive_halving import Halving, compare_by_halving, observations_of, split_once
from guerdon.files import check_writable
from guerdon.rewards.embedding import text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.runs.options import flag
from guerdon.train.cross_validation import measure_unseen
from guerdon.types import AnyRow, group_key, prompt_text, response_texts

JSON_FILE, PAGE_FILE = "advise.json", "advise.html"
ROWS_PER_MINUTE = 500
"""More rows than that are not read, so that the time goes round."""
READING_SHARE = 0.4
"""Of the time, for the encoder to read all texts once; more texts are not read."""
FINISHING = 0.93
"""Of the time, after which no trial may end: measuring and writing need the rest."""
MOST_UNREAD = 0.5
"""An encoder that cannot read more of the responses is not fine-tuned."""
_PROBE_TEXTS = 32
_FEWEST_TEXTS = 200


def advise_reward(
    data: str | Path | Sequence[AnyRow],
    out: str | Path | None = None,
    config: AdviseConfig | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> Advice:
    """Compares kinds of reward on the data and recommends one.

    What is fitted in seconds is cross-validated by group. What takes minutes (likelihood, fine-tuned encoders, a
    decoder) is compared by successive halving on one split, as far as the time allows, beside the cheap candidates on
    the same rows; it is marked as estimated.

    Args:
        data: rows, or where to read them (file, hub name, or `starter`).
        out: folder for advise.json and advise.html; None writes nothing.
        config: the time limit, and the models that candidates are built on.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: nothing can be learnt from the rows.
        ModelError: a model cannot be loaded.
        OutputError: `out` cannot be written.

    Example:
        >>> import guerdon
        >>> advice = guerdon.advise_reward("preferences.jsonl")
        >>> advice.recommended, advice.headline
    """
    config, begin = config or AdviseConfig(), time.monotonic()
    if out is not None:
        check_writable(Path(out) / JSON_FILE)
    given = load_rows(str(data), **reading) if isinstance(data, str | Path) else list(data)
    on_stage("measuring how fast texts are read")
    rows = affordable_rows(given, config)
    judged = JudgedResponses.of(rows)
    cheap = compare_cheap(judged, config, begin, on_stage)
    costly = costly_candidates(config)
    halving, estimates = _try_costly(rows, judged, cheap, costly, config, begin, on_stage)
    chosen = choose(cheap.measured)
    results = {one.name: one for one in _cheap_results(judged, cheap, chosen)}
    results |= {one.name: one for one in _costly_results(costly, halving, estimates, chosen, len(rows), cheap)}
    ahead = [one for one in results.values() if one.state == "estimated" and one.minus.low > 0]
    recommended = max(ahead, key=lambda one: one.minus.point).name if ahead else chosen
    verdict = worth_of(recommended, results, cheap.measured)
    source = str(data) if isinstance(data, str | Path) and str(data) != "-" else "DATA"
    options = "".join(f" {flag(name)} {shlex.quote(str(value))}" for name, value in reading.items() if value)
    what = judged.objective
    gains = [gain_sentence(gain, what) for gain in results[chosen].gains]
    commands = next_commands(recommended, source, {one.name: one.command for one in costly}, options, config.encoder)
    advice = Advice(
        data=source,
        rows=len(rows),
        rows_given=len(given),
        judgements=len(judged),
        groups=len(np.unique(judged.group)),
        objective=what,
        candidates=tuple(results.values()),
        recommended=recommended,
        trustworthy=verdict.trustworthy,
        headline=verdict.headline,
        evidence=(*verdict.evidence, *gains),
        notes=tuple(_notes(rows, given, judged, results[recommended], cheap, config)),
        commands=tuple(commands),
        minutes=config.time,
        seconds=time.monotonic() - begin,
        seed=config.seed,
    )
    if out is not None:
        advice.save(Path(out) / JSON_FILE)
        write_advice_page(advice, Path(out) / PAGE_FILE)
    return advice


def affordable_rows(rows: Sequence[AnyRow], config: AdviseConfig) -> list[AnyRow]:
    """As many whole groups, drawn at random, as can be read and fitted in the time; all rows where that is enough."""
    rng = np.random.default_rng(config.seed)
    encoder = text_encoder(config.encoder, config.device, config.trust_remote_code)
    probe = [rows[place] for place in rng.permutation(len(rows))[:_PROBE_TEXTS]]
    texts = [response_texts(row)[0] for row in probe]
    encoder.embed(texts[:1])
    start = time.monotonic()
    encoder.embed(texts[1:])
    per_text = (time.monotonic() - start) / max(len(texts) - 1, 1)
    most_texts = max(_FEWEST_TEXTS, READING_SHARE * 60 * config.time / max(per_text, 1e-6))
    most_rows = max(_FEWEST_TEXTS, round(ROWS_PER_MINUTE * config.time))
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(normalised(group_key(row)), []).append(place)
    kept: list[int] = []
    seen: set[str] = set()
    names = list(groups)
    for number in rng.permutation(len(names)):
        for place in groups[names[number]]:
            seen |= {prompt_text(rows[place].prompt), *response_texts(rows[place])}
            if kept and (len(seen) > most_texts or len(kept) >= most_rows):
                return [rows[one] for one in sorted(kept)]
            kept.append(place)
    return list(rows)


def _try_costly(
    rows: Sequence[AnyRow],
    judged: JudgedResponses,
    cheap: CheapResult,
    candidates: Sequence[CostlyCandidate],
    config: AdviseConfig,
    begin: float,
    on_stage: Callable[[str], None],
) -> tuple[Halving, Mapping[int, Measured]]:
    """The trials, and for each number of rows what the candidates got beside cheap ones fitted on the same rows."""
    split = split_once(rows, judged, config.seed)
    if split is None or not len(split.rows):
        reason = "the data have too few groups to hold some out"
        return Halving((), {one.name: reason for one in candidates}, {}), {}
    encoder = text_encoder(config.encoder, config.device, config.trust_remote_code)
    unread = float(np.mean(~encoder.embed(judged.responses).any(axis=1)))
    able = [one for one in candidates if not one.reads_with_encoder or unread <= MOST_UNREAD]
    halving = compare_by_halving(able, judged, split, begin + FINISHING * 60 * config.time, on_stage)
    reason = f"{config.encoder} cannot read {unread:.0%} of the responses"
    unable = {one.name: reason for one in candidates if one not in able}
    halving = replace(halving, not_run={**halving.not_run, **unable})
    pairs = CountedPairs.of(judged, split.held, config.seed)
    measured = {}
    for count in sorted({one.rows for one in halving.tried}):
        seen = np.setdiff1d(observations_of(split.rows[:count], judged), split.held)
        _, margins = measure_unseen(cheap.members, judged, seen, split.held, seed=config.seed)
        margins |= {one.name: one.trial.margins for one in halving.tried if one.rows == count}
        everywhere = {name: np.zeros(len(judged)) for name in margins}
        for name, values in margins.items():
            everywhere[name][split.held] = values
        measured[count] = Measured.of(pairs, everywhere, config.seed)
    return halving, measured


def _cheap_results(judged: JudgedResponses, cheap: CheapResult, chosen: str) -> list[CandidateResult]:
    measured, results = cheap.measured, []
    for name, about in CHEAP.items():
        curve = cheap.curves.get(name)
        more = (_round(len(judged) / 3), len(judged))
        results.append(
            CandidateResult(
                name=name,
                about=about,
                state="cross-validated",
                accuracy=measured.accuracy[name],
                length_balanced=measured.length_balanced[name],
                length_correlation=measured.length_correlation[name],
                minus=measured.difference(name, chosen),
                against=chosen,
                rows_learnt=round(curve.sizes[-1]) if curve else 0,
                seconds=cheap.fit_seconds[name],
                texts_per_second=cheap.texts_per_second[name],
                curve=tuple(zip(curve.sizes.tolist(), curve.accuracies.tolist(), strict=True)) if curve else (),
                gains=tuple(expected_gain(curve, count, len(judged)) for count in more) if curve else (),
            )
        )
    return results


def _costly_results(
    candidates: Sequence[CostlyCandidate],
    halving: Halving,
    measured: Mapping[int, Measured],
    chosen: str,
    rows: int,
    cheap: CheapResult,
) -> list[CandidateResult]:
    tried = {one.name: one for one in halving.tried}
    results = []
    for candidate in candidates:
        name = candidate.name
        cost = halving.costs.get(name)
        # Learning is forward and backward, twice as long as forward, in two passes over the data.
        bound = 6 * cheap.fit_seconds["embedding"] if cheap.margins["embedding"].any() else float("nan")
        whole = cost.seconds(rows, 0) if cost else bound
        result = CandidateResult(
            name=name,
            about=candidate.about,
            state="not run",
            seconds=whole,
            at_least=cost is None,
            reason=halving.not_run.get(name, ""),
        )
        if name in tried:
            found = measured[tried[name].rows]
            result = replace(
                result,
                state="estimated",
                accuracy=found.accuracy[name],
                length_balanced=found.length_balanced[name],
                length_correlation=found.length_correlation[name],
                minus=found.difference(name, chosen),
                against=chosen,
                rows_learnt=tried[name].rows,
                texts_per_second=tried[name].trial.texts_per_second,
                reason="",
            )
        results.append(result)
    return results


def _notes(
    rows: Sequence[AnyRow],
    given: Sequence[AnyRow],
    judged: JudgedResponses,
    recommended: CandidateResult,
    cheap: CheapResult,
    config: AdviseConfig,
) -> list[str]:
    notes = task_notes(rows, judged, recommended)
    if len(rows) < len(given):
        notes.append(
            f"Compared on {len(rows):,} of {len(given):,} rows, whole groups drawn at random, so that the time goes "
            "round; a longer --time reads more."
        )
    if not cheap.curves:
        notes.append("There was no time for learning curves; a longer --time has them.")
    groups = len(np.unique(judged.group))
    if groups == 1:
        notes.append("All rows are of one group: intervals draw single judgements and speak of this group alone.")
    elif groups < FEW_CLUSTERS:
        notes.append(f"With {groups} groups to draw from, intervals are too narrow to be trusted.")
    return notes


def _round(value: float) -> int:
    """The next lower number of one significant digit, or of two that end in 5."""
    scale = int(10 ** int(np.log10(max(value, 1))))
    return max(1, int(2 * value / scale) * scale // 2)
