"""The score contract: everything that a score depends on besides the weights, in one readable file beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Literal, Self, get_args

from guerdon.errors import ContractError
from guerdon.text.chat import TEMPLATE_DATE
from guerdon.types import BaseDtype

Rendering = Literal["pair", "chat", "plain"]
Pooling = Literal["native", "mean", "last", "steps"]
StepUnit = Literal["line", "paragraph"]
Aggregation = Literal["min", "product", "mean", "last", "geometric-mean", "max", "mean-of-logits", "mean-of-odds"]


@dataclass(frozen=True, slots=True)
class ScoreContract:
    """How text becomes a score. Saved with the model, checked when it is loaded."""

    architecture: str
    """Class name in Transformers, e.g. `BertForSequenceClassification`."""
    rendering: Rendering
    """`pair`: prompt and response as the two segments of an encoder; `chat`: the tokenizer's chat template with the
    response as the assistant's turn; `plain`: prompt, blank line, response."""
    pooling: Pooling
    """Where the score is read: `native` the model's own classification path, the `mean` of all tokens, or the `last`
    token, found from the sequence's own length and never by looking for the padding id; of a process reward `steps`,
    `step_mark` behind each of them."""
    max_length: int
    """Tokens a sequence may have; the prompt is cut from its left to fit."""
    ends_with_eos: bool
    """Append EOS where the rendered text does not end with it; white space that a chat template writes behind the
    response goes first."""
    pad_token_id: int
    """Fills the rows of a batch; no score depends on it in Guerdon, which knows where each text ends."""
    padding_side: Literal["right"] = "right"
    """Where rows are filled."""
    truncation_side: Literal["left"] = "left"
    """Where a prompt is cut."""
    chat_template_sha256: str = ""
    """Digest of the tokenizer's chat template, where `rendering` is `chat`."""
    template_date: str = TEMPLATE_DATE
    """The day that a chat template reads from its clock (`strftime_now`), as YYYY-MM-DD: today's would change scores
    tomorrow."""
    keep_reasoning: bool = False
    """Where the chat template leaves out a part of a response (the reasoning in `<think>`), give the model the whole
    response, behind the generation prompt."""
    step_unit: StepUnit | Literal[""] = ""
    """Of a process reward, what is a step of a response: each `line`, or each `paragraph` (empty lines part them)."""
    step_mark: str = ""
    """Of a process reward, the special token that is put behind every step, and at which its score is read."""
    aggregation: Aggregation | Literal[""] = ""
    """Of a process reward, how the scores of steps become one, see `guerdon.rewards.process`."""
    attributes: tuple[str, ...] = ("score",)
    """The name of each output of the head."""
    weights: tuple[float, ...] = (1.0,)
    """score = sum_k weights[k] * attribute[k]."""
    shift: tuple[float, ...] = (0.0,)
    """attribute[k] = shift[k] + scale[k] * logit[k]: ratings come back in the units of the data. 0 in a saved model
    whose head has a bias, where it is folded into that."""
    scale: tuple[float, ...] = (1.0,)
    """See `shift`. 1 in a saved model, where it is folded into the head's weights."""
    mean: float = 0.0
    """Mean score of the training responses, for whoever wants to standardise scores."""
    std: float = 1.0
    """Standard deviation of the scores of the training responses."""
    temperature: float = 1.0
    """P(a preferred to b) = sigmoid((score_a - score_b) / temperature)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights and the arithmetic; the head is always float32."""
    base: str = ""
    """Where the weights are those of a LoRA adapter: the model it sits on. The name of an offline model or of one on
    the hub, or a path relative to the folder of this file, which begins with a dot."""
    base_revision: str = ""
    """The commit of a base on the hub."""
    base_sha256: str = ""
    """Digest of the base's configuration and weights (`guerdon.models.weights_digest`): on another base the adapter
    would give other scores."""
    base_dtype: BaseDtype = "float32"
    """Precision of the base while the adapter learnt on it (`bfloat16`; `nf4`: 4 bits): it is read on weights that are
    rounded in the same way."""
    backbone: str = ""
    """What training started from."""
    head_sha256: str = ""
    """Digest of the head's weights, so that a re-initialised head cannot pass for the trained one."""
    data: dict[str, Any] = field(default_factory=dict)
    """Fingerprint of the training data: source, rows, sha256."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that the model was made with."""

    def __post_init__(self) -> None:
        faults = [
            f"{name} has {len(getattr(self, name))} values for {len(self.attributes)} attributes"
            for name in ("weights", "shift", "scale")
            if len(getattr(self, name)) != len(self.attributes)
        ]
        faults += [
            f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
            for name, allowed in _ALLOWED.items()
            if getattr(self, name) not in allowed
        ]
        if not self.attributes or len(set(self.attributes)) != len(self.attributes):
            faults.append(f"attributes must be one or more distinct names, got {list(self.attributes)}")
        if {bool(self.step_unit), bool(self.step_mark), bool(self.aggregation)} != {self.pooling == "steps"}:
            faults.append("step_unit, step_mark and aggregation go with pooling steps, all three")
        if self.max_length < 4:
            faults.append(f"max_length must be at least 4, got {self.max_length}")
        if not _is_date(self.template_date):
            faults.append(f"template_date must be YYYY-MM-DD, got {self.template_date!r}")
        if not self.temperature > 0:
            faults.append(f"temperature must be above 0, got {self.temperature}")
        if faults:
            raise ContractError("score contract: " + "; ".join(faults))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises ContractError for a missing or unknown field."""
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ContractError(f"score contract: unknown field(s) {unknown}; made by a newer version of guerdon?")
        try:
            fixed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            return cls(**fixed)
        except TypeError as error:
            raise ContractError(f"score contract: {error}") from error


_ALLOWED = {
    "rendering": get_args(Rendering),
    "pooling": get_args(Pooling),
    "step_unit": ("", *get_args(StepUnit)),
    "aggregation": ("", *get_args(Aggregation)),
    "padding_side": ("right",),
    "truncation_side": ("left",),
    "dtype": ("float32", "bfloat16"),
    "base_dtype": get_args(BaseDtype),
}


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def text_sha256(text: str | None) -> str:
    """Hex digest of a text; empty for none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
