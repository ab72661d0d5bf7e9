"""From a name to a `Scorer`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon import hf
from guerdon.data.read import load_rows
from guerdon.errors import ContractError, ModelError
from guerdon.models import resolve
from guerdon.rewards.contract import FILE_NAME, ScoreContract, read_card
from guerdon.rewards.encode import Overlong
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.rules import ChrF, ExactAnswer, LengthReward, NumericAnswer, UnitTests
from guerdon.rewards.tfidf import TfidfReward
from guerdon.rewards.transformer import Dtype, TransformerReward, check_contract
from guerdon.types import Scorer

if TYPE_CHECKING:
    from typing import Any

RULES: dict[str, Scorer] = {
    "longest": LengthReward(+1),
    "shortest": LengthReward(-1),
    "exact": ExactAnswer(),
    "numeric": NumericAnswer(),
    "unit-tests": UnitTests(),
    "chrf": ChrF(),
}
"""Scorers that need no weights, by name; all but the first two read references."""
TFIDF = "tfidf:"


def load_scorer(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: Dtype = "auto",
    overlong: Overlong = "cut-prompt",
    trust_remote_code: bool = False,
    unsafe_sandbox: bool = False,
) -> Scorer:
    """Loads whatever gives a reward.

    Example:
        >>> load_scorer("longest").score(["How long?"], ["Eight minutes."]).tolist()
        [14.0]

    Args:
        name: a folder with a reward model or an ensemble; the hub name of a single-label sequence classifier;
            a rule (`RULES`); `tfidf:DATA`, a bag of words that learns from judgements here and now, in seconds, a
            cheap second opinion; or `module:object`, a `Scorer` or a callable without arguments that makes one.
        device: None takes a GPU where there is one.
        dtype: `auto` is bfloat16 on a GPU and float32 elsewhere.
        overlong: what to do with texts that are too long.
        trust_remote_code: run code that comes with the model; only for models you trust.
        unsafe_sandbox: let `unit-tests` run generated code without a sandbox where the machine has none.

    Raises:
        DataError: nothing can be learned from the data of `tfidf:DATA`.
        ModelError: not found, or not a reward model.
        ContractError: a saved model that does not keep its contract.
    """
    text = str(name)
    if text == "unit-tests":
        return UnitTests(unsafe=unsafe_sandbox)
    if text in RULES:
        return RULES[text]
    if text.startswith(TFIDF):
        return TfidfReward.fit(load_rows(text.removeprefix(TFIDF)))
    if ":" in text and not Path(text).expanduser().exists():
        return _imported(text)
    folder = Path(resolve(text))
    options: dict[str, Any] = {
        "device": device, "dtype": dtype, "overlong": overlong, "trust_remote_code": trust_remote_code,
    }  # fmt: skip
    if (folder / FILE_NAME).exists():
        card = read_card(folder)
        if card["kind"] == "ensemble":
            return Ensemble(_members(folder, card, options), k=float(card["k"]))
    return TransformerReward.load(name, **options)


def _imported(spec: str) -> Scorer:
    module_name, _, attribute = spec.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(f"cannot import {spec!r} as a scorer: {error}") from error
    makes_one = isinstance(found, type) or (callable(found) and not isinstance(found, Scorer))
    scorer = found() if makes_one else found
    if not isinstance(scorer, Scorer):
        raise ModelError(f"{spec!r} is a {type(scorer).__name__}, not a Scorer: it has no score() method")
    return scorer


def _members(folder: Path, card: dict[str, Any], options: dict[str, Any]) -> list[TransformerReward]:
    """Members of an ensemble. LoRA members of one base share its weights in memory."""
    members: list[TransformerReward] = []
    shared: dict[str, TransformerReward] = {}
    for name in card["members"]:
        path = folder / name
        contract = ScoreContract.from_dict(read_card(path)["contract"])
        if contract.base not in shared:
            member = TransformerReward.load(path, **options)
            if contract.base:
                shared[contract.base] = member
        else:
            member = _beside(shared[contract.base], path, contract, options)
        members.append(member)
    if not members:
        raise ContractError(f"{folder} is an ensemble without members")
    return members


def _beside(
    first: TransformerReward, path: Path, contract: ScoreContract, options: dict[str, Any]
) -> TransformerReward:
    """A further adapter on the backbone that `first` has loaded already."""
    model = hf.load_adapter(first.net.model, path, name=path.name)
    model.set_adapter(path.name)  # type: ignore[operator]
    tokenizer = hf.load_tokenizer(str(path), options["trust_remote_code"])
    check_contract(contract, model, tokenizer, str(path))
    member = TransformerReward(model, tokenizer, contract, overlong=options["overlong"], adapter=path.name)
    member.to(options["device"], options["dtype"])
    first.adapter = first.adapter or "default"
    return member
