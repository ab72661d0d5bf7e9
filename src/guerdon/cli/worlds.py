"""`guerdon worlds`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import ScorerOptions
from guerdon.worlds.games import GameConfig
from guerdon.worlds.world_config import AgentConfig, CollectConfig

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


def collect(
    games: Games,
    /,
    out: Path = Path("play"),
    config: OmitArgPrefixes[CollectConfig] = CollectConfig(),  # noqa: B008  # frozen
) -> None:
    """Play games, and compare pieces of play: comparisons that `guerdon fit` and `guerdon train` learn from.

    The folder then holds pairs.jsonl (the game's objective as prompt, two pieces of play, the better one chosen) and
    episodes.jsonl (every turn with its true score).

    Args:
        games: The games.
        out: Folder for what is collected.
        config: Who plays, and which pieces are compared.
    """
    from guerdon.cli.progress import terminal, text_progress
    from guerdon.worlds.collect_run import collect_play

    def choose(objective: str, a: str, b: str) -> str:
        print(f"{'=' * 80}\n{objective}\n\n--- a ---\n{a}\n\n--- b ---\n{b}\n")
        while (answer := input("Which is further on? a, b, = (neither), q (enough): ").strip().lower()) not in "ab=q":
            pass
        return answer or "="

    with terminal() as console, text_progress(console, "playing", config.episodes, "episodes") as show:
        found = collect_play(games, out, config, choose_piece=choose, on_episode=show)
    steps = sum(len(episode.situations) - 1 for episode in found.episodes)
    won = sum(episode.won for episode in found.episodes)
    print(f"{len(found.episodes)} episodes, {steps:,} steps, {found.led:.1%} of them the walkthrough's; {won} won")
    print(
        f"{len(found.rows):,} comparisons; the preferred piece came later in {found.agreement('steps'):.3f} of them, "
        f"and after more distinct lines in {found.agreement('lines'):.3f}"
    )
    print(f"Next: guerdon fit {out / 'pairs.jsonl'} --members tfidf --out reward")


def train(
    games: Games,
    /,
    out: Path = Path("agent"),
    reward: str | None = None,
    imitate: Path | None = None,
    unseen: tuple[Path, ...] = (),
    config: OmitArgPrefixes[AgentConfig] = AgentConfig(),  # noqa: B008  # frozen
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Train an agent that ranks commands, by PPO of RLlib, on the true score or on a learned reward.

    With --imitate it learns by supervision to give the commands of collected play instead (behaviour cloning).

    At the end it plays beside random commands, and its true score is shown. The folder then holds the agent and
    training.json.

    Args:
        games: The games that it plays.
        out: Folder of the agent.
        reward: The learned reward that is paid; without one, the rise of the true score is.
        imitate: Folder of collected play of these games, whose commands are imitated.
        unseen: Games, or folders of them, that it plays at the end only.
        config: How to train.
        scorer: How --reward is loaded, and how it reads.
    """
    from guerdon.cli.progress import clock, terminal
    from guerdon.cli.tables import new_table, output
    from guerdon.metrics import format_interval
    from guerdon.worlds.agent_run import PPOUpdate, train_agent

    with terminal() as console:

        def show(update: PPOUpdate) -> None:
            if update.steps % (4 * config.envs * config.fragment) == 0:
                console.print(
                    f"{update.steps:,} steps  {clock(update.seconds)}  score {update.score:.2f}  won {update.won:.2f}"
                )

        learned = scorer.named(reward) if reward else None
        trained = train_agent(games, out, config, reward=learned, imitate=imitate, unseen=unseen, on_update=show)
    table = new_table("True score, as a share of the highest", "", "games", "score", "won", box=None)
    for one in trained.played:
        table.add_row(one.player, one.where, format_interval(one.score), f"{one.won:.0%}")
    output().print(table)
    if trained.without_reward:
        print(f"{trained.without_reward:,} steps of training had no reward, and were paid nothing")
    print(f"{out}: the agent, and training.json")


def watch(
    game: GameFile,
    /,
    out: Path = Path("game.html"),
    player: str = "walkthrough",
    reward: str | None = None,
    length: int = 1,
    max_steps: int = 100,
    seed: int = 0,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Write a page that shows a game turn by turn, with a learned reward beside the true score.

    Args:
        game: The game.
        out: The page.
        player: Who plays: walkthrough, random, or the folder of an agent.
        reward: A learned reward.
        length: Steps of the pieces that the reward reads: as many as it was trained on.
        max_steps: The limit of the episode.
        seed: Random seed of random commands.
        scorer: How --reward is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal
    from guerdon.metrics import format_value
    from guerdon.worlds.watch import watch_game

    with terminal():
        learned = scorer.named(reward) if reward else None
        watched = watch_game(game, out, player=player, reward=learned, length=length, max_steps=max_steps, seed=seed)
    ending = "won" if watched.episode.won else "not won"
    print(f"{ending} after {len(watched.turns) - 1} commands, with {watched.episode.score:.0%} of the highest score")
    if watched.agreement == watched.agreement:
        print(f"Spearman's correlation of learned reward and true score: {format_value(watched.agreement)}")
    print(f"{out}: turn by turn")
