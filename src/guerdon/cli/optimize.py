"""`guerdon optimize best-of-n`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.metrics import Floats
    from guerdon.optimize.best_of_n import BestOfN
    from guerdon.optimize.candidates import Answering
    from guerdon.types import Candidates, Rewards

SETTINGS = "settings.json"
_DEFAULT_N = 16


@dataclass(frozen=True, slots=True)
class _Pick:
    """The options that decide what comes out."""

    model: str
    data: str
    policy: str | None
    endpoint: str | None
    n: int
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


def best_of_n(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: Path = Path("best-of-n"),
    policy: str | None = None,
    endpoint: str | None = None,
    n: int = 0,
    gold: tuple[str, ...] = (),
    max_new_tokens: int = 128,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    resume: bool = False,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Keep the answer with the highest reward out of n, measure what that gains, and write rows to train on.

    Answers come from a policy (--policy, or --endpoint with the server's name for it in --policy); without either, DATA
    holds them: rows with `responses`, or several rows to a prompt. The folder then holds candidates.jsonl (all answers
    with their rewards), sft.jsonl (prompt, completion: the best), pairs.jsonl (prompt, chosen, rejected: best and
    worst, for DPO), curve.json and curve.png.

    Args:
        model: the scorer that picks.
        data: prompts, or prompts with their answers (file, hub name, starter or starter:test).
        out: folder for everything that is made.
        policy: a causal or sequence-to-sequence language model: smollm2, a folder, or a hub name.
        endpoint: address of an OpenAI-compatible server, e.g. http://localhost:8000/v1; the key, where it wants one, is
            read from OPENAI_API_KEY.
        n: answers to each prompt; 0 is 16 for a policy, and for a file as many as 90% of its prompts have.
        gold: rewards that only watch: models that did not pick show whether the answers got better.
        max_new_tokens: longest answer, in tokens.
        temperature: of the sampling.
        top_p: sample from the most probable tokens that hold this much.
        seed: of the sampling and of the intervals.
        resume: go on with a run that was cut short in the same folder.
        scorer: How MODEL and --gold are loaded, and how they read; device and trust count for --policy as well.
    """
    from guerdon.cli.progress import terminal, text_progress

    pick = _Pick(model, data, policy, endpoint, n, max_new_tokens, temperature, top_p, seed)
    _check(pick)
    with terminal() as console:
        from guerdon.optimize.best_of_n import best_of_n as measure
        from guerdon.optimize.best_of_n import rewards_of
        from guerdon.rewards.scoring import joined, no_reward_summary
        from guerdon.rewards.truncation import candidate_texts, refuse_truncation

        scorers = {name: scorer.named(path).load() for name, path in _names(model, gold).items()}
        _check_folder(out, pick, resume)
        candidates = _candidates(pick, out, console, device=scorer.device, trust_remote_code=scorer.trust_remote_code)
        if not policy:
            refuse_truncation(scorers.values(), candidate_texts(candidates))
        rewards = {}
        responses = sum(len(each.responses) for each in candidates)
        for name, one in scorers.items():
            with text_progress(console, f"scoring by {name}", responses) as advance:
                rewards[name] = rewards_of(one, candidates, on_progress=advance)
            if missing := no_reward_summary(joined(rewards[name])):
                console.print(f"{name}: {missing}")
        values: dict[str, Sequence[Floats]] = {name: [one.values for one in rewards[name]] for name in rewards}
        values |= _given(candidates)
        result = measure(candidates, values, n=pick.n or (_DEFAULT_N if policy else None), seed=seed)
    _write(out, candidates, values, rewards, result)
    _show(result, out)


def _check(pick: _Pick) -> None:
    faults = []
    if pick.endpoint and not pick.policy:
        faults.append("--endpoint needs the server's name of the model in --policy")
    if pick.n < 0 or pick.n == 1:
        faults.append(f"--n must be 2 or more, got {pick.n}")
    if faults:
        raise ConfigError("; ".join(faults))


def _names(model: str, gold: tuple[str, ...]) -> dict[str, str]:
    """A short name for each reward, all different."""
    names: dict[str, str] = {}
    for path in (model, *gold):
        short = Path(path).name or path
        names[short if short not in names else f"{short} ({len(names)})"] = path
    return names


def _check_folder(out: Path, pick: _Pick, resume: bool) -> None:
    """Finds out whether the folder is free, or holds the run that is to go on; changes nothing."""
    from guerdon.files import check_writable

    marker, mine = out / SETTINGS, asdict(pick)
    check_writable(marker)
    if marker.exists():
        if not resume:
            raise OutputError(f"{out} holds a run already. Fix: --resume goes on with it, or choose another --out")
        theirs = json.loads(marker.read_text(encoding="utf-8"))
        if differing := [f"{name} was {theirs.get(name)!r}" for name in mine if theirs.get(name) != mine[name]]:
            raise ConfigError(
                f"{out} holds another run: {', '.join(differing)}. Fix: the same options, or another --out"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty, and no such run wrote it. Fix: choose another --out")


def _claim(out: Path, pick: _Pick, requests: Sequence[Candidates] = ()) -> None:
    """Makes the folder ours, once it is sure that there is something to run, and that it is of these prompts."""
    from guerdon.files import atomic_write
    from guerdon.optimize.prompts import fingerprint_of

    marker, settings = out / SETTINGS, asdict(pick) | {"prompts": fingerprint_of(requests)}
    if marker.exists() and json.loads(marker.read_text(encoding="utf-8")).get("prompts") != settings["prompts"]:
        raise ConfigError(f"{out} holds answers to other prompts: {pick.data} has changed. Fix: choose another --out")
    with atomic_write(marker) as file:
        json.dump(settings, file, indent=2, ensure_ascii=False)


def _candidates(
    pick: _Pick, out: Path, console: Console, *, device: str | None, trust_remote_code: bool
) -> list[Candidates]:
    from guerdon.cli.progress import text_progress
    from guerdon.data.candidates import read_candidates
    from guerdon.optimize.candidates import sample_candidates

    if pick.policy is None:
        candidates = read_candidates(pick.data)
        if all(len(one.responses) < 2 for one in candidates):
            raise DataError(
                f"{pick.data}: no prompt has two responses to pick from. Fix: give rows with `responses`, or several "
                "rows to a prompt; or name a --policy that answers the prompts"
            )
        _claim(out, pick)
        return candidates
    from guerdon.data.candidates import read_prompts
    from guerdon.policy.decode import Sampling

    requests = read_prompts(pick.data)
    options: dict[str, Any] = {
        "num_generations": pick.n or _DEFAULT_N,
        "sampling": Sampling(pick.max_new_tokens, pick.temperature, pick.top_p),
        "seed": pick.seed,
    }
    answer = _answering(pick, requests, options, device=device, trust_remote_code=trust_remote_code)
    _claim(out, pick, requests)
    with text_progress(console, "answering", len(requests)) as advance:
        return sample_candidates(requests, answer, out / "answers.jsonl", advance)


def _answering(
    pick: _Pick, requests: Sequence[Candidates], options: dict[str, Any], *, device: str | None, trust_remote_code: bool
) -> Answering:
    from guerdon.optimize.prompts import check_lengths
    from guerdon.policy.endpoint import Endpoint
    from guerdon.policy.model import Policy

    assert pick.policy is not None
    who: Endpoint | Policy
    if pick.endpoint:
        who = Endpoint(pick.endpoint, pick.policy, key=os.environ.get("OPENAI_API_KEY"))
    else:
        who = Policy.load(pick.policy, device=device, trust_remote_code=trust_remote_code)
        check_lengths(who, requests, max_new_tokens=pick.max_new_tokens)
    return lambda prompts, done: who.sample_texts(prompts, **options, done=done)


def _given(candidates: Sequence[Candidates]) -> dict[str, Sequence[Floats]]:
    """The scores of the data itself, where all answers have one."""
    import numpy as np

    given = [one.scores for one in candidates]
    if any(scores is None for scores in given):
        return {}
    return {"score in the data": [np.asarray(scores, dtype=np.float64) for scores in given]}


def _write(
    out: Path,
    candidates: Sequence[Candidates],
    values: Mapping[str, Sequence[Floats]],
    rewards: Mapping[str, Sequence[Rewards]],
    result: BestOfN,
) -> None:
    from guerdon.files import atomic_write
    from guerdon.optimize.best_of_n import candidate_records, training_records
    from guerdon.optimize.best_of_n_figure import best_of_n_figure
    from guerdon.report.drawing import save_figure

    best, pairs = training_records(candidates, next(iter(values.values())))
    records = candidate_records(candidates, values, rewards)
    files = {"candidates.jsonl": records, "sft.jsonl": best, "pairs.jsonl": pairs}
    for name, lines in files.items():
        with atomic_write(out / name) as file:
            file.writelines(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in lines)
    with atomic_write(out / "curve.json") as file:
        json.dump(result.to_dict(), file, indent=2, ensure_ascii=False, allow_nan=False)
    save_figure(best_of_n_figure(result), out / "curve.png")


def _show(result: BestOfN, out: Path) -> None:
    show_curves(result)
    if len(result.curves) == 1:
        print("The reward that picks always gains. Whether the answers got better, --gold tells.")
    print(f"{out}: candidates.jsonl, sft.jsonl, pairs.jsonl, curve.json, curve.png")


def show_curves(result: BestOfN) -> None:
    """Prints what picking by the first reward gets of every value, for each n."""
    from rich.console import Console
    from rich.table import Table

    from guerdon.metrics import format_interval, format_value

    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, emoji=False, highlight=False)
    most = result.ns[-1]
    table = Table(title=f"Best of n, {result.prompts:,} prompts", title_justify="left", box=None)
    table.add_column("")
    for n in result.ns:
        table.add_column(f"n = {n}", justify="right")
    table.add_column(f"gain of n = {most}", justify="right")
    for place, curve in enumerate(result.curves):
        means = [format_value(mean.point, decimals=None) for mean in curve.means]
        gain = format_interval(curve.gains[-1], signed=True, decimals=None)
        table.add_row(curve.name + (" (picks)" if place == 0 else ""), *means, gain)
    table.add_row("KL from the policy, at most", *(f"{kl:.2f}" for kl in result.kl_bounds))
    console.print(table)
    if result.left_out:
        console.print(
            f"{result.left_out:,} prompts had fewer than {result.ns[-1]} answers with a reward: left out here."
        )
