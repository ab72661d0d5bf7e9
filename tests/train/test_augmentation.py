from __future__ import annotations

import pytest

from guerdon.errors import ConfigError
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.train.augmentation import with_counterfactuals
from guerdon.train.train_config import TrainConfig
from guerdon.types import Comparison, Rating

ROWS = [
    Comparison(
        prompt=f"How long, {i}?", chosen=f"It takes {i} minutes. Then it is done.", rejected="No idea.", group="g"
    )
    for i in range(200)
]


def test_people_would_not_choose_the_padded_one_and_not_mind_a_blank_line():
    for name, preference in (("padding", 1.0), ("blank lines around", 0.5)):
        rows = with_counterfactuals(ROWS, [name], 1.0, seed=0)
        assert rows[: len(ROWS)] == ROWS
        added = rows[len(ROWS) :]
        assert len(added) == len(ROWS)
        for row, new in zip(ROWS, added, strict=True):
            matched = PERTURBATIONS[name].apply(row.prompt, row.chosen, seed=0)
            assert (new.chosen, new.rejected) == (matched.control, matched.changed)
            assert (new.preference, new.group, new.prompt) == (preference, "g", row.prompt)


def test_a_share_is_drawn_the_same_for_the_same_seed():
    once, again = (with_counterfactuals(ROWS, ["padding", "flattery"], 0.3, seed=4) for _ in range(2))
    assert once == again
    assert 30 <= len(once) - len(ROWS) <= 90
    texts = [row.rejected for row in once[len(ROWS) :]]
    assert len({text[:3] == "It " for text in texts}) == 2  # both kinds of change, at the end and at the beginning


def test_nothing_is_added_where_nothing_is_asked_for_and_nowhere_to_add_is_an_error():
    assert with_counterfactuals(ROWS, [], 0.3, seed=0) == ROWS
    ratings = [Rating(prompt="p", response="Some text here.", scores={"score": 1})]
    with pytest.raises(ConfigError, match="applies to none of the 1 training rows"):
        with_counterfactuals(ratings, ["padding"], 1.0, seed=0)


def test_changes_of_which_peoples_choice_is_not_known_are_refused():
    with pytest.raises(ConfigError, match=r"--augment names 'list', 'nothing'.*--augment-share must be above 0"):
        TrainConfig(augment=("list", "padding", "nothing"), augment_share=0.0)
