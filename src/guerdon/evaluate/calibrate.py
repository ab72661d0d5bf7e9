"""A calibration of P(a preferred), fitted by an evaluation and kept in a saved reward."""

from __future__ import annotations

from pathlib import Path

from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.probabilities import FEWEST_PAIRS
from guerdon.evaluate.results import Evaluation
from guerdon.metrics import Calibration, CalibrationMethod
from guerdon.rewards.saved import FILE_NAME, save_calibration


def calibrate_reward(
    model: str | Path, evaluation: Evaluation, method: CalibrationMethod = "temperature", *, system: str = ""
) -> Calibration:
    """Keeps a fit of P(a preferred) in the `guerdon.json` of a saved reward, whose `compare()` then applies it.

    Scores stay as they are. What the fit is worth on other prompts stands in the evaluation, where it is made on other
    folds of the rows than it is measured on; what is kept is fitted on all of them.

    Example:
        >>> evaluation = evaluate_reward({"mine": load_scorer("my-reward")}, load_rows("validation.jsonl"))
        >>> calibrate_reward("my-reward", evaluation, "platt").scale
        1.83

    Args:
        model: the folder of the reward, of any kind that guerdon saves.
        evaluation: in which it was measured.
        method: `temperature`, `platt` or `isotonic`.
        system: its name there; empty takes the first.

    Raises:
        ConfigError: the model is no folder that guerdon saved, or the evaluation does not know the system.
        DataError: the evaluation has too few pairs to fit anything.
        OutputError: the file cannot be written.
    """
    folder = check_saved(model)
    name = system or evaluation.systems[0]
    if name not in evaluation.systems:
        raise ConfigError(f"the evaluation knows no system {name!r}; it knows {', '.join(evaluation.systems)}")
    for section in evaluation.sections:
        for one in section.details.probabilities:
            if one.system == name:
                about = {"kind": section.kind, "pairs": one.pairs, "data": list(evaluation.data)}
                save_calibration(folder, one.fits[method], about)
                return one.fits[method]
    raise DataError(f"a calibration needs {FEWEST_PAIRS} pairs of two or more prompts, and the data have not so many")


def check_saved(model: str | Path) -> Path:
    """The folder of a reward that guerdon saved. Raises ConfigError for any other model."""
    folder = Path(model).expanduser()
    if not (folder / FILE_NAME).is_file():
        raise ConfigError(
            f"only a reward that guerdon saved keeps a calibration, and {model} has no {FILE_NAME}. "
            "Fix: guerdon doctor --adopt writes one for a model of others"
        )
    return folder
