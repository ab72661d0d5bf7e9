"""What an explanation holds: one response or two, and what moves a whole data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from guerdon.data.values import plain
from guerdon.explain.attribution import Attribution
from guerdon.explain.contributions import Contribution
from guerdon.explain.faithfulness_table import FaithfulnessTable
from guerdon.explain.flips import PreferenceFlip
from guerdon.explain.importance import FeatureImportance
from guerdon.explain.prefixes import PrefixCurve
from guerdon.explain.units import Case, Part, Unit
from guerdon.files import write_json
from guerdon.metrics import Floats, format_value


@dataclass(frozen=True, slots=True, eq=False)
class AttentionByWord:
    """Where a transformer looks when it reads one response: attention from the position of the score, word by word."""

    units: tuple[Unit, ...]
    rollout: Floats
    """Shape (words,); with `special`, it sums to 1."""
    special: float
    """What goes to special tokens and to what a template writes."""
    heads: Floats
    """Shape (layers, heads, words)."""


@dataclass(frozen=True, slots=True, eq=False)
class CaseExplained:
    """Why a reward gives a response its score, or prefers it to another."""

    case: Case
    score: float
    """Of the response; NaN where only pairs are judged."""
    other_score: float
    """Of the other response; NaN where there is none."""
    preferred: float
    """P(the response is preferred to the other); NaN where there is none, or where the model has no probability."""
    attribution: Attribution
    members: tuple[Contribution, ...]
    features: tuple[Contribution, ...]
    curves: Mapping[Part, PrefixCurve]
    flip: PreferenceFlip | None
    attention: Mapping[Part, AttentionByWord]
    seconds: float
    """Time of the attribution alone."""

    @property
    def margin(self) -> float:
        """The difference that is explained; NaN for a single response."""
        return self.attribution.total if self.case.other is not None else float("nan")

    def lines(self) -> list[str]:
        """What the terminal says of it in words."""
        one = self.attribution
        what = "score" if self.case.other is None else "difference"
        found = [f"The {what} is {format_value(one.total, signed=what != 'score', decimals=2)}."]
        if np.isfinite(self.preferred):
            found[0] = f"{found[0][:-1]}; P(this response is preferred) = {self.preferred:.0%}."
        for sign, text in ((1, "For it"), (-1, "Against it")):
            named = [
                f"{piece!r}{' of the other' * (part == 'other')} {format_value(value, signed=True, decimals=2)}"
                for part, piece, value in one.strongest(sign)
            ]
            found.append(f"{text}: {', '.join(named) or 'nothing'}.")
        adds = f", which add up to within {one.error:.2%}" if np.isfinite(one.error) else ""
        found.append(f"By {one.method}{adds}; {one.passes:,} texts computed in {self.seconds:.1f} s.")
        return found + ([self.flip.sentence] if self.flip else [])

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        texts: dict[str, Any] = {"prompt": self.case.text("prompt"), "response": self.case.response}
        found: dict[str, Any] = {
            **texts,
            "versus": self.case.other,
            "score": self.score,
            "versus_score": self.other_score,
            "margin": self.margin,
            "p_preferred": self.preferred,
            "attribution": _attribution_dict(self.attribution),
            "members": [_contribution_dict(one) for one in self.members],
            "features": [_contribution_dict(one) for one in self.features],
            "prefixes": {
                part: {"sentences": list(curve.sentences), "scores": curve.scores.tolist()}
                for part, curve in self.curves.items()
            },
            "flip": None if self.flip is None else asdict(self.flip) | {"share": self.flip.share},
            "attention": {
                part: {
                    "rollout": _unit_dicts(
                        one.units, one.rollout, {"prompt": texts["prompt"], part: self.case.text(part)}
                    ),
                    "special_tokens": one.special,
                    "heads": np.round(one.heads, 5).tolist(),
                }
                for part, one in self.attention.items()
            },
            "seconds": self.seconds,
        }
        values: dict[str, Any] = plain(found)
        return values


@dataclass(frozen=True, slots=True, eq=False)
class RewardExplanation:
    """What `guerdon explain` found."""

    model: str
    cases: tuple[CaseExplained, ...]
    importance: FeatureImportance | None
    faithfulness: FaithfulnessTable | None
    notes: tuple[str, ...]
    """What a reader must know first."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            "model": self.model,
            "cases": [case.to_dict() for case in self.cases],
            "importance": None if self.importance is None else plain(asdict(self.importance)),
            "faithfulness": None if self.faithfulness is None else plain(asdict(self.faithfulness)),
            "notes": list(self.notes),
        }

    def save(self, path: str) -> None:
        """Writes everything as JSON. Raises OutputError."""
        write_json(path, self.to_dict())


def _attribution_dict(one: Attribution) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": one.method,
        "total": one.total,
        "reference": one.reference,
        "elsewhere": one.elsewhere,
        "error": one.error,
        "passes": one.passes,
        "reasons": list(one.reasons),
    }
    order = ("token", "word", "sentence")
    for level in order[order.index(one.level) :]:
        coarser = one.at(level)  # type: ignore[arg-type]
        found[f"{level}s"] = _unit_dicts(coarser.units, coarser.values, coarser.texts)
    return found


def _unit_dicts(units: tuple[Unit, ...], values: Floats, texts: Mapping[Any, str]) -> list[dict[str, Any]]:
    return [
        {"part": unit.part, "start": unit.start, "stop": unit.stop, "text": texts[unit.part][unit.start : unit.stop],
         "value": float(value)}
        for unit, value in zip(units, values, strict=True)
    ]  # fmt: skip


def _contribution_dict(one: Contribution) -> dict[str, Any]:
    return {"name": one.name, "member": one.member, "values": list(one.values), "difference": one.difference}
