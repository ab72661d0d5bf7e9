"""Agents are trained by RLlib's PPO, on the true score and on a learned reward."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.errors import ConfigError, DataError, ModelError
from guerdon.worlds.agent import CommandRanker, load_agent, play_episodes, save_agent
from guerdon.worlds.agent_run import train_agent
from guerdon.worlds.game_environment import TextGameEnv
from guerdon.worlds.games import TextGame
from guerdon.worlds.watch import watch_game
from guerdon.worlds.world_config import AgentConfig
from json_lines import write_lines

TINY = AgentConfig(steps=32, envs=2, fragment=16, eval_episodes=2, max_steps=10, epochs=1, length=1)


def test_commands_that_cannot_be_given_are_never_chosen(coin_game: Path) -> None:
    env = TextGameEnv({"games": [coin_game]})
    observation, _ = env.reset(seed=0)
    batch = {name: torch.as_tensor(np.stack([value] * 3)) for name, value in observation.items()}
    network = CommandRanker()
    logits, values = network(batch)
    assert logits.shape == (3, 96)
    assert values.shape == (3,)
    probabilities = torch.softmax(logits, -1)
    assert torch.allclose(probabilities[batch["mask"] > 0].sum(), torch.tensor(3.0))
    # The order of commands does not matter.
    turned = {name: value.flip(1) if name in ("commands", "tried", "mask") else value for name, value in batch.items()}
    assert torch.allclose(network(turned)[0].flip(1), logits, atol=1e-5)


def test_an_agent_is_trained_saved_and_watched(coin_game: Path, tmp_path: Path) -> None:
    trained = train_agent([coin_game], tmp_path / "agent", TINY, reward="longest", unseen=[coin_game])
    assert [one.steps for one in trained.progress] == [32]
    assert trained.without_reward == 0
    assert [(one.player, one.where) for one in trained.played] == [
        (player, where)
        for where in ("training games", "unseen games")
        for player in ("random", "agent", "agent, greedy")
    ]
    record = json.loads((tmp_path / "agent" / "training.json").read_text())
    assert record["config"]["steps"] == 32
    assert record["reward"] == "longest"
    again = load_agent(tmp_path / "agent")
    assert all(torch.equal(again.state_dict()[name], value) for name, value in trained.network.state_dict().items())
    watch_game(coin_game, tmp_path / "game.html", player=str(tmp_path / "agent"), reward="longest", max_steps=5)
    page = (tmp_path / "game.html").read_text()
    assert "True score" in page
    assert "learned reward" in page


def test_the_walkthrough_is_watched_without_a_reward(simple_game: Path, tmp_path: Path) -> None:
    watched = watch_game(simple_game, tmp_path / "game.html")
    assert watched.episode.won
    assert np.isnan(watched.agreement)
    page = (tmp_path / "game.html").read_text()
    assert page.count("<article") == len(watched.turns)
    assert "Won after" in page


def test_a_reward_that_never_rises_is_refused(coin_game: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="never rises"):
        train_agent([coin_game], tmp_path / "agent", TINY, reward="exact")
    with pytest.raises(ModelError, match="no agent there"):
        load_agent(tmp_path)


def test_episodes_are_the_same_for_the_same_seed(coin_game: Path, tmp_path: Path) -> None:
    network = CommandRanker()
    save_agent(network, tmp_path)
    one, other = (play_episodes(load_agent(tmp_path), [coin_game] * 2, max_steps=8, seed=1) for _ in range(2))
    assert one == other


def test_whoever_imitates_the_walkthrough_wins(simple_game: Path, tmp_path: Path) -> None:
    game = TextGame(simple_game)
    game.reset()
    turns = [{"command": command} for command in ("", *game.walkthrough)]
    write_lines(tmp_path / "episodes.jsonl", {"game": simple_game.stem, "turns": turns})
    trained = train_agent([simple_game], tmp_path / "agent", replace(TINY, steps=8192, max_steps=30), imitate=tmp_path)
    assert [one.won for one in trained.played if one.player == "agent, greedy"] == [1.0]
    assert json.loads((tmp_path / "agent" / "training.json").read_text())["imitated"] == str(tmp_path)
    with pytest.raises(ConfigError, match="not both"):
        train_agent([simple_game], tmp_path / "agent", TINY, imitate=tmp_path, reward="longest")
    twin = simple_game.stem.replace("dense", "sparse")
    write_lines(tmp_path / "episodes.jsonl", {"game": twin, "turns": turns})
    again = train_agent([simple_game], tmp_path / "twin", replace(TINY, steps=128), imitate=tmp_path)
    assert again.played
    write_lines(tmp_path / "episodes.jsonl", {"game": "chess", "turns": turns})
    with pytest.raises(DataError, match="play of chess, which is none of the games"):
        train_agent([simple_game], tmp_path / "agent", TINY, imitate=tmp_path)


@pytest.mark.slow
def test_games_are_played_in_other_processes(simple_game: Path, tmp_path: Path) -> None:
    config = replace(TINY, steps=64, env_runners=2, shaping="potential")
    trained = train_agent([simple_game], tmp_path / "agent", config, reward="longest")
    assert [one.steps for one in trained.progress] == [32, 64]
    assert trained.without_reward == 0


@pytest.mark.slow
def test_the_true_dense_reward_is_learnt(simple_game: Path, tmp_path: Path) -> None:
    trained = train_agent([simple_game], tmp_path / "agent", AgentConfig(steps=8192))
    random, drawn, _ = (one.score.point for one in trained.played)
    assert random < 0.75
    assert drawn > 0.85
