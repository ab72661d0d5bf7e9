"""`guerdon worlds`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.worlds.games import GameConfig

GameFile = Annotated[Positional[Path], arg(metavar="GAME", help="A game file (.z8, its .json beside it).")]
Games = Annotated[
    Positional[tuple[Path, ...]],
    arg(metavar="GAME", help="Game files (.z8, each with its .json beside it), or folders of them."),
]


def make(
    out: Annotated[Positional[Path], arg(metavar="FOLDER")],
    /,
    config: OmitArgPrefixes[GameConfig] = GameConfig(),  # noqa: B008  # frozen
) -> None:
    """Make text games with TextWorld: the same games for the same seeds, without a network.

    Args:
        out: A new folder for the games.
        config: Which games.
    """
    from guerdon.cli.progress import terminal, text_progress
    from guerdon.worlds.games import make_games

    with terminal() as console, text_progress(console, "making", config.count, "games") as show:
        made = make_games(out, config, on_game=lambda path: show(1))
    print(f"{len(made)} game{'s' * (len(made) != 1)} in {out}. Next: guerdon worlds play {made[0]}")


def play(game: GameFile, /) -> None:
    """Play a text game in the terminal: give a command or its number; `quit` ends it.

    Args:
        game: The game.
    """
    from guerdon.worlds.play import play_game

    play_game(game, input, lambda text: print(text + "\n"))
