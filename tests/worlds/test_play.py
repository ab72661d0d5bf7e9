"""A person plays in the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from guerdon.worlds.games import TextGame
from guerdon.worlds.play import play_game


def test_numbers_and_commands_both_play(coin_game: Path) -> None:
    shown: list[str] = []
    game = TextGame(coin_game)
    start = game.reset()
    first, *rest = game.walkthrough
    answers = iter(["fly", str(start.commands.index(first) + 1), *rest])
    history = play_game(coin_game, lambda question: next(answers), shown.append)
    assert tuple(one.command for one in history[1:]) == game.walkthrough
    assert history[-1].won
    assert "Won after" in shown[-1]
    assert "100%" in shown[-1]
    assert any("'fly' cannot be done" in text for text in shown)


def test_commands_make_and_play(tmp_path: Path) -> None:
    def guerdon(*args: str, answers: str = "") -> str:
        command = [sys.executable, "-m", "guerdon", "worlds", *args]
        done = subprocess.run(command, input=answers, capture_output=True, text=True, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = guerdon("make", str(tmp_path / "games"), "--kind", "coins", "--level", "1")
    assert made.startswith("1 game in")
    played = guerdon("play", str(tmp_path / "games" / "coins-1-1.z8"), answers="look\nquit\n")
    assert "Left after 1 commands, with 0% of the highest score." in played
