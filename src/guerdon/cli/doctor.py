"""`guerdon doctor`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_THEY_ARE, ColumnsRead
from guerdon.cli.tables import output

if TYPE_CHECKING:
    from rich.text import Text

    from guerdon.evaluate.doctor import DoctorCheck

_STYLES = {"pass": "green", "warning": "yellow", "fail": "bold red", "not applicable": "dim"}


def doctor(
    model: Model,
    /,
    data: str = "starter:test",
    adopt: bool = False,
    json: bool = False,
    page: Path | None = None,
    columns: ColumnsRead = AS_THEY_ARE,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> int:
    """Check that MODEL gives a text the same score however it is asked, and show its score contract.

    MODEL may be anybody's, a judge that only compares too: it is asked alone and in batches, in another order, from
    several threads, padded on the other side, saved and loaded again, and by Transformers alone; its template, special
    tokens, head and outputs are looked at. Each check passes, fails or is not applicable, and says how to mend what
    fails. Exit status 1 says that a check failed.

    Args:
        model: the scorer.
        data: Where the sample of texts is read.
        adopt: Write the contract that was inferred for a model of other origin beside its weights.
        json: Print everything as JSON.
        page: File for an HTML page of the checks.
        columns: Which columns of the data are read.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal
    from guerdon.evaluate.doctor import check_reward_model
    from guerdon.files import check_writable

    if page is not None:
        check_writable(page)
    with terminal():
        found = check_reward_model(scorer.named(model), data=data, adopt=adopt, **columns)
    if page is not None:
        from guerdon.evaluate.pages import write_doctor_page

        write_doctor_page(found, page)
    if json:
        sys.stdout.write(json_module.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
        return int(bool(found.faults))
    console = output()
    for name, contract in found.to_dict()["contracts"].items():
        console.print(f"score contract{f' of {name}' if name else ''}:")
        console.print("\n".join(f"  {field}: {json_module.dumps(value)}" for field, value in contract.items()))
    width = console.width if sys.stdout.isatty() else sys.maxsize
    for check in found.checks:
        console.print(_lines(check, width), soft_wrap=True)
    if found.adopted:
        console.print(f"The contract is in {found.adopted} now.")
    console.print(found.sentence())
    return int(bool(found.faults))


def _lines(check: DoctorCheck, width: int) -> Text:
    """What was found, and below it the mend, both beside the verdict."""
    from rich.text import Text

    lines = [f"{check.verdict:<14}  {check.name}: {check.message}"]
    lines += [f"{'':<14}  Fix: {check.mend.removesuffix('.')}."] if check.mend else []
    wrap = TextWrapper(width, subsequent_indent=" " * 16, break_long_words=False, break_on_hyphens=False)
    text = Text("\n".join(map(wrap.fill, lines)))
    text.stylize(_STYLES[check.verdict], 0, len(check.verdict))
    return text
