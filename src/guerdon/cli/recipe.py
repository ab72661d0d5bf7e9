"""`guerdon recipe`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.optimize import show_curves
from guerdon.errors import ConfigError
from guerdon.metrics import format_interval
from guerdon.train.config import TrainConfig

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.optimize.candidates import Answering
    from guerdon.policy.decode import Sampling
    from guerdon.recipes.run import Result
    from guerdon.types import Prompt


def recipe(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: Path = Path("recipe"),
    folds: int = 5,
    limit: int = 0,
    ask: str | None = None,
    n: int = 8,
    asked: int = 64,
    max_new_tokens: int = 128,
    ask_temperature: float = 0.7,
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(epochs=2, validation=0.0, overlong="cut"),  # noqa: B008  # frozen
) -> None:
    """One application from judgements to better picks: split, train, pick, measure beside baselines.

    NAME is translation, summarisation, dialogue, question-answering, code-generation, code-completion or retrieval. A
    reward model is trained on the judgements of some prompts of DATA, and picks among the candidates of others; what it
    picks is worth what people, or tests, say. Beside it stand random, longest and TF-IDF picks, the single system that
    was best in training, BM25 where the data has it, and an oracle.

    Args:
        name: the application.
        data: scored candidates (translation, summarisation, retrieval), preferences (dialogue, question answering), or
            problems with solutions and unit tests (code).
        out: folder of the models and recipe.json.
        folds: the prompts are dealt out to so many parts, one of which is measured on (retrieval: each in turn).
        limit: train on about so many prompts; 0 takes all.
        ask: a language model that answers the held-out prompts, too, for the reward model to pick from: smollm2, a
            folder or a hub name. Unit tests, or a gold reward that never trained, tell what that gains.
        n: its answers to each prompt.
        asked: held-out prompts that it answers, at the most.
        max_new_tokens: its longest answer, in tokens.
        ask_temperature: of its sampling.
        config: how to train.
    """
    from guerdon.cli.progress import terminal, training_progress
    from guerdon.recipes.table import recipe_named

    chosen = recipe_named(name)
    if ask and chosen.cross:
        raise ConfigError(f"--ask has no place in {name}, which orders what is in the data")
    if n < 2 or asked < 1:
        raise ConfigError(f"--n must be 2 or more and --asked 1 or more; got {n} and {asked}")
    with terminal() as console:
        from guerdon.policy.decode import Sampling
        from guerdon.recipes.run import run_recipe

        sampling = Sampling(max_new_tokens, ask_temperature)
        answering = _answering(ask, n, sampling, config.seed, console) if ask else None
        choices = chosen.read(data)
        console.print(f"{len(choices):,} prompts with {sum(len(c.responses) for c in choices):,} candidates")
        result = run_recipe(
            chosen,
            choices,
            out,
            replace(config),
            folds=folds,
            limit=limit,
            answering=answering,
            asked=asked,
            on_fold=lambda fold, count: console.print(f"training {fold + 1} of {count}"),
            progress=lambda: training_progress(console),
        )
    _show(result, out)
    if result.answers:
        print(f"\nThe reward model picks among answers of {ask} to {result.answers.prompts:,} of these prompts:")
        show_curves(result.answers)


def _answering(name: str, n: int, sampling: Sampling, seed: int, console: Console) -> Answering:
    from guerdon.cli.progress import text_progress
    from guerdon.policy.model import Policy

    policy = Policy.load(name)

    def answer(prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[str]]]:
        with text_progress(console, "answering", len(prompts)) as advance:
            advance(len(done))
            for one in policy.sample_texts(prompts, num_generations=n, sampling=sampling, seed=seed, done=done):
                yield one
                advance(1)

    return answer


def _show(result: Result, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=f"{result.about}: {result.yardstick}", title_justify="left")
    table.add_column("picks by")
    table.add_column("value", justify="right")
    table.add_column("reward model minus it", justify="right")
    for system in result.systems:
        difference = format_interval(system.difference, signed=True) if system.difference else ""
        table.add_row(system.name, format_interval(system.value), difference)
    console.print(table)
    if result.added:
        console.print(f"The reward model adds to BM25: {format_interval(result.added, signed=True)}")
    console.print(
        f"Trained on {result.trained_on:,} prompts, measured on {result.measured_on:,} others; 95% intervals. "
        f"{result.cut:.0%} of the texts were longer than the model reads.\n{out}: the models, recipe.json"
    )
