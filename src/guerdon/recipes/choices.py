"""Data as choices: candidates for one prompt, and what each is worth by a yardstick that no model had a hand in."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from guerdon.data.candidates import all_candidates, read_candidates
from guerdon.data.files import iter_records
from guerdon.errors import DataError
from guerdon.recipes.mutants import mutants
from guerdon.rewards.rules import UnitTests
from guerdon.types import AnyRow, Comparison, Origin, Prompt, Ranking, prompt_text

logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Choice:
    """Candidates for one prompt."""

    prompt: Prompt
    responses: tuple[str, ...]
    values: tuple[float, ...]
    """What each is worth: a human score, 1 for what was preferred, tests passed, a grade of relevance."""
    group: str = ""
    """What is split and drawn as one; empty is the prompt."""
    systems: tuple[str, ...] = ()
    """Who made each, where known."""
    given: tuple[float, ...] = ()
    """Scores of a baseline that the data brings along, where it does (BM25)."""
    tests: str = ""
    """Unit tests, for code."""

    @property
    def key(self) -> str:
        """The group."""
        return self.group or prompt_text(self.prompt)

    @property
    def reference(self) -> str:
        """What a new answer is held against: the tests, or the candidate that is worth most."""
        return self.tests or max(zip(self.values, self.responses, strict=True), key=lambda pair: pair[0])[1]


def judged(source: str) -> list[Choice]:
    """Candidates that people have scored: ratings of several responses to a prompt, or rankings.

    A column `system` says who made a response, a column `bm25` how a search engine scored it.

    Raises:
        DataError: rows that cannot be used, or no prompt with two candidates.
    """
    choices = []
    for one in read_candidates(source):
        if one.scores is None or any(score != score for score in one.scores):
            raise DataError(f"{one.origin}: a candidate needs the score that people gave it (column score, scores)")
        place_of = {text: place for place, text in enumerate(one.responses)}

        def distinct(values: Sequence[_T], places: Sequence[int] = tuple(place_of.values())) -> tuple[_T, ...]:
            return tuple(values[place] for place in places) if values else ()

        given = distinct(one.other_scores.get("bm25", ()))
        choices.append(
            Choice(
                one.prompt,
                tuple(place_of),
                distinct(one.scores),
                one.group,
                distinct(one.systems),
                given if all(value == value for value in given) else (),
            )
        )
    return _several(choices, source)


def preferred(source: str) -> list[Choice]:
    """Two answers, one of which people preferred.

    Raises:
        DataError: rows that cannot be used.
    """
    pairs = [found.candidates for found in all_candidates(source) if found.columns == ("chosen", "rejected")]
    choices = [Choice(one.prompt, one.responses, (1.0, 0.0), one.group) for one in pairs]
    return _several(choices, source)


def code(source: str) -> list[Choice]:
    """A right solution and mutations of it, worth 1 where the unit tests pass and 0 where they fail.

    Reads problems in the layouts of MBPP (`prompt`, `code`, `test_list`) and HumanEval (`prompt`,
    `canonical_solution`, `test`, `entry_point`). Solutions are written by Python's own printer, mutated or not, so that
    style tells nothing.

    Raises:
        DataError: a problem cannot be read.
        ConfigError: there is no sandbox to run the tests in.
    """
    prompts, groups, responses, references = [], [], [], []
    problems = 0
    for origin, record in iter_records(source):
        if isinstance(record, DataError):
            raise record
        prompt, solution, tests = _problem(record, origin)
        problems += 1
        for text in mutants(solution):
            prompts.append(prompt)
            groups.append(str(record.get("task_id", prompt)))
            responses.append(text)
            references.append(tests)
    passed = UnitTests().score(prompts, responses, references=references)
    found: dict[str, dict[str, float]] = {}
    about: dict[str, tuple[Prompt, str]] = {}
    for prompt, group, text, tests, value in zip(prompts, groups, responses, references, passed.tolist(), strict=True):
        if value == value:  # no verdict, no candidate; UnitTests has said why
            found.setdefault(group, {})[text] = value
            about[group] = prompt, tests
    choices = [
        Choice(about[group][0], tuple(values), tuple(values.values()), group, tests=about[group][1])
        for group, values in found.items()
        if len(set(values.values())) == 2
    ]
    if len(choices) < problems:
        logger.warning(
            "%s: %d of %d problems are left out: of the solution and its mutations, not some pass and some fail",
            source,
            problems - len(choices),
            problems,
        )
    return _several(choices, source)


def _problem(record: Mapping[str, Any], origin: Origin | None) -> tuple[str, str, str]:
    """Prompt, solution and unit tests of a problem."""
    try:
        prompt = str(record["prompt"])
        if "canonical_solution" in record:
            tests = f"{record['test']}\n\ncheck({record['entry_point']})\n"
            return prompt, prompt + str(record["canonical_solution"]), tests
        return prompt, str(record["code"]), "\n".join([*(record.get("test_imports") or ()), *record["test_list"]])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{origin}: not a programming problem; it needs prompt, code and test_list (MBPP), or prompt, "
            f"canonical_solution, test and entry_point (HumanEval); missing: {error}"
        ) from None


def _several(choices: Sequence[Choice], source: str) -> list[Choice]:
    kept = [choice for choice in choices if len(choice.responses) > 1]
    if not kept:
        raise DataError(f"{source}: no prompt has two candidates to choose from")
    if len(kept) < len(choices):
        logger.warning(
            "%s: %d of %d prompts are left out: they have one candidate", source, len(choices) - len(kept), len(choices)
        )
    return kept


def training_rows(choices: Sequence[Choice]) -> Iterator[AnyRow]:
    """What a reward model learns from choices: the order of the candidates of each."""
    for choice in choices:
        if len(choice.responses) == 2 and set(choice.values) == {0.0, 1.0}:
            better, worse = choice.responses if choice.values[0] else choice.responses[::-1]
            yield Comparison(prompt=choice.prompt, chosen=better, rejected=worse, group=choice.key)
        elif len(set(choice.values)) > 1:
            yield Ranking(prompt=choice.prompt, responses=choice.responses, scores=choice.values, group=choice.key)
