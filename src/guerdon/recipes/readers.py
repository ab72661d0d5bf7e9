"""Data as candidates: responses to one prompt, each with a score that no model had a hand in."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from guerdon.data.candidates import all_candidates, read_candidates
from guerdon.data.data_files import iter_records
from guerdon.data.data_options import ColumnOptions
from guerdon.errors import DataError
from guerdon.optimize.best_of_n import rewards_of
from guerdon.recipes.code_mutations import mutants
from guerdon.rewards.rules import UnitTests
from guerdon.rewards.scoring import joined, no_reward_summary
from guerdon.types import AnyRow, Candidates, Comparison, Origin, Ranking, group_key

logger = logging.getLogger(__name__)


def rated_candidates(source: str, **columns: Unpack[ColumnOptions]) -> list[Candidates]:
    """Candidates that people have scored: ratings of several responses to a prompt, or rankings.

    A column `system` says which system wrote a response, a column `bm25` how a search engine scored it.

    Raises:
        DataError: rows that cannot be used, or no prompt with two candidates.
    """
    found = []
    for one in read_candidates(source, **columns):
        if one.scores is None or any(map(math.isnan, one.scores)):
            raise DataError(f"{one.origin}: a candidate needs the score that people gave it (column score, scores)")
        found.append(_distinct(one))
    return _with_a_choice(found, source)


def _distinct(one: Candidates) -> Candidates:
    """Each text once: of equal texts, which cannot be told apart, the last one's score counts."""
    places = tuple({text: place for place, text in enumerate(one.responses)}.values())

    def at(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[place] for place in places) if values else ()

    known = {name: at(values) for name, values in one.other_scores.items() if not any(map(math.isnan, values))}
    return replace(
        one,
        responses=at(one.responses),
        scores=at(scores_of(one)),
        systems=at(one.systems),
        other_scores=known,
        reference=None,
    )


def preferred_candidates(source: str, **columns: Unpack[ColumnOptions]) -> list[Candidates]:
    """Two responses, one of which people preferred.

    Raises:
        DataError: rows that cannot be used.
    """
    pairs = [found.candidates for found in all_candidates(source, **columns) if found.columns == ("chosen", "rejected")]
    return _with_a_choice([replace(one, scores=(1.0, 0.0), reference=None) for one in pairs], source)


def program_candidates(source: str, **columns: Unpack[ColumnOptions]) -> list[Candidates]:
    """A right solution and mutations of it, worth 1 where the unit tests pass and 0 where they fail.

    Reads problems in the layouts of MBPP (`prompt`, `code`, `test_list`) and HumanEval (`prompt`,
    `canonical_solution`, `test`, `entry_point`). Solutions are written by Python's own printer, mutated or not, so that
    style tells nothing. The unit tests are the `reference`.

    Raises:
        DataError: a problem cannot be read.
        ConfigError: there is no sandbox to run the tests in.
    """
    if given := [f"--{name} {value}" for name, value in columns.items() if value]:
        raise DataError(f"programming problems are read in their own columns. Fix: leave out {', '.join(given)}")
    problems = []
    for origin, record in iter_records(source):
        if isinstance(record, DataError):
            raise record
        problems.append(_problem(record, origin))
    passed = rewards_of(UnitTests(), problems)
    if without := no_reward_summary(joined(passed)):
        logger.warning("%s: %s", source, without)
    found = []
    for one, rewards in zip(problems, passed, strict=True):
        scored = zip(one.responses, rewards.values.tolist(), strict=True)  # mutants differ, so texts are keys
        known = {text: score for text, score in scored if not math.isnan(score)}
        if len(set(known.values())) == 2:
            found.append(replace(one, responses=tuple(known), scores=tuple(known.values())))
    if left := len(problems) - len(found):
        why = "of the solution and its mutations, not some pass and some fail"
        logger.warning("%s: %d of %d problems are left out: %s", source, left, len(problems), why)
    return _with_a_choice(found, source)


def _problem(record: Mapping[str, Any], origin: Origin | None) -> Candidates:
    """A programming problem: its unit tests as the reference, its solution and the mutations as responses."""
    try:
        prompt = str(record["prompt"])
        if "canonical_solution" in record:
            solution = prompt + str(record["canonical_solution"])
            tests = f"{record['test']}\n\ncheck({record['entry_point']})\n"
        else:
            solution = str(record["code"])
            tests = "\n".join([*(record.get("test_imports") or ()), *record["test_list"]])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{origin}: not a programming problem; it needs prompt, code and test_list (MBPP), or prompt, "
            f"canonical_solution, test and entry_point (HumanEval); missing: {error}"
        ) from None
    group = str(record.get("task_id", prompt))
    responses = tuple(mutants(solution))
    return Candidates(prompt=prompt, responses=responses, reference=tests, group=group, origin=origin)


def _with_a_choice(candidates: Sequence[Candidates], source: str) -> list[Candidates]:
    """The prompts that have two candidates or more."""
    kept = [one for one in candidates if len(one.responses) > 1]
    if not kept:
        raise DataError(f"{source}: no prompt has two candidates to choose from")
    if left := len(candidates) - len(kept):
        logger.warning("%s: %d of %d prompts are left out: they have one candidate", source, left, len(candidates))
    return kept


def scores_of(one: Candidates) -> tuple[float, ...]:
    """The scores, which the readers of a recipe always give."""
    assert one.scores is not None
    return one.scores


def training_rows(candidates: Sequence[Candidates]) -> Iterator[AnyRow]:
    """What a reward model learns from: the order of the candidates of each prompt."""
    for one in candidates:
        scores, group = scores_of(one), group_key(one)
        if len(scores) == 2 and set(scores) == {0.0, 1.0}:
            better, worse = one.responses if scores[0] else one.responses[::-1]
            yield Comparison(prompt=one.prompt, chosen=better, rejected=worse, group=group)
        elif len(set(scores)) > 1:
            yield Ranking(prompt=one.prompt, responses=one.responses, scores=scores, group=group)
