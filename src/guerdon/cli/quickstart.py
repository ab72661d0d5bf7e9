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

from guerdon.errors import ConfigError, DataError, ModelError

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.evaluate.results import Evaluation
    from guerdon.quickstart.answers import Picked
    from guerdon.quickstart.plan import Plan
    from guerdon.quickstart.results import Remembered
    from guerdon.rewards.transformer import TransformerReward
    from guerdon.train.config import TrainConfig


@dataclass(frozen=True, slots=True)
class _Job:
    """The options, and what is to be told about how they were carried out."""

    data: str
    out: Path
    backbone: str
    group: str | None
    group_regex: str | None
    epochs: float | None
    max_train_pairs: int | None
    policy: str
    seed: int
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def answering(self) -> str:
        """The language model whose answers the reward picks from; empty for none."""
        from guerdon.models import smollm2_installed

        if self.policy == "auto":
            return "smollm2" if self.data == "starter" and smollm2_installed() else ""
        return "" if self.policy == "none" else self.policy

    def command(self) -> str:
        """The command that does the same again."""
        options = {
            "--data": None if self.data == "starter" else self.data,
            "--out": None if self.out == Path("quickstart") else self.out,
            "--backbone": None if self.backbone == "auto" else self.backbone,
            "--group": self.group,
            "--group-regex": self.group_regex,
            "--epochs": None if self.epochs is None else f"{self.epochs:g}",
            "--max-train-pairs": self.max_train_pairs,
            "--policy": None if self.policy == "auto" else self.policy,
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
        print(f"[{len(self.seconds) + 1}/{6 if self.answering else 5}] {name}: {what}", flush=True)
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
    epochs: float | None = None,
    max_train_pairs: int | None = None,
    policy: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Train a reward model, measure it on unseen prompts, score, explain, and let it pick better answers: report.html.

    Without options it does so on the starter set, offline, in some minutes on two cores. The folder then holds
    report.html, model/, evaluation.json, scores.jsonl, the unseen rows, test.jsonl, and what the reward gained by
    picking answers of a language model, answers.json.

    Args:
        data: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        out: folder for everything that is made.
        backbone: minilm, smollm2, a folder or a hub name; auto takes minilm, or smollm2 where minilm cannot read the
            data.
        group: column that says which rows belong together, so that none of a group is in both training and test.
        group_regex: regular expression whose first capture group in that column is the group.
        epochs: passes over the training rows; by default as many (1 to 2) as there is time for.
        max_train_pairs: train on about this many pairs; 0 for all. By default as many (100 to 2,000) as two cores take
            in minutes, and all where there is a GPU.
        policy: a language model that answers unseen prompts, 8 times each, for the reward to pick from: smollm2, a
            folder or a hub name; none leaves this out. auto is smollm2 on the starter set and none on other data.
        seed: of the division into training and test, of the training, of the answers, and of the intervals.
        overwrite: replace what an earlier quickstart wrote into the folder.
    """
    from guerdon.cli.progress import terminal
    from guerdon.models import resolve
    from guerdon.quickstart.results import check_folder, claim_folder

    if (epochs is not None and not epochs > 0) or (max_train_pairs or 0) < 0:
        raise ConfigError(
            f"--epochs must be above 0 and --max-train-pairs 0 or more; got {epochs} and {max_train_pairs}"
        )
    job = _Job(data, out, backbone, group, group_regex, epochs, max_train_pairs, policy, seed)
    started = time.monotonic()
    check_folder(out, overwrite=overwrite)
    if job.answering:
        resolve(job.answering)  # a name that means nothing is told before the training, not behind it
    with terminal() as console:
        plan, backbone = _read(job)
        claim_folder(out, {"command": job.command()})
        config, reward = _train(job, plan, backbone, console)
        measured = _evaluate(job, plan, reward, console)
        _score(job, measured.scorer, console)
        picked = _pick(job, plan, reward, console) if job.answering else None
        _report(job, plan, config, reward, measured, picked)
    print(f"Done in {time.monotonic() - started:.0f} s. Open {out / 'report.html'}; what to do next:")
    for what, command in _commands(job):
        print(f"  {command}\n      {what}")


def _read(job: _Job) -> tuple[Plan, str]:
    with job.step("data", job.data):
        from guerdon.quickstart.plan import choose_backbone, count_rows, plan, read_parts

        parts = read_parts(job.data, group=job.group, group_regex=job.group_regex, seed=job.seed)
        print(f"      {count_rows(parts.train)} to train on, {count_rows(parts.test)} of other prompts to measure on")
        backbone = choose_backbone(job.backbone, parts, starter=job.data == "starter")
        import torch

        chosen = plan(
            parts,
            backbone,
            pairs=job.max_train_pairs,
            epochs=job.epochs,
            seed=job.seed,
            gpu=torch.cuda.is_available(),
        )
        for note in (*parts.notes, *backbone.notes, *chosen.notes):
            job.tell(note)
    return chosen, backbone.name


def _train(job: _Job, plan: Plan, backbone: str, console: Console) -> tuple[TrainConfig, TransformerReward]:
    from guerdon.cli.progress import training_progress
    from guerdon.data.write import write_rows
    from guerdon.quickstart.plan import training_config
    from guerdon.rewards.transformer import TransformerReward

    write_rows(plan.test, job.out / "test.jsonl")
    config = training_config(backbone, epochs=plan.epochs, max_length=plan.max_length, seed=job.seed)
    times = "once" if plan.epochs == 1 else f"{plan.epochs:g} times"
    with job.step("train", f"{backbone} on {len(plan.train):,} rows, {times}"):
        from guerdon.train.run import train

        with training_progress(console) as on_step:
            train(plan.train, job.out / "model", config, on_step=on_step)
        # Loaded as any user will load it: what is measured is what was saved.
        reward = TransformerReward.load(job.out / "model", overlong=config.overlong)
    return config, reward


@dataclass(frozen=True, slots=True)
class _Measured:
    scorer: Remembered
    evaluation: Evaluation
    by_reading: dict[str, Evaluation]
    """The rows that the model can read and those that it cannot, where there are both."""


def _evaluate(job: _Job, plan: Plan, reward: TransformerReward, console: Console) -> _Measured:
    from guerdon.cli.evaluate import show, verdict_line
    from guerdon.cli.progress import text_progress, watch
    from guerdon.evaluate.agreement import evaluate
    from guerdon.evaluate.baselines import default_baselines
    from guerdon.files import atomic_write
    from guerdon.quickstart.results import Remembered, evaluate_by_reading
    from guerdon.types import response_texts

    scorer = Remembered(reward)
    with job.step("evaluate", f"on {len(plan.test):,} rows, beside baselines"):
        baselines = default_baselines(plan.test, job.out / "model", seed=job.seed)
        texts = {(row.prompt, text) for row in plan.test for text in response_texts(row)}
        with text_progress(console, "scoring", len(texts)) as advance, watch(reward, advance):
            found = evaluate(scorer, plan.test, baselines=baselines, seed=job.seed)
        by_reading = evaluate_by_reading(reward, scorer, plan.test, baselines, seed=job.seed)
        found = replace(found, settings={"path": str(job.out / "model"), "data": str(job.out / "test.jsonl")})
        with atomic_write(job.out / "evaluation.json") as file:
            json.dump(found.to_dict(), file, ensure_ascii=False, indent=2, allow_nan=False)
    show(found)
    for name, part in by_reading.items():
        print(f"The {part.sections[0].overall.rows:,} {name}: {verdict_line(part.sections[0], part.model)}")
    return _Measured(scorer, found, by_reading)


def _score(job: _Job, scorer: Remembered, console: Console) -> None:
    from guerdon.cli.score import score_source

    with job.step("score", f"the answers to the unseen prompts, into {job.out / 'scores.jsonl'}"):
        score_source(scorer, str(job.out / "test.jsonl"), str(job.out / "scores.jsonl"), console)


def _pick(job: _Job, plan: Plan, reward: TransformerReward, console: Console) -> Picked | None:
    name = job.answering
    with job.step("answer", f"{name} answers unseen prompts, the reward picks"):
        from guerdon.cli.optimize import show_curves
        from guerdon.cli.progress import text_progress
        from guerdon.files import atomic_write
        from guerdon.policy.model import Policy
        from guerdon.quickstart.answers import pick_answers, questions, verdict
        from guerdon.rewards.tfidf import TfidfReward

        try:
            policy = Policy.load(name)
            asked = questions(plan.test, reward.tokenizer, policy)
            if not asked:
                job.tell(f"No unseen prompt that both {name} and the reward read has a best answer, so none was asked.")
                return None
            gold = TfidfReward.fit(plan.test)
            with text_progress(console, "answering", len(asked)) as advance:
                picked = pick_answers(policy, name, reward, gold, asked, seed=job.seed, on_prompt=advance)
        except (DataError, ModelError) as error:  # what was trained and measured is worth a report all the same
            job.tell(f"Picking among answers of {name} was left out: {error}")
            return None
        with atomic_write(job.out / "answers.json") as file:
            json.dump(picked.to_dict(), file, ensure_ascii=False, indent=2, allow_nan=False)
    show_curves(picked.result)
    print(verdict(picked))
    return picked


def _report(
    job: _Job,
    plan: Plan,
    config: TrainConfig,
    reward: TransformerReward,
    measured: _Measured,
    picked: Picked | None,
) -> None:
    from guerdon.files import atomic_write
    from guerdon.quickstart import results
    from guerdon.quickstart.examples import choose_examples
    from guerdon.quickstart.page import Page, render
    from guerdon.report.curves import read_curve

    with job.step("report", str(job.out / "report.html")):
        scorer = measured.scorer
        examples = choose_examples(scorer, plan.test, temperature=reward.contract.temperature)
        page = Page(
            data="the starter set" if job.data == "starter" else Path(job.data).name,
            evaluation=measured.evaluation,
            by_reading=measured.by_reading,
            notes=job.notes,
            readings=results.readings(reward, plan.test),
            curve=read_curve(job.out / "model" / "run"),
            rewards=results.paired_rewards(scorer, plan.test),
            examples=examples,
            explanations=results.explain(scorer, examples),
            picked=picked,
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
