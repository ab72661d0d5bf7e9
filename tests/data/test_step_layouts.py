from __future__ import annotations

from typing import Any

import pytest

from guerdon.data.formats import read_record
from guerdon.errors import DataError
from guerdon.types import Steps, response_texts, step_prefixes


def read(record: dict[str, Any]) -> Steps:
    (row,) = read_record(record)
    assert isinstance(row, Steps)
    return row


def prm800k(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "labeler": "x",
        "question": {"problem": "1 + 1?", "ground_truth_answer": "2"},
        "label": {"steps": list(steps), "finish_reason": "found_error"},
    }


def step(*ratings: int | None, chosen: int | None = 0, by_hand: str | None = None) -> dict[str, Any]:
    completions = [{"text": f"step {rating} {at}", "rating": rating} for at, rating in enumerate(ratings)]
    return {"completions": completions, "chosen_completion": chosen, "human_completion": by_hand}


def test_guerdons_own_and_trls_layout() -> None:
    own = read({"prompt": "Q?", "steps": ["a", "b"], "labels": [1, None], "id": 3})
    assert own == Steps(prompt="Q?", steps=("a", "b"), labels=(1.0, None), id="3")
    trl = read({"prompt": "Q?", "completions": ["a", "b"], "labels": [True, False]})
    assert trl == Steps(prompt="Q?", steps=("a", "b"), labels=(1.0, 0.0))


@pytest.mark.parametrize(("label", "labels"), [(-1, (1.0, 1.0, 1.0)), (0, (0.0, None, None)), (1, (1.0, 0.0, None))])
def test_processbench_names_the_first_wrong_step(label: int, labels: tuple[float | None, ...]) -> None:
    record = {"id": "gsm8k-0", "problem": "Q?", "steps": ["a", "b", "c"], "final_answer_correct": True, "label": label}
    assert read(record) == Steps(
        prompt="Q?", steps=("a", "b", "c"), labels=labels, id="gsm8k-0", extra={"final_answer_correct": True}
    )


def test_prm800k_takes_the_path_of_the_labeler() -> None:
    row = read(prm800k(step(1), step(-1, 0, chosen=1), step(-1, chosen=None, by_hand="mine"), step(-1, 0, chosen=None)))
    assert row.steps == ("step 1 0", "step 0 1", "mine", "step -1 0")
    assert row.labels == (1.0, 1.0, 1.0, 0.0)
    assert (row.prompt, row.reference) == ("1 + 1?", "2")
    assert read(prm800k(step(None))).labels == (None,)


def test_math_shepherd_puts_labels_where_the_signs_stand() -> None:
    text = "1 + 2 + 3? Step 1: 1 + 2 = 3 {}\nStep 2: 3 + 3 = 7 {}"
    row = read({"input": text.format("ки", "ки"), "label": text.format("+", "-"), "task": "GSM8K"})
    assert row == Steps(
        prompt="1 + 2 + 3?",
        steps=("Step 1: 1 + 2 = 3", "Step 2: 3 + 3 = 7"),
        labels=(1.0, 0.0),
        extra={"task": "GSM8K"},
    )


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"prompt": "Q?", "steps": ["a"], "labels": [1, 0]}, "'steps' has 1 steps but 2 labels"),
        ({"prompt": "Q?", "steps": ["a"], "labels": [2]}, "'labels' holds 2; a label must lie between 0"),
        ({"prompt": "Q?", "steps": [], "labels": []}, "'steps' has no step"),
        ({"prompt": "Q?", "steps": ["a", " "], "labels": [1, 1]}, r"'steps\[1\]' is empty"),
        ({"problem": "Q?", "steps": ["a"], "label": 1}, "'label' is 1; it must be -1, or the index of one of 1 steps"),
        (prm800k(), "'label.steps' has no step"),
        ({"input": "Q? Step 1: a ки", "label": "Q? Step 1: b +", "task": "x"}, "'label' must repeat 'input'"),
        ({"input": "Q? a ки", "label": "Q? a +", "task": "x"}, "'label' must repeat 'input'"),
    ],
)
def test_what_cannot_be_steps_says_why(record: dict[str, Any], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read_record(record)


def test_the_prefixes_of_a_solution_and_the_whole() -> None:
    row = Steps(prompt="Q?", steps=("a", "b", "三"), labels=(None, None, None))
    assert step_prefixes(row) == ("a", "a\n\nb", "a\n\nb\n\n三")
    assert response_texts(row) == ("a\n\nb\n\n三",)
