from __future__ import annotations

import numpy as np
import pytest

from guerdon import metrics


def test_a_person_against_the_majority_of_the_others_by_hand():
    votes = [[2, 1, 0], [3, 0, 0], [1, 1, 0], [2, 0, 1]]
    person, system = metrics.against_the_others(votes, [[1, -1], [1, 0], [1, 1], [-1, 0]])
    # 2:1: each of the two sees 1:1 (a half), the third sees 2:0 against it. 1:1: each sees the other against it.
    # 2:0:1: each of the two sees 1:0 (right), the one for neither has said no half of anything else.
    assert person == pytest.approx([1 / 3, 1.0, 0.0, (1 + 1 + 0.5) / 3])
    # The system says "first" of 2:1: against 1:1, 1:1 and 2:0 that is (0.5 + 0.5 + 1) / 3.
    assert system[:, 0] == pytest.approx([2 / 3, 1.0, 0.5, 0.0])
    assert system[:, 1] == pytest.approx([1 / 3, 0.5, 0.5, 0.5])


def test_it_is_the_mean_over_people_who_are_drawn():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(5, [0.5, 0.3, 0.2], size=30)
    verdicts = rng.integers(-1, 2, (30, 1))
    person, system = metrics.against_the_others(votes, verdicts)
    for row, (verdict,), one, (other,) in zip(votes, verdicts, person, system, strict=True):
        people = np.repeat([1, -1, 0], row)
        others = [np.sign(people.sum() - own) for own in people]
        assert one == pytest.approx(np.mean([(1 + own * rest) / 2 for own, rest in zip(people, others, strict=True)]))
        assert other == pytest.approx(np.mean([(1 + verdict * rest) / 2 for rest in others]))


def test_one_vote_has_no_others():
    with pytest.raises(ValueError, match="two or more"):
        metrics.against_the_others([[1, 0, 0]], [[1]])
