"""The README of a saved reward model, in the form that the Hugging Face hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from guerdon.rewards.contract import FILE_NAME, ScoreContract

CARD_FILE = "README.md"

_HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2", "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Where the hub keeps the offline models."""

_PROMPTS = """prompts = ["How long does an egg take?", "How long does an egg take?"]
responses = ["Eight minutes in boiling water.", "It depends."]"""


def model_card(contract: ScoreContract, *, code: bool, metrics: Mapping[str, float]) -> str:
    """The text of the model card.

    Args:
        contract: the score contract of the saved model.
        code: whether plain Transformers needs the modelling code in the folder.
        metrics: what was measured on held-out rows, by name.
    """
    sections = [
        _front_matter(contract.backbone),
        "# A reward model",
        f"It gives a response to a prompt a score: the higher, the better. It was trained with Guerdon from "
        f"{_escaped(contract.backbone) or 'another model'}. Scores have no bounds; they compare only with each other.",
        "## Use it in Guerdon",
        _fenced(f'from guerdon import load_scorer\n\n{_PROMPTS}\nrewards = load_scorer(".").score(prompts, responses)'),
        '`"."` is the folder that holds this file; `guerdon score FOLDER DATA` does the same for a file.',
        "## Use it in plain Transformers",
        _fenced(_plain_code(contract, code)),
        *_plain_notes(contract, code),
        "## How text becomes a score",
        f"`{FILE_NAME}` holds the whole contract, which Guerdon checks when it loads the model. In short:",
        _table(("", ""), _contract_rows(contract)),
        "## Training data",
        _data(contract),
    ]
    if metrics:
        sections += ["## Measured", "On rows that were held out of training:"]
        sections += [_table(("metric", "value"), [(_escaped(name), f"{value:.4g}") for name, value in metrics.items()])]
    sections += ["## Limits", *_limits(contract)]
    return "\n\n".join(sections) + "\n"


def ensemble_card(members: Sequence[str], k: float) -> str:
    """The text of the model card of a folder whose subfolders are the members of an ensemble."""
    names = ", ".join(f"[{_escaped(name)}]({name}/{CARD_FILE})" for name in members)
    sections = [
        _front_matter(""),
        "# An ensemble of reward models",
        f"It gives a response the mean score of its members less {k:.4g} standard deviations, each score first put on "
        f"the members' common scale. The members, each a reward model by itself: {names}.",
        "## Use it in Guerdon",
        _fenced(f'from guerdon import load_scorer\n\n{_PROMPTS}\nrewards = load_scorer(".").score(prompts, responses)'),
        "Plain Transformers has no ensembles; it reads each member as the card of that member says.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(backbone: str) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-classification"]
    backbone = _HUB_NAMES.get(backbone, backbone)
    if re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*", backbone, re.ASCII):
        lines.append(f"base_model: {json.dumps(backbone)}")
    return "\n".join(["---", *lines, "tags:", "- reward-model", "- guerdon", "---"])


def _plain_code(contract: ScoreContract, code: bool) -> str:
    trust = ", trust_remote_code=True" if code else ""
    lines = [
        "import torch",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'folder = "."',
        f"tokenizer = AutoTokenizer.from_pretrained(folder{trust})",
        f"model = AutoModelForSequenceClassification.from_pretrained(folder{trust}).eval()",
        _PROMPTS,
    ]
    options = f'padding=True, truncation={{}}, max_length={contract.max_length}, return_tensors="pt"'
    if contract.rendering == "pair":
        lines += [
            'tokenizer.truncation_side = "left"',
            f"batch = tokenizer(prompts, responses, {options.format(repr('only_first'))})",
        ]
    elif contract.rendering == "chat":
        lines += [
            "chats = [",
            '    [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]',
            "    for prompt, response in zip(prompts, responses)",
            "]",
            'batch = tokenizer.apply_chat_template(chats, padding=True, return_dict=True, return_tensors="pt")',
        ]
    else:
        ending = " + tokenizer.eos_token" if contract.ends_with_eos else ""
        lines += [
            f'texts = [prompt + "\\n\\n" + response{ending} for prompt, response in zip(prompts, responses)]',
            'batch = tokenizer(texts, padding=True, return_tensors="pt")',
        ]
    lines += ["with torch.no_grad():", "    outputs = model(**batch).logits"]
    if len(contract.attributes) == 1:
        lines.append("rewards = outputs[:, 0]")
    else:
        lines.append(f"rewards = outputs @ torch.tensor({list(contract.weights)})")
    return "\n".join(lines)


def _plain_notes(contract: ScoreContract, code: bool) -> list[str]:
    notes = []
    if code:
        reason = (
            "the weights are a LoRA adapter, to be joined with its base"
            if contract.base
            else f"it reads the {contract.pooling} of the tokens"
            if contract.pooling == "mean"
            else "its architecture has no place for a part of the head"
        )
        notes.append(
            f"Plain loading without `trust_remote_code=True` fails, on purpose: {reason}, and no architecture of "
            "Transformers scores so. The code that does is `modeling_guerdon.py` in this folder; read it first."
        )
    if contract.base:
        notes.append(
            "That code does not check that the base is the one which the adapter was trained on; Guerdon does. "
            "`guerdon train --merge-lora` saves a model that stands alone."
        )
    if contract.keep_reasoning:
        notes.append(
            "Where the chat template leaves out a part of a response (the reasoning), Guerdon writes the response "
            "behind the generation prompt as it is; the code above does not."
        )
    if contract.rendering != "pair":
        notes.append(
            f"A text of over {contract.max_length} tokens must be cut from the left of its prompt, as Guerdon does."
        )
    return notes


def _contract_rows(contract: ScoreContract) -> list[tuple[str, str]]:
    rendering = {
        "pair": "prompt and response as the two segments of the encoder",
        "chat": "the tokenizer's chat template, the response as the assistant's turn",
        "plain": "the prompt, a blank line, the response" + (", EOS" if contract.ends_with_eos else ""),
    }
    rows = [
        ("architecture", f"`{contract.architecture}`"),
        ("text", rendering[contract.rendering]),
        ("score is read at", {"native": "the architecture's own place"}.get(contract.pooling, contract.pooling)),
        ("tokens at most", str(contract.max_length)),
    ]
    if len(contract.attributes) > 1:
        parts = zip(contract.weights, contract.attributes, strict=True)
        rows.append(("score", " + ".join(f"{weight:.4g} x {_escaped(name)}" for weight, name in parts)))
    if contract.rendering == "chat":
        rows.append(("day that the chat template reads", contract.template_date))
    rows += [
        ("mean and deviation of training scores", f"{contract.mean:.4g}, {contract.std:.4g}"),
        ("P(a preferred to b)", f"sigmoid((score of a - score of b) / {contract.temperature:.4g})"),
    ]
    return rows


def _data(contract: ScoreContract) -> str:
    data = contract.data
    if not data:
        return "Not recorded."
    sources = ", ".join(_escaped(str(source)) for source in data.get("sources", ())) or "rows in memory"
    return f"{data.get('rows', '?')} rows of {sources}; SHA-256 of the rows `{_escaped(str(data.get('sha256', '?')))}`."


def _limits(contract: ScoreContract) -> list[str]:
    return [
        "- A score says what the training data preferred, in its languages and on its kinds of prompt, and no more; "
        "measure it on your own data (`guerdon evaluate`).\n"
        "- A policy that is trained against it for long finds what it rewards by mistake: watch other rewards too.\n"
        "- Every reward model may have learned shortcuts such as length; `guerdon evaluate` reports them."
    ]


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {left} | {right} |" for left, right in [head, ("---", "---"), *rows])


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _escaped(text: str) -> str:
    """Text of others inside Markdown: no markup, no second line."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~-])", r"\\\1", " ".join(text.split()))
