"""`guerdon collect`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_THEY_ARE, ColumnsRead
from guerdon.collect.choosing.choosing_config import ChoosingConfig
from guerdon.collect.collect_config import STORE, CollectionConfig, LayoutOut, Who

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guerdon.collect.choosing.rounds import Learnt

Store = Annotated[
    Positional[str],
    arg(metavar="STORE", help="The file that `guerdon collect serve` made, or postgresql://USER@HOST/DATABASE."),
]


def serve(
    data: Annotated[
        Positional[str | None],
        arg(
            metavar="DATA",
            help="Prompts with responses, judged or not: anything that `guerdon score` reads. Without it, what the "
            "store holds.",
        ),
    ] = None,
    /,
    store: str = STORE,
    config: OmitArgPrefixes[CollectionConfig] = CollectionConfig(),  # noqa: B008  # frozen
    columns: ColumnsRead = AS_THEY_ARE,
) -> None:
    """Collect judgements from people in a browser, until Ctrl-C.

    On this machine it prints a link that signs you in; with --url, people sign in by invitation. What was judged is in
    the store at once; `guerdon collect export` writes it as rows.

    Args:
        data: What is asked about.
        store: The file that keeps tasks and judgements, made where there is none; or postgresql://USER@HOST/DATABASE.
        config: What is asked, and where.
        columns: Which columns of DATA are read.
    """
    from guerdon.collect.collection_run import Served, serve_collection

    def show(served: Served) -> None:
        if data is not None:
            known = f", {served.known_tasks:,} were there already" if served.known_tasks else ""
            print(f"{served.new_tasks:,} new tasks in {store.rsplit('@', 1)[-1]}{known}")
        if served.invitation:
            print(f"There is no admin yet; this link makes one, once: {served.invitation}")
        print(f"Open {served.link}")
        print("Ctrl-C ends; nothing that was saved is lost", flush=True)

    serve_collection(data, store, config, on_ready=show, **columns)


def export(
    store: Store,
    out: Annotated[Positional[str], arg(metavar="FILE")],
    /,
    question: str | None = None,
    pool: bool = False,
    who: Who = "people",
    final: bool = True,
    layout: LayoutOut = "guerdon",
) -> None:
    """Write what was judged: rows that `guerdon train`, `guerdon fit` and every other verb read, or for another tool.

    Args:
        store: The store; it may be served meanwhile.
        out: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), or - for JSON Lines on standard output.
        question: Question whose answers go out, where there are several.
        pool: One row for each task, with the share or mean of all who judged it, instead of a row for each judgement.
        who: Whose judgements.
        final: Where a reviewer decided a disputed task, write that label alone instead of its judgements.
        layout: Guerdon's own, or JSON for Label Studio or Argilla: all questions by name, with every judgement.
    """
    from guerdon.collect.collection_run import export_judgements

    to_pipe = out == "-"
    rows = export_judgements(
        store, sys.stdout.buffer if to_pipe else out, question=question, pool=pool, who=who, final=final, layout=layout
    )
    print(f"{rows:,} rows" + ("" if to_pipe else f" in {out}. Next: guerdon data info {out}"), file=sys.stderr)


def learn(
    store: Store,
    /,
    every: int | None = None,
    config: OmitArgPrefixes[ChoosingConfig] = ChoosingConfig(),  # noqa: B008  # frozen
) -> None:
    """Learn from what was judged, and choose what to ask next; a running server asks in that order from then on.

    This is active learning. A share of what is asked is always drawn at random: the reward is evaluated on it, and
    chosen labels are compared on it with as many random ones, so that each round says whether choosing pays. It can be
    interrupted at any time.

    Args:
        store: The store; it may be served meanwhile.
        every: Go on until Ctrl-C, with a round as soon as so many more tasks are judged.
        config: How it is chosen.
    """
    from guerdon.cli.progress import terminal
    from guerdon.collect.choosing.learn_run import learn_collection

    with terminal() as console:
        learn_collection(
            store,
            config,
            every=every,
            on_round=lambda learnt: print("\n".join(_learnt(learnt)), flush=True),
            on_stage=lambda stage: console.print(f"{stage} ...", style="dim"),
        )


def _learnt(learnt: Learnt) -> Iterator[str]:
    from guerdon.metrics import format_interval

    yield f"{learnt.judged:,} tasks judged: {learnt.drawn:,} drawn at random, {learnt.chosen:,} chosen"
    if learnt.drawn:
        yield f"accuracy on those drawn at random, cross-validated: {format_interval(learnt.accuracy)}"
    yield _PAYS[learnt.pays]
    if learnt.paid:
        labels = learnt.paid.labels
        difference = format_interval(learnt.paid.difference, signed=True)
        yield f"accuracy with {labels} chosen labels minus that with {labels} random ones: {difference}"
    yield f"{learnt.ranked:,} of {learnt.waiting:,} tasks that nobody was given yet are ranked"


_PAYS = {
    "better": "Choosing pays: chosen labels teach more than as many random ones.",
    "worse": "Choosing does NOT pay: chosen labels teach less than as many random ones. Better: --rule random",
    "unclear": "Whether choosing pays cannot be told: the interval holds 0.",
    None: "Whether choosing pays cannot be told yet: too few tasks of either kind are judged.",
}


def judge(
    store: Store,
    model: Model,
    /,
    name: str | None = None,
    question: str | None = None,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Let a reward or a judge answer beside people, under its own name and marked as a model.

    What it says never goes out unasked (`guerdon collect export --who models`), and it takes no task from people. Tasks
    that it has judged before are left alone.

    Args:
        store: The store; it may be served meanwhile.
        model: The scorer, or what compares.
        name: What it is called in the store; default: MODEL.
        question: Question that it answers, where there are several: comparisons or rankings.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal
    from guerdon.collect.collection_run import judge_collection

    with terminal():
        done = judge_collection(store, scorer.named(model), name=name, question=question)
    print(
        f"{done.judged:,} tasks judged, {done.without_verdict:,} without a verdict; {done.known:,} were judged before"
    )


def invite(
    store: Store,
    /,
    url: str,
    role: Annotated[str, arg(metavar="{annotator,reviewer,admin}")] = "annotator",
    days: float = 7,
) -> None:
    """Make a link by which one person joins, and chooses name and password.

    Args:
        store: The store that is served.
        url: Address under which people reach the app, as for `guerdon collect serve`.
        role: An annotator judges, a reviewer also sees the overview, an admin also invites and exports.
        days: How long the link can be taken up.
    """
    from guerdon.collect.collection_run import invite_person

    print(invite_person(store, url, role=role, days=days))
