"""The verb `guerdon collect learn`: rounds of choosing, once or as judgements come in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon.collect.choosing.choosing_config import ChoosingConfig
from guerdon.collect.collect_config import STORE
from guerdon.collect.collection_run import open_store
from guerdon.errors import ConfigError

if TYPE_CHECKING:
    from guerdon.collect.choosing.rounds import Learnt

_SECONDS = 5.0
"""Between two looks at how many judgements there are."""


def learn_collection(
    store: str | Path = STORE,
    config: ChoosingConfig | None = None,
    *,
    every: int | None = None,
    on_round: Callable[[Learnt], None] = lambda learnt: None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Learnt:
    """Learns from what was judged, and puts what nobody was asked yet into an order, in which a server then asks.

    A round is written whole or not at all, so that it can be interrupted at any time; records of rounds are kept.

    Example:
        >>> learn_collection("collect.db").ranked
        666

    Args:
        store: the store; it may be served meanwhile.
        config: by which rule, and how much chance draws beside.
        every: go on until interrupted, with a round as soon as so many more tasks are judged.
        on_round: called with what each round found.
        on_stage: called with what is being done, in a few words.

    Raises:
        ConfigError: options that do not fit together, or the question does not compare two responses.
        DataError: there is no such store or question, or too little is judged.
        ModelError: the encoder cannot be loaded.
    """
    config = config or ChoosingConfig()
    if every is not None and every < 1:
        raise ConfigError(f"--every must be at least 1, got {every}")
    opened = open_store(store)
    try:
        from guerdon.collect.choosing.arms import count_judged
        from guerdon.collect.choosing.learning import learn_round

        while True:
            learnt = learn_round(opened, config, on_stage)
            on_round(learnt)
            if every is None:
                return learnt
            while count_judged(opened, config.question) < learnt.judged + every:
                time.sleep(_SECONDS)
    finally:
        opened.close()
