"""A process reward pays at the end of every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment, TurnResult
from guerdon.optimize.rl.trajectories import sample_trajectories, shape_rewards
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Candidates, Message, Rewards

RESPONSES = ["good answer\nwater\npolite one", "one line", ""]


@pytest.fixture
def process(tiny_bert: str) -> Any:
    reward = TransformerReward.create(tiny_bert, pooling="steps", step_unit="line", aggregation="product")
    with torch.no_grad():
        reward.net.classifier.classifier.weight.normal_()  # type: ignore[union-attr, operator]
    reward.to("cpu")
    return reward


def test_the_steps_together_earn_the_reward_of_the_whole(process: Any) -> None:
    environment = PromptEnvironment(process)
    environment.reset([Candidates(prompt="boil egg")] * 3, seed=0)
    result = environment.step(RESPONSES)
    whole = process.score(["boil egg"] * 3, RESPONSES)
    earned = [sum(paid for _, paid in result.within.get(row, ())) + result.rewards.values[row] for row in range(3)]
    assert earned == pytest.approx(whole, abs=1e-5)
    assert [stop for stop, _ in result.within[0]] == [11, 17]
    assert (result.within[1], result.within[2]) == ([], [])
    steps = torch.tensor(process.step_scores(["boil egg"], RESPONSES[:1])[0])
    assert [paid for _, paid in result.within[0]] == pytest.approx(
        torch.nn.functional.logsigmoid(steps)[:2].tolist(), abs=1e-5
    )


class PaysWithin:
    """Pays 1 behind the third character of every response, and 0.5 at its end."""

    def reset(self, tasks: Any, *, seed: int) -> Any:
        return [task.prompt for task in tasks]

    def step(self, responses: Any) -> TurnResult:
        count = len(responses)
        rewards = Rewards(np.full(count, 0.5, dtype=np.float32), ("",) * count)
        nothing: list[Message | None] = [None] * count
        within = {row: [(3, 1.0)] for row, text in enumerate(responses) if len(text) > 3}
        return TurnResult(nothing, rewards, np.ones(count, dtype=bool), within=within)


def test_a_reward_stands_at_the_token_that_ends_the_step(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama, device="cpu")
    rollouts = sample_trajectories(
        policy, PaysWithin(), [Candidates(prompt="boil egg")], num_generations=8, sampling=Sampling(12)
    )
    trajectories = rollouts.groups[0].trajectories
    assert any(len(one.rewards) == 2 for one in trajectories)
    for one in trajectories:
        text = policy.text(one.response)
        if len(one.rewards) == 2:
            at = one.turn_ends[0]
            assert (
                len(policy.text_so_far(one.response.ids[: at + 1]))
                >= 3
                > len(policy.text_so_far(one.response.ids[:at]))
            )
            assert one.rewards == (1.0, 0.5)
        assert one.turn_ends[-1] == len(one.response.ids) - 1
        assert one.reward == (1.5 if len(text) > 3 else 0.5)
    (shaped,) = shape_rewards([next(one for one in trajectories if len(one.rewards) == 2)], RLConfig(token_penalty=0.1))
    assert shaped.rewards[0] == 1.0
    assert shaped.reward == pytest.approx(1.5 - 0.1 * shaped.num_tokens)
