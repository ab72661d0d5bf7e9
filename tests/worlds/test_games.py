"""Games are made from seeds, and what is read of them never tells the score."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guerdon.errors import ConfigError, DataError
from guerdon.worlds.games import GameConfig, TextGame, find_games, make_games, without_score
from guerdon.worlds.perception import piece_text


@pytest.mark.parametrize(
    ("feedback", "kept"),
    [
        ("\nYou open it.\n\n\nYour score has just gone up by one point.\n\n>      -= Bedroom =-1/4", "You open it."),
        ("You eat it.\n[Your score has gone down by 2 points.]\n", "You eat it."),
        ("Done.\n\n   *** The End ***\n\nYou scored 8 out of a possible 8, in 12 turns.\n> -= Kitchen =-7/11", "Done."),
        ("Done.\n\n   *** You lost! ***\n\nYou scored 1.", "Done."),
        ("You see a note that tells the score of a match.", "You see a note that tells the score of a match."),
    ],
)
def test_score_is_cut_from_feedback(feedback: str, kept: str) -> None:
    assert without_score(feedback) == kept


def test_a_won_game_never_tells_its_score(simple_game: Path) -> None:
    game = TextGame(simple_game)
    history = [game.reset()]
    for command in game.walkthrough:
        assert command in history[-1].commands
        history.append(game.step(command))
    scores = [one.score for one in history]
    assert scores == sorted(scores)
    assert scores[-1] == 1
    assert history[-1].won
    assert history[-1].over
    assert not any(one.won for one in history[:-1])
    transcript = piece_text(history)
    assert all(f"> {command}" in transcript for command in game.walkthrough)
    # No number, no word of scoring or winning: nothing in the text tells one step from the next but the world itself.
    assert not re.search(r"\d|\bscored?\b|\bpoints?\b|\*\*\*|the end|\bwon\b|turns", transcript, re.IGNORECASE)
    game.close()


def test_seeds_make_the_same_game_again_and_others_differ(coin_game: Path, tmp_path: Path) -> None:
    again, other = make_games(tmp_path / "games", GameConfig(kind="coins", level=2, count=2))
    games = [TextGame(path) for path in (coin_game, again, other)]
    first, second, third = (game.reset() for game in games)
    assert first == second
    assert third.description != first.description
    assert find_games([tmp_path / "games"]) == [again, other]


def test_what_is_no_game_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no game is named"):
        find_games([])
    with pytest.raises(DataError, match="no game there"):
        find_games([tmp_path])
    (tmp_path / "lonely.z8").touch()
    with pytest.raises(DataError, match=r"\.json beside it"):
        find_games([tmp_path])
    with pytest.raises(ConfigError, match="level.*count"):
        GameConfig(level=0, count=0)
