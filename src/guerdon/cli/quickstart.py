"""`guerdon quickstart`: the main job in one go."""

from __future__ import annotations

import time
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.quickstart.quickstart_config import QuickstartConfig


def quickstart(
    *,
    data: str = "starter",
    out: Path = Path("quickstart"),
    overwrite: bool = False,
    config: OmitArgPrefixes[QuickstartConfig] = QuickstartConfig(),  # noqa: B008  # frozen
) -> None:
    """Fit the reward that wins by evidence, measure it on unseen prompts, explain it, let it pick responses; a report.

    Without options it does so on the starter set, offline, in some minutes on two cores. The folder then holds
    report.html, model/ (the reward), evaluation.json, evidence.json (its candidates, and what it rests on), test.jsonl
    (the unseen rows), scores.jsonl (their rewards), answers.json, what the reward gained by picking responses of a
    language model, and gold/, the reward that judged these.

    Args:
        data: Judgements: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or
            starter.
        out: Folder for everything that is made.
        overwrite: Replace what an earlier quickstart wrote into the folder.
        config: How it is carried out.
    """
    from guerdon.cli.job_screen import job_screen

    started = time.monotonic()
    with job_screen() as screen:
        from guerdon.quickstart.quickstart_run import run_quickstart

        result = run_quickstart(data, out, config, overwrite=overwrite, events=screen)
    for line in (*result.headline, *([result.policy_gain.verdict] if result.policy_gain else [])):
        print(line)
    print(f"Done in {time.monotonic() - started:.0f} s. Open {out / 'report.html'}; what to do next:")
    for what, command in result.next_commands:
        print(f"  {command}\n      {what}")
