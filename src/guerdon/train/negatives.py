"""Generated texts for references to beat, from a policy model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from guerdon.data.read import load_rows
from guerdon.data.write import write_rows
from guerdon.errors import ConfigError, TextError
from guerdon.policy.model import Policy
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Reference

logger = logging.getLogger(__name__)


def with_policy_negatives(rows: Sequence[AnyRow], config: TrainConfig, kept: Path) -> Sequence[AnyRow]:
    """Adds the policy's responses to the generated texts of every reference row.

    They are kept in a file, so that a resumed run trains on the same texts and you can read them. Responses that are
    empty or equal the reference are no negatives; how many were left out is logged.
    """
    if kept.exists():
        return load_rows(str(kept))
    references = [row for row in rows if isinstance(row, Reference)]
    if len(references) != len(rows):
        raise ConfigError(
            "--negatives-policy needs rows with a prompt and a reference; this data has other kinds of rows"
        )
    policy = Policy.load(config.negatives_policy, trust_remote_code=config.trust_remote_code)
    prompts = [row.prompt for row in references]
    found: list[AnyRow] = list(references)
    left_out = 0
    try:
        for index, responses in policy.sample_texts(prompts, num_generations=config.policy_negatives, seed=config.seed):
            row = references[index]
            texts = [text.replace("\0", "") for text in responses]  # data files hold no NUL
            usable = tuple(dict.fromkeys(text for text in texts if text and text != row.reference))
            left_out += len(responses) - len(usable)
            found[index] = replace(row, generated=(*row.generated, *usable))
    except TextError as error:
        raise error.at(references[error.index].origin) from None
    if left_out:
        logger.warning("%d responses of the policy were empty, repeated, or the reference itself: left out", left_out)
    write_rows(found, kept)
    return found
