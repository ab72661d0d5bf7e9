"""A text game as a Gymnasium environment: the player chooses among the commands that can be given now."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np

from guerdon.worlds.games import Situation, TextGame
from guerdon.worlds.paid import ScorePay
from guerdon.worlds.perception import COMMAND_WORDS, NUM_WORDS, situation_words, word_numbers

MOST_COMMANDS = 96
"""Room for so many commands; games of TextWorld offer 12 on average, and pass 40. What is beyond is not offered."""


class TextGameEnv(gymnasium.Env):  # type: ignore[misc]  # RLlib and Gymnasium are read without their types
    """Games played by number of command.

    Each episode is one of the games, drawn at random. It ends when the game is won or lost, and is truncated after
    `max_steps`. What is paid is for `pay` to say: by default the rise of the true score, and `win_bonus` for a win.

    An observation holds the `words` of the situation (`situation_words`), the numbers of the words of each command
    (`commands`, 0 beyond the last), how often each was given here before (`tried`, log(1 + n)), and which are commands
    at all (`mask`).

    Example:
        >>> env = TextGameEnv({"games": ["games/simple-dense-1.z8"]})
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(0)
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Loads games when they are first played.

        Args:
            config: `games` (paths), `max_steps` (default 100), `win_bonus` (default 1.0), and `pay`: an object with
                `begin(situation, objective)` and `step(situation) -> float`, or a callable without arguments that
                makes one.
        """
        self._paths = list(config["games"])
        self._max_steps = int(config.get("max_steps", 100))
        self._win_bonus = float(config.get("win_bonus", 1.0))
        pay = config.get("pay") or ScorePay
        self.pay: Any = pay() if callable(pay) else pay
        self._games: dict[str, TextGame] = {}
        self.history: deque[Situation] = deque()
        self.observation_space = gymnasium.spaces.Dict(
            {
                "words": gymnasium.spaces.Box(0, 1, (NUM_WORDS,), np.float32),
                "commands": gymnasium.spaces.Box(0, NUM_WORDS, (MOST_COMMANDS, COMMAND_WORDS), np.int16),
                "tried": gymnasium.spaces.Box(0, 10, (MOST_COMMANDS,), np.float32),
                "mask": gymnasium.spaces.Box(0, 1, (MOST_COMMANDS,), np.float32),
            }
        )
        self.action_space = gymnasium.spaces.Discrete(MOST_COMMANDS)

    @property
    def situation(self) -> Situation:
        """What the player sees now."""
        return self.history[-1]

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins a game: one drawn at random, or `options["game"]`."""
        super().reset(seed=seed)
        path = str((options or {}).get("game") or self._paths[self.np_random.integers(len(self._paths))])
        if path not in self._games:
            self._games[path] = TextGame(path)
        self.game = self._games[path]
        self._tried: Counter[tuple[str, str, str]] = Counter()
        self.history = deque([self.game.reset()])
        self.pay.begin(self.situation, self.game.objective)
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Gives a command. A number that is none (a policy that heeds the mask gives no such) looks around."""
        commands = self.situation.commands
        command = commands[int(action)] if int(action) < min(len(commands), MOST_COMMANDS) else "look"
        self._tried[self._place(command)] += 1
        self.history.append(self.game.step(command))
        now = self.situation
        reward = self.pay.step(now) + self._win_bonus * now.won
        return self._observation(), float(reward), now.over, len(self.history) > self._max_steps, self._info()

    def close(self) -> None:
        """Ends every game."""
        for game in self._games.values():
            game.close()
        self._games.clear()

    def _place(self, command: str) -> tuple[str, str, str]:
        return self.situation.description, self.situation.inventory, command

    def _info(self) -> dict[str, Any]:
        missing = getattr(self.pay, "without_reward", 0)
        return {"score": self.situation.score, "won": self.situation.won, "without_reward": missing}

    def _observation(self) -> dict[str, np.ndarray]:
        commands = np.zeros((MOST_COMMANDS, COMMAND_WORDS), dtype=np.int16)
        tried, mask = np.zeros((2, MOST_COMMANDS), dtype=np.float32)
        for row, command in enumerate(self.situation.commands[:MOST_COMMANDS]):
            numbers = word_numbers(command)[:COMMAND_WORDS]
            commands[row, : len(numbers)] = numbers
            tried[row] = np.log1p(self._tried[self._place(command)])
        mask[: len(self.situation.commands)] = 1.0
        return {"words": situation_words(self.situation), "commands": commands, "tried": tried, "mask": mask}
