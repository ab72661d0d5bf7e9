"""The doctor looks at everything, says how to mend it, writes a contract where there is none, and exits with 1."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from guerdon import hf, load_scorer
from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.doctor import Diagnosis, _tables, check_reward_model
from guerdon.hf import Lora
from guerdon.rewards.blend import Blend
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.saved import FILE_NAME, read_card
from guerdon.rewards.transformer import TransformerReward

Foreign = Callable[..., Path]
DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUERDON_CACHE", str(tmp_path / "cache"))


def verdicts(found: Diagnosis) -> dict[str, str]:
    return {check.name: check.verdict for check in found.checks}


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", "tiny_gemma_like"])
@pytest.mark.parametrize("lora", [None, Lora(2)], ids=["whole", "adapter"])
def test_a_saved_model_is_healthy(
    name: str, lora: Lora | None, request: pytest.FixtureRequest, tmp_path: Path, short_data: str
) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name), lora=lora)
    reward.save(tmp_path / "model", training_prompts=["egg"])
    found = check_reward_model(str(tmp_path / "model"), data=short_data)
    told = {check.name for check in found.checks if check.verdict not in ("pass", "not applicable")}
    assert told == ({"BOS"} if name == "tiny_gemma_like" else set()), found  # its template and its tokenizer add BOS
    of_scorers, of_models = _tables()
    of_pairs = {"position"}  # asked of what compares
    assert set(verdicts(found)) == {row.name for row in (*of_scorers, *of_models)} - of_pairs
    assert found.contracts[""].head_sha256
    assert json.loads(json.dumps(found.to_dict()))["contracts"][""]["pooling"] == reward.contract.pooling


def test_every_part_of_a_scorer_is_looked_at(tiny_llama: str, tiny_bert: str, tmp_path: Path, short_data: str) -> None:
    members = [TransformerReward.create(tiny_llama, seed=seed, lora=Lora(2)) for seed in range(2)]
    Ensemble(members).save(tmp_path / "both")
    found = check_reward_model(str(tmp_path / "both"), data=short_data)
    assert not found.faults
    assert set(found.contracts) == {"member-0", "member-1"}
    assert {"member-0: padding side", "member-1: padding side", "batch"} <= set(verdicts(found))
    parts = {"mine": TransformerReward.create(tiny_bert), "longest": LengthReward(1)}
    Blend(parts, [1, 1], means=[0, 0], deviations=[1, 1]).save(tmp_path / "blend")
    found = check_reward_model(str(tmp_path / "blend"), data=short_data)
    assert not found.faults
    assert set(found.contracts) == {"mine"}


def test_a_rule_is_healthy_and_no_responses_are_an_error(short_data: str, tmp_path: Path) -> None:
    found = check_reward_model("longest", data=short_data)
    assert not found.faults
    assert found.contracts == {}
    (tmp_path / "none.jsonl").write_text(json.dumps({"prompt": "a", "responses": []}), encoding="utf-8")
    with pytest.raises(DataError):
        check_reward_model("longest", data=str(tmp_path / "none.jsonl"))


def test_an_unreliable_scorer_is_told_how_to_mend_it(short_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class OfTheBatch:
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> Any:
            return [len(text) - len(responses[0]) for text in responses]

    monkeypatch.setattr(ScorerConfig, "load_system", lambda _: OfTheBatch())
    found = check_reward_model("mine:scorer", data=short_data)
    assert "batch" in {check.name for check in found.faults}
    assert all(check.message.endswith(".") and check.mend for check in found.faults)


def test_a_judge_that_likes_the_first_place_is_found(short_data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Judge:
        def __init__(self, liking: float) -> None:
            self.liking = liking

        def compare(self, prompts: Any, a: Any, b: Any, *, references: Any = None) -> np.ndarray:
            margins = np.array([len(one) - len(other) for one, other in zip(a, b, strict=True)])
            return np.asarray(1 / (1 + np.exp(-margins / 10 - self.liking)), dtype=np.float32)

    names = ["rewards", "repetition", "batch", "order", "threads", "position"]
    for liking, verdict in ((0.0, "pass"), (2.0, "fail")):
        monkeypatch.setattr(ScorerConfig, "load_system", lambda _, liking=liking: Judge(liking))
        found = check_reward_model("mine:judge", data=short_data)
        said = verdicts(found)
        assert list(said)[:6] == names
        assert "score scale" not in said
        assert [said[name] for name in names] == ["pass"] * 5 + [verdict]
    assert found.faults[0].difference == pytest.approx(2 / (1 + np.exp(-2.0)) - 1, abs=1e-6)
    assert "pairs change their winner with the order." in found.faults[0].message


def test_without_a_reward_there_is_nothing_to_compare(short_data: str) -> None:
    found = check_reward_model("exact", data=short_data)
    assert verdicts(found) == {"rewards": "fail"}
    assert "No text has a reward: the row has no reference answer." in found.faults[0].message


# --- what fails when a model is loaded


def saved(folder: str, target: Path, lora: Lora | None = None, **of_contract: Any) -> Path:
    TransformerReward.create(folder, lora=lora).save(target)
    card = read_card(target)
    card["contract"] |= of_contract
    (target / FILE_NAME).write_text(json.dumps(card), encoding="utf-8")
    return target


def fault(folder: Path | str, data: str, **options: Any) -> tuple[str, str]:
    (check,) = check_reward_model(ScorerConfig(name=str(folder), **options), data=data).faults
    assert check.mend
    assert "Fix: " not in check.message
    return check.name, check.message


def test_another_head_or_none_is_found(tiny_bert: str, tiny_llama: str, tmp_path: Path, short_data: str) -> None:
    name, said = fault(saved(tiny_bert, tmp_path / "other", head_sha256="0" * 64), short_data)
    assert name == "head"
    assert "head's weights are not those that were trained" in said
    assert fault(tiny_llama, short_data)[0] == "head"
    with hf.quiet():
        bare = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), LoraConfig(task_type="CAUSAL_LM", r=2))
        bare.save_pretrained(tmp_path / "headless")
    assert fault(tmp_path / "headless", short_data)[0] == "head"
    ours = saved(tiny_llama, tmp_path / "lora", Lora(2))
    file = ours / "adapter_model.safetensors"
    save_file({name: one for name, one in load_file(file).items() if ".score." not in name}, file, {"format": "pt"})
    assert fault(ours, short_data)[0] == "head"


def test_another_base_or_none_is_found(tiny_llama: str, tmp_path: Path, short_data: str) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_llama, base)
    ours = saved(str(base), tmp_path / "ours", Lora(2))
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] *= 2
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    name, said = fault(ours, short_data)
    assert name == "LoRA base"
    assert "holds another model" in said
    shutil.rmtree(base)
    name, said = fault(ours, short_data)
    assert name == "LoRA base"
    assert "was not found" in said


def test_a_template_or_a_length_that_does_not_fit_is_found(
    tiny_llama: str, tiny_bert: str, tmp_path: Path, short_data: str
) -> None:
    assert fault(saved(tiny_llama, tmp_path / "a", chat_template_sha256="0" * 64), short_data)[0] == "template"
    name, said = fault(saved(tiny_bert, tmp_path / "b", max_length=4096), short_data)
    assert name == "truncation"
    assert "max_length 4096 is more than the model reads" in said
    assert fault(saved(tiny_bert, tmp_path / "c", architecture="Other"), short_data)[0] == "contract"


def test_several_outputs_of_which_none_is_chosen_are_found(tiny_bert: str, tmp_path: Path, short_data: str) -> None:
    with hf.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny_bert, num_labels=2, ignore_mismatched_sizes=True
        )
    shutil.copytree(tiny_bert, tmp_path / "two")
    model.save_pretrained(tmp_path / "two")
    name, said = fault(tmp_path / "two", short_data)
    assert name == "several outputs"
    assert "2 outputs (0: LABEL_0, 1: LABEL_1)" in said
    config = ScorerConfig(name=str(tmp_path / "two"), output="1")
    found = check_reward_model(config, data=short_data, adopt=True)
    assert not found.faults
    assert "the reward is 1 LABEL_1" in {check.name: check.message for check in found.checks}["several outputs"]
    adopted = load_scorer(tmp_path / "two")
    torch.testing.assert_close(adopted.score(["egg"], ["good"]), config.load().score(["egg"], ["good"]))
    assert adopted.contract.weights == (0.0, 1.0)  # type: ignore[attr-defined]


# --- adoption


def test_a_contract_is_adopted_where_there_is_none(tiny_bert: str, foreign: Foreign, short_data: str) -> None:
    folder = foreign(tiny_bert)
    assert check_reward_model(str(folder), data=short_data).adopted is None
    assert not (folder / FILE_NAME).exists()
    found = check_reward_model(str(folder), data=short_data, adopt=True)
    assert found.adopted == folder / FILE_NAME
    written = ScoreContract.from_dict(read_card(folder)["contract"])
    assert written == found.contracts[""] == TransformerReward.load(folder).contract
    for name, message in ((str(folder), "has a guerdon.json already"), ("org/name", "not a folder on this machine")):
        with pytest.raises(ConfigError, match=message):
            check_reward_model(name, data=short_data, adopt=True)


def test_what_concerns_other_tools_does_not_stop_an_adoption(
    tiny_llama: str, foreign: Foreign, short_data: str
) -> None:
    template = "{{ strftime_now('%d %b') }}{% for m in messages %}{{ m['content'] + '<|im_end|>' }}{% endfor %}"
    folder = foreign(tiny_llama, chat_template=template)
    found = {check.name for check in check_reward_model(str(folder), data=short_data).faults}
    assert found == {"template date", "pooled position", "plain Transformers"}
    found = {check.name for check in check_reward_model(str(folder), data=short_data, adopt=True).faults}
    assert found == {"pooled position", "plain Transformers"}, "the contract has the day now"
    assert (folder / FILE_NAME).exists()


def test_an_unstable_model_is_not_adopted(tiny_bert: str, foreign: Foreign, short_data: str) -> None:
    folder = foreign(tiny_bert, change=lambda model: torch.nn.init.zeros_(model.classifier.weight))
    found = check_reward_model(str(folder), data=short_data, adopt=True)
    assert {check.name for check in found.faults} == {"rewards", "head"}
    assert found.adopted is None
    assert not (folder / FILE_NAME).exists()


def test_an_adapter_is_adopted_with_its_base(tiny_llama: str, tmp_path: Path, short_data: str) -> None:
    shutil.copytree(tiny_llama, tmp_path / "there" / "base")
    with hf.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "there" / "base", num_labels=1)
        get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2)).save_pretrained(tmp_path / "there" / "adapter")
    before = load_scorer(tmp_path / "there" / "adapter").score(["egg"], ["good"])
    found = check_reward_model(str(tmp_path / "there" / "adapter"), data=short_data, adopt=True)
    assert not found.faults
    assert read_card(tmp_path / "there" / "adapter")["contract"]["base"] == "../base"
    (tmp_path / "there").rename(tmp_path / "moved")
    assert load_scorer(tmp_path / "moved" / "adapter").score(["egg"], ["good"]) == before
    file = tmp_path / "moved" / "base" / "model.safetensors"
    save_file(load_file(file) | {"model.norm.weight": torch.ones(32) * 3}, file, {"format": "pt"})
    assert fault(tmp_path / "moved" / "adapter", short_data)[0] == "LoRA base"


# --- the command


def test_the_command_shows_what_the_function_finds(
    tiny_bert: str, tmp_path: Path, short_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.contract = dataclasses.replace(reward.contract, backbone="tiny")
    reward.save(tmp_path / "model")
    command = ["doctor", str(tmp_path / "model"), "--data", short_data]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert '  backbone: "tiny"\n' in out
    assert "pass            order: In the reverse order: the same scores; the largest difference is " in out
    assert "not applicable  LoRA base: It is no adapter.\n" in out
    assert "warning         training prompts: Not recorded" in out
    assert "                Fix: Train with Guerdon, " in out
    assert out.endswith("0 of 14 checks failed.\n")
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    found = check_reward_model(str(tmp_path / "model"), data=short_data)
    assert shown["checks"] == [dataclasses.asdict(check) for check in found.checks]


def test_the_command_exits_with_1_where_a_check_fails(
    tiny_bert: str, tmp_path: Path, short_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(tiny_bert, tmp_path / "model", architecture="Other")
    for options in ([], ["--json", "--page", str(tmp_path / "page.html")]):
        assert main(["doctor", str(folder), "--data", short_data, *options]) == 1
        assert "architecture is BertForSequenceClassification" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 of 1 checks failed" in page
    assert "architecture is BertForSequenceClassification" in page
    assert main(["doctor", str(tmp_path / "nothing"), "--data", short_data]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_docs_have_every_check_and_its_mend() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: (about, mend) for name, about, mend in rows}
    for row in (*_tables()[0], *_tables()[1]):
        if row.name in ("dtype", "score scale"):  # of a model, and of what has no weights to look at
            assert row.name in listed
        else:
            assert listed[row.name] == (row.about, row.mend)
