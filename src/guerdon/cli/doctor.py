"""`guerdon doctor`."""

from __future__ import annotations

import json as json_module
import sys

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, ScorerOptions


def doctor(
    model: Model,
    /,
    data: str = "starter:test",
    question: str | None = None,
    adopt: bool = False,
    json: bool = False,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> int:
    """Check that MODEL gives a text the same score however it is asked, and show its score contract.

    MODEL may be anybody's: it is scored alone and in batches, in another order, from several threads, padded on the
    other side, saved and loaded again, and by Transformers alone; its template, special tokens, head and outputs are
    looked at. Each check passes, fails or is not applicable, and says how to mend what fails. Exit status 1 says that
    a check failed.

    Args:
        model: the scorer.
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
        return int(bool(found.faults))
    for name, contract in found.to_dict()["contracts"].items():
        sys.stdout.write(f"score contract{f' of {name}' if name else ''}:\n")
        sys.stdout.writelines(f"  {field}: {json_module.dumps(value)}\n" for field, value in contract.items())
    for check in found.checks:
        sys.stdout.write(f"{check.verdict:<14}  {check.name}: {check.message}\n")
        if check.mend:
            sys.stdout.write(f"{'':<14}  Fix: {check.mend}.\n")
    if found.adopted:
        sys.stdout.write(f"The contract is in {found.adopted} now.\n")
    looked = sum(check.verdict != "not applicable" for check in found.checks)
    sys.stdout.write(f"{len(found.faults)} of {looked} checks failed.\n")
    return int(bool(found.faults))
