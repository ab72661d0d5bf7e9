"""What asks what the prompt was: a preferred response against one that was preferred elsewhere."""

from __future__ import annotations

from guerdon.data.mismatched import mismatched_comparisons
from guerdon.types import Comparison, Ranking, Rating, Reference, group_key


def test_the_response_of_another_prompt_of_the_subset_loses() -> None:
    rows = [
        *(Comparison(prompt=f"p{i}", chosen=f"good {i}", rejected=f"bad {i}", subset="a") for i in range(5)),
        Ranking(prompt="q0", responses=("worst", "best 0"), scores=(0, 2), subset="b"),
        Reference(prompt="q1", reference="best 1", generated=("poor",), subset="b"),
    ]
    found = mismatched_comparisons(rows, seed=0)
    assert [one.prompt for one in found] == [f"p{i}" for i in range(5)] + ["q0", "q1"]
    assert [one.chosen for one in found] == [f"good {i}" for i in range(5)] + ["best 0", "best 1"]
    for one in found[:5]:
        assert one.rejected in {f"good {i}" for i in range(5)} - {one.chosen}
        assert (one.subset, group_key(one)) == ("a", one.prompt)
    assert [one.rejected for one in found[5:]] == ["best 1", "best 0"]
    assert mismatched_comparisons(rows, seed=0) == found
    assert mismatched_comparisons(rows, seed=1) != found


def test_ratings_give_their_best_response() -> None:
    rows = [Rating(prompt=f"p{i}", response=f"{i} {k}", scores={"score": k}) for i in range(2) for k in range(3)]
    assert [(one.chosen, one.rejected) for one in mismatched_comparisons(rows, 0)] == [("0 2", "1 2"), ("1 2", "0 2")]


def test_prompts_of_one_group_are_not_mixed() -> None:
    rows = [Comparison(prompt=f"p{i}", chosen=f"good {i}", rejected="bad", group=str(i // 2)) for i in range(4)]
    for one, row in zip(mismatched_comparisons(rows, 0), rows, strict=True):
        assert one.group == row.group
        other = next(other for other in rows if other.chosen == one.rejected)
        assert other.group != row.group


def test_a_subset_of_one_group_takes_another_subset() -> None:
    rows = [Comparison(prompt=name, chosen=f"good {name}", rejected="bad", subset=name) for name in "ab"]
    assert [one.rejected for one in mismatched_comparisons(rows, 0)] == ["good b", "good a"]


def test_what_prefers_nothing_or_has_no_other_prompt_gives_none() -> None:
    tie = Comparison(prompt="p", chosen="a", rejected="b", preference=0.5)
    assert mismatched_comparisons([tie, tie], 0) == []
    assert mismatched_comparisons([Comparison(prompt="p", chosen="a", rejected="b")], 0) == []
    same = [Comparison(prompt=f"p{i}", chosen="the same", rejected="b") for i in range(3)]
    assert mismatched_comparisons(same, 0) == []
