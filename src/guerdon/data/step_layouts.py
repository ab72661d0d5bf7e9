"""The layouts in which solutions with judged steps are published: from the columns of a record to `Steps`.

A label is 1 for a right step, 0 for a wrong one, None for one that nobody judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guerdon.data.layouts import take_prompt
from guerdon.data.values import Fields, items, mapping, prompt, text
from guerdon.data.verdicts import goodness
from guerdon.errors import DataError
from guerdon.types import AnyRow, Prompt, Steps

_SHEPHERD_END = "ки"
"""Math-Shepherd's sign behind every step; its labels stand in its place."""
_PRM800K_LABELS = {-1: 0.0, 0: 1.0, 1: 1.0}
"""A neutral step is not wrong, and counts as right, as in Lightman et al. 2023 (arXiv:2305.20050)."""
_JUDGED = ("label", "rating", "score", "correct")
_TEXTS = ("text", "step", "content", "completion", "response")


def stepwise(fields: Fields) -> list[AnyRow]:
    """`prompt, steps, labels`: Guerdon's own, and TRL's stepwise supervision (`completions` for `steps`)."""
    asked = take_prompt(fields)
    name, steps = fields.first("steps", "completions")
    labels = [_label(one) for one in items(fields.take("labels"), "labels")]
    return [_steps(fields, asked, items(steps, name), labels, name)]


def labelled_steps(fields: Fields) -> list[AnyRow]:
    """`prompt, steps` [{text, label}]: each step with what was thought of it beside it."""
    name, value = fields.first("steps", "completions")
    given = [mapping(one, f"{name}[{at}]") for at, one in enumerate(items(value, name))]
    labels = [_label(next((one[key] for key in _JUDGED if key in one), None)) for one in given]
    asked = prompt(fields.take("problem"), "problem") if "problem" in fields else take_prompt(fields)
    texts = [next((one[key] for key in _TEXTS if key in one), None) for one in given]
    return [_steps(fields, asked, texts, labels, name)]


def _label(value: object) -> float | None:
    """A label as a number; words and signs count too, and a neutral step is right."""
    if isinstance(value, str) and value.strip().lower() == "neutral":
        return 1.0
    return None if value is None else goodness(value, "labels")


def process_bench(fields: Fields) -> list[AnyRow]:
    """ProcessBench: `problem, steps` and `label`, the index of the first wrong step, -1 where all are right."""
    asked = prompt(fields.take("problem"), "problem")
    steps, error = items(fields.take("steps"), "steps"), fields.number("label")
    if error not in range(-1, len(steps)):
        raise DataError(f"column 'label' is {error:g}; it must be -1, or the index of one of {len(steps)} steps")
    right = len(steps) if error == -1 else int(error)
    labels = [1.0 if at < right else 0.0 if at == right else None for at in range(len(steps))]
    return [_steps(fields, asked, steps, labels, "steps")]


def prm800k(fields: Fields) -> list[AnyRow]:
    """PRM800K: the path that a labeler took through a solution, with the ratings of its steps; others are left out.

    Where no completion was chosen and none was written by hand, the first is the last step: labelling ended there.
    """
    question, label = mapping(fields.take("question"), "question"), mapping(fields.take("label"), "label")
    asked = prompt(question.get("problem"), "question.problem")
    steps: list[Any] = []
    labels: list[float | None] = []
    for at, step in enumerate(items(label.get("steps"), "label.steps")):
        chosen = mapping(step, f"label.steps[{at}]").get("chosen_completion")
        if chosen is None and step.get("human_completion"):
            by_hand = step["human_completion"]
            steps.append(by_hand["text"] if isinstance(by_hand, dict) else by_hand)
            labels.append(1.0)
            continue
        completions = items(step.get("completions") or [], f"label.steps[{at}].completions")
        if not completions:
            break
        taken = mapping(completions[int(chosen or 0)], f"label.steps[{at}].completions")
        steps.append(taken.get("text"))
        labels.append(_PRM800K_LABELS.get(taken.get("rating")))  # type: ignore[arg-type]
    if (answer := question.get("ground_truth_answer")) is not None:
        fields.left["reference"] = str(answer)
    return [_steps(fields, asked, steps, labels, "label.steps")]


def math_shepherd(fields: Fields) -> list[AnyRow]:
    """Math-Shepherd: `input` with a sign behind every step, `label` the same with + or - in its place.

    The question is what stands before "Step 1:".
    """
    plain, marked = text(fields.take("input"), "input"), text(fields.take("label"), "label")
    question, found, rest = plain.partition("Step 1:")
    steps = [step.strip() for step in (found + rest).split(_SHEPHERD_END) if step.strip()]
    labels, at = [], len(question)
    for step in steps:
        at = marked.find(step, at) + len(step) if marked.find(step, at) >= 0 else len(marked)
        labels.append({"+": 1.0, "-": 0.0}.get(marked[at:].lstrip()[:1]))
    if not found or None in labels:
        raise DataError(f"column 'label' must repeat 'input' with + or - for each {_SHEPHERD_END!r} of its steps")
    return [_steps(fields, prompt(question.strip(), "input"), steps, labels, "input")]


def _steps(fields: Fields, asked: Prompt, steps: Sequence[Any], labels: Sequence[float | None], name: str) -> Steps:
    if not steps:
        raise DataError(f"column {name!r} has no step")
    if len(steps) != len(labels):
        raise DataError(f"column {name!r} has {len(steps)} steps but {len(labels)} labels")
    if wrong := [one for one in labels if one is not None and not 0 <= one <= 1]:
        raise DataError(f"column 'labels' holds {wrong[0]:g}; a label must lie between 0 (wrong) and 1 (right)")
    texts = tuple(str(text(step, f"{name}[{at}]")) for at, step in enumerate(steps))
    return Steps(prompt=asked, steps=texts, labels=tuple(labels), **fields.base())
