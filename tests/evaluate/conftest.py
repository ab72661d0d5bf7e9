"""Models as other trainers save them, built by plain Transformers, and how a check is asked about one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from guerdon import hf
from guerdon.evaluate.doctor import _tables
from guerdon.evaluate.health.patient import Finding, ModelPatient, ScorerPatient, Texts
from guerdon.rewards.saved import FILE_NAME
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Scorer

PROMPTS = ["How do I boil an egg?", "Which is the largest planet?", "怎样煮鸡蛋？"]
RESPONSES = ["Put it into boiling water for eight minutes.", "Jupiter.", "煮八分钟，好。", "I am sorry, I do not know."]
SAMPLE = Texts(
    [prompt for prompt in PROMPTS for _ in RESPONSES], RESPONSES * len(PROMPTS), [None] * len(PROMPTS) * len(RESPONSES)
)


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[..., Path]:
    """Saves a sequence classifier with plain Transformers; keyword arguments are attributes of its tokenizer."""

    def save(folder: str, *, change: Callable[[Any], None] = lambda model: None, **of_tokenizer: Any) -> Path:
        target = tmp_path / "foreign"
        torch.manual_seed(3)
        with hf.quiet():
            model: Any = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
        change(model)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for name, value in of_tokenizer.items():
            setattr(tokenizer, name, value)
        model.config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        return target

    return save


Examine = Callable[..., Finding]


@pytest.fixture
def look() -> Examine:
    """Asks one check of the table about a trained model, or about any scorer."""

    def ask(name: str, scorer: Scorer | Path | str, sample: Texts = SAMPLE, *, decided: bool | None = None) -> Finding:
        of_scorers, of_models = _tables()
        if isinstance(scorer, Path | str):
            scorer = TransformerReward.load(scorer)
        if isinstance(scorer, TransformerReward) and any(row.name == name for row in of_models):
            if decided is None:
                decided = scorer.folder is not None and (scorer.folder / FILE_NAME).is_file()
            row = next(row for row in of_models if row.name == name)
            return row.look(ModelPatient(scorer, sample, 1e-5, decided, False))
        row = next(row for row in of_scorers if row.name == name)
        return row.look(ScorerPatient(scorer, sample, 1e-5, 0))

    return ask


@pytest.fixture
def short_data(tmp_path: Path) -> str:
    """The sample as a file."""
    rows = [{"prompt": prompt, "responses": RESPONSES} for prompt in PROMPTS]
    (tmp_path / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(tmp_path / "short.jsonl")
