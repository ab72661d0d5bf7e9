"""A policy acting in environments: every reward is kept, at the end of its turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.errors import ConfigError, ModelError
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.algorithms import ALGORITHMS
from guerdon.optimize.rl.environment import PromptEnvironment, TurnResult
from guerdon.optimize.rl.objective import compute_advantages
from guerdon.optimize.rl.trajectories import Rollouts, Trajectory, sample_trajectories, shape_rewards
from guerdon.optimize.rl.update import ActorCritic, Updater
from guerdon.policy.decode import Sample, Sampling
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates, Message, Prompt, Rewards

TASKS = [Candidates(prompt="boil an egg"), Candidates(prompt="planet?")]
PAID = {1: 0.5, 2: -2.0, 3: 4.0}
"""What each turn pays, times the number of the conversation and one."""


class ThreeTurns:
    """Pays at every turn; the conversations of odd number end a turn early."""

    def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
        self.turn, self.seed, self.heard = 0, seed, []
        return [task.prompt for task in tasks]

    def step(self, responses: Sequence[str | None]) -> TurnResult:
        self.turn += 1
        self.heard.append([response is not None for response in responses])
        paid = np.array([PAID[self.turn] * (row + 1) for row in range(len(responses))], dtype=np.float32)
        ends = np.array([self.turn == (2 if row % 2 else 3) for row in range(len(responses))])
        observations = [Message("user", f"turn {self.turn} of {row}") for row in range(len(responses))]
        return TurnResult(observations, Rewards(paid, ("",) * len(paid)), ends, {"turn": [float(self.turn)]})


@pytest.fixture(scope="module")
def policy(tiny_llama: str) -> Policy:
    return Policy.load(tiny_llama, device="cpu")


def sample(policy: Policy, environment: Any, **options: Any) -> Rollouts:
    usual: dict[str, Any] = {"num_generations": 2, "sampling": Sampling(max_new_tokens=4), "max_turns": 3, "seed": 7}
    return sample_trajectories(policy, environment, TASKS, **(usual | options))


def test_all_rewards_of_three_turns_reach_the_learner(policy: Policy) -> None:
    environment = ThreeTurns()
    rollouts = sample(policy, environment)
    assert environment.seed == 7
    assert environment.heard == [[True] * 4, [True] * 4, [True, False, True, False]]
    assert rollouts.info == {"turn": [1.0, 2.0, 3.0]}
    trajectories = [one for group in rollouts.groups for one in group.trajectories]
    assert [one.rewards for one in trajectories] == [(0.5, -2, 4), (1, -4), (1.5, -6, 12), (2, -8)]
    assert [one.reward for one in trajectories] == [2.5, -3, 7.5, -6]
    for one in trajectories:
        ids, own = one.response.ids, set(range(len(one.response.ids))) - set(one.response.environment_positions)
        assert len(own) == one.num_tokens
        assert set(one.turn_ends) <= own
        assert one.turn_ends[-1] == len(ids) - 1
        assert [message.role for message in one.conversation][:3] == ["user", "assistant", "user"]
        assert len(one.response_turns) == len(one.rewards)

    def advantages_of(name: str, gamma: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
        config = RLConfig(algorithm=name, num_generations=2, gamma=gamma)
        actor = ActorCritic(PolicyNet(policy.model), critic=False)
        updater = Updater(actor, torch.optim.SGD(actor.parameters()), config, reference=None, pad_id=0)
        batch = updater._sampled_batch(rollouts.groups)
        return compute_advantages(batch, ALGORITHMS[name], group=2, beta=0.0, gamma=gamma).advantages, batch.mask

    totals = torch.tensor([2.5, -3, 7.5, -6]).view(2, 2)
    relative, mask = advantages_of("dr-grpo")
    torch.testing.assert_close(relative, (totals - totals.mean(dim=1, keepdim=True)).view(4, 1) * mask)

    returns, mask = advantages_of("reinforce++", gamma=0.9)
    expected = torch.zeros_like(returns)
    for row, one in enumerate(trajectories):
        to_come = 0.0
        for position in reversed(range(len(one.response.ids))):
            if mask[row, position]:
                paid = dict(zip(one.turn_ends, one.rewards, strict=True)).get(position, 0.0)
                expected[row, position] = to_come = paid + 0.9 * to_come
    known = expected[mask.bool()]
    torch.testing.assert_close(returns[mask.bool()], (known - known.mean()) / known.std())


def test_max_turns_cuts_a_conversation_that_keeps_its_rewards(policy: Policy) -> None:
    rollouts = sample(policy, ThreeTurns(), max_turns=1)
    assert [one.rewards for group in rollouts.groups for one in group.trajectories] == [(0.5,), (1,), (1.5,), (2,)]


def test_a_turn_without_a_reward_leaves_the_conversation_without_one(policy: Policy) -> None:
    class Silent(ThreeTurns):
        def step(self, responses: Sequence[str | None]) -> TurnResult:
            result = super().step(responses)
            if self.turn == 2:
                result.rewards.values[0] = math.nan
            return result

    first, second = sample(policy, Silent()).groups[0].trajectories
    assert math.isnan(first.reward)
    assert len(first.rewards) == 3
    assert first.reason == "the environment gave nan"
    assert (second.reward, second.reason) == (-3, "")


def test_what_an_environment_raises_is_recorded_unless_it_is_its_set_up(policy: Policy) -> None:
    class Crashing(ThreeTurns):
        error: Exception = ValueError("the game is stuck")

        def step(self, responses: Sequence[str | None]) -> TurnResult:
            if self.turn == 1:
                raise self.error
            return super().step(responses)

    rollouts = sample(policy, Crashing())
    for group in rollouts.groups:
        for one in group.trajectories:
            assert math.isnan(one.reward)
            assert one.reason == "the environment failed: ValueError: the game is stuck"
    assert rollouts.metrics["environment_failures"] == 1
    Crashing.error = ConfigError("there is no sandbox")
    with pytest.raises(ConfigError, match="no sandbox"):
        sample(policy, Crashing())


def test_an_environment_that_breaks_its_protocol_is_told(policy: Policy) -> None:
    class Unequal(ThreeTurns):
        def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
            return [f"{prompt} {row}" for row, prompt in enumerate(super().reset(tasks, seed=seed))]

    class Short(ThreeTurns):
        def step(self, responses: Sequence[str | None]) -> TurnResult:
            return super().step(responses[:1])

    class Mute(ThreeTurns):
        def step(self, responses: Sequence[str | None]) -> TurnResult:
            result = super().step(responses)
            return TurnResult([None] * len(responses), result.rewards, result.terminated)

    class Unmade(ThreeTurns):
        def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
            raise OSError("no such game")

    for environment, fault in (
        (Unequal(), "equal tasks"),
        (Short(), "one entry for each of 4"),
        (Mute(), "a message where"),
        (Unmade(), "failed in reset: OSError: no such game"),
    ):
        with pytest.raises(ModelError, match=fault):
            sample(policy, environment)


def test_a_conversation_that_outgrows_the_context_has_no_reward(policy: Policy) -> None:
    environment = PromptEnvironment(LengthReward(), reply=lambda all: ["egg " * 600 for _ in all], max_turns=2)
    for group in sample(policy, environment, max_turns=2).groups:
        for one in group.trajectories:
            assert math.isnan(one.reward)
            assert "outgrew the policy's context of 512 tokens" in one.reason
            assert len(one.response.ids) <= 4


def test_the_seed_decides(policy: Policy) -> None:
    first, again, other = (sample(policy, ThreeTurns(), seed=seed).groups for seed in (1, 1, 2))
    assert first == again
    assert first != other


# --- the rewards that are learnt from


REWARDS = [(1.0,), (-3.0,), (math.nan,), (5.0,)]
TOKENS = [10, 20, 5, 40]
FINISHED = [True, True, True, False]


def trajectories(rewards: list[tuple[float, ...]] = REWARDS) -> list[Trajectory]:
    return [
        Trajectory(Sample((7,) * tokens, (0.0,) * tokens, finished), (tokens - 1,), own)
        for own, tokens, finished in zip(rewards, TOKENS, FINISHED, strict=True)
    ]


def shaped(rewards: list[tuple[float, ...]] = REWARDS, **options: Any) -> list[tuple[float, ...]]:
    return [one.rewards for one in shape_rewards(trajectories(rewards), RLConfig(**options))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, -3.0, math.nan, 5.0]),
        ({"mask_truncated_completions": True}, [1.0, -3.0, math.nan, math.nan]),
        ({"missing_eos_penalty": 2.0}, [1.0, -3.0, math.nan, 3.0]),
        ({"token_penalty": 0.1}, [0.0, -5.0, math.nan, 1.0]),
        ({"reward_clip": 2.0}, [1.0, -2.0, math.nan, 2.0]),
        ({"token_penalty": 0.1, "missing_eos_penalty": 1.0, "reward_clip": 1.0}, [0.0, -1.0, math.nan, 0.0]),
    ],
)
def test_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose([reward for (reward,) in shaped(**options)], expected)


def test_whitening_passes_over_what_has_no_reward() -> None:
    found = [reward for (reward,) in shaped(whiten_rewards=True)]
    assert math.isnan(found[2])
    assert np.nanmean(found) == pytest.approx(0)
    assert np.nanstd(found) == pytest.approx(1)
    assert np.isnan(shaped([(math.nan,)] * 4, whiten_rewards=True)).all()


def test_of_several_turns_the_total_is_shaped_and_earlier_turns_keep_theirs() -> None:
    rewards = [(1.0, 2.0), (0.5, -1.0), (math.nan, 1.0), (2.0, 2.0)]
    assert shaped(rewards)[:2] == rewards[:2]
    assert shaped(rewards, reward_clip=2.5)[0] == pytest.approx((1.0, 1.5))
    assert shaped(rewards, missing_eos_penalty=1.0)[3] == pytest.approx((2.0, 1.0))
    whitened = shaped(rewards, whiten_rewards=True)
    totals = np.array([3.0, -0.5, 4.0])
    for own, (first, second), total in zip(
        (whitened[0], whitened[1], whitened[3]), (rewards[0], rewards[1], rewards[3]), totals, strict=True
    ):
        assert sum(own) == pytest.approx((total - totals.mean()) / totals.std())
        assert own[0] == pytest.approx(first / totals.std())
        assert first + second == total
    assert math.isnan(sum(whitened[2]))
