"""Best-of-N: sample n responses, keep the one with the highest reward.

What that gains is estimated without bias from one pool of N >= n responses to a prompt
(`guerdon.metrics.best_of_n_probabilities`). The reward that picks always rises with n; whether the responses get better
shows in rewards that did not pick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from guerdon.data.split import short_line
from guerdon.data.values import plain
from guerdon.data.write import prompt_value
from guerdon.errors import DataError
from guerdon.metrics import (
    Floats,
    Interval,
    best_of_n_kl,
    best_of_n_probabilities,
    bootstrap_distribution,
    cluster_codes,
    percentile_interval,
)
from guerdon.rewards.scoring import score_texts
from guerdon.types import Candidates, Rewards, Scorer, prompt_text

FULL_SHARE = 0.9
"""Where the data decides n: the largest for which this share of the prompts has enough responses."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What best-of-n gets of one value, for each n."""

    name: str
    means: tuple[Interval, ...]
    """Mean over prompts of the value of the response that is picked."""
    gains: tuple[Interval, ...]
    """The same minus that of n = 1, from the same resamples."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A prompt that takes no part in the curves."""

    prompt: str
    """Where it was read, else how it begins."""
    responses: int
    usable: int
    """Responses that have every value."""
    reason: str


@dataclass(frozen=True, slots=True)
class BestOfN:
    """What best-of-n gains."""

    ns: tuple[int, ...]
    kl_bounds: tuple[float, ...]
    """log n - (n - 1) / n in nats: KL(best-of-n || policy) is at most this."""
    curves: tuple[Curve, ...]
    """The reward that picks first, then those that only watch."""
    prompts: int
    left_out: tuple[LeftOut, ...]
    """Prompts with fewer responses that have every value than the largest n."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return dict(plain(asdict(self)))


def rewards_of(
    scorer: Scorer, candidates: Sequence[Candidates], *, on_progress: Callable[[int], None] = lambda responses: None
) -> list[Rewards]:
    """The rewards of the responses to each prompt, with the reason where a response has none."""
    owners = [one for one in candidates for _ in one.responses]
    responses = [response for one in candidates for response in one.responses]
    references = [one.reference for one in owners]
    found = score_texts(scorer, [one.prompt for one in owners], responses, references, on_progress=on_progress)
    ends = np.cumsum([len(one.responses) for one in candidates]).tolist()
    spans = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return [Rewards(found.values[span], found.reasons[span]) for span in spans]


def best_of_n(
    candidates: Sequence[Candidates],
    values: Mapping[str, Sequence[Floats]],
    *,
    n: int | None = None,
    reasons: Sequence[Sequence[str]] | None = None,
    seed: int = 0,
) -> BestOfN:
    """The curve over n = 1, 2, 4 ... of every value, by the first one's pick, with 95% intervals.

    Args:
        candidates: the responses to each prompt.
        values: name -> values of the responses to each prompt, NaN where one has none. The first picks. A
            response without one of the values takes no part.
        n: the largest n; None takes the largest for which 90% of the prompts have enough responses.
        reasons: for every prompt, why responses have no value; they are repeated where a prompt is left out.
        seed: random seed of the bootstrap, which draws whole groups.

    Raises:
        DataError: too few responses have a reward.
    """
    columns = [np.stack(parts) for parts in zip(*values.values(), strict=True)]  # of each prompt: (values, responses)
    pools = [column[:, ~np.isnan(column).any(axis=0)] for column in columns]
    counts = np.array([pool.shape[1] for pool in pools])
    most = n or int(np.quantile(counts, 1 - FULL_SHARE, method="lower"))
    kept = np.flatnonzero(counts >= max(most, 1)).tolist()
    if most < 2 or not kept:
        raise DataError(
            f"best-of-n needs two responses with a reward to a prompt, and {n or 'enough'} as asked; "
            f"the prompts have {int(counts.min())} to {int(counts.max())} of them"
        )
    ns = (*(2**power for power in range(most.bit_length()) if 2**power < most), most)
    expected = np.array([[pools[i] @ best_of_n_probabilities(pools[i][0], size) for size in ns] for i in kept])
    groups = cluster_codes([candidates[i].group or prompt_text(candidates[i].prompt) for i in kept])
    flat = expected.reshape(len(kept), -1)  # (prompts, ns * values)

    def means(weights: Floats) -> Floats:
        return np.asarray((weights @ flat / weights.sum(1, keepdims=True)).reshape(-1, len(ns), len(values)))

    point = expected.mean(axis=0)
    drawn = bootstrap_distribution(means, groups, seed=seed)
    gain, drawn_gain = point - point[:1], drawn - drawn[:, :1]
    curves = tuple(
        Curve(name, _intervals(point[:, v], drawn[:, :, v]), _intervals(gain[:, v], drawn_gain[:, :, v]))
        for v, name in enumerate(values)
    )
    out = [i for i in range(len(pools)) if counts[i] < most]
    left_out = tuple(_left_out(candidates[i], int(counts[i]), most, reasons[i] if reasons else ()) for i in out)
    return BestOfN(ns, tuple(map(best_of_n_kl, ns)), curves, len(kept), left_out)


def _intervals(points: Floats, drawn: Floats) -> tuple[Interval, ...]:
    return tuple(percentile_interval(point, column) for point, column in zip(points, drawn.T, strict=True))


def _left_out(one: Candidates, usable: int, n: int, reasons: Sequence[str]) -> LeftOut:
    count = len(one.responses)
    has = f"it has {count} response{'s' * (count != 1)}, the curve goes to n = {n}"
    if usable < count:
        frequent = Counter(filter(None, reasons)).most_common(1)
        has = f"{usable} of its {count} responses have every reward{''.join(f': {reason}' for reason, _ in frequent)}"
    return LeftOut(str(one.origin or short_line(prompt_text(one.prompt))), count, usable, has)


def pick_by_rewards(
    candidates: Sequence[Candidates], scorers: Mapping[str, Scorer], *, n: int | None = None, seed: int = 0
) -> tuple[BestOfN, dict[str, list[Floats]]]:
    """Lets the first scorer pick among the responses to each prompt; the others only watch. See `best_of_n`.

    Returns:
        The curves, and name -> rewards of the responses to each prompt.
    """
    rewards = {name: [one.values for one in rewards_of(scorer, candidates)] for name, scorer in scorers.items()}
    return best_of_n(candidates, rewards, n=n, seed=seed), rewards


def training_records(
    candidates: Sequence[Candidates], rewards: Sequence[Floats]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the pick leaves to train on, in the layouts of TRL, which Guerdon reads too; NaN is no reward.

    Returns:
        Rows for supervised fine-tuning (`prompt`, `completion`: the best response), and pairs for DPO and the like
        (`prompt`, `chosen`: the best, `rejected`: the worst, `margin`: the difference of their rewards) of the prompts
        whose rewards differ; each with the own columns of its prompt. Prompts without a reward are in neither.
    """
    best, pairs = [], []
    for one, values in zip(candidates, rewards, strict=True):
        if np.isnan(values).all():
            continue
        top, bottom = int(np.nanargmax(values)), int(np.nanargmin(values))
        best.append(_record(one, completion=_response(one, top)))
        if values[top] > values[bottom]:
            margin = float(values[top] - values[bottom])
            pairs.append(_record(one, chosen=_response(one, top), rejected=_response(one, bottom), margin=margin))
    return best, pairs


def candidate_records(
    candidates: Sequence[Candidates],
    values: Mapping[str, Sequence[Floats]],
    rewards: Mapping[str, Sequence[Rewards]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Every prompt with its responses, a list of each value, and its own columns.

    No reward is null; the reasons why are a list beside it, `NAME_reason`, where `rewards` tells them.
    """
    records = []
    for place, one in enumerate(candidates):
        columns = {name: plain(column[place].tolist()) for name, column in values.items()}
        reasons = {f"{name}_reason": [why or None for why in given[place].reasons] for name, given in rewards.items()}
        columns |= {name: why for name, why in reasons.items() if any(why)}
        records.append(_record(one, responses=list(one.responses), **columns))
    return records


def _response(one: Candidates, place: int) -> Any:
    text = one.responses[place]
    return text if isinstance(one.prompt, str) else [{"role": "assistant", "content": text}]


def _record(one: Candidates, **columns: Any) -> dict[str, Any]:
    """A record of these columns, with what the data says of the prompt beside them."""
    common = {name: value for name in ("reference", "subset", "group", "id") if (value := getattr(one, name))}
    own = {name: plain(value) for name, value in one.extra.items()}
    return own | common | {"prompt": prompt_value(one.prompt)} | columns
