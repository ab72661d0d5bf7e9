"""The loop takes the step that the formula says, and its checkpoints are whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from guerdon.errors import ModelError
from guerdon.runs.folder import checkpoint_steps
from guerdon.runs.log import read_log
from guerdon.runs.loop import WEIGHTS_FILE, Collated, Loop, LoopConfig, Step, adamw, load_trainable, trainable


class Line(nn.Module):
    """y = a x + b, by squares."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(1, 1))
        self.b = nn.Parameter(torch.zeros(1))
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return ((x * self.a[0] + self.b - y) ** 2).sum(), torch.tensor([2.0, 1.0])


def config(**options: Any) -> LoopConfig:
    usual: dict[str, Any] = {"steps": 4, "learning_rate": 0.1, "save_steps": 2, "examples_per_step": 4}
    return LoopConfig(**(usual | options))


X = torch.tensor([1.0, 2.0, 3.0, 4.0])


def step(*cuts: slice) -> Step:
    """y = 2 x + 1."""
    chosen = cuts or (slice(0, 4),)
    return Step([(X[cut], 2 * X[cut] + 1) for cut in chosen], sum(len(X[cut]) for cut in chosen))


def test_the_rate_rises_and_falls_and_is_never_zero() -> None:
    rates = [config(steps=10, learning_rate=1.0, warmup_ratio=0.3).rate(step) for step in range(1, 11)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])
    assert config(steps=2, learning_rate=1.0, warmup_ratio=0.0).rate(1) == 1.0


@pytest.mark.parametrize("cuts", [(), (slice(0, 1), slice(1, 4)), (slice(2, 4), slice(0, 2))])
@pytest.mark.parametrize("max_grad_norm", [0.0, 0.5])
def test_a_step_is_that_of_plain_adamw_however_it_is_cut(
    cuts: tuple[slice, ...], max_grad_norm: float, tmp_path: Path
) -> None:
    settings = config(max_grad_norm=max_grad_norm, warmup_ratio=0.0, weight_decay=0.5)
    loop = Loop(Line(), settings, tmp_path)
    plain = Line()
    optimiser = adamw(plain, settings, torch.device("cpu"))
    for number in range(1, 4):
        loop.update(step(*cuts))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(number)
        optimiser.zero_grad()
        (plain(X, 2 * X + 1)[0] / 4).backward()
        if max_grad_norm:
            nn.utils.clip_grad_norm_(plain.parameters(), max_grad_norm)
        optimiser.step()
    for mine, theirs in zip(loop.bare.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_only_matrices_decay() -> None:
    groups = adamw(Line(), config(weight_decay=0.1), torch.device("cpu")).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (1, 0.0)]


def test_means_are_over_all_steps_since_the_last_line(tmp_path: Path) -> None:
    loop = Loop(Line(), config(steps=3, save_steps=3), tmp_path)
    given = [(1.0, 1.0), (6.0, 2.0), (0.0, 0.0)]

    def steps(index: int) -> Step:
        made = step()
        return Step(made.micro_batches, made.examples, {"reward": given[index]}, {"why": f"step {index}"})

    assert loop.train(steps) == 3
    lines = list(read_log(tmp_path))
    assert [line.get("reward") for line in lines] == [1.0, 3.0, None], "no count, no mean"
    assert [line["why"] for line in lines] == ["step 0", "step 1", "step 2"]
    assert lines[0]["accuracy"] == 0.5
    assert [line["examples"] for line in lines] == [4, 8, 12]
    assert lines[0]["loss"] == pytest.approx(float((2 * X + 1).square().mean()))


def test_the_checkpoint_of_the_lowest_loss_is_named(tmp_path: Path) -> None:
    """What is held out says the opposite of what is trained: every step makes it worse."""
    held = Step([(X, -2 * X - 1)], 4)
    loop = Loop(Line(), config(steps=20, save_steps=2, early_stopping_patience=3), tmp_path)
    assert loop.train(lambda index: step(), validation=held) == 2
    assert loop.step == 8, "three evaluations without a lower loss"
    assert checkpoint_steps(tmp_path) == [2, 8]
    best = load_file(tmp_path / "checkpoint-2" / WEIGHTS_FILE)
    assert best.keys() == {"a", "b"}
    load_trainable(loop.bare, tmp_path / "checkpoint-2")
    assert torch.equal(trainable(loop.bare)["a"], best["a"])


def test_micro_batches_are_collated_when_they_are_asked_for() -> None:
    made: list[int] = []

    def collate(item: int) -> tuple[int, int]:
        made.append(item)
        return item, -item

    batches = Collated(collate, [1, 2, 3])
    assert (len(batches), made) == (3, [])
    assert batches[1] == (2, -2)
    assert list(batches) == [(1, -1), (2, -2), (3, -3)]


class Small(Line):
    """A model that has memory for `most` examples."""

    most = 4

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        found = super().forward(x, y)
        if len(x) > self.most:
            if torch.is_grad_enabled():
                found[0].backward()  # the memory ends when a part of the gradient is there already
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return found


def halves(size: int) -> Step:
    """The four examples in micro-batches of `size`."""
    cuts = [slice(start, start + size) for start in range(0, 4, size)]
    made = step(*cuts)
    return Step(made.micro_batches, made.examples, smaller=(lambda: halves(size // 2)) if size > 1 else None)


@pytest.mark.parametrize("most", [2, 1])
def test_a_step_that_exceeds_the_memory_is_taken_in_smaller_ones(most: int, tmp_path: Path) -> None:
    plain, small = (Loop(kind(), config(weight_decay=0.5), tmp_path) for kind in (Line, Small))
    small.bare.most = most  # type: ignore[assignment]
    for _ in range(3):
        plain.update(halves(4))
        small.update(halves(4))
    for mine, theirs in zip(small.bare.parameters(), plain.bare.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert small._evaluate(halves(4)) == pytest.approx(plain._evaluate(halves(4)))
    assert (small.step, small.examples) == (3, 12)


def test_what_cannot_be_made_smaller_is_an_error(tmp_path: Path) -> None:
    loop = Loop(Small(), config(), tmp_path)
    loop.bare.most = 0  # type: ignore[assignment]
    with pytest.raises(ModelError, match=r"CUDA out of memory at step 1\. Fix: --gradient-checkpointing"):
        loop.update(halves(4))


def test_a_loss_that_is_not_finite_is_an_error_when_it_is_logged(tmp_path: Path) -> None:
    loop = Loop(Line(), config(steps=40, save_steps=40), tmp_path)
    with pytest.raises(ModelError, match="the loss is nan at step 4: training has diverged"):
        loop.train(lambda number: Step([(X, X * torch.nan if number == 2 else X)], 4))
    assert checkpoint_steps(tmp_path) == []


def test_weights_of_another_run_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="other weights than this model trains"):
        load_trainable(Line(), tmp_path)


CHILD = """
import resource, signal, sys
from guerdon.errors import OutputError
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison

rows = [Comparison(prompt=f"boil {n}", chosen="good " * (1 + n % 3), rejected="rude " * (1 + n % 2)) for n in range(16)]
options = dict(backbone=sys.argv[1], epochs=2, batch_size=8, validation=0.0, eval_steps=1)

def fill(metrics):
    if metrics["step"] == 2:  # the full disk that a test can make
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))

try:
    train_reward_model(rows, sys.argv[2], TrainConfig(**options), on_step=fill)
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 200_000])  # the weights do not fit; they do, the optimiser's state does not
def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays(limit: int, tiny_bert: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CHILD, tiny_bert, str(tmp_path / "out"), str(limit)],
        check=True,
        capture_output=True,
        text=True,
    )
    run = tmp_path / "out" / "run"
    assert result.stdout.startswith(f"cannot write {run / 'checkpoint-2'}: ")
    assert checkpoint_steps(run) == [1]
    assert not (run / "saving").exists()
    assert load_file(run / "checkpoint-1" / WEIGHTS_FILE)
