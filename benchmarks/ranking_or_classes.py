"""A reward by the ranking loss beside a classifier of single texts: the same features, either loss, both metrics.

Comparisons are learnt in two ways. `ranking`: Bradley and Terry's loss on the difference of two rewards. `classes`:
every text alone, 1 where it was chosen and 0 where it was rejected, logistic loss. Features (`--member`), folds and
penalties to choose from (two more than usual) are the same, the penalty by each loss's own value in inner folds. Both
are measured out of fold by

    pairs     accuracy and log loss of which of two responses was preferred, P = sigmoid(difference)
    classes   of single texts, over all prompts: AUC, and accuracy at the median score of the training texts

with 95% intervals that draw whole groups, and paired differences.

    python benchmarks/ranking_or_classes.py --data PAIRS.jsonl.gz OTHERS.jsonl.gz,COLUMN,REGEX
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from guerdon.data.preferences import TIE
from guerdon.data.read import load_rows
from guerdon.metrics import (
    Floats,
    Ints,
    accuracy_ties_half,
    bootstrap_distribution,
    format_interval,
    length_balanced_accuracy,
    percentile_interval,
    roc_auc,
)
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import fit_judged, fit_weights
from guerdon.train.cross_validation import FOLDS, INNER_FOLDS, Member
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members

Fit = Callable[[Member, JudgedResponses, Ints, float], Floats]
"""Member, judgements, those that may be seen, penalty -> rewards of all responses."""


def ranking(member: Member, judged: JudgedResponses, where: Ints, penalty: float) -> Floats:
    """Rewards of all responses by the ranking loss."""
    weights, _ = fit_judged(member.values, judged, penalty, where)
    return np.asarray(member.values @ weights)


def classes(member: Member, judged: JudgedResponses, where: Ints, penalty: float) -> Floats:
    """Log-odds of all responses by the classification loss."""
    texts, place = np.unique([judged.better[where], judged.worse[where]], return_inverse=True)
    won, lost = (torch.from_numpy(np.bincount(side, minlength=len(texts))) for side in place.reshape(2, -1))

    def loss(scores: Tensor) -> Tensor:
        return (won * softplus(-scores) + lost * softplus(scores)).sum()

    weights, intercept = fit_weights(member.values[texts], loss, penalty, intercept=True)
    return np.asarray(member.values @ weights) + intercept


def own_loss(fit: Fit, scores: Floats, judged: JudgedResponses, where: Ints) -> float:
    """The value of the loss that a fit minimises, on other judgements."""
    better, worse = scores[judged.better[where]], scores[judged.worse[where]]
    parts = (better - worse,) if fit is ranking else (better, -worse)
    return float(sum(np.logaddexp(0, -part).sum() for part in parts))


def out_of_fold(fit: Fit, member: Member, judged: JudgedResponses, seed: int) -> tuple[Floats, Floats]:
    """Scores of the two texts of every pair by fits that never saw their group, and thresholds; (2, m) and (m,)."""
    scores, thresholds = np.zeros((2, len(judged))), np.zeros(len(judged))
    outer = judged.folds(FOLDS, seed)
    for fold in np.unique(outer):
        seen, unseen = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
        inner = judged.folds(INNER_FOLDS, seed + 1, seen)

        def tried(penalty: float, seen: Ints = seen, inner: Ints = inner) -> float:
            parts = [(seen[inner != part], seen[inner == part]) for part in np.unique(inner)]
            return sum(own_loss(fit, fit(member, judged, here, penalty), judged, there) for here, there in parts)

        penalties = [*member.penalties, *(factor * max(member.penalties) for factor in (10, 100))]
        found = fit(member, judged, seen, min(penalties, key=tried))
        scores[:, unseen] = found[judged.better[unseen]], found[judged.worse[unseen]]
        thresholds[unseen] = np.median(found[np.concatenate([judged.better[seen], judged.worse[seen]])])
    return scores, thresholds


def statistics(scores: Floats, thresholds: Floats, longer: Floats) -> dict[str, Callable[[Floats], Floats]]:
    """Metric -> what it is for weights of the pairs, shape (draws, m)."""
    margins, labels = scores[0] - scores[1], np.repeat([1, 0], scores.shape[1])
    over = scores - thresholds
    right = ((over[0] > 0) + 0.5 * (over[0] == 0) + (over[1] < 0) + 0.5 * (over[1] == 0)) / 2
    return {
        "pairs: accuracy": lambda w: accuracy_ties_half(margins, w),
        "pairs: length-balanced": lambda w: length_balanced_accuracy(margins, longer, w),
        "pairs: log loss": lambda w: w @ np.logaddexp(0, -margins) / w.sum(-1),
        "classes: AUC": lambda w: roc_auc(scores.ravel(), labels, np.tile(w, 2)),
        "classes: accuracy": lambda w: w @ right / w.sum(-1),
    }


def main() -> None:
    """Measures every data set with every kind of features."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, help="comparisons: FILE or FILE,GROUP or FILE,GROUP,REGEX")
    parser.add_argument("--member", nargs="+", default=["embedding"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for data in given.data:
        path, group, regex, *_ = [*data.split(","), None, None]
        judged = JudgedResponses.of(load_rows(path, group=group, group_regex=regex), "pairs")
        if (judged.target == TIE).any():
            raise SystemExit(f"{path} has ties, of which neither side is chosen")
        judged = replace(judged, target=np.ones(len(judged)))  # whatever the votes, for both losses alike
        codes = np.unique(judged.group, return_inverse=True)[1]
        sizes = np.array([len(text) for text in judged.responses], dtype=np.float64)
        longer = judged.margins(sizes)
        for member in read_members(judged, FitConfig(members=tuple(given.member))):
            print(f"{Path(path).name}, {member.name}: {len(judged)} pairs in {codes.max() + 1} groups", flush=True)
            both = [statistics(*out_of_fold(fit, member, judged, given.seed), longer) for fit in (ranking, classes)]
            for metric in both[0]:
                points = [one[metric](np.ones((1, len(judged))))[0] for one in both]
                drawn = [bootstrap_distribution(one[metric], codes) for one in both]
                cells = [percentile_interval(*pair) for pair in zip(points, drawn, strict=True)]
                minus = percentile_interval(points[0] - points[1], drawn[0] - drawn[1])
                values = [format_interval(cell) for cell in cells] + [format_interval(minus, signed=True)]
                print(f"| {metric} | {' | '.join(values)} |", flush=True)


if __name__ == "__main__":
    main()
