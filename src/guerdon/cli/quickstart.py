"""`guerdon quickstart`: the main job in one go."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.evaluate.results import Evaluation
    from guerdon.report.quickstart import Backbone, Parts, Remembered
    from guerdon.rewards.transformer import TransformerReward
    from guerdon.train.config import TrainConfig

STEPS = 5


@dataclass(frozen=True, slots=True)
class _Job:
    """The options, and what is to be told about how they were carried out."""

    data: str
    out: Path
    backbone: str
    group: str | None
    group_regex: str | None
    epochs: float
    max_train_pairs: int | None
    seed: int
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def command(self) -> str:
        """The command that does the same again."""
        options = {
            "--data": None if self.data == "starter" else self.data,
            "--out": None if self.out == Path("quickstart") else self.out,
            "--backbone": None if self.backbone == "auto" else self.backbone,
            "--group": self.group,
            "--group-regex": self.group_regex,
            "--epochs": None if self.epochs == 1.0 else f"{self.epochs:g}",
            "--max-train-pairs": self.max_train_pairs,
            "--seed": self.seed or None,
        }
        given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        return shlex.join(["guerdon", "quickstart", *given])

    def tell(self, text: str) -> None:
        """Says something on screen that the report repeats."""
        self.notes.append(text)
        print(f"      {text}", flush=True)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Announces a step and says how long it took."""
        print(f"[{len(self.seconds) + 1}/{STEPS}] {name}: {what}", flush=True)
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start
        print(f"      {self.seconds[name]:.1f} s", flush=True)


def quickstart(
    *,
    data: str = "starter",
    out: Path = Path("quickstart"),
    backbone: str = "auto",
    group: str | None = None,
    group_regex: str | None = None,
    epochs: float = 1.0,
    max_train_pairs: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Train a reward model, measure it on unseen prompts, score with it, explain it: all in one report.html.

    Without options it does so on the starter set, offline, in some minutes on two cores. The folder then holds
    report.html, model/, evaluation.json, scores.jsonl and the unseen rows, test.jsonl.

    Args:
        data: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        out: folder for everything that is made.
        backbone: minilm, smollm2, a folder or a hub name; auto takes minilm, or smollm2 where minilm cannot read the
            data.
        group: column that says which rows belong together, so that none of a group is in both training and test.
        group_regex: regular expression whose first capture group in that column is the group.
        epochs: passes over the training rows.
        max_train_pairs: train on about this many pairs; 0 for all. By default as many (200 to 2,000) as two cores take
            in minutes, and all where there is a GPU.
        seed: of the division into training and test, of the training, and of the intervals.
        overwrite: replace what an earlier quickstart wrote into the folder.
    """
    from guerdon.cli.progress import terminal
    from guerdon.report.quickstart import check_folder, claim_folder

    if not epochs > 0 or (max_train_pairs or 0) < 0:
        raise ConfigError(
            f"--epochs must be above 0 and --max-train-pairs 0 or more; got {epochs:g} and {max_train_pairs}"
        )
    job = _Job(data, out, backbone, group, group_regex, epochs, max_train_pairs, seed)
    started = time.monotonic()
    check_folder(out, overwrite=overwrite)
    with terminal() as console:
        parts, chosen = _read(job)
        claim_folder(out, {"command": job.command()})
        config, reward = _train(job, parts, chosen, console)
        evaluation, scorer = _evaluate(job, parts, reward, console)
        _score(job, parts, scorer, console)
        _report(job, parts, config, reward, scorer, evaluation)
    print(f"Done in {time.monotonic() - started:.0f} s. Open {out / 'report.html'}; what to do next:")
    for what, command in _commands(job):
        print(f"  {command}\n      {what}")


def _read(job: _Job) -> tuple[Parts, Backbone]:
    with job.step("data", job.data):
        from guerdon.report.quickstart import choose_backbone, count_rows, limit_rows, read_parts

        parts = read_parts(job.data, group=job.group, group_regex=job.group_regex, seed=job.seed)
        for note in parts.notes:
            job.tell(note)
        import torch

        starter = job.data == "starter"
        chosen = choose_backbone(job.backbone, parts, starter=starter, gpu=torch.cuda.is_available())
        for note in chosen.notes:
            job.tell(note)
        limit = chosen.train_pairs if job.max_train_pairs is None else job.max_train_pairs
        train, test = limit_rows(parts.train, limit, job.seed), limit_rows(parts.test, chosen.test_pairs, job.seed)
        print(f"      {count_rows(parts.train)} to train on, {count_rows(parts.test)} of other prompts to measure on")
        if len(train) < len(parts.train):
            job.tell(f"Training on {len(train):,} of {count_rows(parts.train)}; --max-train-pairs 0 for all.")
        if len(test) < len(parts.test):
            job.tell(f"Measuring on {len(test):,} of {count_rows(parts.test)}; guerdon evaluate takes all.")
    return replace(parts, train=train, test=test), chosen


def _train(job: _Job, parts: Parts, chosen: Backbone, console: Console) -> tuple[TrainConfig, TransformerReward]:
    from guerdon.cli.progress import training_progress
    from guerdon.data.write import write_rows
    from guerdon.report.quickstart import training_config
    from guerdon.rewards.transformer import TransformerReward

    write_rows(parts.test, job.out / "test.jsonl")
    config = training_config(chosen.name, len(parts.train), epochs=job.epochs, seed=job.seed)
    with job.step("train", f"{chosen.name} on {len(parts.train):,} rows"):
        from guerdon.train.run import train

        with training_progress(console) as on_step:
            train(parts.train, job.out / "model", config, on_step=on_step)
        # Loaded as any user will load it: what is measured is what was saved.
        reward = TransformerReward.load(job.out / "model", overlong=config.overlong)
    return config, reward


def _evaluate(job: _Job, parts: Parts, reward: TransformerReward, console: Console) -> tuple[Evaluation, Remembered]:
    from guerdon.cli.evaluate import show
    from guerdon.cli.progress import text_progress, watch
    from guerdon.data.split import responses
    from guerdon.evaluate.agreement import evaluate
    from guerdon.evaluate.baselines import default_baselines
    from guerdon.files import atomic_write
    from guerdon.report.quickstart import Remembered

    scorer = Remembered(reward)
    with job.step("evaluate", f"on {len(parts.test):,} rows, beside baselines"):
        baselines = default_baselines(parts.test, job.out / "model", seed=job.seed)
        texts = {(row.prompt, text) for row in parts.test for text in responses(row)}
        with text_progress(console, "scoring", len(texts)) as advance:
            watch(reward, advance)
            found = evaluate(scorer, parts.test, baselines=baselines, seed=job.seed)
        found = replace(found, settings={"path": str(job.out / "model"), "data": str(job.out / "test.jsonl")})
        with atomic_write(job.out / "evaluation.json") as file:
            json.dump(found.to_dict(), file, ensure_ascii=False, indent=2, allow_nan=False)
    show(found)
    return found, scorer


def _score(job: _Job, parts: Parts, scorer: Remembered, console: Console) -> None:
    from guerdon.cli.score import score_source

    with job.step("score", f"the answers to the unseen prompts, into {job.out / 'scores.jsonl'}"):
        score_source(scorer, str(job.out / "test.jsonl"), str(job.out / "scores.jsonl"), console)


def _report(
    job: _Job,
    parts: Parts,
    config: TrainConfig,
    reward: TransformerReward,
    scorer: Remembered,
    evaluation: Evaluation,
) -> None:
    from guerdon.files import atomic_write
    from guerdon.report import quickstart as results
    from guerdon.report.curves import read_curve
    from guerdon.report.examples import choose_examples
    from guerdon.report.page import Page, render

    with job.step("report", str(job.out / "report.html")):
        examples = choose_examples(scorer, parts.test, temperature=reward.contract.temperature)
        page = Page(
            data="the starter set" if job.data == "starter" else Path(job.data).name,
            evaluation=evaluation,
            notes=job.notes,
            readings=results.readings(reward, parts.test),
            curve=read_curve(job.out / "model" / "run"),
            rewards=results.paired_rewards(scorer, parts.test),
            examples=examples,
            explanations=results.explain(scorer, examples),
            facts=results.run_facts(reward, config, command=job.command(), seconds=job.seconds),
            commands=_commands(job),
        )
        with atomic_write(job.out / "report.html") as file:
            file.write(render(page))


def _commands(job: _Job) -> list[tuple[str, str]]:
    """What comes next, and the command for it."""
    model, test = job.out / "model", job.out / "test.jsonl"
    commands = [
        (
            "every figure again, and a picture",
            ["guerdon", "evaluate", model, test, "--figure", job.out / "accuracy.png"],
        ),
        ("rewards of other answers", ["guerdon", "score", model, "ANSWERS.jsonl", "--out", "scores.jsonl"]),
    ]
    if job.data == "starter":
        commands.append(
            ("the same on your own data", ["guerdon", "quickstart", "--data", "MINE.jsonl", "--out", "mine"])
        )
    else:
        grouping = [
            word
            for name, value in (("--group", job.group), ("--group-regex", job.group_regex))
            if value
            for word in (name, value)
        ]
        commands.append(
            (
                "more training, on all rows",
                ["guerdon", "train", job.data, *grouping, "--epochs", "2", "--out", "runs/longer"],
            )
        )
    return [(what, shlex.join(map(str, words))) for what, words in commands]
