"""The generative judge: its expected reward beside sampling, a toy that it must learn, and the whole of it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import guerdon
from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError
from guerdon.policy.model import Policy
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.verdict_judge import VerdictComparer, VerdictReader
from guerdon.train.verdict_config import VerdictConfig
from guerdon.train.verdict_return import verdict_likelihood, verdict_return
from guerdon.train.verdict_run import VerdictQuestions, VerdictTrainee, train_verdict_judge, verdict_loop
from guerdon.types import Comparison, VerdictKind

WEIGHTS = {"consistency": 0.7, "brier": 0.4}


def toy_rows(count: int, seed: int = 0, *, alike: bool = False) -> list[Comparison]:
    """The response that is polite is better; `alike` ones begin alike."""
    rng = random.Random(seed)
    filler = ["the answer", "this one", "a planet", "the egg"]
    return [
        Comparison(prompt=f"boil egg {i % 8}", chosen=f"{one} polite", rejected=f"{one if alike else other} rude")
        for i, (one, other) in enumerate(zip(*[rng.choices(filler, k=count) for _ in "ab"], strict=True))
    ]


def some_logps(n: int = 5) -> torch.Tensor:
    """log pi of the right and the wrong verdict; there is a third word, which is no verdict."""
    logits = torch.randn(n, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits.log_softmax(dim=2)[..., :2]


def test_the_return_is_the_mean_over_all_that_can_be_said() -> None:
    logps, preference = some_logps(), torch.tensor([1.0, 0.5, 0.8, 1.0, 0.6], dtype=torch.float64)
    expected = []
    for own, y in zip(logps.exp().tolist(), preference.tolist(), strict=True):
        total = 0.0
        for better, (first, second) in itertools.product((True, False), itertools.product(range(3), repeat=2)):
            chance = y if better else 1 - y
            said = [[*p, 1 - sum(p)][word] for p, word in zip(own, (first, second), strict=True)]
            right = [float(word == (0 if better else 1)) for word in (first, second)]
            total += chance * said[0] * said[1] * (sum(right) / 2 + WEIGHTS["consistency"] * right[0] * right[1])
        for p in own:  # a verdict's confidence is its share of A and B
            for better, word in itertools.product((True, False), (0, 1)):
                q = p[word] / sum(p)
                chance = (y if better else 1 - y) * q
                total -= WEIGHTS["brier"] / 2 * chance * (q - float(word == (0 if better else 1))) ** 2
        expected.append(total)
    np.testing.assert_allclose(verdict_return(logps, preference, **WEIGHTS).numpy(), expected, atol=1e-12)


def test_its_gradient_is_that_of_sampling_without_end() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    logps = logits.log_softmax(dim=1)
    value = verdict_return(logps[None, :, :2], torch.ones(1, dtype=torch.float64), consistency=0.7, brier=0.0)
    (exact,) = torch.autograd.grad(value.sum(), logits)
    said = torch.multinomial(
        logps.exp().detach(), 200_000, replacement=True, generator=torch.Generator().manual_seed(2)
    )
    right = (said == 0).double()
    earned = right.mean(dim=0) + 0.7 * right.prod(dim=0)
    taken = torch.nn.functional.one_hot(said, 3) - logps.exp().detach()[:, None]
    sampled = ((earned - earned.mean())[None, :, None] * taken).mean(dim=1)
    np.testing.assert_allclose(exact.numpy(), sampled.numpy(), atol=5e-3)


def test_likelihood_is_greatest_where_the_share_is_said() -> None:
    shares = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    logps = torch.stack([shares.log(), (1 - shares).log()], dim=1)[:, None].expand(-1, 2, -1)
    value = verdict_likelihood(logps, torch.full((19,), 0.8, dtype=torch.float64))
    assert shares[value.argmax()] == pytest.approx(0.8)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"--warm-start is a share.*--early-stopping-patience"):
        VerdictConfig(warm_start=1.5, early_stopping_patience=2, validation=0)


@pytest.mark.parametrize("verdict", ["letter", "quote"])
def test_the_loss_is_that_of_each_question_by_itself(verdict: VerdictKind, tiny_llama: str, tmp_path: Path) -> None:
    """Both orders in shared rows and micro-batches, against one plain pass a question."""
    policy = Policy.load(tiny_llama, device="cpu")
    rows, config = toy_rows(6), VerdictConfig(policy=tiny_llama, lora_r=0, tokens_per_batch=160, verdict=verdict)
    model = VerdictTrainee(VerdictReader(policy), config)
    questions = VerdictQuestions.of(model.reader, config.verdict, rows, rows)
    _, _, validation = verdict_loop(model, questions, config, tmp_path)
    assert validation is not None
    assert len(validation.micro_batches) > 1
    with torch.no_grad():
        found = [model(*micro_batch) for micro_batch in validation.micro_batches]
        loss, right = (sum(one[place] for one in found) for place in (0, 1))
        each = []
        for judgement in questions.held_out:
            own = []
            for place, text in enumerate(judgement.texts):
                logits = policy.model(torch.tensor([questions.tokens[text].ids])).logits[0, -1]
                letters = logits.log_softmax(dim=0)[list(questions.verdicts[text])]
                own.append(letters.flip(0) if place else letters)
            each.append(torch.stack(own))
        logps = torch.stack(each)
        value = verdict_return(logps, torch.ones(len(each)), consistency=config.consistency, brier=config.brier)
    assert float(loss) == pytest.approx(-float(value.sum()), abs=1e-4)
    assert right.tolist() == [len(each), float((logps[..., 0] > logps[..., 1]).all(dim=1).sum())]


def test_a_judge_learns_and_is_a_comparer_for_every_verb(tiny_llama: str, tmp_path: Path, capsys) -> None:
    data, out = tmp_path / "pairs.jsonl", tmp_path / "judge"
    rows = toy_rows(64)
    data.write_text("".join(
        json.dumps({"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}) + "\n" for row in rows
    ))  # fmt: skip
    options = ["--policy", tiny_llama, "--lora-r", "0", "--learning-rate", "3e-3", "--epochs", "12"]
    command = ["judge", "generative", str(data), "--out", str(out), "--verdict", "letter", *options]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"judge: {out}; right in both orders on the validation rows: 1.000" in printed
    judge = ScorerConfig(name=str(out), device="cpu").load_system()
    assert isinstance(judge, VerdictComparer)
    other = toy_rows(16, seed=1)
    prompts, a, b = [row.prompt for row in other], [row.chosen for row in other], [row.rejected for row in other]
    said = judge.compare(prompts, a, b)
    assert np.mean(said > 0.5) == 1.0
    np.testing.assert_allclose(said, 1 - judge.compare(prompts, b, a), atol=1e-6)
    assert judge.same == judge.pairs
    assert main([*command[:2], str(data), "--out", str(out)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["evaluate", str(out), str(data), "--also", "longest", "--resamples", "20"]) == 0
    assert "TRAINED on the prompts" in capsys.readouterr().out
    candidates = tmp_path / "candidates.jsonl"
    candidates.write_text(json.dumps({"prompt": "boil egg 1", "responses": ["a rude", "a polite"]}) + "\n")
    assert main(["optimize", "best-of-n", str(out), str(candidates), "--out", str(tmp_path / "best")]) == 0
    assert "a polite" in next((tmp_path / "best").glob("*.jsonl")).read_text()
    voted = ScorerConfig(name=f"verdict:{out}@4", device="cpu").load_system()
    np.testing.assert_allclose(voted.compare(prompts[:4], a[:4], b[:4]), said[:4], atol=0.2)


def test_a_judge_that_quotes_learns_and_is_asked_as_it_was(tiny_llama: str, tmp_path: Path) -> None:
    config = VerdictConfig(policy=tiny_llama, lora_r=0, learning_rate=3e-3, epochs=8, warm_start=0.8, validation=0)
    rows = [*toy_rows(48, alike=True), Comparison(prompt="the same", chosen="egg", rejected="egg", preference=0.5)]
    judge = train_verdict_judge(rows, tmp_path, config)
    other = toy_rows(16, seed=1, alike=True)
    asked = [row.prompt for row in other], [row.chosen for row in other], [row.rejected for row in other]
    assert np.mean(judge.compare(*asked) > 0.5) == 1.0
    with pytest.raises(ConfigError, match="repeats the better response"):
        ScorerConfig(name=f"verdict:{tmp_path}@4", device="cpu").load_system()


def test_resumed_is_as_unbroken(tiny_llama: str, tmp_path: Path) -> None:
    rows = toy_rows(32)
    config = VerdictConfig(
        policy=tiny_llama, epochs=4, batch_size=8, eval_steps=4, validation=0, lora_r=4, train_layers=1
    )

    def stop(metrics: Mapping[str, float]) -> None:
        if metrics["step"] == 10:
            raise KeyboardInterrupt

    whole = train_verdict_judge(rows, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train_verdict_judge(rows, tmp_path / "broken", config, on_step=stop)
    resumed = train_verdict_judge(rows, tmp_path / "broken", config, resume=True)
    asked = [row.prompt for row in rows], [row.chosen for row in rows], [row.rejected for row in rows]
    np.testing.assert_array_equal(whole.compare(*asked), resumed.compare(*asked))


def test_a_question_that_is_too_long_is_named(tiny_llama: str, tmp_path: Path) -> None:
    rows = [*toy_rows(4), Comparison(prompt="long", chosen="egg " * 2000, rejected="planet")]
    with pytest.raises(DataError, match="too long"):
        guerdon.train_verdict_judge(rows, tmp_path, VerdictConfig(policy=tiny_llama, validation=0))
