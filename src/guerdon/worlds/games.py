"""Games of TextWorld: made, found on the disk, and played step by step without a word of the score in their texts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from guerdon.errors import ConfigError, DataError, MissingExtraError
from guerdon.files import atomic_folder

GameKind = Literal["simple", "coins"]
ScoreDensity = Literal["dense", "balanced", "sparse"]
ENDING = ".z8"
"""Of a game file; TextWorld's description of the game lies beside it as `.json`."""


@dataclass(frozen=True, kw_only=True)
class GameConfig:
    """Which games are made.

    Example:
        >>> GameConfig(rewards="sparse", seed=7).count
        1
    """

    kind: GameKind = "simple"
    """simple: a house of six rooms, where a key is to be found, and food to be put on the stove. coins: a maze with one
    coin in it."""
    rewards: ScoreDensity = "dense"
    """How often the score of a simple game rises: dense, at each of 7 to 10 steps that lead on; balanced, at some;
    sparse, when the game is won. The games of one seed are otherwise the same."""
    unseen_food: bool = False
    """Ask for a food that no other simple game asks for: TextWorld's games for testing."""
    level: int = 5
    """Difficulty of coins: up to 100, so many rooms in a row; 101 to 150, so many less 100, and as many dead ends."""
    count: int = 1
    """How many games, of seeds that follow one another."""
    seed: int = 1
    """Random seed of the first game."""

    def __post_init__(self) -> None:
        faults = []
        if self.kind not in get_args(GameKind):
            faults.append(f"--kind must be one of {', '.join(get_args(GameKind))}; got {self.kind!r}")
        if self.rewards not in get_args(ScoreDensity):
            faults.append(f"--rewards must be one of {', '.join(get_args(ScoreDensity))}; got {self.rewards!r}")
        if not 1 <= self.level <= 150:
            faults.append(f"--level must be from 1 to 150, got {self.level}")
        if self.count < 1:
            faults.append(f"--count must be 1 or more, got {self.count}")
        if self.seed < 0:
            faults.append(f"--seed must be 0 or more, got {self.seed}")
        if faults:
            raise ConfigError("; ".join(faults))


def import_textworld() -> Any:
    """The package. Raises MissingExtraError where it is not installed."""
    try:
        import textworld
    except ImportError as error:
        raise MissingExtraError("Text worlds", "textworld", "worlds") from error
    return textworld


@contextmanager
def _games_of_textworld() -> Iterator[None]:
    """Keeps Jericho from warning that it does not know the games that TextWorld makes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Game .* is not fully supported")
        yield


def make_games(
    out: str | Path, config: GameConfig | None = None, *, on_game: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Makes games of TextWorld, offline, the same ones for the same seeds.

    Args:
        out: a new folder for them.
        config: which games.
        on_game: called with the name of each game that is done.

    Returns:
        The game files.

    Raises:
        MissingExtraError: TextWorld is not installed.
        OutputError: the folder cannot be written, or is not empty.

    Example:
        >>> guerdon.make_games("games", GameConfig(count=20))
    """
    config = config or GameConfig()
    textworld = import_textworld()
    from textworld.challenges.tw_coin_collector import coin_collector
    from textworld.challenges.tw_simple import simple

    names = []
    with atomic_folder(out) as folder, _games_of_textworld():
        for seed in range(config.seed, config.seed + config.count):
            options = textworld.GameOptions()
            options.seeds = seed
            if config.kind == "simple":
                name = f"simple-{config.rewards}{'-unseen' * config.unseen_food}-{seed}"
                settings: dict[str, Any] = {"rewards": config.rewards, "goal": "detailed", "test": config.unseen_food}
                game = simple.make(settings, options)
            else:
                name = f"coins-{config.level}-{seed}"
                game = coin_collector.make({"level": config.level}, options)
            options.path = str(folder / (name + ENDING))
            textworld.generator.compile_game(game, options)
            (folder / name).with_suffix(".ni").unlink(missing_ok=True)
            names.append(name + ENDING)
            on_game(Path(out) / names[-1])
    return [Path(out) / name for name in names]


def without_density(name: str) -> str:
    """The name of a game without how often its score rises: twins play alike, and only pay differently."""
    return re.sub(rf"^simple-({'|'.join(get_args(ScoreDensity))})-", "simple-", name)


def find_games(places: Sequence[str | Path]) -> list[Path]:
    """The game files that are named, and those in the folders that are named, in order of name.

    Raises:
        DataError: there is none, or a game lacks its description.
    """
    if not places:
        raise DataError(
            "no game is named. Fix: name game files (.z8) or folders of them; guerdon worlds make makes some"
        )
    found = []
    for place in map(Path, places):
        here = sorted(place.glob(f"*{ENDING}")) if place.is_dir() else [place]
        if not here or not here[0].exists():
            raise DataError(f"{place}: no game there. Fix: name a {ENDING} file, or make games: guerdon worlds make")
        found += here
    for path in found:
        if path.suffix != ENDING or not path.with_suffix(".json").exists():
            raise DataError(
                f"{path}: not a game of TextWorld, which is a {ENDING} file with its .json beside it. "
                "Fix: guerdon worlds make"
            )
    return found


@dataclass(frozen=True, slots=True)
class Situation:
    """What a player sees after a command, and what the game knows besides."""

    command: str
    """What was done; empty at the start."""
    feedback: str
    """What the game answered, without a word of the score; empty at the start."""
    description: str
    """The room, as `look` describes it."""
    inventory: str
    """What is carried."""
    commands: tuple[str, ...]
    """What can be done now, in alphabetical order."""
    score: float
    """True score as a share of the highest, from 0 to 1: never part of a text that is learnt from."""
    won: bool
    over: bool
    """Won or lost."""


_SCORE = re.compile(r"[ \t]*[\[(]?your score has (?:just )?(?:gone|went) (?:up|down)[^\n]*", re.IGNORECASE)
_STATUS = re.compile(r"\n>\s.*\Z", re.DOTALL)
_END = re.compile(r"\s*\*\*\*.*\Z", re.DOTALL)


def without_score(feedback: str) -> str:
    """What a game answered, less all that tells the score: the line that announces it, the ending, the status line."""
    text = _SCORE.sub("", _STATUS.sub("", _END.sub("", feedback)))
    return re.sub(r"\s*\n\s*", "\n", text).strip()


class TextGame:
    """A game that is played step by step.

    Example:
        >>> game = TextGame("games/simple-dense-1.z8")
        >>> game.reset().commands[0]
        'examine antique trunk'
        >>> game.step("open antique trunk").score
        0.125
    """

    def __init__(self, path: str | Path) -> None:
        """Loads the game."""
        textworld = import_textworld()
        wanted = ("feedback", "description", "inventory", "admissible_commands", "score", "max_score", "won", "lost")
        infos = textworld.EnvInfos(**dict.fromkeys((*wanted, "objective"), True), extras=["walkthrough"])
        self.path = Path(path)
        with _games_of_textworld():
            self._game: Any = textworld.start(str(path), infos)
        self.objective = ""
        """What the game asks for, known after `reset`."""
        self.walkthrough: tuple[str, ...] = ()
        """Commands that win from the start, known after `reset`."""

    def reset(self) -> Situation:
        """Begins again."""
        state = self._game.reset()
        self.objective = " ".join((state.objective or "").split())
        self.walkthrough = tuple(state["extra.walkthrough"] or ())
        return self._situation("", state)

    def step(self, command: str) -> Situation:
        """Does one of the commands of the situation before."""
        return self._situation(command, self._game.step(command)[0])

    def _situation(self, command: str, state: Any) -> Situation:
        over = bool(state.won or state.lost)
        return Situation(
            command=command,
            feedback=without_score(state.feedback) if command else "",
            description=without_score(state.description or ""),
            inventory=without_score(state.inventory or ""),
            commands=() if over else tuple(sorted(state.admissible_commands)),
            score=(state.score or 0) / state.max_score,
            won=bool(state.won),
            over=over,
        )

    def close(self) -> None:
        """Ends the interpreter."""
        self._game.close()
