"""An agent that ranks the commands that can be given: its network, how it plays, and its folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guerdon.errors import ModelError
from guerdon.files import staged
from guerdon.worlds.game_environment import TextGameEnv
from guerdon.worlds.games import Situation
from guerdon.worlds.perception import NUM_WORDS

WEIGHTS_FILE = "agent.safetensors"
WIDTH = 64


class CommandRanker(nn.Module):
    """A logit for each command, and the value of the situation.

        s = tanh(W_s words),   c_j = sum of the vectors of the command's words
        logit_j = f(s, c_j, s * c_j, tried_j),   value = g(s)

    f and g are networks with one hidden layer.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.situation = nn.Linear(NUM_WORDS, width)
        self.words = nn.EmbeddingBag(NUM_WORDS + 1, width, mode="sum", padding_idx=0)
        self.rank = nn.Sequential(nn.Linear(3 * width + 1, width), nn.ReLU(), nn.Linear(width, 1))
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        nn.init.normal_(self.situation.weight, std=0.3)
        nn.init.normal_(self.words.weight, std=0.3)
        with torch.no_grad():
            self.words.weight[0] = 0

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of shape (n, commands), very low where there is no command, and values of shape (n,)."""
        state = torch.tanh(self.situation(observation["words"].float()))
        mask = observation["mask"] > 0
        # Commands that are there, one after the other: most of the room for them is empty.
        rows, columns = mask.nonzero(as_tuple=True)
        command = self.words(observation["commands"][rows, columns].long())
        tried = observation["tried"][rows, columns].float()[:, None]
        found = self.rank(torch.cat([state[rows], command, state[rows] * command, tried], dim=-1))[:, 0]
        logits = torch.full(mask.shape, -1e9, dtype=found.dtype, device=found.device)
        return logits.index_put((rows, columns), found), self.value(state)[:, 0]


def choose(network: CommandRanker, observation: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> int:
    """The number of the best command, or of one drawn by the policy."""
    with torch.inference_mode():
        logits = network({name: torch.as_tensor(value)[None] for name, value in observation.items()})[0][0]
    if rng is None:
        return int(logits.argmax())
    return int(rng.choice(len(logits), p=torch.softmax(logits.double(), -1).numpy()))


@dataclass(frozen=True, slots=True)
class Episode:
    """A game that was played."""

    game: Path
    objective: str
    situations: tuple[Situation, ...]

    @property
    def score(self) -> float:
        """The true score at the end, as a share of the highest."""
        return self.situations[-1].score

    @property
    def won(self) -> bool:
        """Whether the game was won."""
        return self.situations[-1].won


def play_episodes(
    network: CommandRanker | None,
    games: Iterable[Path],
    *,
    greedy: bool = False,
    max_steps: int = 100,
    seed: int = 0,
) -> list[Episode]:
    """Plays each game once, as often as it is named: by the network, or by random commands without one.

    Args:
        network: the agent.
        games: the game files.
        greedy: take the best command, instead of drawing one.
        max_steps: an episode's limit.
        seed: of the draws.
    """
    paths, rng = list(games), np.random.default_rng(seed)
    env = TextGameEnv({"games": paths, "max_steps": max_steps})
    found = []
    for path in paths:
        observation, _ = env.reset(options={"game": path})
        over = False
        while not over:
            if network is None:
                action = int(rng.integers(int(observation["mask"].sum())))
            else:
                action = choose(network, observation, None if greedy else rng)
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        found.append(Episode(path, env.game.objective, tuple(env.history)))
    env.close()
    return found


def save_agent(network: CommandRanker, folder: str | Path) -> None:
    """Writes the weights into a folder. Raises OutputError."""
    from safetensors.torch import save_file

    with staged(folder) as stage:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, stage / WEIGHTS_FILE)


def load_agent(folder: str | Path) -> CommandRanker:
    """The agent that a folder holds. Raises ModelError."""
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(f"{folder}: no agent there, which is a folder with {WEIGHTS_FILE}. Fix: guerdon worlds train")
    state: dict[str, Any] = load_file(path)
    network = CommandRanker(state["situation.weight"].shape[0])
    network.load_state_dict(state)
    return network.eval()
