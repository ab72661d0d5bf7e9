"""`guerdon recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.recipes.recipe_config import RecipeConfig

if TYPE_CHECKING:
    from guerdon.recipes.recipe_run import RecipeResult


def recipe(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: Path = Path("recipe"),
    config: OmitArgPrefixes[RecipeConfig] = RecipeConfig(),  # noqa: B008  # frozen
) -> None:
    """One application from judgements to better picks: split, fit, pick, measure beside baselines.

    NAME is translation, summarisation, dialogue, question-answering, code-generation, code-completion or retrieval. A
    reward is fitted on the judgements of some prompts of DATA, and picks among the candidates of others; what it
    picks is worth what people, or tests, say. Beside it stand random, longest and TF-IDF picks, the single system that
    was best in training, BM25 where the data has it, and an oracle.

    Args:
        name: The application.
        data: Scored candidates (translation, summarisation, retrieval), preferences (dialogue, question answering), or
            problems with solutions and unit tests (code).
        out: Folder of the models and recipe.json.
        config: How the data is divided, what the reward is made of, and which language model responds to the held-out
            prompts.
    """
    from guerdon.cli.job_screen import job_screen

    with job_screen() as screen:
        from guerdon.recipes.recipe_run import run_recipe

        result = run_recipe(name, data, out, config, events=screen)
    _show(result, out)
    if result.policy:
        from guerdon.cli.best_of_n import show_curves

        print(f"\nThe reward model picks among responses of {config.policy} to {result.policy.prompts:,} of these:")
        show_curves(result.policy)


def _show(result: RecipeResult, out: Path) -> None:
    from guerdon.cli.tables import new_table, output
    from guerdon.metrics import format_interval

    console, decimals = output(), result.metric.decimals
    table = new_table(f"{result.title}: {result.metric.heading}", "picks by", "value", "reward model minus it")
    for system in result.systems:
        difference = format_interval(system.difference, signed=True, decimals=decimals) if system.difference else ""
        table.add_row(system.name, format_interval(system.value, decimals=decimals), difference)
    console.print(table)
    console.print(result.verdict)
    console.print(
        f"Fitted on {result.trained_on:,} prompts, measured on {result.measured_on:,} others; 95% intervals.\n"
        f"{out}: the rewards, recipe.json"
    )
