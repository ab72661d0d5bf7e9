"""The verbs of `guerdon collect`: serve, invite, export."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack
from urllib.parse import urlsplit

from guerdon.collect.collect_config import STORE, CollectionConfig, LayoutOut, Who
from guerdon.data.data_options import ColumnOptions
from guerdon.errors import ConfigError, DataError, MissingExtraError, OutputError
from guerdon.files import write_json

if TYPE_CHECKING:
    from guerdon.collect.live_answers import LiveAnswers
    from guerdon.collect.model_judge import ModelJudged
    from guerdon.collect.store import CollectStore
    from guerdon.collect.tasks import AddedTasks
    from guerdon.collect.web.site import Site
    from guerdon.rewards.load import ScorerConfig
    from guerdon.types import Comparer, Scorer

logger = logging.getLogger(__name__)

_PACKAGES = {
    "sqlalchemy": "sqlalchemy", "alembic": "alembic", "fastapi": "fastapi", "uvicorn": "uvicorn", "nh3": "nh3",
    "argon2": "argon2-cffi", "markdown_it": "markdown-it-py", "limits": "limits",
}  # fmt: skip
"""Module -> package of the extra."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a collection is served with."""

    link: str
    """What to open: it signs in whoever is at this machine, or leads to the form where people sign in."""
    new_tasks: int
    known_tasks: int
    """Tasks of the data that the store had already."""
    invitation: str = ""
    """The link for a first admin, where people sign in and there is none."""


def open_store(place: str | Path, *, create: bool = False) -> CollectStore:
    """Opens a store, as `CollectStore.open`; MissingExtraError where a package is missing."""
    for module, package in _PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError("guerdon collect", package, "collect")
    from guerdon.collect.store import CollectStore

    return CollectStore.open(place, create=create)


def serve_collection(
    data: str | None,
    store: str | Path = STORE,
    config: CollectionConfig | None = None,
    *,
    on_ready: Callable[[Served], None] = lambda served: None,
    **columns: Unpack[ColumnOptions],
) -> None:
    """Serves a collection until it is interrupted.

    Example:
        >>> serve_collection("pairs.jsonl", on_ready=lambda served: print(served.link))
        http://127.0.0.1:8765/?token=...

    Args:
        data: prompts with responses, judged or not, in any layout; None goes on with what the store holds.
        store: a file, made where there is none, or `postgresql://USER@HOST/DATABASE`.
        config: what is asked, and where the app listens.
        on_ready: called when the app can be opened.
        columns: as for `guerdon.data.read.iter_rows`; what the data prefers is not shown.

    Raises:
        ConfigError: options that do not fit together.
        DataError: the data or the store cannot be used, or there is nothing to ask.
        OutputError: the port is taken.
    """
    config = config or CollectionConfig()
    opened = open_store(store, create=data is not None)
    with _listen(config) as listener:
        port = listener.getsockname()[1]
        added, live = _add_data(opened, data, config, columns)
        site, served, origins = _set_up(opened, added, live, config, port)
        on_ready(served)
        _run(site, origins, listener)
    if live is not None:
        live.stop()
    opened.close()


def _add_data(
    store: CollectStore, data: str | None, config: CollectionConfig, columns: ColumnOptions
) -> tuple[AddedTasks, LiveAnswers | None]:
    from guerdon.collect.questions import read_project
    from guerdon.collect.tasks import AddedTasks, add_tasks, count_tasks, read_gold, read_tasks

    with store.reading() as connection:
        asked = store.asks(connection)
    if config.questions or not asked:
        store.set_project(read_project(config.questions or "pairwise"))
    with store.reading() as connection:
        project, _ = store.project(connection)
    if config.gold:
        add_tasks(store, read_gold(config.gold, project.questions))
    added = AddedTasks(0, 0)
    if config.policy is not None:
        return added, _live_answers(store, data, config, project.takes, columns)
    if data is not None:
        found = list(read_tasks(data, project.takes, pairs=config.pairs, **columns))  # all of them, or none
        added = add_tasks(store, found, in_order=config.in_order)
    if not count_tasks(store):
        raise DataError(f"{store.place} holds nothing to ask. Fix: guerdon collect serve DATA --store {store.place}")
    return added, None


def _live_answers(
    store: CollectStore, data: str | None, config: CollectionConfig, takes: str, columns: ColumnOptions
) -> LiveAnswers:
    from guerdon.collect.live_answers import LiveAnswers, sampler
    from guerdon.data.candidates import read_prompts

    if data is None:
        raise ConfigError("--policy answers the prompts of DATA, and there is no DATA")
    if takes in ("pair", "several") and config.answers < 2:
        raise ConfigError(f"comparing takes two answers or more; --answers is {config.answers}")
    live = LiveAnswers(store, read_prompts(data, **columns), takes, config)
    live.start(sampler(config))
    return live


def _set_up(
    store: CollectStore, added: AddedTasks, live: LiveAnswers | None, config: CollectionConfig, port: int
) -> tuple[Site, Served, list[str]]:
    from guerdon.collect.accounts import ensure_person, has_admin, invite
    from guerdon.collect.tasks import has_gold
    from guerdon.collect.web.site import Site

    here = "[::1]" if config.host == "::1" else "127.0.0.1"
    url = config.url or f"http://{here}:{port}"
    token = secrets.token_urlsafe(24) if config.private else ""
    site = Site(
        store,
        store.secret(),
        overlap=config.overlap,
        live=live,
        gold_every=config.gold_every if has_gold(store) else 0,
        link_token=token,
        owner=ensure_person(store, "me", "admin") if config.private else None,
        url=url,
        secure=url.startswith("https:"),
        # Cookies are shared by all ports of a machine: two collections on one laptop must not sign each other out.
        cookie=f"guerdon-{urlsplit(url).port or 'collect'}",
    )
    origins = [url, f"http://localhost:{port}"] if config.private else [url]
    first = "" if config.private or has_admin(store) else f"{url}/invitation/{invite(store, 'admin')}"
    link = f"{url}/?token={token}" if token else url
    return site, Served(link, added.new, added.known, first), origins


def _listen(config: CollectionConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise OutputError(
            f"cannot listen at {config.host}:{config.port}: {error.strerror or error}. Fix: another --port"
        ) from error
    return listener


def _run(site: Site, origins: list[str], listener: socket.socket) -> None:
    import uvicorn

    from guerdon.collect.web.collect_app import create_app

    app: Any = create_app(site, origins)
    settings = uvicorn.Config(
        app, access_log=False, log_config=None, server_header=False, proxy_headers=False, lifespan="on",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    uvicorn.Server(settings).run(sockets=[listener])


def invite_person(store: str | Path, url: str, *, role: str = "annotator", days: float = 7) -> str:
    """Makes a link by which one person joins.

    Example:
        >>> invite_person("collect.db", "https://labels.example.org", role="reviewer")
        'https://labels.example.org/invitation/...'

    Args:
        store: the store that is served.
        url: the address under which people reach the app, as in `CollectionConfig.url`.
        role: annotator, reviewer or admin.
        days: how long the link can be taken up.

    Raises:
        ConfigError: there is no such role, or the address cannot be one.
        DataError: there is no such store.
    """
    from guerdon.collect.accounts import invite

    checked = CollectionConfig(url=url)
    if not 0 < days <= 365:
        raise ConfigError(f"days must be between 0 and 365, got {days}")
    opened = open_store(store)
    try:
        return f"{checked.url}/invitation/{invite(opened, role, days=days)}"
    finally:
        opened.close()


def judge_collection(
    store: str | Path,
    model: ScorerConfig | Scorer | Comparer | str | Path,
    *,
    name: str | None = None,
    question: str | None = None,
) -> ModelJudged:
    """Lets a reward or a judge answer a question about every task, under its own name and marked as a model.

    Exports leave its answers out unless they are asked for, and it takes no task from people.

    Example:
        >>> judge_collection("collect.db", "longest").judged
        605

    Args:
        store: the store; it may be served meanwhile.
        model: as for `guerdon.load_scorer`, or an object that scores or compares.
        name: what it is called in the store; default: the name of the scorer.
        question: the question that it answers, where there are several: comparisons or rankings.

    Raises:
        ConfigError: a reward cannot answer this question, or a person has the name.
        DataError: there is no such store or question.
        ModelError: the model cannot be loaded or asked.
    """
    opened = open_store(store)
    try:
        from guerdon.collect.model_judge import judge_by_model
        from guerdon.rewards.load import ScorerConfig
        from guerdon.rewards.scoring import scorer_name

        config = ScorerConfig(name=str(model)) if isinstance(model, str | Path) else model
        system = config.load_system() if isinstance(config, ScorerConfig) else config
        called = name or (config.name if isinstance(config, ScorerConfig) else scorer_name(system))
        return judge_by_model(opened, called[-80:], system, question)
    finally:
        opened.close()


def export_judgements(
    store: str | Path,
    out: str | Path | BinaryIO,
    *,
    question: str | None = None,
    pool: bool = False,
    who: Who = "people",
    final: bool = True,
    layout: LayoutOut = "guerdon",
) -> int:
    """Writes what was judged: as rows, which `guerdon train`, `fit` and every other verb read, or for another tool.

    Example:
        >>> export_judgements("collect.db", "judged.jsonl")
        30

    Args:
        store: the store; it may be served meanwhile.
        out: as for `guerdon.data.write.write_rows`; one JSON array for another tool.
        question: the question whose answers go out, where there are several; for another tool all do, each by name.
        pool: one row for each task, with the share or mean of all who judged it; else a row for each judgement.
        who: judgements of people, of models, or all.
        final: where a reviewer decided a disputed task, that label alone instead of its judgements; for another tool
            every judgement goes out.
        layout: Guerdon's own, Label Studio's or Argilla's.

    Returns:
        The number of rows, tasks or records.

    Raises:
        ConfigError: options that do not fit together.
        DataError: there is no such store or question, or nothing is judged.
        OutputError: the file cannot be written.
    """
    if layout != "guerdon" and (question is not None or pool):
        raise ConfigError(f"--layout {layout} has all questions and every judgement: leave --question and --pool out")
    opened = open_store(store)
    try:
        if layout == "guerdon":
            from guerdon.collect.rows_out import judged_rows
            from guerdon.data.write import write_rows

            return write_rows(judged_rows(opened, question=question, pool=pool, who=who, final=final), out)
        from guerdon.collect.exchange import argilla_records, label_studio_tasks

        found = (label_studio_tasks if layout == "label-studio" else argilla_records)(opened, who)
        if isinstance(out, str | Path):
            write_json(out, found)
        else:
            out.write(json.dumps(found, ensure_ascii=False, indent=2).encode() + b"\n")
        return len(found)
    finally:
        opened.close()
