"""`guerdon optimize weighted`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, TrustedScorerOptions
from guerdon.cli.sources import Data
from guerdon.optimize.optimize_config import WeightedConfig


def weighted(
    model: Model,
    data: Data,
    /,
    out: Path = Path("weighted"),
    resume: bool = False,
    scorer: OmitArgPrefixes[TrustedScorerOptions] = TrustedScorerOptions(),  # noqa: B008  # frozen
    config: OmitArgPrefixes[WeightedConfig] = WeightedConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a language model on its own responses, weighted by their reward: L(x) = L_MLE(x) - lambda R(x), RWR, RAFT.

    Every step samples responses to some prompts of DATA, scores them, and makes those more likely that score higher.
    With --objective reward, demonstrations in DATA (chosen, reference) are learnt by plain likelihood beside them. The
    folder then holds the policy in Hugging Face layout, and run/ with metrics.jsonl and TensorBoard files.

    Args:
        model: The scorer whose reward weighs the responses.
        data: Prompts, with demonstrations or without.
        out: Folder of the policy.
        resume: Go on from the last checkpoint in the folder, with the same data and options.
        scorer: How MODEL is loaded, and how it reads.
        config: How to train.
    """
    from guerdon.cli.progress import terminal, training_progress

    with terminal() as console:
        from guerdon.optimize.weighted import train_weighted_policy
        from guerdon.runs.ranks import is_first_process

        reward = replace(scorer.named(model), trust_remote_code=config.trust_remote_code)
        with training_progress(console) as on_step:
            train_weighted_policy(reward, data, out, config, resume=resume, on_step=on_step)
        if is_first_process():
            print(next_steps(out))


def next_steps(out: Path) -> str:
    """Where the policy is, and how to check it."""
    return (
        f"policy: {out}\nnext, with prompts and a reward that it has not seen:\n"
        f"  guerdon optimize best-of-n OTHER TEST --policy {out} --n 4 --out check"
    )
