"""A scorer with a fault is found out by the check of that fault, and by no other that it does not concern."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.evaluate.health.patient import ScorerPatient, Texts
from guerdon.evaluate.health.stability import OPAQUE_ROWS, SCORER_ROWS
from guerdon.hf import Lora
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Prompts, Responses

SAMPLE = Texts([f"prompt {n}" for n in range(12)], ["word " * (5 * n % 12 + 1) for n in range(12)], [None] * 12)


class OfResponses:
    """Its scores are a function of all responses of a call."""

    def __init__(self, function: Callable[[Responses], Any]) -> None:
        self.function = function

    def score(self, prompts: Prompts, responses: Responses, *, references: Any = None) -> np.ndarray:
        return np.asarray(self.function(responses), dtype=np.float32)


class Shared(OfResponses):
    """Its state is shared by all threads."""

    responses: Responses = ()

    def score(self, prompts: Prompts, responses: Responses, *, references: Any = None) -> np.ndarray:
        self.responses = responses
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.01)
        return lengths(self.responses)


def lengths(responses: Responses) -> np.ndarray:
    return np.array([len(response) for response in responses], dtype=np.float32)


def logits(responses: Responses) -> np.ndarray:
    return np.sin(lengths(responses)) * 3


CALLS = itertools.count()


@pytest.mark.parametrize(
    ("scorer", "failed"),
    [
        (OfResponses(logits), set()),
        (OfResponses(lengths), set()),
        (OfResponses(lambda texts: lengths(texts) - lengths(texts).mean()), {"batch"}),
        (OfResponses(lambda texts: [next(CALLS)] * len(texts)), {"rewards", "repetition", "batch", "order", "threads"}),
        (OfResponses(lambda texts: sorted(lengths(texts))), {"batch", "order"}),
        (Shared(lengths), {"threads"}),
        (OfResponses(lambda texts: [np.nan] * len(texts)), {"rewards"}),
        (OfResponses(lambda texts: [0.25] * len(texts)), {"rewards"}),
        (OfResponses(lambda texts: 1 / (1 + np.exp(-logits(texts)))), {"score scale"}),
        (OfResponses(lambda texts: torch.tensor(logits(texts)).bfloat16().float()), {"dtype"}),
        (OfResponses(lambda texts: logits(texts).astype(np.float16)), {"dtype"}),
    ],
    ids=[
        "raw", "counts", "depends on the batch", "another score each time", "mixes up the order", "shared state",
        "no score", "one score for all", "sigmoid", "bfloat16", "float16",
    ],
)  # fmt: skip
def test_a_fault_is_found(scorer: Any, failed: set[str]) -> None:
    patient = ScorerPatient(scorer, SAMPLE, 1e-5, 0)
    rows = [*SCORER_ROWS, *OPAQUE_ROWS] if np.isfinite(patient.first).any() else SCORER_ROWS[:1]
    assert {row.name for row in rows if row.look(patient).verdict == "fail"} == failed


def test_rules_have_a_scale_of_their_own(look: Any) -> None:
    for name in ("longest", "chrf"):
        rule = load_scorer(name)
        assert look("score scale", rule, SAMPLE).verdict == "not applicable"
        assert look("dtype", rule, SAMPLE).verdict == "not applicable"
    assert look("rewards", load_scorer("exact"), Texts(["p"] * 9, ["a"] * 9, ["a"] * 9)).verdict == "pass"


def test_texts_without_a_reward_are_counted_with_their_reason(look: Any) -> None:
    found = look("rewards", load_scorer("exact"), Texts(["p"] * 3, ["a", "b", "c"], ["a", None, None]))
    assert found.verdict == "warning"
    assert "2 of 3 texts have no reward, most often because: the row has no reference answer" in found.message


# --- what is saved and loaded again


@pytest.mark.parametrize("lora", [None, Lora(2)], ids=["whole", "adapter"])
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama"])
def test_what_is_saved_is_loaded_again(lora: Lora | None, name: str, request: Any, look: Any) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name), lora=lora)
    found = look("save, merge and reload", reward)
    assert found.verdict == "pass"
    assert ("with the adapter merged" in found.message) == (lora is not None)


def test_what_is_not_saved_is_found(tiny_llama: str, look: Any) -> None:
    reward = TransformerReward.create(tiny_llama)
    score: Any = reward.net.classifier.score
    score.register_forward_hook(lambda layer, given, made: made + 1)
    found = look("save, merge and reload", reward)
    assert found.verdict == "fail"
    assert found.difference == pytest.approx(1, abs=1e-4)


def test_a_merge_that_loses_the_adapter_is_found(tiny_llama: str, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from guerdon import hf

    reward = TransformerReward.create(tiny_llama, lora=Lora(2))
    for name, weights in reward.net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights)
    assert look("save, merge and reload", reward).verdict == "pass"
    monkeypatch.setattr(hf, "merged", lambda model: model.unload())
    found = look("save, merge and reload", reward)
    assert found.verdict == "fail"
    assert found.message.startswith("Saved with the adapter merged")


def test_ensembles_are_saved_and_others_are_not(tiny_bert: str, look: Any) -> None:
    members = [TransformerReward.create(tiny_bert, seed=seed) for seed in range(2)]
    assert look("save, merge and reload", Ensemble(members)).verdict == "pass"
    assert look("save, merge and reload", OfResponses(lengths)).verdict == "not applicable"
