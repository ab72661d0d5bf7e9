"""Cutting responses into steps, and eight ways from the scores of steps to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from guerdon.rewards.contract import Aggregation
from guerdon.rewards.process import AGGREGATIONS, aggregate, step_spans, with_marks

PUBLISHED: dict[str, Callable[[np.ndarray], float]] = {
    "min": lambda p: float(p.min()),
    "product": lambda p: float(p.prod()),
    "mean": lambda p: float(p.mean()),
    "last": lambda p: float(p[-1]),
    "geometric-mean": lambda p: float(p.prod() ** (1 / len(p))),
    "max": lambda p: float(p.max()),
    "mean-of-logits": lambda p: float(np.log(p / (1 - p)).mean()),
    "mean-of-odds": lambda p: float((p / (1 - p)).mean()),
}
"""Of probabilities, as RewardMATH's code has them."""
IN_LOGITS: dict[str, Callable[[float], float]] = {
    **dict.fromkeys(("min", "mean", "last", "max"), lambda value: float(np.log(value / (1 - value)))),
    **dict.fromkeys(("product", "geometric-mean", "mean-of-odds"), lambda value: float(np.log(value))),
    "mean-of-logits": lambda value: value,
}


def test_every_aggregation_of_the_contract_is_there() -> None:
    assert [*AGGREGATIONS] == [*get_args(Aggregation)]


@pytest.mark.parametrize("how", PUBLISHED)
def test_aggregations_are_the_published_ones_without_their_bounds(how: str) -> None:
    rng = np.random.default_rng(0)
    sizes = [1, 3, 6, 2]
    logits = rng.normal(size=sum(sizes)) * 2
    sequence = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    found = aggregate(torch.tensor(logits)[:, None], sequence, how)[:, 0].numpy()
    parts = np.split(logits, np.cumsum(sizes)[:-1])
    assert found == pytest.approx([IN_LOGITS[how](PUBLISHED[how](1 / (1 + np.exp(-part)))) for part in parts])


@pytest.mark.parametrize("how", PUBLISHED)
def test_large_logits_stay_finite_and_do_not_tie(how: str) -> None:
    logits = torch.tensor([[300.0], [-500.0], [310.0], [-490.0]])
    lower, higher = aggregate(logits, torch.tensor([0, 0, 1, 1]), how)[:, 0].tolist()
    assert np.isfinite([lower, higher]).all()
    assert lower < higher or how == "mean"  # one of two steps is certainly right: the mean of p is 1/2 in both
    logits.requires_grad_()
    aggregate(logits, torch.tensor([0, 0, 1, 1]), how).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("unit", "response", "steps"),
    [
        ("line", "2 + 2 = 4\n\n  So 4. \nDone", ["2 + 2 = 4", "So 4.", "Done"]),
        ("paragraph", "first\nsecond\n \nthird\n\n", ["first\nsecond", "third"]),
        ("paragraph", "", [""]),
        ("line", " \n", [""]),
    ],
)
def test_steps_of_a_response(unit: str, response: str, steps: list[str]) -> None:
    assert [response[start:stop] for start, stop in step_spans(response, unit)] == steps


def test_the_mark_stands_behind_every_step_and_nowhere_else() -> None:
    response = "so [SEP] it is\n\nyes"
    text, pieces = with_marks(response, "line", "[SEP]")
    assert text == "so       it is[SEP]yes[SEP]"
    for start, own, length in pieces:
        assert text[start : start + length] == response[own : own + length].replace("[SEP]", "     ")
