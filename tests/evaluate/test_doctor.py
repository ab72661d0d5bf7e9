"""The doctor finds what makes scores unreliable, and finds nothing where they are."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.doctor import Diagnosis, check_reward_model
from guerdon.hf import Lora
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.saved import FILE_NAME, read_card
from guerdon.rewards.transformer import TransformerReward


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "sample.jsonl"
    rows = [
        {
            "prompt": "How do I boil an egg?",
            "chosen": f"Put it into water for {n} minutes. " * n,
            "rejected": f"No {n}.",
        }
        for n in range(1, 6)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(file)


def verdicts(found: Diagnosis) -> dict[str, str]:
    return {check.name: check.verdict for check in found.checks}


def foreign(folder: str, target: Path, **changes: Any) -> Path:
    torch.manual_seed(3)
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(target)
    return target


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", "tiny_gemma_like"])
def test_a_saved_model_is_healthy(name: str, request: pytest.FixtureRequest, tmp_path: Path, data: str) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    reward.save(tmp_path / "model", training_prompts=["egg"])
    found = check_reward_model(str(tmp_path / "model"), data=data)
    assert set(verdicts(found).values()) == {"ok"}, found
    expected = {"repetition", "batch size", "order", "threads", "head", "special tokens", "vocabulary", "padding side"}
    decoder = {"plain Transformers"} if name != "tiny_bert" else set()
    assert set(verdicts(found)) == expected | decoder | {"training prompts"}
    assert found.contracts[""].head_sha256
    assert json.loads(json.dumps(found.to_dict()))["contracts"][""]["pooling"] == reward.contract.pooling


def test_each_member_of_an_ensemble_is_looked_at(tiny_llama: str, tmp_path: Path, data: str) -> None:
    members = [TransformerReward.create(tiny_llama, seed=seed, lora=Lora(2)) for seed in range(2)]
    Ensemble(members).save(tmp_path / "both")
    found = check_reward_model(str(tmp_path / "both"), data=data)
    assert not found.faults
    assert set(found.contracts) == {"member-0", "member-1"}
    assert {"member-0: padding side", "member-1: padding side"} <= set(verdicts(found))


def test_another_head_is_a_fault(tiny_bert: str, tmp_path: Path, data: str) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path / "model")
    card = read_card(tmp_path / "model")
    card["contract"]["head_sha256"] = "0" * 64
    (tmp_path / "model" / FILE_NAME).write_text(json.dumps(card), encoding="utf-8")
    (fault,) = check_reward_model(str(tmp_path / "model"), data=data).faults
    assert "head's weights are not those that were trained" in fault.message


def test_padding_that_ends_texts_is_told(tiny_llama: str, tmp_path: Path, data: str) -> None:
    """The model of another trainer: every text ends with EOS, which is the padding token as well."""
    template = "{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"
    folder = foreign(tiny_llama, tmp_path / "foreign", chat_template=template)
    found = check_reward_model(str(folder), data=data)
    assert not found.faults
    (check,) = [check for check in found.checks if check.name == "plain Transformers"]
    assert check.verdict == "warning"
    assert "padding token <|im_end|> also ends texts" in check.message
    assert check.difference is not None
    assert check.difference > 1e-3


def test_doubled_tokens_unknown_text_and_the_clock_are_told(
    tiny_gemma_like: str, tiny_bert: str, tmp_path: Path, data: str
) -> None:
    template = "{{ strftime_now('%Y') }}{% for m in messages %}{{ bos_token + m['content'] }}{% endfor %}"
    doubled = foreign(tiny_gemma_like, tmp_path / "doubled", chat_template="{{ bos_token }}{{ bos_token }}" + template)
    found = verdicts(check_reward_model(str(doubled), data=data))
    assert found["special tokens"] == "fault"
    assert found["clock"] == "ok"
    rows = tmp_path / "unknown.jsonl"
    rows.write_text(json.dumps({"prompt": "龘" * 9, "response": "鱻鱻"}), encoding="utf-8")
    folder = foreign(tiny_bert, tmp_path / "bert")
    assert verdicts(check_reward_model(str(folder), data=str(rows)))["vocabulary"] == "warning"


def test_a_contract_is_adopted_where_there_is_none(tiny_bert: str, tmp_path: Path, data: str) -> None:
    folder = foreign(tiny_bert, tmp_path / "foreign")
    assert check_reward_model(str(folder), data=data).adopted is None
    assert not (folder / FILE_NAME).exists()
    found = check_reward_model(str(folder), data=data, adopt=True)
    assert found.adopted == folder / FILE_NAME
    written = ScoreContract.from_dict(read_card(folder)["contract"])
    assert written == found.contracts[""] == TransformerReward.load(folder).contract
    for name, message in ((str(folder), "has a guerdon.json already"), ("org/name", "not a folder on this machine")):
        with pytest.raises(ConfigError, match=message):
            check_reward_model(name, data=data, adopt=True)


# --- scorers with a fault each


class OfResponses:
    """Its scores are a function of all responses of a call."""

    def __init__(self, function: Callable[[Sequence[str]], Any]) -> None:
        self.function = function

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: Any = None) -> np.ndarray:
        return np.asarray(self.function(responses), dtype=np.float32)


def lengths(responses: Sequence[str]) -> np.ndarray:
    return np.array([len(response) for response in responses], dtype=np.float32)


class Unsafe:
    """Its state is shared by all threads."""

    responses: Sequence[str] = ()

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: Any = None) -> np.ndarray:
        self.responses = responses
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.01)
        return lengths(self.responses)


CALLS = itertools.count()


@pytest.mark.parametrize(
    ("scorer", "faults"),
    [
        (OfResponses(lambda all_of: lengths(all_of) - lengths(all_of).mean()), {"batch size"}),
        (OfResponses(lambda all_of: [next(CALLS)] * len(all_of)), {"repetition", "batch size", "order", "threads"}),
        (OfResponses(lambda all_of: sorted(lengths(all_of))), {"batch size", "order", "threads"}),
        (Unsafe(), {"threads"}),
        (OfResponses(lambda all_of: [np.nan] * len(all_of)), {"rewards"}),
    ],
    ids=["depends on the batch", "another score each time", "mixes up the order", "shared state", "no score"],
)
def test_an_unreliable_scorer_is_found_out(
    scorer: object, faults: set[str], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScorerConfig, "load", lambda _: scorer)
    found = check_reward_model("mine:scorer", data=data)
    assert {check.name for check in found.faults} == faults
    assert all(check.message.endswith(".") for check in found.faults)
    assert found.contracts == {}


def test_a_rule_is_healthy_and_no_responses_are_an_error(data: str, tmp_path: Path) -> None:
    assert not check_reward_model("longest", data=data).faults
    (tmp_path / "none.jsonl").write_text(json.dumps({"prompt": "a", "responses": []}), encoding="utf-8")
    with pytest.raises(DataError):
        check_reward_model("longest", data=str(tmp_path / "none.jsonl"))


# --- the command


def test_the_command_shows_what_the_function_finds(
    tiny_bert: str, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.contract = dataclasses.replace(reward.contract, backbone="tiny")
    reward.save(tmp_path / "model")
    assert main(["doctor", str(tmp_path / "model"), "--data", data]) == 0
    out = capsys.readouterr().out
    assert '  backbone: "tiny"\n' in out
    assert "ok       order: In the reverse order: the same scores; the largest difference is " in out
    assert "warning  training prompts: Not recorded" in out
    assert main(["doctor", str(tmp_path / "model"), "--data", data, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["contracts"][""]["backbone"] == "tiny"
    assert {check["name"] for check in shown["checks"]} == set(
        verdicts(check_reward_model(str(tmp_path / "model"), data=data))
    )


def test_the_command_exits_with_2_on_a_fault(
    tiny_bert: str, tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path / "model")
    card = read_card(tmp_path / "model")
    card["contract"]["architecture"] = "Other"
    (tmp_path / "model" / FILE_NAME).write_text(json.dumps(card), encoding="utf-8")
    assert main(["doctor", str(tmp_path / "model"), "--data", data]) == 2
    captured = capsys.readouterr()
    assert "fault    contract: " in captured.out
    assert "1 of 1 checks found a fault" in captured.err
