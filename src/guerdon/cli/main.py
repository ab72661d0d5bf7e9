"""Entry point of `guerdon`. Only the module of the verb that was asked for is imported."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import NamedTuple

from guerdon import __version__
from guerdon.errors import GuerdonError


class Verb(NamedTuple):
    """A line of the table."""

    place: str
    """Module below `guerdon.cli`, and behind a colon the function where it is called otherwise."""
    about: str
    """One line of help."""
    function: str
    """The function of `guerdon` that does the work, for scripts."""

    @property
    def command(self) -> str:
        """`module:function` that parses, calls and prints."""
        module, _, function = self.place.partition(":")
        return f"guerdon.cli.{module}:{function or module}"


VERBS: dict[str, Verb] = {
    "quickstart": Verb(
        "quickstart", "fit what wins by evidence, measure, explain, pick by it; writes report.html", "run_quickstart"
    ),
    "data info": Verb("data:info", "what a data file holds, and how it was understood", "describe_data"),
    "data check": Verb("data:check", "every bad row, with file and line", "check_data"),
    "data split": Verb("data:split", "train and test by prompt, dialogue or column, never by row", "split_data"),
    "data convert": Verb("data:convert", "any known layout into Guerdon's own", "convert_data"),
    "data label-steps": Verb("label_steps", "labels for steps, by how a policy goes on behind them", "label_steps"),
    "data audit": Verb("data:audit", "what labels lean on, doubles, contradictions, likely errors", "audit_data"),
    "advise": Verb("advise", "compare kinds of reward on your data, and recommend one", "advise_reward"),
    "train": Verb(
        "train", "a reward model from comparisons, ratings, rankings, references or judged steps", "train_reward_model"
    ),
    "fit": Verb("fit", "a reward on frozen features: several kinds, combined by cross-validation", "fit_reward"),
    "judge": Verb("judge", "a judge by reinforcement learning, which reads only as much as it needs", "train_judge"),
    "judge generative": Verb(
        "judge:generative", "a language model that says which of two responses is better", "train_verdict_judge"
    ),
    "evaluate": Verb("evaluate", "agreement with people, beside trivial baselines, with intervals", "evaluate_reward"),
    "compare": Verb(
        "compare", "which of several rewards agrees better with people, by paired tests", "compare_rewards"
    ),
    "audit": Verb("audit", "what a reward is really made of: which changes move it that should not", "audit_reward"),
    "repair": Verb("repair", "take from a reward what it owes to length and format", "repair_reward"),
    "explain": Verb(
        "explain", "why a reward gives its score, and what moves the scores of a data set", "explain_reward"
    ),
    "doctor": Verb("doctor", "whether a reward gives a text the same score however it is asked", "check_reward_model"),
    "score": Verb("score", "give every response its reward", "score_rows"),
    "optimize best-of-n": Verb(
        "best_of_n", "the best of n responses by a reward, and what that gains", "run_best_of_n"
    ),
    "optimize weighted": Verb(
        "weighted", "a policy by reward-weighted likelihood, RWR or RAFT", "train_weighted_policy"
    ),
    "optimize rl": Verb(
        "rl", "a policy by PPO, RLOO, REINFORCE++, GRPO, Dr. GRPO, DAPO, GSPO or CISPO", "train_rl_policy"
    ),
    "recipe": Verb("recipe", "an application, from judgements to better picks, beside baselines", "run_recipe"),
    "collect serve": Verb("collect:serve", "judgements from people, in a browser", "serve_collection"),
    "collect invite": Verb("collect:invite", "a link by which somebody joins a collection", "invite_person"),
    "collect learn": Verb("collect:learn", "learn from judgements, and choose what to ask next", "learn_collection"),
    "collect judge": Verb("collect:judge", "a reward or a judge as annotator, marked as such", "judge_collection"),
    "collect export": Verb("collect:export", "what was judged, as rows to train on", "export_judgements"),
    "collect agreement": Verb(
        "agreement:agreement", "how far annotators agree, how good each is, and soft labels", "annotator_agreement"
    ),
    "worlds make": Verb("worlds:make", "text games, made by TextWorld from a seed", "make_games"),
    "worlds play": Verb("worlds:play", "a text game in the terminal", "play_game"),
    "worlds collect": Verb("worlds:collect", "play, and comparisons of pieces of it", "collect_play"),
    "worlds train": Verb("worlds:train", "an agent, by the true score or a learned reward", "train_agent"),
    "worlds watch": Verb("worlds:watch", "a page of a game: learned reward beside true score", "watch_game"),
}
"""The verbs in the order of a reward model's life."""


def usage(family: str = "") -> str:
    """The text of `guerdon --help`, or of `guerdon data --help` and the like: the verbs of one family."""
    verbs = {name: verb for name, verb in VERBS.items() if not family or name.split()[0] == family}
    width = max(map(len, verbs))
    lines = [
        f"guerdon {__version__}: a reward-model workbench for language models",
        "",
        "usage: guerdon VERB [options]      guerdon VERB --help for the options of one verb",
        "",
        *(f"  {name:<{width}}  {verb.about}" for name, verb in verbs.items()),
        "",
        "DATA is a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name), or `starter`,",
        "the set that comes along (parts of it: `starter:train`, `starter:test`, `starter:train:en` ...).",
    ]
    return "\n".join(lines)


def find_verb(args: list[str]) -> tuple[str, list[str]] | None:
    """The verb that the arguments begin with (one or two words), and what is left."""
    for words in (2, 1):
        verb = " ".join(args[:words])
        if len(args) >= words and verb in VERBS:
            return verb, args[words:]
    return None


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Returns the exit status: 0 done, 1 a check failed (`doctor`), 2 what the user can put right, 130 interrupted.
    """
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except BrokenPipeError:  # the reader (`head`, `less`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), flush=True)
        return 0
    if args[0] == "--version":
        print(f"guerdon {__version__}")
        return 0
    found = find_verb(args)
    if found is None:
        family = [verb for verb in VERBS if verb.split()[0] == args[0]]
        if family and args[1:] in ([], ["-h"], ["--help"]):
            print(usage(args[0]), flush=True)
            return 0
        hint = f"one of: {', '.join(family)}" if family else "see `guerdon --help`"
        print(f"guerdon: unknown verb {' '.join(args[:2])!r}; {hint}", file=sys.stderr)
        return 2
    verb, rest = found
    return _run(verb, rest)


def _run(verb: str, args: list[str]) -> int:
    import tyro

    from guerdon.cli.help_texts import add_help_texts

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    module, function = VERBS[verb].command.split(":")
    try:
        command = getattr(importlib.import_module(module), function)
        add_help_texts(command)
        status = tyro.cli(command, args=args, prog=f"guerdon {verb}")
    except GuerdonError as error:
        print(f"guerdon {verb}: error: {error}", file=sys.stderr)
        return 2
    except SystemExit as ended:  # of the parser
        if ended.code == 2 and len(files := [one for one in args if os.path.isfile(one)]) > 1:
            print(
                f"Several files as one DATA are parted by commas, {files[0]},{files[1]}, or given as a quoted pattern, "
                "'*.jsonl', which the shell leaves alone.",
                file=sys.stderr,
            )
        raise
    except KeyboardInterrupt:
        print(f"guerdon {verb}: interrupted", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0
