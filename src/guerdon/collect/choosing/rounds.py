"""What each round of choosing found, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from guerdon.collect.choosing.choosing_config import Rule
from guerdon.collect.store_tables import rounds
from guerdon.metrics import METRICS, Interval, Outcome


@dataclass(frozen=True, slots=True)
class Paid:
    """Labels that were chosen against as many that chance drew."""

    difference: Interval
    """Accuracy by chosen labels less that by drawn ones, on tasks that chance drew; 95%, groups drawn."""
    labels: int
    """How many labels each side learnt from, in the mean over folds."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a round found."""

    rule: Rule
    judged: int
    """Tasks that people judged."""
    drawn: int
    """Those of them that chance drew."""
    chosen: int
    """Those that were chosen; the others came in an order that neither made."""
    accuracy: Interval
    """Share of the drawn ones that the reward orders as people did, learnt from labels of other groups; 95%."""
    paid: Paid | None
    """Chosen labels against drawn ones; None while there are too few."""
    ranked: int
    """Tasks that were put into an order."""
    waiting: int
    """Tasks that nobody has, these among them."""

    @property
    def pays(self) -> Outcome | None:
        """Whether chosen labels teach more than drawn ones; None while there are too few to compare."""
        return METRICS["accuracy"].outcome(self.paid.difference) if self.paid else None

    def record(self) -> dict[str, Any]:
        """The round as JSON; a number that there is not is null."""
        return {name: _without_nan(value) for name, value in asdict(self).items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Learnt:
        """A round from its record."""
        known = record["paid"]
        both = known and Paid(_interval(known["difference"]), known["labels"])
        return cls(**{**record, "accuracy": _interval(record["accuracy"]), "paid": both})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return None if value != value else value


def _interval(record: Mapping[str, float | None]) -> Interval:
    return Interval(**{name: float("nan") if value is None else value for name, value in record.items()})


def latest_round(connection: Connection) -> Learnt | None:
    """What the last round found; None where there was none."""
    record = connection.execute(select(rounds.c.record).order_by(rounds.c.id.desc()).limit(1)).scalar()
    return None if record is None else Learnt.of(record)
