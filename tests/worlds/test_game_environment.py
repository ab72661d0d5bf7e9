"""The Gymnasium environment over a game, and what it pays."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from guerdon.types import Prompts, References, Responses
from guerdon.worlds.game_environment import TextGameEnv
from guerdon.worlds.games import Situation
from guerdon.worlds.paid import Heard, LearnedPay, PotentialPay


def test_gymnasium_finds_no_fault(coin_game: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on spaces without bounds, and more of its taste
        check_env(TextGameEnv({"games": [coin_game], "max_steps": 5}), skip_render_check=True)


def walk(env: TextGameEnv) -> list[float]:
    """The rewards of the walkthrough."""
    env.reset(seed=0)
    paid = []
    for command in env.game.walkthrough:
        _, reward, *_ = env.step(env.situation.commands.index(command))
        paid.append(reward)
    return paid


def test_true_score_and_win_are_paid(simple_game: Path) -> None:
    paid = walk(TextGameEnv({"games": [simple_game], "win_bonus": 0.5}))
    assert sum(paid) == pytest.approx(1.5)
    assert min(paid) >= 0


def test_episodes_end_at_the_limit_and_tries_are_counted(simple_game: Path) -> None:
    env = TextGameEnv({"games": [simple_game], "max_steps": 3})
    observation, _ = env.reset(seed=0)
    number = env.situation.commands.index("look")
    assert observation["tried"][number] == 0
    ends = []
    for _ in range(3):
        observation, reward, terminated, truncated, _ = env.step(number)
        ends.append(truncated)
        assert reward == 0
        assert not terminated
    assert ends == [False, False, True]
    assert observation["tried"][number] == pytest.approx(np.log(4))
    assert observation["mask"].sum() == len(env.situation.commands)


class Listed:
    """Gives rewards in the order of a list."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        return np.array([self.values.pop(0) for _ in responses], dtype=np.float32)


def test_only_new_heights_are_paid_and_nothing_can_be_farmed() -> None:
    def seen(place: str) -> Situation:
        return Situation("go", "", place, "", (), 0.0, False, False)

    heard = Heard(Listed(1.0, 3.0, 2.0, float("nan"), 4.0))
    pay = LearnedPay(heard, scale=2.0)
    pay.begin(seen("a"), "win")
    assert [pay.step(seen(place)) for place in "babcde"] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.5]
    assert len(heard.known) == 5


def test_a_start_without_reward_is_no_height() -> None:
    pay = LearnedPay(Heard(Listed(float("nan"), 3.0, 4.0)))
    pay.begin(Situation("", "", "a", "", (), 0.0, False, False), "win")
    later = [Situation("", "", place, "", (), 0.0, False, False) for place in "bc"]
    assert [pay.step(one) for one in later] == [0.0, 1.0]


def test_potential_based_shaping_adds_up_to_nothing_over_a_game() -> None:
    pay = PotentialPay(Heard(Listed(1.0, 3.0, float("nan"), 2.0, 9.0)), scale=2.0, gamma=0.5)
    pay.begin(Situation("", "", "a", "", (), 0.0, False, False), "win")
    later = [
        Situation("go", "", place, "", (), 0.0, over, over)
        for place, over in (("b", False), ("c", False), ("d", False), ("e", True))
    ]
    # Phi is 0, 1, 0 (no reward), 1/2, and 0 at the end.
    assert [pay.step(one) for one in later] == [0.5, -1.0, 0.25, -0.5]
    assert pay.without_reward == 1
    pay = PotentialPay(Heard(Listed(1.0, 3.0, 2.0, 9.0)), scale=2.0)
    pay.begin(Situation("", "", "a", "", (), 0.0, False, False), "win")
    assert sum(pay.step(one) for one in later[1:]) == 0
