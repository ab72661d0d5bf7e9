"""Scorers of the user's own are taken as they are, or one message says by their name what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon import load_scorer, score_texts
from guerdon.errors import ModelError
from guerdon.rewards.load import ScorerConfig
from guerdon.types import Message

CODE = """
import numpy as np
import torch

TABLE = {"a": 1.0, "bbb": 3.0}

def trl(prompts, completions, **columns): return [float(len(text)) for text in completions]
def trl_of_chats(completions, **columns): return [float(len(turns[-1]["content"])) for turns in completions]
def trl_with_none(prompts, completions, solution, trainer_state=None):
    return [None if want is None else float(want == text) for want, text in zip(solution, completions)]
async def trl_later(prompts, completions): return [1.0] * len(prompts)
def verl(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": len(solution_str) + len(extra_info["prompt"]), "acc": 1}
def verl_number(data_source, solution_str, ground_truth): return np.float64(ground_truth == solution_str)
def verl_batch(data_sources, solution_strs, ground_truths, extra_infos):
    return [{"score": len(text)} for text in solution_strs]
def openrlhf(queries, prompts, labels):
    rewards = torch.tensor([float(len(q) - len(p)) for q, p in zip(queries, prompts)])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {}}
def openrlhf_tensor(queries, prompts, labels=None): return torch.tensor([float(len(q)) for q in queries])
def plain(prompts, responses): return [len(text) for text in responses]
def plain_checked(prompts, responses, references): return [text == want for text, want in zip(responses, references)]
def single(prompt, response): return TABLE.get(response)
def single_checked(response, reference): return float(response == reference)

class Old:
    def score(self, prompts, responses): return torch.ones(len(responses), dtype=torch.bfloat16, requires_grad=True)
class Callable:
    def __call__(self, prompts, completions, **columns): return [2.0] * len(completions)
ready = Callable()
class Away:
    def score(self, prompts, responses, *, references=None): raise RuntimeError("service away")
class Short:
    def score(self, prompts, responses, *, references=None): return [1.0]
class Column:
    def score(self, prompts, responses, *, references=None): return np.ones((len(prompts), 1))
class Texts:
    def score(self, prompts, responses, *, references=None): return ["0.5"] * len(prompts)
class Mixed:
    def score(self, prompts, responses, *, references=None): return [0.5, *["high"] * (len(prompts) - 1)]
class Needs:
    def __init__(self, path): pass
class Judge:
    def compare(self, prompts, a, b, *, references=None): return np.ones((len(a), 2))
def one_number(prompts, responses): return 1.0
def strange(x, y): return 1
def of_tokens(completions, completion_ids): return [1.0] * len(completions)
def leaves(response): raise SystemExit(1)
"""


@pytest.fixture(scope="module", autouse=True)
def _module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("code")
    (folder / "guerdon_own_objects.py").write_text(CODE)
    (folder / "guerdon_broken_module.py").write_text("raise SystemExit('no licence')")
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def rewards(name: str, prompts: Any = ("hi", "hi"), references: Any = ("a", None)) -> list[float]:
    found = score_texts(load_scorer(f"guerdon_own_objects:{name}"), prompts, ["a", "bbb"], references)
    return found.values.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("trl", [1, 3]),
        ("trl_of_chats", [1, 3]),
        ("trl_with_none", [1, np.nan]),
        ("trl_later", [1, 1]),
        ("verl", [3, 5]),
        ("verl_number", [1, 0]),
        ("verl_batch", [1, 3]),
        ("openrlhf", [1, 3]),
        ("openrlhf_tensor", [3, 5]),
        ("plain", [1, 3]),
        ("plain_checked", [1, 0]),
        ("single", [1, 3]),
        ("single_checked", [1, 0]),
        ("Old", [1, 1]),
        ("ready", [2, 2]),
        ("Callable", [2, 2]),
    ],
)
def test_functions_of_other_trainers_are_taken_as_they_are(name: str, values: list[float]) -> None:
    np.testing.assert_array_equal(rewards(name), values)


def test_trl_gets_messages_where_prompts_are_chats() -> None:
    chat = (Message("system", "Be brief."), Message("user", "hi"))
    assert rewards("trl_of_chats", [chat, "hi"]) == [1, 3]
    assert rewards("trl", [chat, chat]) == [1, 1], "one message each"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Away", "raises on every response: RuntimeError: service away"),
        ("Short", r"\.score must give one reward per response, shape \(2,\); it gave shape \(1,\)"),
        ("Column", r"it gave shape \(2, 1\)"),
        ("Texts", "must give numbers, shape .*it gave str"),
        ("Mixed", "must give numbers, shape"),
        ("one_number", r":one_number must give one reward per response, shape \(2,\); it gave shape \(\)"),
        ("leaves", "raises on every response: SystemExit: 1"),
        ("Needs", "cannot be made: TypeError"),
        ("Judge", "is a Judge, not a Scorer: it has no score.. method, it only compares"),
        ("strange", r"is a function of \(x, y\), and Guerdon does not know how to ask it"),
        ("of_tokens", "needs 'completion_ids', which Guerdon does not have .token ids"),
        ("TABLE", "is a dict, not a Scorer"),
        ("missing", "guerdon_own_objects has no 'missing'; it has .*trl, trl_of_chats"),
    ],
)
def test_what_is_wrong_is_one_message_that_names_the_object(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        rewards(name)
    assert f"guerdon_own_objects:{name}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_comparer_is_named_too() -> None:
    from guerdon import Comparison, evaluate_reward

    judge = ScorerConfig(name="guerdon_own_objects:Judge").load_system()
    with pytest.raises(ModelError, match=r"guerdon_own_objects:Judge.compare must give one probability per pair"):
        evaluate_reward({"judge": judge}, [Comparison(prompt="hi", chosen="a", rejected="bbb")] * 2, resamples=2)


def test_a_module_that_leaves_at_import_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot import 'guerdon_broken_module:x' as a scorer: SystemExit: no licence"):
        load_scorer("guerdon_broken_module:x")
