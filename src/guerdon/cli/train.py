"""`guerdon train`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.train.train_config import TrainConfig

_ENDINGS = re.compile(r"(\.(jsonl|ndjson|json|csv|tsv|parquet))?(\.(gz|zst))?$", re.IGNORECASE)


def train(
    data: Data,
    /,
    out: Path | None = None,
    validation_data: str | None = None,
    resume: bool = False,
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[TrainConfig] = TrainConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a reward model from comparisons, ratings, rankings, references or solutions with judged steps.

    The folder holds the model with its score contract, a TF-IDF baseline of the same data, and run/ with checkpoints,
    metrics.jsonl and TensorBoard files. `accelerate launch -m guerdon train ...` trains on several devices.

    Args:
        data: Comparisons, ratings, rankings, references or judged steps (--objective process) to learn from.
        out: Folder of the model; the default is runs/ and the name of the data.
        validation_data: Rows to choose the checkpoint by, instead of a share of DATA (see --validation).
        resume: Go on from the last checkpoint in the folder, with the same data and options.
        reading: How DATA is read.
        config: How to train.
    """
    from guerdon.cli.progress import terminal, training_progress

    folder = out or default_folder(data)
    with terminal() as console:
        from guerdon.runs.ranks import is_first_process
        from guerdon.train.train_run import train_and_save

        with training_progress(console) as on_step:
            train_and_save(
                data,
                folder,
                config,
                validation=validation_data,
                resume=resume,
                on_step=on_step,
                **reading,
            )
        if is_first_process():
            print(summary(folder, data, config.ensemble_size))


def default_folder(data: str) -> Path:
    """`runs/NAME`, where NAME is what the data is called without its folder and endings."""
    name = _ENDINGS.sub("", Path(data).name).replace(":", "-")
    return Path("runs") / (name if name.strip("-.") else "stdin")


def summary(folder: Path, data: str, members: int) -> str:
    """Where the model is, how well it does on what was held out, and what to do with it."""
    from guerdon.metrics import format_value
    from guerdon.runs.log import read_curve

    lines = [f"reward model: {folder}"]
    runs = [folder] if members == 1 else [folder / f"member-{i}" for i in range(members)]
    for place in runs:
        kept = read_curve(place / "run").kept
        if kept:
            name = "" if members == 1 else f" of {place.name}"
            accuracy = format_value(kept[1])
            lines.append(f"accuracy on the validation rows{name}: {accuracy} (step {kept[0]:.0f}, which is kept)")
    return "\n".join([*lines, next_steps(folder, data)])


def next_steps(folder: Path, data: str, options: str = "") -> str:
    """How to measure a reward, and to score with it."""
    rows, model = (shlex.quote(str(one)) for one in (data if data != "-" else "DATA", folder))
    return (
        f"next, with rows that it has not seen:\n  guerdon evaluate {model} TEST\n"
        f"  guerdon score {model} {rows}{options} --out scores.jsonl"
    )
