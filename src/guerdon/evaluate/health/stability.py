"""Whether a score depends on anything but its text, and what its numbers are like; for any scorer."""

from __future__ import annotations

import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from guerdon.evaluate.health.patient import (
    SMALL,
    CheckRow,
    Finding,
    ScorerPatient,
    compared,
    failed,
    passed,
    skipped,
    warned,
)
from guerdon.rewards.load import load_scorer
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.training_data import read_training_prompts
from guerdon.rewards.user_objects import FunctionScorer

THREADS = 8
_FEW = 8
"""Distinct scores from which something can be said about their kind."""
_FINE = 16
"""Scores that are multiples of 1 / 16 are counts and marks, and not rounded."""


def rewards(patient: ScorerPatient) -> Finding:
    """Whether there are rewards at all, and different ones."""
    missing = len(patient.first) - len(patient.known)
    if missing:
        reasons = Counter(filter(None, score_texts(patient.scorer, *patient.sample).reasons))
        reason = reasons.most_common(1)[0][0] if reasons else "another one each time it is asked"
    if not len(patient.known):
        return failed(f"No text has a reward: {reason}.")
    distinct = len(np.unique(patient.known))
    if distinct == 1 and len(patient.known) >= _FEW and not _is_of(patient, "guerdon.rewards.rules"):
        return failed(f"All {len(patient.known)} texts have the same reward, {patient.known[0]:g}.")
    if missing:
        return warned(f"{missing} of {len(patient.first)} texts have no reward, most often because: {reason}.")
    return passed(f"All {len(patient.first)} texts have a reward; {distinct} different ones.")


def repetition(patient: ScorerPatient) -> Finding:
    """The same call again."""
    return compared("Scored twice", patient.first, patient.scores(range(len(patient.first))), 0.0)


def batch_size(patient: ScorerPatient) -> Finding:
    """Each text in a call of its own."""
    alone = np.concatenate([patient.scores([item]) for item in range(len(patient.first))])
    return compared("One by one and all at once", patient.first, alone, patient.tolerance)


def order(patient: ScorerPatient) -> Finding:
    """All texts, the last first."""
    backwards = patient.scores(range(len(patient.first))[::-1])[::-1]
    return compared("In the reverse order", patient.first, backwards, patient.tolerance)


def threads(patient: ScorerPatient) -> Finding:
    """Several calls at a time, each of every third text, beside the same calls one after the other."""
    parts = [range(start % 3, len(patient.first), 3) for start in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(patient.scores, parts))
    alone = [patient.scores(part) for part in parts[:3]]
    apart = np.concatenate([alone[start % 3] for start in range(THREADS)])
    return compared(f"From {THREADS} threads at a time", apart, np.concatenate(found), patient.tolerance)


def reload(patient: ScorerPatient) -> Finding:
    """Saved, loaded again, and where there are adapters, merged as well."""
    from guerdon.rewards.transformer import TransformerReward

    save = getattr(patient.scorer, "save", None)
    if save is None or not type(patient.scorer).__module__.startswith("guerdon."):
        return skipped("It cannot be saved.")
    if patient.size > SMALL:
        return skipped(f"Its weights take {patient.size / 2**30:.1f} GiB: they are not written a second time.")
    adapted = isinstance(patient.scorer, TransformerReward) and bool(patient.scorer.contract.base)
    place = {"device": str(patient.scorer.device)} if isinstance(patient.scorer, TransformerReward) else {}
    found = []
    for merge in (False, True) if adapted else (False,):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "reward"
            save(target, merge=True) if merge else save(target)
            values = score_texts(load_scorer(target, **place), *patient.sample).values
        what = "Saved with the adapter merged, and loaded again" if merge else "Saved and loaded again"
        found.append(compared(what, patient.first, values, patient.tolerance))
    return next((one for one in found if one.verdict == "fail"), found[-1])


def training_prompts(patient: ScorerPatient) -> Finding:
    """Whether an evaluation can say which of its rows were learnt from."""
    folder = getattr(patient.scorer, "folder", None)
    if not isinstance(folder, Path) or not (folder / FILE_NAME).is_file():
        return skipped("It was not trained by Guerdon, or not loaded from a folder.")
    known = read_training_prompts(folder)
    if known is None:
        return warned("Not recorded: an evaluation cannot say whether the model has seen its rows.")
    return passed(f"{known.count:,} prompts of the training data are known by hash.")


def score_range(patient: ScorerPatient) -> Finding:
    """Whether scores of a scorer without weights to look at are raw."""
    values = np.unique(patient.known)
    if _is_of(patient, "guerdon."):
        return skipped("It is a reward of Guerdon without weights, whose scale is its own.")
    if len(values) < _FEW or (values == np.round(values)).all():
        return skipped(f"{len(values)} different scores, which tell nothing of their scale.")
    low, high = float(values[0]), float(values[-1])
    if low >= 0 and high <= 1:
        return failed(
            f"All scores lie between 0 and 1 ({low:.3g} to {high:.3g}), as probabilities do: a sigmoid brings good "
            "texts, and bad ones, so near to each other that their differences mean little."
        )
    return passed(f"Scores from {low:.3g} to {high:.3g}, which no sigmoid has squashed.")


def rounding(patient: ScorerPatient) -> Finding:
    """Whether scores of a scorer without weights to look at have the precision of float32."""
    values = np.unique(patient.known)
    rough = values[values * _FINE != np.round(values * _FINE)]
    if _is_of(patient, "guerdon.") or len(rough) < _FEW:
        return skipped("Its scores are counts, marks, or too few to tell.")
    for name, bits in (("bfloat16", 16), ("float16", 13)):
        if not (rough.astype(np.float32).view(np.uint32) & ((1 << bits) - 1)).any():
            ties = len(patient.known) - len(values)
            return failed(
                f"Every score is a number of {name}: close texts tie; {ties} of {len(patient.known)} do here."
            )
    return passed("Scores have the precision of float32.")


def _is_of(patient: ScorerPatient, module: str) -> bool:
    """Whether a scorer's class stands in a module; a function of the user's stands in none."""
    return type(patient.scorer).__module__.startswith(module) and not isinstance(patient.scorer, FunctionScorer)


_ASKED = (
    "Find what a score depends on besides its own text: dropout that is on, statistics of the batch, a random prompt, "
    "padding without a mask"
)

SCORER_ROWS = (
    CheckRow(
        "rewards", "every text has a reward, and not all the same", "Look at the reason; give what it asks for", rewards
    ),
    CheckRow("repetition", "a text that is scored twice", f"{_ASKED}; set it to evaluation mode", repetition),
    CheckRow("batch", "a text alone, and among others", _ASKED, batch_size),
    CheckRow("order", "the texts in the reverse order", f"{_ASKED}; give rewards in the order of the texts", order),
    CheckRow("threads", f"{THREADS} calls at a time", "Keep nothing between calls, or take a lock", threads),
)
OPAQUE_ROWS = (
    CheckRow(
        "score scale",
        "raw scores, not probabilities (sigmoid)",
        "Return what the sigmoid was taken of: log p - log(1 - p)",
        score_range,
    ),
    CheckRow(
        "dtype", "scores of float32, not rounded", "Compute the head in float32, and return float32 numbers", rounding
    ),
)
KEPT_ROWS = (
    CheckRow(
        "save, merge and reload",
        "the scores of what is saved and loaded again, adapters merged and not",
        "Something that scores depend on is not saved: a hook, a buffer, a head outside modules_to_save",
        reload,
    ),
    CheckRow(
        "training prompts",
        "which prompts it was trained on is known",
        "Train with Guerdon, which keeps their hashes; else keep test prompts apart by yourself",
        training_prompts,
    ),
)
