"""Play, and preferences between pieces of it: comparisons that any reward is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guerdon.data.write import write_rows
from guerdon.errors import DataError
from guerdon.files import atomic_write, check_writable
from guerdon.types import Comparison
from guerdon.worlds.agent import CommandRanker, Episode, choose, load_agent
from guerdon.worlds.game_environment import TextGameEnv
from guerdon.worlds.games import find_games
from guerdon.worlds.perception import piece_text
from guerdon.worlds.world_config import CollectConfig

PAIRS_FILE, EPISODES_FILE = "pairs.jsonl", "episodes.jsonl"
_SIDES = ("chosen", "rejected")
Choose = Callable[[str, str, str], str]
"""Objective and two pieces -> `a`, `b`, ` ` where neither is better, or `q` for enough."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some steps of an episode, as a reward reads them."""

    text: str
    score: float
    """True score at its end."""
    steps: int
    """Steps of the episode until there."""
    lines: int
    """Distinct lines that were seen until there."""


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What was collected."""

    rows: list[Comparison]
    episodes: list[Episode]
    led: float
    """Share of the steps that are the walkthrough's."""

    def agreement(self, name: str) -> float:
        """How often the preferred piece has more `steps` or `lines`; equal ones count half."""
        more = [np.sign(row.extra[f"{name}_chosen"] - row.extra[f"{name}_rejected"]) for row in self.rows]
        return float(np.mean(more)) / 2 + 0.5 if more else float("nan")


def collect_play(
    games: Sequence[str | Path],
    out: str | Path,
    config: CollectConfig | None = None,
    *,
    choose_piece: Choose | None = None,
    on_episode: Callable[[int], None] = lambda count: None,
) -> Collected:
    """Plays games, and writes comparisons of pieces of play into `pairs.jsonl`, the episodes into `episodes.jsonl`.

    A comparison has the game's objective as its prompt, two pieces of one game as responses, and the game as its group.
    The piece that ends at the higher score is preferred, or the one that `choose_piece` chooses.

    Args:
        games: game files, or folders of them.
        out: the folder.
        config: who plays, and which pieces are compared.
        choose_piece: asks a person, where the configuration says so.
        on_episode: called with 1 for each episode.

    Raises:
        DataError: no game, or no two pieces that differ in score.
        MissingExtraError: TextWorld is not installed.
        OutputError: the folder cannot be written.

    Example:
        >>> guerdon.collect_play(["games"], "play")
        >>> guerdon.fit_reward("play/pairs.jsonl", "reward", FitConfig(members=("tfidf",)))
    """
    config = config or CollectConfig()
    paths, out = find_games(games), Path(out)
    check_writable(out / PAIRS_FILE)
    rng = np.random.default_rng(config.seed)
    network = load_agent(config.agent) if config.agent else None
    env = TextGameEnv({"games": paths, "max_steps": config.max_steps})
    episodes, leading = [], 0
    for number in range(config.episodes):
        led = number < config.walkthrough_share * config.episodes
        episode, followed = _play(env, paths[number % len(paths)], network, led, rng)
        episodes.append(episode)
        leading += followed
        on_episode(1)
    env.close()
    rows = _compare(episodes, config, rng, choose_piece if config.judge == "person" else None)
    if not rows:
        raise DataError("no two pieces differ in score. Fix: play more --episodes, or games with a denser score")
    write_rows(rows, out / PAIRS_FILE)
    with atomic_write(out / EPISODES_FILE) as file:
        for episode in episodes:
            turns = [
                {"command": one.command, "feedback": one.feedback, "room": one.description, "carried": one.inventory,
                 "score": one.score}
                for one in episode.situations
            ]  # fmt: skip
            line = {"game": episode.game.stem, "objective": episode.objective, "won": episode.won, "turns": turns}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return Collected(rows, episodes, leading / sum(len(one.situations) - 1 for one in episodes))


def _play(
    env: TextGameEnv, path: Path, network: CommandRanker | None, led: bool, rng: np.random.Generator
) -> tuple[Episode, int]:
    """One episode, and how many of its steps were the walkthrough's: where it is led, the first of them, up to all."""
    observation, _ = env.reset(options={"game": path})
    leading = int(rng.integers(len(env.game.walkthrough) + 1)) if led else 0
    over = False
    while not over:
        commands, step = env.situation.commands, len(env.history) - 1
        if step < leading:
            action = commands.index(env.game.walkthrough[step])
        elif network is not None:
            action = choose(network, observation, rng)
        else:
            action = int(rng.integers(len(commands)))
        observation, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
    return Episode(path, env.game.objective, tuple(env.history)), leading


def pieces_of(episode: Episode, length: int) -> list[Piece]:
    """Every piece of so many steps."""
    found, seen = [], set[str]()
    for end, now in enumerate(episode.situations):
        seen |= {line for part in (now.feedback, now.description) for line in part.splitlines()}
        if end >= length:
            text = piece_text(episode.situations[end - length + 1 : end + 1])
            found.append(Piece(text, now.score, end, len(seen)))
    return found


def _compare(
    episodes: Sequence[Episode], config: CollectConfig, rng: np.random.Generator, ask: Choose | None
) -> list[Comparison]:
    """Pairs of pieces of one game that differ in score, or that a person told apart.

    Two different scores are drawn, and one piece of each, for a person as well if there are two: random play sees
    little of what comes late in a game, and a reward of pieces as they come would learn next to nothing about it.
    """
    by_game: dict[str, dict[float, dict[str, Piece]]] = {}
    objectives = {}
    for episode in episodes:
        objectives[episode.game.stem] = episode.objective
        for piece in pieces_of(episode, config.length):
            by_game.setdefault(episode.game.stem, {}).setdefault(piece.score, {}).setdefault(piece.text, piece)
    drawn_from = {
        name: [list(same.values()) for _, same in sorted(scores.items())]
        for name, scores in sorted(by_game.items())
        if len(scores) > 1 or ask
    }
    names = list(drawn_from)
    rows: list[Comparison] = []
    for _ in range(20 * config.pairs if names else 0):
        name = names[rng.integers(len(names))]
        scores = drawn_from[name]
        levels = [scores[place] for place in rng.choice(len(scores), size=2, replace=len(scores) == 1)]
        better, worse = (level[rng.integers(len(level))] for level in levels)
        if better.text == worse.text:
            continue
        answer = ask(objectives[name], better.text, worse.text) if ask else "a" if better.score > worse.score else "b"
        if answer == "q":
            break
        if answer == "b":
            better, worse = worse, better
        if answer in "ab":
            told = {"steps": (better.steps, worse.steps), "lines": (better.lines, worse.lines)}
            told_scores = {"score_chosen": better.score, "score_rejected": worse.score}
            extra = {f"{key}_{side}": n for key, pair in told.items() for side, n in zip(_SIDES, pair, strict=True)}
            row = Comparison(
                prompt=objectives[name], chosen=better.text, rejected=worse.text, group=name, extra=extra | told_scores
            )
            rows.append(row)
        if len(rows) == config.pairs:
            break
    return rows
