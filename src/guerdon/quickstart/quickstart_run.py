"""The main job step by step: data, fit, evaluate, score, respond, report. Every file is written here."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from guerdon.data.write import write_rows
from guerdon.errors import DataError, ModelError, OutputError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.baselines import default_baselines
from guerdon.evaluate.results import Evaluation
from guerdon.files import atomic_write, check_writable
from guerdon.models import resolve, smollm2_installed
from guerdon.quickstart import report_page
from guerdon.quickstart.evidence import Evidence, evaluate_by_language, gather_evidence, headline
from guerdon.quickstart.policy_gain import PolicyGain, measure_policy_gain, prompts_for_policy
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.worked_examples import choose_examples
from guerdon.quickstart.workload import (
    TuningWork,
    Workload,
    choose_workload,
    count_rows,
    load_tokenizer,
    read_train_test,
    tuning_work,
)
from guerdon.recipes.job_events import JobEvents, JobSteps
from guerdon.rewards.compose import CachedScorer
from guerdon.rewards.load import load_scorer
from guerdon.rewards.score_rows import score_rows
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import FittedReward, fit_reward
from guerdon.train.train_run import train_and_save
from guerdon.types import AnyRow, Scorer, prompt_text

MARKER = "quickstart.json"
"""Names the files of a quickstart's folder, so that a later one replaces these and nothing else."""
PRODUCTS = (
    "model",
    "evaluation.json",
    "evidence.json",
    "scores.jsonl",
    "answers.json",
    "report.html",
    "test.jsonl",
    "fine-tuned",
    "gold",
    MARKER,
)
_MISMATCHED_SHARE = 0.05
"""A language model strays from the topic more often than responses that people compare. On the starter set this much
raises accuracy too, and twice as much lowers it again."""


@dataclass(frozen=True, slots=True)
class QuickstartResult:
    """What a quickstart found; the files are in `out`."""

    out: Path
    reward: Scorer
    """What is handed over, loaded from `out`/model as any user will load it."""
    evaluation: Evaluation
    evidence: Evidence
    """Its candidates, and what it rests on."""
    headline: tuple[str, ...]
    """How far it can be trusted, in plain words."""
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
    events: JobEvents | None = None,
) -> QuickstartResult:
    """Fits what wins by evidence, measures it on unseen prompts, explains it, and lets it pick better responses.

    The folder then holds report.html, model/ (the reward), evaluation.json, evidence.json (its candidates and what it
    rests on), test.jsonl (the unseen rows), scores.jsonl (their rewards), answers.json, what the reward gained by
    picking responses of a language model, and gold/, the reward that judged these.

    Example:
        >>> result = run_quickstart("mine.jsonl", "mine", QuickstartConfig(group="topic"))
        >>> result.evaluation.sections[0].overall.models[0].metrics["accuracy"].point
        0.748

    Args:
        data: a file, a hub name (owner/name[:split]), `-` or `starter`.
        out: folder for everything that is made.
        config: how it is carried out.
        overwrite: replace what an earlier quickstart wrote into the folder.
        events: told about every step.

    Raises:
        DataError: rows that cannot be used, or too few.
        ConfigError: all rows belong to one group.
        ModelError: encoder, backbone or policy cannot be found.
        OutputError: the folder cannot be written, or holds something else.
    """
    run = _QuickstartRun(data, Path(out), config or QuickstartConfig(), events or JobEvents())
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


class _QuickstartRun:
    """One quickstart while it works."""

    def __init__(self, data: str, out: Path, config: QuickstartConfig, events: JobEvents) -> None:
        self.data, self.out, self.config, self.events = data, out, config, events
        self.policy = "" if config.policy == "none" else config.policy
        """The language model whose responses the reward picks from; empty for none."""
        if self.policy == "auto":
            self.policy = "smollm2" if data == "starter" and smollm2_installed() else ""
        self.steps = JobSteps(events, 6 if self.policy else 5)
        self.notes: list[str] = []

    def result(self) -> QuickstartResult:
        """Carries it out."""
        with self.steps.step("data", self.data):
            workload = self._choose()
        claim_folder(self.out, {"command": self.command()})
        write_rows(workload.test, self.out / "test.jsonl")
        with self.steps.step("fit", f"candidates and their blend on {count_rows(workload.train)}"):
            fitted = self._fit(workload)
        reward = load_scorer(self.out / "model")
        scorer = CachedScorer(reward)
        with self.steps.step("evaluate", f"on {count_rows(workload.test)} of other prompts, beside baselines"):
            evaluation, by_language = self._evaluate(workload.test, scorer)
            evidence = gather_evidence(fitted, scorer, workload.test, seed=self.config.seed)
            _write_json(self.out / "evidence.json", evidence.to_dict())
        lines = headline(evaluation, by_language, evidence, workload.test)
        self.events.evaluated(evaluation, by_language)
        self.events.judged(lines, evidence.table(), evidence.length_sentence)
        scores = self.out / "scores.jsonl"
        with self.steps.step("score", f"the responses to the unseen prompts, into {scores}"):
            score_rows(scorer, str(self.out / "test.jsonl"), scores, column="reward")
        gain = None
        if self.policy:
            with self.steps.step("respond", f"{self.policy} responds to unseen prompts, the reward picks"):
                gain = self._measure_policy(workload.test, reward)
        if gain:
            self.events.policy_measured(gain.result, gain.verdict)
        commands = self._next_commands()
        with self.steps.step("report", str(self.out / "report.html")):
            examples = choose_examples(scorer, workload.test)
            page = report_page.ReportData(
                data="the starter set" if self.data == "starter" else Path(self.data).name,
                headline=lines,
                evaluation=evaluation,
                prompts=len({prompt_text(row.prompt) for row in workload.test}),
                evidence=evidence,
                by_language=by_language,
                notes=self.notes,
                rewards=report_page.paired_rewards(scorer, workload.test),
                examples=examples,
                explanations=report_page.explain(scorer, fitted.reward, examples),
                gain=gain,
                facts=report_page.run_facts(
                    fitted, workload.train, self.config, command=self.command(), seconds=self.steps.seconds
                ),
                commands=commands,
            )
            with atomic_write(self.out / "report.html") as file:
                file.write(report_page.render(page))
        return QuickstartResult(
            self.out,
            reward,
            evaluation,
            evidence,
            lines,
            gain,
            tuple(self.notes),
            self.steps.seconds,
            tuple(commands),
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.events.noted(text)

    def _choose(self) -> Workload:
        """The rows, and what is fine-tuned."""
        import torch

        train, test = read_train_test(self.data, self.config, self._note)
        self.events.noted(f"{count_rows(train)} to learn from, {count_rows(test)} of other prompts to measure on")
        return choose_workload(train, test, self.config, self._note, gpu=torch.cuda.is_available())

    def _fit(self, workload: Workload) -> FittedReward:
        config = FitConfig(encoder=self.config.encoder, mismatched_share=_MISMATCHED_SHARE, seed=self.config.seed)
        if workload.tuning:
            tuned = self._tune(workload.tuning, "fine-tuned")
            config = replace(config, members=(*config.members, str(tuned)))
        return fit_reward(workload.train, self.out / "model", config, on_stage=self.events.noted)

    def _tune(self, work: TuningWork, name: str) -> Path:
        """A fine-tuned model in a folder of this name."""
        config = work.training
        times = "once" if config.epochs == 1 else f"{config.epochs:g} times"
        what = "the gold reward, which picks nothing and tells what picking gained: " if name == "gold" else ""
        self.events.noted(f"{what}fine-tuning {config.backbone} on {count_rows(work.rows)}, {times}")
        train_and_save(work.rows, self.out / name, config, on_step=self.events.trained)
        return self.out / name

    def _evaluate(self, rows: Sequence[AnyRow], scorer: CachedScorer) -> tuple[Evaluation, dict[str, Evaluation]]:
        seed = self.config.seed

        def progress(system: str, done: int, total: int) -> None:
            if system == "model":
                self.events.progressed("scoring", done, total)

        systems = {"model": scorer}
        baselines = {name: CachedScorer(one) for name, one in default_baselines(rows, systems, seed=seed).items()}
        found = evaluate_reward(systems, rows, baselines=baselines, seed=seed, progress=progress)
        found.save(self.out / "evaluation.json")
        return found, evaluate_by_language(scorer, rows, baselines, seed=seed)

    def _measure_policy(self, test: Sequence[AnyRow], reward: Scorer) -> PolicyGain | None:
        from guerdon.policy.model import Policy

        name = self.policy
        try:
            policy = Policy.load(name)
            prompts = prompts_for_policy(test, load_tokenizer(self.config.gold), policy)
            if not prompts:
                self._note(
                    f"No unseen prompt that both {name} and the gold reward read has a best response, so {name} was "
                    "not asked."
                )
                return None
            self.events.noted(f"{len(prompts)} of the unseen prompts take part: those that the gold reward can read")
            gain = measure_policy_gain(
                policy,
                name,
                reward,
                self._gold(test),
                prompts,
                gold_name=self.config.gold,
                seed=self.config.seed,
                on_prompts=lambda done: self.events.progressed("responding", done, len(prompts)),
            )
        except (DataError, ModelError) as error:  # what was fitted and measured is worth a report all the same
            self._note(f"Picking among responses of {name} was left out: {error}")
            return None
        _write_json(self.out / "answers.json", gain.to_dict())
        return gain

    def _gold(self, test: Sequence[AnyRow]) -> Scorer:
        """A fine-tuned model, a family that is no member, of the judgements of prompts that the reward has not seen."""
        return load_scorer(self._tune(tuning_work(test, self.config.gold, self.config), "gold"), overlong="cut")

    def command(self) -> str:
        """The command that does the same again."""
        given = {"data": self.data, "out": str(self.out), **asdict(self.config)}
        defaults = {"data": "starter", "out": "quickstart", **asdict(QuickstartConfig())}
        words = ["guerdon", "quickstart"]
        for name, value in given.items():
            if value != defaults[name]:
                words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
        return shlex.join(words)

    def _next_commands(self) -> list[tuple[str, str]]:
        """What comes next, and the command for it."""
        model, config = str(self.out / "model"), self.config
        picture = ["--figure", str(self.out / "accuracy.png")]
        commands = {
            "all metrics again, and a picture": ["evaluate", model, str(self.out / "test.jsonl"), *picture],
            "rewards of other responses": ["score", model, "RESPONSES.jsonl", "--out", "scores.jsonl"],
        }
        if self.data == "starter":
            commands["the same on your own data"] = ["quickstart", "--data", "MINE.jsonl", "--out", "mine"]
        else:
            reading = {"--group": config.group, "--group-regex": config.group_regex, "--question": config.question}
            words = [word for name, value in reading.items() if value for word in (name, value)]
            commands["the same on all rows"] = [
                "quickstart",
                "--data",
                self.data,
                *words,
                "--max-train-pairs",
                "0",
                "--out",
                "all",
            ]
        return [(what, shlex.join(["guerdon", *words])) for what, words in commands.items()]
