"""`guerdon doctor`."""

from __future__ import annotations

import json as json_module
import sys

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.errors import ContractError


def doctor(
    model: Model,
    /,
    data: str = "starter:test",
    question: str | None = None,
    adopt: bool = False,
    json: bool = False,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Check that MODEL gives a text the same score however it is asked, and show its score contract.

    The sample is scored again and again: alone and in batches, in another order, from several threads, padded on the
    other side. Exit status 2 says that scores cannot be relied on.

    Args:
        model: The scorer.
        data: Where the sample of texts is read.
        question: Question of an annotation export that says what is preferred, where there are several.
        adopt: Write the contract that was inferred for a model of other origin beside its weights.
        json: Print everything as JSON.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal
    from guerdon.evaluate.doctor import check_reward_model

    with terminal():
        found = check_reward_model(scorer.named(model), data=data, question=question, adopt=adopt)
    if json:
        sys.stdout.write(json_module.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
    else:
        for name, contract in found.to_dict()["contracts"].items():
            sys.stdout.write(f"score contract{f' of {name}' if name else ''}:\n")
            sys.stdout.writelines(f"  {field}: {json_module.dumps(value)}\n" for field, value in contract.items())
        for check in found.checks:
            sys.stdout.write(f"{check.verdict:<7}  {check.name}: {check.message}\n")
        if found.adopted:
            sys.stdout.write(f"The contract is in {found.adopted} now.\n")
    if found.faults:
        raise ContractError(f"{model}: {len(found.faults)} of {len(found.checks)} checks found a fault")
