"""The rows of the starter set: order known, balanced for length, parts without leaks, the same every time."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from importlib import resources

import numpy as np
import pytest

from guerdon.data.starter import LANGUAGES, TASKS, Part, _all_pairs, starter_items, starter_rankings, starter_rows
from guerdon.data.starter.items import load_items
from guerdon.data.starter.operators import OPERATORS
from guerdon.data.starter.pairs import choose_pairs
from guerdon.errors import ConfigError
from guerdon.types import Comparison, prompt_text

PARTS: list[Part] = ["all", "train", "test"]
BALANCED = (0.45, 0.55)


def norm(text: str) -> str:
    return " ".join(text.split()).casefold()


def longest_wins(rows: Iterable[Comparison]) -> float:
    return float(np.mean([(np.sign(len(row.chosen) - len(row.rejected)) + 1) / 2 for row in rows]))


def grouped(rows: Iterable[Comparison], key: Callable[[Comparison], object]) -> dict[object, list[Comparison]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


# --- what a row has


def test_each_item_gives_eleven_comparisons_of_at_most_eight_texts() -> None:
    by_item = grouped(starter_rows(), lambda row: row.group)
    assert set(by_item) == {item.id for item in load_items()}
    for rows in by_item.values():
        assert 8 <= len(rows) <= 12
        assert len({text for row in rows for text in (row.chosen, row.rejected)}) <= 8
        assert len({(row.chosen, row.rejected) for row in rows}) == len(rows)


def test_rows_say_where_they_come_from() -> None:
    rows = starter_rows()
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.subset == row.group.rpartition("-")[0]
        assert row.id.startswith(row.group + "/")
        assert row.margin is not None
        assert 0 < row.margin <= 4
        assert row.preference == 1
        assert row.chosen != row.rejected
        assert (row.reference is not None) == (row.extra["task"] == "code")
        assert row.extra["chosen_origin"] in ("reference", "hand", "operator")
        assert row.extra["rejected_origin"] in ("hand", "operator")
        assert row.extra["rejected_fault"]
        assert bool(row.extra["chosen_fault"]) == (row.extra["chosen_origin"] != "reference")
    assert {row.subset for row in rows} == {item.subset for item in load_items()}


def test_the_order_has_no_cycle_and_agrees_with_the_grades() -> None:
    for pair in _all_pairs():
        assert pair.better.grade > pair.worse.grade
        if pair.better.origin == "operator":
            assert pair.worse.fault.startswith(pair.better.fault + "+")


def test_every_operator_is_used() -> None:
    used = Counter(name for row in starter_rows("train") for name in row.extra["rejected_fault"].split("+"))
    assert set(OPERATORS) <= set(used)


# --- length


@pytest.mark.parametrize("part", PARTS)
def test_length_does_not_tell_the_order(part: Part) -> None:
    rows = starter_rows(part)
    assert BALANCED[0] <= longest_wins(rows) <= BALANCED[1]
    for subset, members in grouped(rows, lambda row: row.subset).items():
        assert BALANCED[0] <= longest_wins(members) <= BALANCED[1], subset
    for kind, members in grouped(rows, lambda row: (row.extra["chosen_origin"], row.extra["rejected_origin"])).items():
        assert BALANCED[0] <= longest_wins(members) <= BALANCED[1], kind


def length_features(row: Comparison, text: str, degree: int) -> list[float]:
    return [float(np.log(len(text))) ** power for power in range(1, degree + 1)]


@pytest.mark.parametrize(("degree", "most"), [(1, 0.55), (2, 0.62)])
def test_a_model_fitted_on_length_learns_next_to_nothing(degree: int, most: float) -> None:
    """Degree 1: is longer better? Degree 2: is there a best length? Log length, fitted on train, judged on test."""
    from sklearn.linear_model import LogisticRegression

    def differences(rows: list[Comparison]) -> np.ndarray:
        return np.array(
            [
                np.subtract(length_features(row, row.chosen, degree), length_features(row, row.rejected, degree))
                for row in rows
            ]
        )

    train, test = differences(starter_rows("train")), differences(starter_rows("test"))
    model = LogisticRegression(C=100, fit_intercept=False)
    model.fit(np.concatenate([train, -train]), np.repeat([1, 0], len(train)))
    for part in (train, test):
        assert np.mean((np.sign(part @ model.coef_[0]) + 1) / 2) <= most


# --- parts


def test_parts_make_up_the_whole() -> None:
    assert sorted(row.id for row in starter_rows("train") + starter_rows("test")) == sorted(
        row.id for row in starter_rows()
    )


def test_nothing_leaks_from_train_to_test() -> None:
    train, test = starter_rows("train"), starter_rows("test")
    assert not {row.group for row in train} & {row.group for row in test}
    assert not {norm(prompt_text(row.prompt)) for row in train} & {norm(prompt_text(row.prompt)) for row in test}
    responses = [{norm(text) for row in rows for text in (row.chosen, row.rejected)} for rows in (train, test)]
    assert not responses[0] & responses[1]


def test_a_response_belongs_to_one_item_unless_it_is_off_topic_there() -> None:
    homes = defaultdict(set)
    for row in starter_rows():
        homes[norm(row.chosen)].add(row.group)
        if row.extra["rejected_fault"] != "off-topic":
            homes[norm(row.rejected)].add(row.group)
    assert [text for text, groups in homes.items() if len(groups) > 1] == []


# --- the function


def test_rows_are_the_same_every_time() -> None:
    state = random.getstate()
    assert tuple(choose_pairs(load_items())) == _all_pairs()
    assert random.getstate() == state


def test_another_process_with_another_hash_seed_has_the_same_rows() -> None:
    code = (
        "import hashlib; from guerdon.data.starter import starter_rows; "
        "print(hashlib.sha256(repr(starter_rows()).encode()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert other.stdout.strip() == hashlib.sha256(repr(starter_rows()).encode()).hexdigest()


def test_choosing_tasks_and_languages_keeps_the_rows() -> None:
    whole = starter_rows("test")
    some = starter_rows("test", tasks=["code", "dialogue"], languages=["zh"])
    assert some == [row for row in whole if row.subset in ("code-zh", "dialogue-zh")]
    assert {row.extra["language"] for row in starter_rows(languages=["en"])} == {"en"}
    assert len(starter_items(tasks=["translation"])) == sum(item.task == "translation" for item in load_items())


def test_rankings_hold_the_hand_written_answers() -> None:
    rankings = starter_rankings("test")
    assert [ranking.group for ranking in rankings] == [item.id for item in starter_items("test")]
    for ranking, item in zip(rankings, starter_items("test"), strict=True):
        assert ranking.responses[0] == item.reference
        assert ranking.scores[0] == 4 > max(ranking.scores[1:])
        assert len(ranking.responses) == len(ranking.scores) == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda: starter_rows("dev"),  # type: ignore[arg-type]
        lambda: starter_rows(tasks=["poetry"]),
        lambda: starter_rows(languages=["fr"]),
        lambda: starter_rows(languages=[]),
    ],
)
def test_what_is_not_there_is_named_with_what_is(call: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"starter set: no such .*Fix: choose from"):
        call()


def test_a_single_name_counts_as_one() -> None:
    with pytest.raises(ConfigError, match="no such task: cod"):
        starter_rows(tasks="cod")
    assert TASKS
    assert LANGUAGES


# --- the README


def test_readme_has_the_true_figures() -> None:
    readme = (resources.files("guerdon.data.starter") / "README.md").read_text(encoding="utf-8")
    rows = {part: starter_rows(part) for part in PARTS}
    for part in PARTS:
        assert f"{len(rows[part]):,}" in readme
        assert str(len({row.group for row in rows[part]})) in readme
    for subset in [*sorted({row.subset for row in rows["all"]}), "overall"]:
        shares = [longest_wins(row for row in rows[part] if subset in (row.subset, "overall")) for part in PARTS]
        assert f"| {subset} | " + " | ".join(f"{share:.3f}" for share in shares) + " |" in readme
    for name, operator in OPERATORS.items():
        assert re.search(rf"\| `{name}` \|.*\| {operator.grade} \|", readme), name
