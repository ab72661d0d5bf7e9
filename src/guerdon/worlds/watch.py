"""A page that shows a game turn by turn: the learned reward beside the true score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guerdon.files import atomic_write, check_writable
from guerdon.metrics import spearman
from guerdon.report.charts import Chart, Line, line_chart
from guerdon.report.drawing import AGAINST, MODEL
from guerdon.report.templating import environment
from guerdon.rewards.load import ScorerConfig
from guerdon.worlds.agent import Episode, load_agent, play_episodes
from guerdon.worlds.games import Situation, TextGame, find_games
from guerdon.worlds.paid import LearnedPay

TEMPLATE = "world.html.j2"


@dataclass(frozen=True, slots=True)
class WatchedTurn:
    """A turn of a game."""

    situation: Situation
    reward: float
    """The learned reward of the piece that ends here; NaN without one."""
    paid: float
    """How far that is above the highest before."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A game that was watched."""

    player: str
    episode: Episode
    turns: list[WatchedTurn]

    @property
    def agreement(self) -> float:
        """Spearman's correlation of reward and true score over the turns; NaN where one of them never changes."""
        known = [turn for turn in self.turns if not np.isnan(turn.reward)]
        rewards = np.array([turn.reward for turn in known])
        scores = np.array([turn.situation.score for turn in known])
        return float(spearman(rewards, scores)) if len(set(rewards)) > 1 and len(set(scores)) > 1 else float("nan")


def watch_game(
    game: str | Path,
    out: str | Path,
    *,
    player: str = "walkthrough",
    reward: ScorerConfig | str | None = None,
    length: int = 1,
    max_steps: int = 100,
    seed: int = 0,
) -> Watched:
    """Plays a game once and writes a page of it.

    Args:
        game: the game file.
        out: the page, an .html file.
        player: `walkthrough`, `random`, or the folder of an agent, which takes the best command each time.
        reward: a learned reward to show beside the true score.
        length: steps of the pieces that the reward reads.
        max_steps: the episode's limit.
        seed: of random commands.

    Raises:
        DataError: there is no such game.
        MissingExtraError: TextWorld is not installed.
        ModelError: no such agent, or the reward cannot be loaded.
        OutputError: the page cannot be written.

    Example:
        >>> guerdon.watch_game("games/simple-dense-1.z8", "game.html", player="agent", reward="reward")
    """
    (path,) = find_games([game])
    check_writable(out)
    scorer = ScorerConfig(name=reward) if isinstance(reward, str) else reward
    pay = LearnedPay(scorer, length=length) if scorer else None
    if player == "walkthrough":
        episode = _walkthrough(path)
    else:
        network = None if player == "random" else load_agent(player)
        (episode,) = play_episodes(network, [path], greedy=True, max_steps=max_steps, seed=seed)
    watched = Watched(player, episode, _turns(episode, pay))
    with atomic_write(out) as file:
        file.write(_page(watched, scorer.name if scorer else ""))
    return watched


def _walkthrough(path: Path) -> Episode:
    game = TextGame(path)
    situations = [game.reset()]
    situations += [game.step(command) for command in game.walkthrough]
    game.close()
    return Episode(path, game.objective, tuple(situations))


def _turns(episode: Episode, pay: LearnedPay | None) -> list[WatchedTurn]:
    found = []
    for number, situation in enumerate(episode.situations):
        paid = 0.0
        if pay and number:
            paid = pay.step(situation)
        elif pay:
            pay.begin(situation, episode.objective)
        found.append(WatchedTurn(situation, pay.reward if pay else float("nan"), paid))
    return found


def _page(watched: Watched, reward: str) -> str:
    """The page as HTML text, which needs nothing else."""

    def chart(title: str, values: Sequence[float], colour: str) -> Chart:
        points = tuple((float(step), value) for step, value in enumerate(values) if not np.isnan(value))
        return line_chart(title, "commands", [Line(title, points, colour)])

    charts = [chart("Learned reward", [turn.reward for turn in watched.turns], MODEL)] if reward else []
    charts += [chart("True score, share of the highest", [turn.situation.score for turn in watched.turns], AGAINST)]
    return environment().get_template(TEMPLATE).render(watched=watched, reward=reward, charts=charts)
