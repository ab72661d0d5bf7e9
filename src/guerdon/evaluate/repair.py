"""Takes from a reward what it owes to length and format, and measures on other rows what that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from guerdon.data.data_options import ReadOptions
from guerdon.data.read import load_rows
from guerdon.data.split import group_folds
from guerdon.data.values import plain
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.correction import fit_correction, length_slope, longer_picked
from guerdon.evaluate.repair_config import RepairConfig, RepairMode
from guerdon.evaluate.result_tables import Table, tables_of
from guerdon.evaluate.statistics import resampling_unit
from guerdon.files import check_writable, write_json
from guerdon.metrics import (
    Floats,
    Interval,
    Ints,
    accuracy_ties_half,
    bootstrap_distribution,
    length_balanced_accuracy,
    percentile_interval,
)
from guerdon.perturbations.table import TRANSFORMATIONS
from guerdon.report.templating import write_page
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.repaired import Correction, RepairedReward
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.truncation import refuse_truncation, report_totals, row_texts
from guerdon.types import AnyRow, Prompts, Responses, Scorer

REPORT, PAGE = "repair.json", "repair.html"
FEWEST_PAIRS = 30
"""Pairs of different lengths that a correction is fitted on, at least."""


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """One measure of a reward, before and after its repair, on pairs that the correction was not fitted on."""

    name: str
    about: str
    before: Interval
    after: Interval
    change: Interval
    """After minus before, paired."""


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """A repaired reward, and what the repair changed."""

    reward: RepairedReward
    mode: RepairMode
    measures: tuple[BeforeAndAfter, ...]
    pairs: int
    """Pairs that the repair was fitted on, and measured on out of fold."""
    folds: int
    """Parts of the pairs; each was measured with a correction that was fitted on the others."""
    clusters: int
    unit: str
    people_pick_longer: float
    """The share of the pairs of different lengths in which people preferred the longer response."""
    not_scored: int
    """Responses without a reward; their pairs take no part."""
    kind: str
    """The kind of rows that were read, as a section of an evaluation is called."""
    other_kinds: tuple[str, ...]
    """Other kinds of rows of the data, with pairs that took no part."""

    def measure(self, name: str) -> BeforeAndAfter:
        """The measure of a name. Raises KeyError."""
        return {one.name: one for one in self.measures}[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        own = ("mode", "kind", "other_kinds", "pairs", "folds", "clusters", "unit", "people_pick_longer")
        values = {name: getattr(self, name) for name in (*own, "not_scored")}
        measures = {"measures": [asdict(one) for one in self.measures]}
        return {name: plain(value) for name, value in (values | measures).items()}


def repair_reward(
    scorer: Scorer | str,
    data: str | Path | Sequence[AnyRow],
    out: str | Path | None = None,
    config: RepairConfig | None = None,
    *,
    name: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> Repair:
    """Fits a correction for length and format on all rows, and measures it out of fold.

    What is measured on a fold of the prompts (or groups) is a correction that was fitted on the other folds; what is
    handed over was fitted on all.

    Example:
        >>> repair = repair_reward("runs/helpful", "preferences.jsonl", "runs/helpful-repaired")
        >>> repair.measure("excess").after
        Interval(point=0.004, low=-0.021, high=0.03)

    Args:
        scorer: a scorer, or its name.
        data: rows, or where to read them: comparisons, or ratings and rankings with several responses to a prompt.
        out: folder of the repaired reward, of repair.json and of its page, repair.html; None saves nothing.
        config: what is taken away.
        name: by which a scorer that cannot be saved is loaded again with the repaired one (`module:object`, a rule);
            not needed where `scorer` is a name.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        ConfigError: `out` is given for a scorer that could not be loaded again.
        DataError: too few pairs of responses of different lengths, too many responses that are longer than the scorer
            reads, or nothing can be read.
        ModelError: the scorer cannot be loaded, or fails on every response.
        OutputError: `out` cannot be written.
    """
    config = config or RepairConfig()
    if out is not None:
        check_writable(Path(out) / FILE_NAME)
    name = scorer if isinstance(scorer, str) else name
    model = ScorerConfig(name=scorer).load() if isinstance(scorer, str) else scorer
    if out is not None and not name and not hasattr(model, "save"):
        raise ConfigError(
            f"a {type(model).__name__} has no save() and no name, so that the repaired reward could not be loaded "
            "again. Fix: give name=, such as module:object, or out=None"
        )
    rows = data if isinstance(data, Sequence) and not isinstance(data, str) else load_rows(str(data), **reading)
    refuse_truncation([model], row_texts(rows))
    on_stage("scoring")
    judged = _Judged.of(rows, model)
    on_stage("fitting the correction")
    repaired = RepairedReward(model, judged.correction(config), name=name)
    fold = judged.folds(config)
    of_fold = [judged.part(fold != one).correction(config) for one in range(int(fold.max()) + 1)]
    if config.flip_pairs:
        on_stage("changing responses without changing their meaning")
    measures = _measures(judged, model, fold, of_fold, config)
    report_totals([model])
    longer = judged.longer[judged.longer != 0]
    found = Repair(
        reward=repaired,
        mode=config.mode,
        measures=measures,
        pairs=len(judged.table.better),
        folds=len(of_fold),
        clusters=len(np.unique(judged.clusters)),
        unit=resampling_unit(judged.table)[1],
        people_pick_longer=float((longer > 0).mean()),
        not_scored=judged.not_scored,
        kind=judged.table.kind,
        other_kinds=judged.other_kinds,
    )
    if out is not None:
        repaired.save(out)
        write_json(Path(out) / REPORT, found.to_dict())
        write_page(Path(out) / PAGE, "repair.html.j2", model=name or out, found=found, lines=repair_lines(found))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Judged responses, n, with their rewards; all have one."""

    table: Table
    prompts: list[Any]
    responses: list[str]
    references: list[str | None]
    rewards: Floats
    not_scored: int
    other_kinds: tuple[str, ...]

    @property
    def longer(self) -> Floats:
        """Log length of the preferred response minus that of the other, shape (m,)."""
        lengths = np.log1p(self.table.lengths)
        return np.asarray(lengths[self.table.better] - lengths[self.table.worse])

    @property
    def clusters(self) -> Ints:
        """The cluster of each pair, codes from 0 on, shape (m,)."""
        return np.unique(resampling_unit(self.table)[0][self.table.better], return_inverse=True)[1]

    def folds(self, config: RepairConfig) -> Ints:
        """The fold of each response, shape (n,): whole clusters. Raises DataError where there is one cluster alone."""
        codes = resampling_unit(self.table)[0]
        return group_folds(list(map(str, codes)), max(2, min(config.folds, len(np.unique(codes)))), config.seed)

    def part(self, keep: NDArray[np.bool_]) -> _Judged:
        """The responses for which `keep` is true, and the pairs between them."""
        return replace(
            self,
            table=self.table.select(keep),
            prompts=list(compress(self.prompts, keep)),
            responses=list(compress(self.responses, keep)),
            references=list(compress(self.references, keep)),
            rewards=self.rewards[keep],
        )

    def correction(self, config: RepairConfig) -> Correction:
        """What is fitted on these pairs. Raises DataError where they are too few."""
        apart = int((self.longer != 0).sum())
        if apart < FEWEST_PAIRS:
            raise DataError(
                f"a repair needs {FEWEST_PAIRS} pairs of responses of different lengths to fit on, and there are "
                f"{apart} (or so many without one fold). Fix: more comparisons"
            )
        pairs = self.table.better, self.table.worse
        return fit_correction(
            self.prompts,
            self.responses,
            self.rewards,
            pairs,
            mode=config.mode,
            method=config.method,
            formats=config.formats,
        )

    @classmethod
    def of(cls, rows: Sequence[AnyRow], model: Scorer) -> _Judged:
        tables, requests = tables_of(rows)
        paired = [one for one in tables if len(one.better)]
        table = paired[0] if paired else tables[0]
        every = list(requests)
        texts = [every[i] for i in table.requests]
        prompts, responses, references = (list(each) for each in zip(*texts, strict=True)) if texts else ([], [], [])
        found = score_texts(model, prompts, responses, references).values.astype(np.float64)
        missing = np.isnan(found)
        every_one = cls(
            table, prompts, responses, references, found, int(missing.sum()), tuple(o.kind for o in paired[1:])
        )
        return every_one.part(~missing)


def _measures(
    part: _Judged, model: Scorer, fold: Ints, of_fold: Sequence[Correction], config: RepairConfig
) -> tuple[BeforeAndAfter, ...]:
    """Every measure of both rewards, from the same resamples; `of_fold` are the corrections, fitted without a fold."""
    taken = _taken(of_fold, fold, part.prompts, part.responses)
    rewards = np.stack([part.rewards, part.rewards - taken])
    margins = rewards[:, part.table.better] - rewards[:, part.table.worse]
    longer = part.longer

    def statistic(weights: Floats) -> Floats:
        accuracy = accuracy_ties_half(margins.T, weights)
        balanced = length_balanced_accuracy(margins.T, longer, weights)
        measured = (longer_picked(margins, longer, weights), length_slope(margins, longer, weights))
        return np.stack([*measured, accuracy, balanced], axis=-1)

    points = statistic(np.ones((1, margins.shape[1])))[0]
    drawn = _resampled(statistic, part.clusters, config.seed)
    names = {
        "excess": "how much more often it picks the longer response than people do",
        "slope": "slope of the margins of preferred responses on log length, in units of the reward",
        "accuracy": "share of the pairs ordered as people did",
        "length_balanced": "mean of that where the longer and where the shorter response won",
    }
    found = [
        _before_and_after(name, about, points[:, i], drawn[:, :, i]) for i, (name, about) in enumerate(names.items())
    ]
    if config.flip_pairs:
        found.append(_flips(part, model, rewards, fold, of_fold, config))
    return tuple(found)


def _taken(of_fold: Sequence[Correction], fold: Ints, prompts: Prompts, responses: Responses) -> Floats:
    """What is taken from each response, by the correction that has not seen its fold; shape (n,)."""
    taken = np.empty(len(fold))
    for one, correction in enumerate(of_fold):
        here = fold == one
        taken[here] = correction(list(compress(prompts, here)), list(compress(responses, here)))
    return taken


def _resampled(statistic: Callable[[Floats], Floats], clusters: Any, seed: int) -> Floats:
    """The statistic on bootstrap data sets; one NaN where there is a single cluster, of which nothing can be drawn."""
    if clusters.max() == 0:
        return np.full_like(statistic(np.ones((1, len(clusters)))), np.nan)
    return bootstrap_distribution(statistic, clusters, seed=seed)


def _before_and_after(name: str, about: str, points: Floats, drawn: Floats) -> BeforeAndAfter:
    before, after = (percentile_interval(float(points[i]), drawn[:, i]) for i in range(2))
    return BeforeAndAfter(
        name, about, before, after, percentile_interval(float(points[1] - points[0]), drawn[:, 1] - drawn[:, 0])
    )


def _flips(
    part: _Judged, model: Scorer, old: Floats, fold: Ints, of_fold: Sequence[Correction], config: RepairConfig
) -> BeforeAndAfter:
    """How often the order of a pair flips when one of the two says the same otherwise."""
    drawn = np.random.default_rng(config.seed)
    count = len(part.table.better)
    places = drawn.permutation(count)[: config.flip_pairs]
    changed: list[tuple[int, int, str]] = []
    for place in places:
        item = int(part.table.better[place])
        for change in TRANSFORMATIONS:
            matched = change.apply(part.prompts[item], part.responses[item], seed=config.seed)
            if matched is not None:
                changed.append((int(place), item, matched.changed))
    about = "share of the pairs whose order flips when the preferred response says the same otherwise"
    if not changed:
        nothing = Interval(float("nan"))
        return BeforeAndAfter("flips", about, nothing, nothing, nothing)
    prompts = [part.prompts[item] for _, item, _ in changed]
    texts, references = [text for *_, text in changed], [part.references[item] for _, item, _ in changed]
    rewards = score_texts(model, prompts, texts, references).values.astype(np.float64)
    items = np.array([item for _, item, _ in changed])
    new = np.stack([rewards, rewards - _taken(of_fold, fold[items], prompts, texts)])
    pair = np.array([place for place, *_ in changed])
    other = part.table.worse[pair]
    flipped = np.sign(old[:, part.table.better[pair]] - old[:, other]) != np.sign(new - old[:, other])
    there = ~np.isnan(rewards)
    values = flipped[:, there].astype(np.float64)
    clusters = np.unique(part.clusters[pair[there]], return_inverse=True)[1]
    return _before_and_after(
        "flips",
        about,
        values.mean(axis=1),
        _resampled(lambda w: np.asarray(w @ values.T / w.sum(1, keepdims=True)), clusters, config.seed),
    )


def repair_lines(repair: Repair) -> list[str]:
    """What a reader must know of the repair, in sentences."""
    people = repair.people_pick_longer
    lines = [f"People preferred the longer response in {people:.0%} of the pairs of different lengths."]
    excess = repair.measure("excess").before
    if repair.mode == "people" and not (excess.low > 0 or excess.high < 0):
        lines.append("Whether there is any excess cannot be told: its interval before the repair holds 0.")
    lost = -repair.measure("accuracy").change.point
    if repair.mode == "none" and lost > 0.01:
        lines.append(
            f"A reward that is flat in length agrees less with them: {100 * lost:.1f} points of accuracy are the "
            "price. --mode people takes away only what the reward has beyond people."
        )
    if repair.other_kinds:
        lines.append(f"Only the {repair.kind} were read; {' and '.join(repair.other_kinds)} took no part.")
    if repair.not_scored:
        lines.append(f"{repair.not_scored:,} responses have no reward; their pairs took no part.")
    return lines
