from __future__ import annotations

from collections.abc import Callable

from guerdon.rewards.rules import LengthReward
from guerdon.types import Comparison

Polite = Callable[..., list[Comparison]]


def test_rows_are_measured_by_whether_they_are_read(polite: Polite, tiny_bert: str) -> None:
    from guerdon.quickstart.report_data import evaluate_by_coverage
    from guerdon.rewards.transformer import TransformerReward

    odd = [Comparison(prompt=f"q{i}", chosen="龘靐齉", rejected="爩麤") for i in range(30)]
    reward, scorer = TransformerReward.create(tiny_bert), LengthReward()
    found = evaluate_by_coverage(reward, scorer, [*polite(), *odd], {"shortest": LengthReward(-1)}, seed=0)
    assert [part.sections[0].overall.rows for part in found.values()] == [40, 30]
    assert evaluate_by_coverage(reward, scorer, polite(), {}, seed=0) == {}
