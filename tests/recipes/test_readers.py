"""Data as candidates, and code that is nearly right."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from guerdon.errors import ConfigError, DataError
from guerdon.recipes.applications import RECIPES, recipe_named
from guerdon.recipes.code_mutations import MOST, mutants
from guerdon.recipes.readers import preferred_candidates, program_candidates, rated_candidates, training_rows
from guerdon.rewards.sandbox import sandbox_fault
from guerdon.types import Comparison, Ranking
from json_lines import write_lines

SOLUTION = '''
def total(xs, least):
    """Adds up what is large enough."""
    found = 0
    for i in range(len(xs)):
        if xs[i] >= least and xs[i] > 0:
            found = found + xs[i]  # here
    return found
'''


def write(folder: Path, *records: dict[str, Any]) -> str:
    return write_lines(folder / "data.jsonl", *records)


def test_ratings_become_candidates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"prompt": "p", "response": "a", "score": 1, "system": "one"},
        {"prompt": "p", "response": "b", "score": 3, "system": "two"},
        {"prompt": "q", "response": "alone", "score": 3, "system": "two"},
    ]
    (found,) = rated_candidates(write(tmp_path, *rows))
    assert (found.prompt, found.responses, found.scores) == ("p", ("a", "b"), (1.0, 3.0))
    assert found.systems == ("one", "two")
    assert "1 of 2 prompts are left out: they have one candidate" in caplog.text
    (row,) = training_rows([found])
    assert isinstance(row, Ranking)
    assert row.scores == (1.0, 3.0)
    with pytest.raises(DataError, match=r"data\.jsonl:1.*column score"):
        rated_candidates(write(tmp_path, {"prompt": "p", "response": "a"}))
    with pytest.raises(DataError, match="no prompt has two candidates"):
        rated_candidates(write(tmp_path, rows[2]))


def test_rankings_bring_bm25_along(tmp_path: Path) -> None:
    row = {"prompt": "p", "responses": ["a", "b"], "scores": [0, 2], "bm25": [3.5, 1.0]}
    (found,) = rated_candidates(write(tmp_path, row))
    assert (found.scores, found.other_scores) == ((0.0, 2.0), {"bm25": (3.5, 1.0)})


def test_equal_texts_are_one_candidate_and_a_reference_column_is_no_test(tmp_path: Path) -> None:
    row = {"prompt": "p", "responses": ["a", "b", "a"], "scores": [0, 2, 1], "reference": "r", "id": "7"}
    (found,) = rated_candidates(write(tmp_path, row))
    assert (found.responses, found.scores, found.reference, found.id) == (("a", "b"), (1.0, 2.0), None, "7")


def test_preferences_become_candidates(tmp_path: Path) -> None:
    (found,) = preferred_candidates(write(tmp_path, {"prompt": "p", "chosen": "a", "rejected": "b"}))
    assert (found.responses, found.scores) == (("a", "b"), (1.0, 0.0))
    (row,) = training_rows([found])
    assert isinstance(row, Comparison)
    assert (row.chosen, row.rejected) == ("a", "b")


def test_mutants_differ_in_one_place_each() -> None:
    first, *others = mutants(SOLUTION)
    assert "Adds up" not in first
    assert "# here" not in first
    assert len(others) == MOST
    assert len({first, *others}) == MOST + 1
    for text in others:
        ast.parse(text)
        changed = [(a, b) for a, b in zip(first.splitlines(), text.splitlines(), strict=True) if a != b]
        assert len(changed) == 1
    assert any("found - xs[i]" in text for text in others)
    assert any("xs[i] > least" in text for text in others)
    assert mutants("def f(:") == []


@pytest.mark.skipif(bool(sandbox_fault()), reason=sandbox_fault() or "-")
def test_programs_are_worth_what_their_tests_say(tmp_path: Path) -> None:
    mbpp = {
        "task_id": 7, "prompt": "Add up.", "code": SOLUTION, "test_imports": ["import math"],
        "test_list": ["assert total([1, 5, -2], 2) == 5", "assert total([math.inf], 0) == math.inf"],
    }  # fmt: skip
    head, body = SOLUTION.split('"""\n', 1)
    humaneval = {
        "task_id": "H/1", "prompt": head + '"""\n', "canonical_solution": body, "entry_point": "total",
        "test": "def check(candidate):\n    assert candidate([1, 5, -2], 2) == 5\n    assert candidate([3], 3) == 3\n",
    }  # fmt: skip
    for found in program_candidates(write(tmp_path, mbpp, humaneval)):
        assert found.scores is not None
        assert found.scores[0] == 1, "the solution passes"
        assert 0 in found.scores[1:]
        assert "total(" in str(found.reference) or "candidate(" in str(found.reference)
        worth = dict(zip(found.responses, found.scores, strict=True))
        assert all(value == 0 for text, value in worth.items() if "found - xs[i]" in text)
    with pytest.raises(DataError, match="not a programming problem"):
        program_candidates(write(tmp_path, {"prompt": "Add up."}))


def test_the_table() -> None:
    assert len(RECIPES) == 7
    with pytest.raises(ConfigError, match="known are translation, "):
        recipe_named("poetry")
