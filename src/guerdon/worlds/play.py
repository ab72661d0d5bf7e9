"""A game in the terminal: what is seen, what can be done, and the score at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guerdon.worlds.games import Situation, TextGame, find_games


def play_game(path: str | Path, ask: Callable[[str], str], show: Callable[[str], None]) -> list[Situation]:
    """Lets a person play a game until it is over, or until they answer `quit`.

    Args:
        path: the game file.
        ask: shows a question and gives the answer: a command, or its number; it may raise EOFError to quit.
        show: shows a text.

    Returns:
        Every situation, from the start; the last has the score.

    Raises:
        DataError: there is no such game.
        MissingExtraError: TextWorld is not installed.

    Example:
        >>> guerdon.play_game("games/simple-dense-1.z8", input, print)
    """
    (path,) = find_games([path])
    game = TextGame(path)
    history = [game.reset()]
    show(game.objective)
    while not history[-1].over:
        now = history[-1]
        offered = "\n".join(f"{number:>3}  {command}" for number, command in enumerate(now.commands, 1))
        show("\n\n".join(part for part in (now.feedback, now.description, now.inventory, offered) if part))
        command = _chosen(now, ask, show)
        if command is None:
            break
        history.append(game.step(command))
    last = history[-1]
    ending = "Won" if last.won else "Lost" if last.over else "Left"
    show(f"{last.feedback}\n\n{ending} after {len(history) - 1} commands, with {last.score:.0%} of the highest score.")
    game.close()
    return history


def _chosen(now: Situation, ask: Callable[[str], str], show: Callable[[str], None]) -> str | None:
    """The command that a person gives, None where they have enough."""
    while True:
        try:
            answer = ask("> ").strip().lower()
        except EOFError:
            return None
        if answer in ("q", "quit"):
            return None
        if answer.isdigit() and 1 <= int(answer) <= len(now.commands):
            return now.commands[int(answer) - 1]
        if answer in now.commands:
            return answer
        show(f"{answer!r} cannot be done here: give the number of a command, or `quit`.")
