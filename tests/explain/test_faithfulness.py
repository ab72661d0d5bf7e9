"""Faithfulness by hand on sums of words, and limits that no order exceeds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from guerdon.explain.faithfulness import RANDOM, beam_limit, curves, exact_limits, measure_row
from guerdon.explain.faithfulness_table import BEST_HEAD, DELETED, MASKED, ROLLOUT, measure_faithfulness
from guerdon.explain.removal import Game
from guerdon.explain.target import Target
from guerdon.explain.units import Case, units_of
from guerdon.rewards.transformer import TransformerReward
from scorers_to_explain import Words

VALUES = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0, "e": -5.0}


def game(text: str = "a b c d e", fill: str = "") -> Game:
    case = Case("?", text)
    return Game(Target(Words(**VALUES)), case, tuple(units_of(case, ["response"], "word")), fill)


@pytest.mark.parametrize("fill", ["", "[MASK]"])
def test_of_a_sum_the_order_of_its_values_is_the_best(fill: str) -> None:
    found = measure_row(
        game(fill=fill), {"right": np.array([4.0, 3, 2, 1, -5]), "wrong": np.array([-4.0, -3, -2, -1, 5])}
    )
    assert found is not None
    right, wrong, chance = found.orders["right"], found.orders["wrong"], found.orders[RANDOM]
    # f = 5; without the first k: 5, 1, -2, -4, -5, 0; the first k alone: 0, 4, 7, 9, 10, 5.
    assert right.deletion == pytest.approx((5 + 1 - 2 - 4 - 5 + 0) / 6 - 5)
    assert right.insertion == pytest.approx((0 + 4 + 7 + 9 + 10 + 5) / 6 - 5)
    # 1, 5, 10 and 20% of five words are one word, 50% are three.
    assert right.comprehensiveness == pytest.approx((4 * 4 + 9) / 5)
    assert right.sufficiency == pytest.approx((4 * 1 - 4) / 5)
    assert (right.normalised, wrong.normalised) == (1, 0)
    assert 0.2 < chance.normalised < 0.8
    assert found.whole == 5


class Together:
    """Pairs of words that only count together."""

    def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
        pairs = (("a", 3.0, "b"), ("c", -2.0, "d"), ("a", 1.0, "d"), ("e", 0.5, "e"))
        return np.float32([sum(v for x, v, y in pairs if x in text and y in text) for text in responses])


def test_no_order_is_beyond_the_limits_of_a_wide_beam() -> None:
    case = Case("?", "a b c d e")
    played = Game(Target(Together()), case, tuple(units_of(case, ["response"], "word")))
    orders = [np.array(order) for order in itertools.permutations(range(5))]
    areas = curves(played, orders)[0].mean(axis=1)
    assert exact_limits(played) == pytest.approx([areas.max(), areas.min()])
    assert beam_limit(played, 1.0, beam=99) == pytest.approx(areas.max())
    assert beam_limit(played, -1.0, beam=99) == pytest.approx(areas.min())
    assert areas.min() <= beam_limit(played, -1.0) <= beam_limit(played, 1.0) <= areas.max()


def test_rows_that_cannot_be_measured_are_none() -> None:
    assert measure_row(game("a b"), {"any": np.zeros(2)}) is None
    assert measure_row(game("x y z w"), {"any": np.zeros(4)}) is None
    assert measure_row(game(), {"any": np.array([np.nan, 1, 1, 1, 1])}) is None


def test_a_table_of_a_black_box() -> None:
    cases = [Case(f"p{i}", text) for i, text in enumerate(("a b c d e", "e a c b", "b d a e c", "a", "d e b a"))]
    found = measure_faithfulness(Target(Words(**VALUES)), cases)
    assert (found.rows, found.prompts, found.left_out, found.heads) == (4, 4, 1, None)
    assert list(found.removals) == [DELETED, MASKED]
    for rows in found.removals.values():
        assert [one.method for one in rows] == ["occlusion", RANDOM]
        assert rows[0].normalised.point == 1
        assert rows[0].over_random.low > 0
    assert any("1 rows could not be measured" in line for line in found.lines())
    assert found.missed == {}  # occlusion need not add up


def test_a_table_of_a_transformer_has_attention_beside_it(encoder_reward: TransformerReward) -> None:
    texts = (
        "Put it into boiling water, then cool it.",
        "I do not know the answer, I am sorry.",
        "a good and polite one",
    )
    cases = [Case(f"p{i}", text) for i, text in enumerate(texts)]
    found = measure_faithfulness(Target(encoder_reward), cases, segments=4)
    methods = {one.method for one in found.removals[MASKED]}
    assert methods == {"integrated-gradients", "gradient-x-input", "occlusion", ROLLOUT, BEST_HEAD, RANDOM}
    assert found.rows == 3
    assert set(found.missed) == {"integrated-gradients"}
    assert found.missed["integrated-gradients"] < 0.01
    assert found.heads is not None
    assert (found.heads.layers, found.heads.heads) == (2, 4)
    for one in found.removals[DELETED]:
        assert 0 <= one.normalised.point <= 1
