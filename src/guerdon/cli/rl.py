"""`guerdon optimize rl`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import Model, TrustedScorerOptions
from guerdon.cli.weighted import next_steps
from guerdon.errors import MissingExtraError
from guerdon.optimize.rl.config import RLConfig

DRIFT_PAGE = "monitor.html"


def rl(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: Path = Path("rl"),
    validation: str | None = None,
    gold: str | None = None,
    resume: bool = False,
    scorer: OmitArgPrefixes[TrustedScorerOptions] = TrustedScorerOptions(),  # noqa: B008  # frozen
    config: OmitArgPrefixes[RLConfig] = RLConfig(),  # noqa: B008  # frozen
) -> None:
    """Fine-tune a language model by reinforcement learning, on RLlib: PPO, RLOO, REINFORCE++, GRPO and its kin.

    Every step samples answers to some prompts of DATA, scores them, and updates the policy by the row of the table in
    docs/optimize.md that --algorithm names. The folder then holds the policy in Hugging Face layout, and run/ with
    metrics.jsonl and TensorBoard files, and with --validation monitor.html, which shows how it changed.
    --num-env-runners and --num-learners grow it from one process to many.

    Args:
        model: the scorer whose reward trains; every runner loads its own.
        data: prompts (file, hub name, starter or starter:train).
        out: folder of the policy.
        validation: held-out prompts to watch the policy on; the policy at the peak is the one that is kept.
        gold: a reward that does not train and says where the peak is (default: the reward that trains).
        resume: go on from the last checkpoint in the folder, with the same data and options.
        scorer: How MODEL and --gold are loaded, and how they read.
        config: how to train.
    """
    from importlib.util import find_spec

    from guerdon.cli.progress import terminal, training_progress

    if find_spec("ray") is None:
        raise MissingExtraError("guerdon optimize rl", "ray[rllib]", "rl")
    with terminal() as console:
        from guerdon.data.candidates import read_prompts
        from guerdon.optimize.rl.run import train_rl
        from guerdon.rewards.load import RULES

        reward = replace(scorer.named(model), trust_remote_code=config.trust_remote_code)
        requests = read_prompts(data)
        # A model goes to runners by name, and each loads its own; else it is loaded here, and a fault told at once.
        remote = config.num_env_runners and model not in RULES
        held_out = read_prompts(validation) if validation else ()
        watching = replace(reward, name=gold).load() if gold else None
        with training_progress(console) as on_step:

            def after_step(figures: Mapping[str, float]) -> None:
                on_step(figures)
                if "look/proxy" in figures:
                    _show_drift(out, model)

            train_rl(
                reward if remote else reward.load(),
                requests,
                out,
                config,
                validation=held_out,
                gold=watching,
                resume=resume,
                on_step=after_step,
            )
    if held_out:
        print(_show_drift(out, model))
    print(next_steps(out))


def _show_drift(out: Path, reward: str) -> str:
    """Writes the page of what was looked at so far; returns what the policy at the peak gained."""
    from guerdon.files import atomic_write
    from guerdon.metrics import format_interval
    from guerdon.optimize.monitor import LOOKS_FILE, peak, read_looks
    from guerdon.report.drift import gains, render
    from guerdon.runs.folder import RUN_FOLDER

    looks = read_looks(out / RUN_FOLDER / LOOKS_FILE)
    with atomic_write(out / DRIFT_PAGE) as file:
        file.write(render(looks, f"{out.name}, by {reward}"))
    best = peak(looks)
    gained = gains(looks[0], best)
    proxy = format_interval(gained.proxy, signed=True, decimals=None)
    gold = f", gold {format_interval(gained.gold, signed=True, decimals=None)}" if gained.gold else ""
    return (
        f"kept: step {best.step} of {looks[-1].step}; gained on the held-out prompts: reward that trains "
        f"{proxy}{gold}\n{out / DRIFT_PAGE}: how the policy changed"
    )
