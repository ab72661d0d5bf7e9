"""Behaviour cloning: an agent learns by supervision to give the commands of collected play."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from guerdon.errors import DataError
from guerdon.worlds.agent import CommandRanker
from guerdon.worlds.collect_run import EPISODES_FILE
from guerdon.worlds.game_environment import MOST_COMMANDS, TextGameEnv
from guerdon.worlds.games import without_density
from guerdon.worlds.world_config import AgentConfig

_BATCH = 128


def imitate_play(paths: Sequence[Path], play: Path, config: AgentConfig) -> CommandRanker:
    """An agent trained by cross-entropy on each step of collected play, on as many steps as PPO would have learnt from.

    Args:
        paths: the games.
        play: folder of `guerdon worlds collect`, of these games or of twins whose score rises more or less often.
        config: `steps`, `epochs`, `learning_rate` and `seed` of it count.

    Raises:
        DataError: there is no collected play, or not of these games.
    """
    observations, commands = _replayed(paths, play)
    torch.manual_seed(config.seed)
    network = CommandRanker()
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    rng = np.random.default_rng(config.seed)
    for _ in range(-(-config.steps * config.epochs // _BATCH)):
        batch = torch.from_numpy(rng.integers(len(commands), size=_BATCH))
        logits, _ = network({name: values[batch] for name, values in observations.items()})
        loss = torch.nn.functional.cross_entropy(logits, commands[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def _replayed(paths: Sequence[Path], play: Path) -> tuple[dict[str, Tensor], Tensor]:
    """What was seen before each command of collected play, and the number of the command: games play the same again."""
    file, games = play / EPISODES_FILE, {path.stem: path for path in paths}
    twins = {without_density(name): path for name, path in games.items()}
    if not file.is_file():
        raise DataError(f"{play}: no collected play there, which has {EPISODES_FILE}. Fix: guerdon worlds collect")
    env = TextGameEnv({"games": paths})
    seen: list[dict[str, np.ndarray]] = []
    given: list[int] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        episode = json.loads(line)
        game = games.get(episode["game"], twins.get(without_density(episode["game"])))
        if game is None:
            raise DataError(f"{file}: play of {episode['game']}, which is none of the games: {', '.join(games)}")
        observation, _ = env.reset(options={"game": game})
        for turn in episode["turns"][1:]:
            number = env.situation.commands.index(turn["command"])
            if number < MOST_COMMANDS:
                seen.append(observation)
                given.append(number)
            observation = env.step(number)[0]
    env.close()
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in seen])) for name in seen[0]}
    return stacked, torch.tensor(given)
