"""The main job step by step: data, train, evaluate, score, respond, report. Every file is written here."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guerdon.data.write import write_rows
from guerdon.errors import DataError, ModelError, OutputError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.baselines import default_baselines
from guerdon.evaluate.results import Evaluation
from guerdon.files import atomic_write, check_writable
from guerdon.models import resolve, smollm2_installed
from guerdon.quickstart import report_page
from guerdon.quickstart.policy_gain import PolicyGain, measure_policy_gain, prompts_for_policy
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.quickstart_events import QuickstartEvents
from guerdon.quickstart.worked_examples import choose_examples
from guerdon.quickstart.workload import (
    Workload,
    choose_backbone,
    choose_workload,
    count_rows,
    read_train_test,
    training_config,
)
from guerdon.rewards.compose import CachedScorer
from guerdon.rewards.score_rows import score_rows
from guerdon.rewards.tfidf import TfidfReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.curve import read_curve
from guerdon.train.train_run import train_reward_model
from guerdon.types import Overlong

if TYPE_CHECKING:
    from guerdon.train.train_config import TrainConfig

MARKER = "quickstart.json"
"""Names the files of a quickstart's folder, so that a later one replaces these and nothing else."""
PRODUCTS = ("model", "evaluation.json", "scores.jsonl", "answers.json", "report.html", "test.jsonl", MARKER)


@dataclass(frozen=True, slots=True)
class QuickstartResult:
    """What a quickstart found; the files are in `out`."""

    out: Path
    reward: TransformerReward
    evaluation: Evaluation
    policy_gain: PolicyGain | None
    """What picking responses of a language model by the reward gained, where one responded."""
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    """Step -> how long it took."""
    next_commands: tuple[tuple[str, str], ...]
    """What comes next, and the command for it."""


def run_quickstart(
    data: str = "starter",
    out: str | Path = "quickstart",
    config: QuickstartConfig | None = None,
    *,
    overwrite: bool = False,
    events: QuickstartEvents | None = None,
) -> QuickstartResult:
    """Trains a reward model, measures it on unseen prompts, scores, explains, and lets it pick better responses.

    The folder then holds report.html, model/, evaluation.json, test.jsonl (the unseen rows), scores.jsonl (their
    rewards), and answers.json, what the reward gained by picking responses of a language model.

    Example:
        >>> result = run_quickstart("mine.jsonl", "mine", QuickstartConfig(group="topic"))
        >>> result.evaluation.sections[0].overall.models[0].metrics["accuracy"].point
        0.674

    Args:
        data: a file, a hub name (owner/name[:split]), `-` or `starter`.
        out: folder for everything that is made.
        config: how it is carried out.
        overwrite: replace what an earlier quickstart wrote into the folder.
        events: told about every step.

    Raises:
        DataError: rows that cannot be used, too few, or too long.
        ConfigError: all rows belong to one group.
        ModelError: the backbone or the policy cannot be found.
        OutputError: the folder cannot be written, or holds something else.
    """
    run = _QuickstartRun(data, Path(out), config or QuickstartConfig(), events or QuickstartEvents())
    check_folder(run.out, overwrite=overwrite)
    if run.policy:
        resolve(run.policy)  # a name that means nothing is told before the training, not behind it
    return run.result()


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Finds out, before the work, whether a quickstart may write into a folder; changes nothing.

    Raises:
        OutputError: it cannot be written, holds a quickstart that may not be replaced, or something else.
    """
    check_writable(out / "report.html")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MARKER).is_file():
        raise OutputError(f"{out} is not empty, and no quickstart wrote it. Fix: choose another folder with --out")
    if not overwrite:
        raise OutputError(
            f"{out} holds an earlier quickstart. Fix: --overwrite replaces what it wrote, or choose another --out"
        )


def claim_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Removes what an earlier quickstart wrote into a folder, and marks it as one of ours."""
    for name in PRODUCTS:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    _write_json(out / MARKER, {"files": list(PRODUCTS), **settings})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=2, allow_nan=False)


@dataclass(slots=True)
class _QuickstartRun:
    """One quickstart while it works."""

    data: str
    out: Path
    config: QuickstartConfig
    events: QuickstartEvents
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def policy(self) -> str:
        """The language model whose responses the reward picks from; empty for none."""
        if self.config.policy == "auto":
            return "smollm2" if self.data == "starter" and smollm2_installed() else ""
        return "" if self.config.policy == "none" else self.config.policy

    def result(self) -> QuickstartResult:
        """Carries it out."""
        workload, backbone = self._choose()
        claim_folder(self.out, {"command": self.command()})
        config = training_config(backbone, workload, self.config)
        reward = self._train(workload, config)
        scorer = CachedScorer(reward)
        evaluation, by_coverage = self._evaluate(workload, reward, scorer)
        self._score(scorer)
        gain = self._measure_policy(workload, reward) if self.policy else None
        self._report(workload, config, reward, scorer, evaluation, by_coverage, gain)
        notes, commands = tuple(self.notes), tuple(self._next_commands())
        return QuickstartResult(self.out, reward, evaluation, gain, notes, self.seconds, commands)

    @contextmanager
    def _step(self, name: str, what: str) -> Iterator[None]:
        self.events.step_started(len(self.seconds) + 1, 6 if self.policy else 5, name, what)
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start
        self.events.step_finished(name, self.seconds[name])

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.events.noted(text)

    def _choose(self) -> tuple[Workload, str]:
        import torch

        config, starter = self.config, self.data == "starter"
        with self._step("data", self.data):
            parts = read_train_test(self.data, group=config.group, group_regex=config.group_regex, seed=config.seed)
            self.events.noted(
                f"{count_rows(parts.train)} to train on, {count_rows(parts.test)} of other prompts to measure on"
            )
            backbone = choose_backbone(config.backbone, parts, starter=starter)
            workload = choose_workload(
                parts,
                backbone,
                pairs=config.max_train_pairs,
                epochs=config.epochs,
                seed=config.seed,
                gpu=torch.cuda.is_available(),
            )
            for note in (*parts.notes, *backbone.notes, *workload.notes):
                self._note(note)
        return workload, backbone.name

    def _train(self, workload: Workload, config: TrainConfig) -> TransformerReward:
        write_rows(workload.test, self.out / "test.jsonl")
        times = "once" if workload.epochs == 1 else f"{workload.epochs:g} times"
        with self._step("train", f"{config.backbone} on {len(workload.train):,} rows, {times}"):
            train_reward_model(workload.train, self.out / "model", config, on_step=self.events.trained)
            # Loaded as any user will load it: what is measured is what was saved.
            # Training has refused too many long responses; a few more in the test part do not stop the run.
            overlong: Overlong = "cut" if config.overlong == "auto" else config.overlong
            return TransformerReward.load(self.out / "model", overlong=overlong)

    def _evaluate(
        self, workload: Workload, reward: TransformerReward, scorer: CachedScorer
    ) -> tuple[Evaluation, dict[str, Evaluation]]:
        rows, seed = workload.test, self.config.seed

        def progress(system: str, done: int, total: int) -> None:
            if system == "model":
                self.events.progressed("scoring", done, total)

        with self._step("evaluate", f"on {len(rows):,} rows, beside baselines"):
            systems = {"model": scorer}
            baselines = default_baselines(rows, systems, seed=seed)
            found = evaluate_reward(systems, rows, baselines=baselines, seed=seed, progress=progress)
            by_coverage = report_page.evaluate_by_coverage(reward, scorer, rows, baselines, seed=seed)
            found.save(self.out / "evaluation.json")
        self.events.evaluated(found, by_coverage)
        return found, by_coverage

    def _score(self, scorer: CachedScorer) -> None:
        path = self.out / "scores.jsonl"
        with self._step("score", f"the responses to the unseen prompts, into {path}"):
            score_rows(scorer, str(self.out / "test.jsonl"), path, column="reward")

    def _measure_policy(self, workload: Workload, reward: TransformerReward) -> PolicyGain | None:
        from guerdon.policy.model import Policy

        name = self.policy
        with self._step("respond", f"{name} responds to unseen prompts, the reward picks"):
            try:
                policy = Policy.load(name)
                prompts = prompts_for_policy(workload.test, reward.tokenizer, policy)
                if not prompts:
                    self._note(
                        f"No unseen prompt that both {name} and the reward read has a best response, so {name} was "
                        "not asked."
                    )
                    return None
                gain = measure_policy_gain(
                    policy,
                    name,
                    reward,
                    TfidfReward.fit(workload.test),
                    prompts,
                    seed=self.config.seed,
                    on_prompts=lambda done: self.events.progressed("responding", done, len(prompts)),
                )
            except (DataError, ModelError) as error:  # what was trained and measured is worth a report all the same
                self._note(f"Picking among responses of {name} was left out: {error}")
                return None
            _write_json(self.out / "answers.json", gain.to_dict())
        self.events.policy_measured(gain)
        return gain

    def _report(
        self,
        workload: Workload,
        config: TrainConfig,
        reward: TransformerReward,
        scorer: CachedScorer,
        evaluation: Evaluation,
        by_coverage: Mapping[str, Evaluation],
        gain: PolicyGain | None,
    ) -> None:
        path = self.out / "report.html"
        with self._step("report", str(path)):
            examples = choose_examples(scorer, workload.test, temperature=reward.contract.temperature)
            page = report_page.ReportData(
                data="the starter set" if self.data == "starter" else Path(self.data).name,
                evaluation=evaluation,
                by_coverage=by_coverage,
                notes=self.notes,
                coverage=report_page.coverage_by_subset(reward, workload.test),
                curve=read_curve(self.out / "model" / "run"),
                rewards=report_page.paired_rewards(scorer, workload.test),
                examples=examples,
                explanations=report_page.explain(scorer, examples),
                gain=gain,
                facts=report_page.run_facts(reward, config, command=self.command(), seconds=self.seconds),
                commands=self._next_commands(),
            )
            with atomic_write(path) as file:
                file.write(report_page.render(page))

    def command(self) -> str:
        """The command that does the same again."""
        config = self.config
        options = {
            "--data": None if self.data == "starter" else self.data,
            "--out": None if self.out == Path("quickstart") else self.out,
            "--backbone": None if config.backbone == "auto" else config.backbone,
            "--group": config.group,
            "--group-regex": config.group_regex,
            "--epochs": None if config.epochs is None else f"{config.epochs:g}",
            "--max-train-pairs": config.max_train_pairs,
            "--overlong": None if config.overlong == "auto" else config.overlong,
            "--policy": None if config.policy == "auto" else config.policy,
            "--seed": config.seed or None,
        }
        given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        return shlex.join(["guerdon", "quickstart", *given])

    def _next_commands(self) -> list[tuple[str, str]]:
        """What comes next, and the command for it."""
        model, test = self.out / "model", self.out / "test.jsonl"
        commands: list[tuple[str, list[object]]] = [
            (
                "all metrics again, and a picture",
                ["guerdon", "evaluate", model, test, "--figure", self.out / "accuracy.png"],
            ),
            ("rewards of other responses", ["guerdon", "score", model, "RESPONSES.jsonl", "--out", "scores.jsonl"]),
        ]
        if self.data == "starter":
            own = ["guerdon", "quickstart", "--data", "MINE.jsonl", "--out", "mine"]
            commands.append(("the same on your own data", [*own]))
        else:
            grouping = (("--group", self.config.group), ("--group-regex", self.config.group_regex))
            words = [word for name, value in grouping if value for word in (name, value)]
            longer = ["guerdon", "train", self.data, *words, "--epochs", "2", "--out", "runs/longer"]
            commands.append(("more training, on all rows", [*longer]))
        return [(what, shlex.join(map(str, words))) for what, words in commands]
