"""One round of choosing: what was judged is learnt, and what nobody was asked yet is put into an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from guerdon.collect.choosing.acquisition import choose
from guerdon.collect.choosing.arms import mixed, read_labels, read_pairs, read_waiting, write_round
from guerdon.collect.choosing.choosing_config import ChoosingConfig
from guerdon.collect.choosing.head import PENALTIES, Head, head_features
from guerdon.collect.choosing.paying import FEWEST, accuracy, paid
from guerdon.collect.choosing.rounds import Learnt
from guerdon.collect.kinds.pairwise import PairwiseQuestion
from guerdon.collect.rows_out import chosen_question
from guerdon.errors import ConfigError, DataError
from guerdon.metrics import Floats
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members
from guerdon.types import Comparison

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore


def learn_round(
    store: CollectStore, config: ChoosingConfig, on_stage: Callable[[str], None] = lambda stage: None
) -> Learnt:
    """Learns from what was judged, and puts what nobody was asked yet into an order, in which a server then asks.

    Raises:
        ConfigError: the question does not compare two responses.
        DataError: too little is judged.
    """
    with store.reading() as connection:
        asked = chosen_question(store.questions(connection), config.question)
        if not isinstance(asked, PairwiseQuestion):
            raise ConfigError(f"what to ask is chosen among comparisons of two; {asked.name} is of kind {asked.kind}")
        labels = read_labels(connection, asked)
        waiting = read_waiting(connection, config.random_share)
        free = [task.id for task in waiting if task.arm == "chosen"][: config.pool]
        unjudged = read_pairs(connection, free)
    if len(labels) < FEWEST:
        raise DataError(
            f"{store.place}: {len(labels)} tasks are judged; a reward is learnt from {FEWEST} or more. Until then "
            "chance draws what is asked"
        )
    judged = as_pairs([label.row for label in labels] + unjudged)
    on_stage(f"reading {len(judged.responses):,} responses")
    differences = read_differences(judged, config)
    on_stage("learning")
    where = np.arange(len(labels))
    drawn, chosen = (np.array([at for at in where if labels[at].arm == arm], dtype=int) for arm in ("random", "chosen"))
    head = Head.fit(differences[where], judged, where)
    rng = np.random.default_rng([config.seed, len(labels)])
    best = choose(config.rule, head, differences[len(labels) :], config.ahead, rng)
    by_chance = [task.id for task in waiting if task.arm == "random"]
    order = list(mixed([free[place] for place in best], by_chance, config.random_share))
    learnt = Learnt(
        rule=config.rule,
        judged=len(labels),
        drawn=len(drawn),
        chosen=len(chosen),
        accuracy=accuracy(differences, judged, where, drawn, config.seed),
        paid=paid(differences, judged, where, drawn, chosen, config.seed),
        ranked=len(order),
        waiting=len(waiting),
    )
    write_round(store, order, learnt.record())
    return learnt


def as_pairs(rows: Sequence[Comparison]) -> JudgedResponses:
    """Comparisons as observations, one for each and in their order, those that say nothing among them."""
    judged = JudgedResponses.of([replace(row, preference=1.0) for row in rows])
    return replace(judged, target=np.array([row.preference for row in rows]))


def read_differences(judged: JudgedResponses, config: ChoosingConfig) -> Floats:
    """The features of all pairs, better less worse, shape (pairs, d)."""
    members = read_members(judged, FitConfig(members=tuple(PENALTIES), encoder=config.encoder, device=config.device))
    features = head_features(members)
    return np.asarray(features[judged.better] - features[judged.worse])
