"""A reward on fixed features: members cross-validated, combined, and saved as one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from guerdon.data.data_options import ReadOptions
from guerdon.data.mismatched import mismatched_comparisons
from guerdon.data.preferences import TIE
from guerdon.data.published_sets import warn_trainer
from guerdon.data.read import load_rows
from guerdon.errors import ConfigError, DataError
from guerdon.files import check_writable
from guerdon.metrics import (
    Floats,
    Interval,
    Ints,
    accuracy_ties_half,
    clustered_bootstrap,
    length_balanced_accuracy,
    mean_interval,
    spearman,
)
from guerdon.rewards.blend import Blend
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.score_rows import reward_label
from guerdon.rewards.terms import BASELINE_FOLDER, fit_tfidf
from guerdon.rewards.training_data import TrainingPrompts, read_training_prompts
from guerdon.rewards.truncation import refuse_truncation, report_totals
from guerdon.train.cross_validation import BLEND, BlendFit, Member, build_blend, cross_validate, fit_blend
from guerdon.train.fit_config import FitConfig
from guerdon.types import AnyRow

FEWEST_LEFT = 50
"""Observations that a trained member must not have learnt from, at least."""


@dataclass(frozen=True, slots=True)
class MeasuredMember:
    """How a member, or the blend, did on judgements that it did not learn from."""

    name: str
    agreement: Interval
    """Share of pairs in the right order; Spearman's correlation with ratings. The 95% interval draws whole groups."""
    length_balanced: Interval
    """Mean of the shares where the longer and where the shorter response was preferred; NaN for ratings."""
    weight: float
    """Of the member brought to deviation 1; 0 where it is not used, NaN for the blend."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedReward:
    """A reward that was fitted, and how it and its members did on rows that they did not learn from."""

    reward: Blend
    fit: BlendFit
    judged: JudgedResponses
    margins: dict[str, Floats]
    """Name of each member, and `blend` for what is handed over -> margins of the observations, shape (m,), each by
    fits that never saw its group (`cross_validate`)."""
    learnt: np.ndarray
    """Which observations a trained member has learnt from, bool, shape (m,): margins of these prove nothing."""

    @property
    def measurable(self) -> Ints:
        """The observations that people judged and no trained member has learnt from."""
        return np.flatnonzero(~self.learnt & ~self.judged.mismatched)

    def measured(self) -> list[MeasuredMember]:
        """Every member, and what is handed over (`blend`), measured where no trained member has learnt."""
        where = self.measurable
        clusters = np.unique(self.judged.group[where], return_inverse=True)[1]
        weights = dict(zip(self.fit.agreement, self.fit.weights, strict=False))
        sizes = np.array([len(text) for text in self.judged.responses], dtype=np.float64)
        pairs = self.judged.objective == "pairs"
        ordered = self.judged.target[where] != TIE if pairs else np.ones(len(where), dtype=bool)
        longer = self.judged.margins(sizes)[where]

        def one(name: str, margins: Floats) -> MeasuredMember:
            def agreement(drawn: Floats) -> Any:
                if pairs:
                    return accuracy_ties_half(margins, drawn * ordered)
                return spearman(margins, self.judged.target[where], drawn)

            def balanced(drawn: Floats) -> Any:
                return length_balanced_accuracy(margins, longer, drawn * ordered)

            return MeasuredMember(
                name,
                clustered_bootstrap(agreement, clusters),
                clustered_bootstrap(balanced, clusters) if pairs else Interval(float("nan")),
                float(weights.get(name, np.nan)),
            )

        return [one(name, margins[where]) for name, margins in self.margins.items()]

    def gain_over(self, member: str) -> Interval:
        """How much more often than this member what is handed over orders a pair right, with its 95% interval."""
        where = self.measurable
        merits = [self.judged.merit(self.margins[name][where], where) for name in (BLEND, member)]
        return mean_interval(merits[0] - merits[1], self.judged.group[where].tolist())


def fit_reward(
    data: str | Path | Sequence[AnyRow],
    out: str | Path | None = None,
    config: FitConfig | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> FittedReward:
    """Fits members on fixed features and combines them: a `Blend`, in seconds to minutes.

    Penalties, weights, and whether the blend or a single member is handed over are chosen out of fold.

    Args:
        data: rows, or where to read them (file, hub name, or `starter`).
        out: folder of the reward, and of the TF-IDF baseline on the same rows; None saves nothing.
        config: which members.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: nothing can be learnt from the rows, or a trained member has learnt from nearly all of them.
        ModelError: a frozen model cannot be loaded.
        OutputError: `out` cannot be written.

    Example:
        >>> import guerdon
        >>> fitted = guerdon.fit_reward("preferences.jsonl", "runs/fitted")
        >>> fitted.reward.score(["Capital of France?"], ["Paris."])
    """
    config = config or FitConfig()
    if out is not None:
        check_writable(Path(out) / FILE_NAME)
    if isinstance(data, str | Path):
        warn_trainer(str(data))
    rows = load_rows(str(data), **reading) if isinstance(data, str | Path) else data
    judged = judge_rows(rows, config)
    members = read_members(judged, config, on_stage)
    learnt = _learnt(judged, config)
    on_stage("cross-validating")
    margins, _ = cross_validate(members, judged, seed=config.seed, hidden=learnt)
    on_stage("fitting")
    fit = fit_blend(members, judged, np.flatnonzero(~learnt), config.seed)
    blend = build_blend(members, judged, fit)
    report_totals([blend])
    blend.training_prompts = TrainingPrompts.of(row.prompt for row in rows)
    if out is not None:
        blend.save(out)
        fit_tfidf(rows).save(Path(out) / BASELINE_FOLDER)
    return FittedReward(blend, fit, judged, margins, learnt)


def judge_rows(rows: Sequence[AnyRow], config: FitConfig) -> JudgedResponses:
    """What is learnt from rows: their preferences, weighted, and what is compared besides. Raises DataError."""
    made = mismatched_comparisons(rows, config.seed) if config.mismatched_share else []
    judged = JudgedResponses.of(rows, mismatched=made, mismatched_share=config.mismatched_share)
    return judged.length_balanced(config.balance_length)


def read_members(
    judged: JudgedResponses, config: FitConfig, on_stage: Callable[[str], None] = lambda stage: None
) -> list[Member]:
    """Every member's features of the judged responses, read once for all fits."""
    members = []
    for name in config.members:
        on_stage(f"reading {name}")
        members.append(_member(name, judged, config))
    names = [member.name for member in members]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two members would both be called {', '.join(twice)}. Fix: rename the folder of one of them")
    return members


def _member(name: str, judged: JudgedResponses, config: FitConfig) -> Member:
    place = config.device, config.trust_remote_code
    if name in ("longest", "shortest"):
        return Member.fixed(name, LengthReward(1 if name == "longest" else -1, log=True), judged)
    if name == "bm25":
        from guerdon.rewards.bm25 import Bm25Reward

        return Member.fixed(name, Bm25Reward.fit(judged.responses), judged)
    if name == "surface":
        from guerdon.rewards.surface import SurfaceFeatures

        return Member.linear(SurfaceFeatures(), judged)
    if name == "tfidf":
        from guerdon.rewards.terms import TermFeatures

        return Member.linear(TermFeatures.fit(judged.responses), judged)
    if name in ("embedding", "cosine"):
        from guerdon.rewards.embedding import CosineReward, EmbeddingFeatures, text_encoder

        encoder = text_encoder(config.encoder, *place)
        if name == "cosine":
            return Member.fixed(name, CosineReward(encoder), judged)
        return Member.linear(EmbeddingFeatures(encoder), judged)
    if name in ("likelihood", "decoder"):
        from guerdon.rewards.decoder import DecoderFeatures
        from guerdon.rewards.likelihood import LikelihoodFeatures, frozen_policy

        kind = LikelihoodFeatures if name == "likelihood" else DecoderFeatures
        return Member.linear(kind(frozen_policy(config.policy, *place), config.policy), judged)
    scorer = ScorerConfig(
        name=name, device=config.device, overlong=config.overlong, trust_remote_code=config.trust_remote_code
    ).load_picker(logit=True)
    refuse_truncation([scorer], ((*text, None) for text in zip(judged.prompts, judged.responses, strict=True)))
    return Member.fixed(reward_label(name) if Path(name).is_dir() else name, scorer, judged)


def _learnt(judged: JudgedResponses, config: FitConfig) -> np.ndarray:
    """Which observations a trained member has learnt from, bool, shape (m,)."""
    learnt = np.zeros(len(judged), dtype=bool)
    for name in config.members:
        prompts = read_training_prompts(name) if Path(name).is_dir() else None
        if prompts:
            seen = np.array([one is not False for one in prompts.seen(judged.prompts)])
            learnt |= seen[judged.better]
    if learnt.any() and (left := int((~learnt).sum())) < FEWEST_LEFT:
        raise DataError(
            f"the trained members have learnt from all but {left} of {len(judged)} judgements; the weights of a blend "
            f"need at least {FEWEST_LEFT} that no member learnt from. Fix: train the member on a part "
            "(guerdon data split), and fit the blend on all"
        )
    return learnt
