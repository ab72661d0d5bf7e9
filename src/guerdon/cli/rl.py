"""`guerdon optimize rl`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, TrustedScorerOptions
from guerdon.cli.sources import Data
from guerdon.cli.weighted import next_steps
from guerdon.optimize.optimize_config import RLConfig


def rl(
    model: Model,
    data: Data,
    /,
    out: Path = Path("rl"),
    validation: str | None = None,
    gold: str | None = None,
    resume: bool = False,
    scorer: OmitArgPrefixes[TrustedScorerOptions] = TrustedScorerOptions(),  # noqa: B008  # frozen
    config: OmitArgPrefixes[RLConfig] = RLConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a language model by reinforcement learning: PPO, RLOO, REINFORCE++, GRPO, Dr. GRPO, DAPO, GSPO, CISPO.

    Every step samples responses to some prompts of DATA, scores them, and updates the policy by the row of the table in
    docs/optimize.md that --algorithm names. The folder then holds the policy in Hugging Face layout, and run/ with
    metrics.jsonl and TensorBoard files, and with --validation monitor.html, which shows how the policy changed. One
    process does all of it, or Ray actors: --num-env-runners sample, --num-learners learn.

    Args:
        model: The scorer whose reward trains; every runner loads its own.
        data: Prompts.
        out: Folder of the policy.
        validation: Held-out prompts to evaluate the policy on; the policy at the best evaluation is kept.
        gold: A scorer whose reward does not train, and says which evaluation is best; without one, MODEL says it.
        resume: Go on from the last checkpoint in the folder, with the same data and options.
        scorer: How MODEL and --gold are loaded, and how they read.
        config: How to train.
    """
    from guerdon.cli.progress import terminal, training_progress

    with terminal() as console:
        from guerdon.optimize.rl.rl_run import train_rl_policy

        reward = replace(scorer.named(model), trust_remote_code=config.trust_remote_code)
        with training_progress(console) as on_step:
            train_rl_policy(
                reward,
                data,
                out,
                config,
                validation=validation or (),
                gold=replace(reward, name=gold) if gold else None,
                resume=resume,
                on_step=on_step,
            )
    if validation:
        print(_kept(out))
    print(next_steps(out))


def _kept(out: Path) -> str:
    """Which policy was kept, and what it gained on the held-out prompts."""
    from guerdon.metrics import format_interval
    from guerdon.optimize.drift_page import PAGE, gains
    from guerdon.optimize.monitor import EVALUATIONS_FILE, best_evaluation, read_evaluations
    from guerdon.runs.folder import RUN_FOLDER

    evaluations = read_evaluations(out / RUN_FOLDER / EVALUATIONS_FILE)
    best = best_evaluation(evaluations)
    gained = gains(evaluations[0], best)
    proxy = format_interval(gained.proxy, signed=True, decimals=None)
    gold = f", gold {format_interval(gained.gold, signed=True, decimals=None)}" if gained.gold else ""
    return (
        f"kept: step {best.step} of {evaluations[-1].step}; gained on the held-out prompts: reward that trains "
        f"{proxy}{gold}\n{out / PAGE}: how the policy changed"
    )
