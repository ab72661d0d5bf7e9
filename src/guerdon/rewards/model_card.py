"""The README of a saved reward model, in the form that the Hugging Face hub reads; its text is `model_card.md.j2`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guerdon.rewards.contract import ScoreContract

_HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2", "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where the hub keeps the offline models."""


def model_card(contract: ScoreContract, *, code: bool, metrics: Mapping[str, float]) -> str:
    """The text of the model card; `code` says whether plain Transformers needs the modelling code in the folder."""
    base = _HUB_NAMES.get(contract.backbone, contract.backbone)
    on_hub = re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", base, re.ASCII)
    return _rendered(contract=contract, code=code, metrics=metrics, base_model=base if on_hub else "")


def ensemble_card(members: Sequence[str], k: float) -> str:
    """The text of the model card of a folder whose subfolders are the members of an ensemble."""
    return _rendered(members=members, k=k)


def _rendered(**values: Any) -> str:
    from jinja2 import Environment

    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)  # not HTML: no escaping
    environment.filters["literal"] = _literal
    template = Path(__file__).with_name("model_card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(values)


def _literal(text: object) -> str:
    """Text of others inside Markdown: no markup, no second line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~-])", r"\\\1", " ".join(str(text).split()))
