"""A run does what its configuration says, writes down what it did, and refuses what cannot be."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from guerdon.errors import ConfigError, DataError, ModelError, OutputError
from guerdon.rewards.encode import Encoder
from guerdon.rewards.ensemble import Ensemble
from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.train import train_run as run_module
from guerdon.train.train_run import train_reward_model
from guerdon.types import AnyRow, Comparison, Message, Rating, Reference


def pairs(toy: Any, count: int = 48) -> list[AnyRow]:
    return [Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(count)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_seed_decides_everything(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = pairs(toy)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(name))  # what ran before does not matter
        train_reward_model(rows, tmp_path / name, quick(tiny_bert, epochs=1, seed=seed, validation=0.2))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_run_keeps_its_log_and_reports_its_progress(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    config = quick(tiny_bert, batch_size=8, validation=0.25, eval_steps=5)
    train_reward_model(pairs(toy), tmp_path, config, on_step=seen.append)
    log = log_of(tmp_path)
    training = [line for line in log if "loss" in line]
    assert {"step", "accuracy", "learning_rate", "grad_norm", "examples"} <= training[0].keys()
    assert training[-1]["examples"] == training[-1]["step"] * 8, "a step is always the same number"
    checks = [line["step"] for line in log if "eval_loss" in line]
    assert checks[:2] == [5, 10]
    last = seen[-1]
    assert last["step"] == last["steps"] == checks[-1]
    assert {"loss", "accuracy", "eval_loss", "eval_accuracy", "examples_per_second", "seconds_left"} <= last.keys()
    assert last["seconds_left"] == 0
    assert [metrics["step"] for metrics in seen] == list(range(len(seen)))
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
    assert not list((tmp_path / "run").glob("checkpoint-*")), "checkpoints have done their work"
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    assert card["training"] == dataclasses.asdict(config) | {"augment": []}  # as JSON gives a tuple back
    best = min(line["eval_loss"] for line in log if "eval_loss" in line)
    assert f"| validation loss | {best:.4g} |" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_fewer_judgements_than_a_step_make_a_smaller_step(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    train_reward_model(pairs(toy, 3), tmp_path, quick(tiny_bert, batch_size=32, epochs=2))
    assert [line["examples"] for line in log_of(tmp_path) if "loss" in line] == [3, 6]


def test_the_best_checkpoint_is_kept(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    """The held-out rows say the opposite: the less is learnt the better, so the first checkpoint is the best."""
    held = [Comparison(prompt=toy.prompt(), chosen=toy.response(0), rejected=toy.response(3)) for _ in range(16)]
    rows = pairs(toy)
    train_reward_model(rows, tmp_path / "best", quick(tiny_bert, eval_steps=2, epochs=4), validation=held)
    checks = {line["step"]: line["eval_loss"] for line in log_of(tmp_path / "best") if "eval_loss" in line}
    assert min(checks, key=lambda step: checks[step]) == 2 < max(checks)
    config = quick(tiny_bert, eval_steps=2, epochs=4)
    stopped = weights(tmp_path / "best")
    train_reward_model(rows, tmp_path / "last", dataclasses.replace(config, validation=0.0))
    assert not same(stopped, weights(tmp_path / "last"))
    reward = load_scorer(tmp_path / "best")
    right = reward.score([r.prompt for r in held], [r.chosen for r in held])
    wrong = reward.score([r.prompt for r in held], [r.rejected for r in held])
    loss = float(np.log1p(np.exp(-(right - wrong).astype(float))).mean())
    assert loss == pytest.approx(min(checks.values()), abs=1e-4), "these are the weights of that checkpoint"


def test_divergence_is_an_error_and_nothing_is_saved(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="training has diverged. Fix: lower --learning-rate"):
        train_reward_model(pairs(toy), tmp_path, quick(tiny_bert, learning_rate=1e20, warmup_ratio=0.0))
    assert not (tmp_path / "guerdon.json").exists()


def test_a_checkpoint_never_holds_broken_weights(
    tiny_bert: str, toy: Any, quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step that breaks the weights has a finite loss itself."""

    class Breaking(torch.optim.AdamW):
        def step(self, closure: Any = None) -> None:
            super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][0][0] = torch.nan

    monkeypatch.setattr(torch.optim, "AdamW", Breaking)
    with pytest.raises(ModelError, match="weights are not finite at step 1: training has diverged"):
        train_reward_model(pairs(toy), tmp_path, quick(tiny_bert, eval_steps=1))
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("name", "merge", "base_dtype"),
    [
        ("tiny_llama", False, "float32"),
        ("tiny_llama", True, "float32"),
        ("tiny_llama", True, "bfloat16"),
        ("tiny_bert", False, "bfloat16"),
        ("tiny_llama", False, "nf4"),
        ("tiny_bert", True, "nf4"),
    ],
)
def test_lora_runs_save_what_was_trained(
    name: str, merge: bool, base_dtype: str, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
    if base_dtype == "nf4":
        pytest.importorskip("bitsandbytes", reason="the extra `nf4` is not installed")
    backbone = request.getfixturevalue(name)
    config = quick(backbone, lora_r=4, base_dtype=base_dtype, merge_lora=merge, learning_rate=1e-2, epochs=5)
    scorer = train_reward_model(pairs(toy), tmp_path, config)
    assert toy.accuracy(scorer, 3, 0) > 0.9
    assert (tmp_path / "model.safetensors").exists() == merge
    prompts, responses = ["boil egg two"] * 2, ["good water", "rude water"]
    np.testing.assert_allclose(
        load_scorer(tmp_path).score(prompts, responses), scorer.score(prompts, responses), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("name", "rank"), [("tiny_bert", 0), ("tiny_llama", 0), ("tiny_llama", 4)])
def test_gradient_checkpointing_changes_nothing(
    name: str, rank: int, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
    rows = pairs(toy, 16)
    for on in (False, True):
        config = quick(
            request.getfixturevalue(name), epochs=1, gradient_checkpointing=on, lora_r=rank, merge_lora=bool(rank)
        )
        train_reward_model(rows, tmp_path / str(on), config)
    for mine, theirs in zip(weights(tmp_path / "False").values(), weights(tmp_path / "True").values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_members_become_an_ensemble(tiny_llama: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    config = quick(tiny_llama, lora_r=4, ensemble_size=2, ensemble_k=1.0, epochs=1)
    scorer = train_reward_model(pairs(toy), tmp_path, config)
    assert isinstance(scorer, Ensemble)
    assert scorer.k == 1.0
    assert [member.contract.base for member in scorer.members] == [tiny_llama] * 2
    assert (tmp_path / "baseline").is_dir(), "one for all, where `evaluate` looks"
    assert not list(tmp_path.glob("member-*/baseline"))
    heads = [load_file(tmp_path / f"member-{i}" / "adapter_model.safetensors") for i in range(2)]
    assert not same(*heads)


def test_chats_and_unreadable_texts_are_told(
    tiny_bert: str, quick: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat = (Message("system", "Be brief."), Message("user", "egg?"))
    rows = [Comparison(prompt=chat, chosen=f"龘 {n}", rejected=f"鱻 {n}") for n in range(4)]
    with caplog.at_level(logging.WARNING):
        train_reward_model(rows, tmp_path, quick(tiny_bert, epochs=1))
    assert "cannot read" in caplog.text


# --- what is refused


def test_a_second_run_in_the_same_place_is_refused(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = pairs(toy, 16)
    config = quick(tiny_bert, epochs=1)
    train_reward_model(rows, tmp_path, config)
    before = weights(tmp_path)
    with pytest.raises(OutputError, match="holds a run already.*--resume"):
        train_reward_model(rows, tmp_path, config)
    changed = dataclasses.replace(config, learning_rate=1e-4, seed=3)
    with pytest.raises(ConfigError, match="learning_rate was 0.005, now 0.0001; seed was 0, now 3"):
        train_reward_model(rows, tmp_path, changed, resume=True)
    with pytest.raises(ConfigError, match=r"the data differs \(16 rows then, 15 now\)"):
        train_reward_model(rows[1:], tmp_path, config, resume=True)
    assert same(weights(tmp_path), before)


def test_a_run_goes_on_with_less_memory(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    def stop(metrics: dict[str, float]) -> None:
        if metrics["step"] == 3:
            raise KeyboardInterrupt

    rows, config = pairs(toy), quick(tiny_bert, epochs=1, batch_size=8, eval_steps=2)
    with pytest.raises(KeyboardInterrupt):
        train_reward_model(rows, tmp_path, config, on_step=stop)
    smaller = dataclasses.replace(config, tokens_per_batch=64, gradient_checkpointing=True)
    seen: list[float] = []
    train_reward_model(rows, tmp_path, smaller, resume=True, on_step=lambda metrics: seen.append(metrics["step"]))
    assert seen[0] == 2, "from the last checkpoint"
    assert load_scorer(tmp_path)


def test_validation_rows_that_were_trained_on_are_told(
    tiny_bert: str, toy: Any, quick: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Comparison(prompt=f"egg {n}", chosen="good", rejected="rude") for n in range(12)]
    fresh = [Comparison(prompt=f"planet {n}", chosen="good", rejected="rude") for n in range(12)]
    train_reward_model(rows, tmp_path / "clean", quick(tiny_bert, epochs=1), validation=fresh)
    assert "training data" not in caplog.text
    train_reward_model(rows, tmp_path / "seen", quick(tiny_bert, epochs=1), validation=[*fresh, *rows[:4]])
    assert "4 of 16 validation rows (25%) have a prompt that is in the training data as well" in caplog.text


def test_members_share_one_reading_and_one_hold_out(
    tiny_bert: str, toy: Any, quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    encode = Encoder.encode

    def counted(self: Encoder, prompts: Any, responses: Any) -> Any:
        read.append(len(responses))
        return encode(self, prompts, responses)

    monkeypatch.setattr(Encoder, "encode", counted)
    config = quick(tiny_bert, ensemble_size=3, epochs=1, validation=0.25)
    train_reward_model(pairs(toy), tmp_path, config)
    assert len(read) == 1, "tokenized once"
    prompts = [(tmp_path / f"member-{n}" / "training_prompts.json").read_bytes() for n in range(3)]
    assert len(set(prompts)) == 1
    heads = [weights(tmp_path / f"member-{n}") for n in range(3)]
    assert not same(heads[0], heads[1])


def test_resuming_what_is_finished_gives_it_back(
    tiny_bert: str, toy: Any, quick: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pairs(toy, 16)
    scorer = train_reward_model(rows, tmp_path, quick(tiny_bert, epochs=1))
    monkeypatch.setattr(run_module, "prepare", None)  # it must not even begin
    again = train_reward_model(rows, tmp_path, quick(tiny_bert, epochs=1), resume=True)
    assert np.array_equal(again.score(["egg"], ["good"]), scorer.score(["egg"], ["good"]))


def test_answers_of_a_policy_that_another_attempt_left_are_not_used(
    tiny_bert: str, tiny_llama: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    rows = [Reference(prompt=toy.prompt(), reference=toy.response(3)) for _ in range(6)]
    with pytest.raises(ConfigError):  # after the policy has answered
        train_reward_model(rows, tmp_path, quick(tiny_bert, negatives_policy=tiny_llama, max_length=4000))
    left = (tmp_path / "run" / "negatives.jsonl").read_text(encoding="utf-8")
    train_reward_model(rows, tmp_path, quick(tiny_bert, negatives_policy=tiny_llama, seed=1))
    assert (tmp_path / "run" / "negatives.jsonl").read_text(encoding="utf-8") != left


def test_an_old_model_in_the_folder_is_not_taken_for_a_finished_run(
    tiny_bert: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    TransformerReward.create(tiny_bert).save(tmp_path)
    before = weights(tmp_path)
    train_reward_model(pairs(toy, 16), tmp_path, quick(tiny_bert, epochs=1), resume=True)
    assert not same(weights(tmp_path), before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backbone": "no/such-model"}, ModelError, "cannot load 'no/such-model'"),
        ({"objective": "regression"}, ConfigError, "this data allows: agreement, auto"),
        ({"negatives_policy": "smollm2"}, ConfigError, "rows with a prompt and a reference"),
        ({"pooling": "last", "max_length": 4000}, ConfigError, "between 4 and 128"),
        ({"max_length": 5, "overlong": "error"}, DataError, "too long"),
        ({"max_length": 5}, DataError, "longer than the 5 tokens that the model reads"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(
    options: dict[str, Any], error: type[Exception], message: str, tiny_bert: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train_reward_model(pairs(toy, 8), tmp_path, quick(**({"backbone": tiny_bert} | options)))
    assert not (tmp_path / "guerdon.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_at_once(toy: Any, quick: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        train_reward_model(pairs(toy, 8), tmp_path / "file", quick("no/such-model"))


def test_data_is_read_from_a_file(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    from guerdon.data.write import write_rows

    rows = [Rating(prompt=toy.prompt(), response=toy.response(i % 4), scores={"score": i % 4}) for i in range(16)]
    write_rows(rows, tmp_path / "rows.jsonl")
    config = quick(tiny_bert, epochs=1)
    read = train_reward_model(
        tmp_path / "rows.jsonl", tmp_path / "model", config, validation=str(tmp_path / "rows.jsonl")
    )
    assert isinstance(read, TransformerReward)
    assert read.contract.data["sources"] == ["rows.jsonl"]
    assert read.contract.data["rows"] == 32
