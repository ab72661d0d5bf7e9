from __future__ import annotations

from guerdon.quickstart.worked_examples import choose_examples, prompts_with_a_best
from guerdon.rewards.rules import LengthReward
from guerdon.types import Comparison, Rating


def test_examples_are_the_median_right_and_wrong_of_each_script(lengths: list[Comparison]) -> None:
    found = choose_examples(LengthReward(), lengths)
    assert [(each.chinese, each.right) for each in found] == [
        (False, True),
        (False, False),
        (True, True),
        (True, False),
    ]
    for example in found:
        scores = [one.score for one in example.responses]
        assert scores == sorted(scores, reverse=True)
        assert sum(one.preferred for one in example.responses) == 1
        assert (example.lead > 0) == example.right


def test_best_response_of_a_prompt() -> None:
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    (found,) = prompts_with_a_best([Comparison(prompt="p", chosen=x, rejected=y) for x, y in pairs])
    assert (found.responses, found.scores) == (("a", "b", "c"), None)
    assert prompts_with_a_best([Comparison(prompt="p", chosen="a", rejected="b", preference=0.5)]) == []
    circle = [Comparison(prompt="p", chosen=x, rejected=y) for x, y in (("a", "b"), ("b", "a"))]
    assert prompts_with_a_best(circle) == []
    (rated,) = prompts_with_a_best([Rating(prompt="p", response=str(i), scores={"score": i}) for i in range(20)])
    assert rated.scores is not None
    assert (rated.responses[0], len(rated.responses), rated.responses[-1]) == ("19", 5, "0")
    assert (rated.scores[0], rated.scores[-1]) == (19, 0)
    assert prompts_with_a_best([Rating(prompt="p", response=x, scores={"score": 1}) for x in "ab"]) == []
