"""`guerdon score`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_THEY_ARE, ColumnsRead, Data


def score(
    model: Model,
    data: Data,
    /,
    out: str = "-",
    column: Annotated[str | None, arg(name="as", metavar="NAME")] = None,
    contributions: bool = False,
    overwrite: bool = False,
    columns: ColumnsRead = AS_THEY_ARE,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Give every response its reward: JSON Lines, one object for each row of DATA, in the same order.

    DATA needs no judgements: a prompt with a response, with responses, or with chosen and rejected will do. Each row
    keeps its columns and gets reward_MODEL (a list for responses), or reward_MODEL_chosen and reward_MODEL_rejected.
    A response without a reward gets null, and the reason beside it (reward_MODEL_reason). Rows of other layouts are
    written in Guerdon's own.

    Args:
        model: The scorer.
        data: The rows.
        out: A file for the JSON Lines, or - for standard output.
        column: Name of the new column; default: reward_ and the name of the model.
        contributions: Of a blend (guerdon fit), also write what each member adds to each reward.
        overwrite: Replace columns of these names where the data has them; without it, that is an error.
        columns: Which columns of DATA are read.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal, text_progress
    from guerdon.rewards.score_rows import score_rows

    with terminal() as console:
        done = score_rows(
            scorer.named(model),
            data,
            sys.stdout if out == "-" else out,
            column=column,
            contributions=contributions,
            overwrite=overwrite,
            progress=partial(text_progress, console),
            **columns,
        )
        console.print(
            f"{done.responses:,} responses of {done.rows:,} rows scored" + ("" if out == "-" else f", in {out}")
        )
        if done.without_reward:
            console.print(f"{done.without_reward:,} of them have no reward, most often because: {done.reason}")
