"""The questions of a collection: what every task is asked, from a TOML file or from the name of a kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from guerdon.collect.kinds.asking import Question
from guerdon.collect.kinds.ordering import RankingQuestion
from guerdon.collect.kinds.pairwise import PairwiseQuestion
from guerdon.collect.kinds.rating import RatingQuestion
from guerdon.collect.kinds.rewriting import RewriteQuestion
from guerdon.collect.kinds.spans import SpansQuestion
from guerdon.collect.kinds.step_labels import StepsQuestion
from guerdon.errors import ConfigError

KINDS: dict[str, type[Question]] = {
    kind.kind: kind
    for kind in (PairwiseQuestion, RatingQuestion, RankingQuestion, SpansQuestion, StepsQuestion, RewriteQuestion)
}
"""Name -> kind of question."""
DEFAULT_NAMES = {
    "pairwise": "preference",
    "rating": "quality",
    "ranking": "order",
    "spans": "errors",
    "steps": "correct",
    "rewrite": "better",
}
"""What a question of a kind is called where only the kind is given."""
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a collection asks."""

    questions: tuple[Question, ...]
    guidelines: str = ""
    """Markdown; shown beside every task."""
    title: str = ""

    @property
    def takes(self) -> str:
        """How many responses a task of this project has: `pair`, `one`, `several` or `any`.

        Raises:
            ConfigError: its questions need different tasks.
        """
        needs = {question.takes for question in self.questions} - {"any"}
        if len(needs) > 1:
            named = ", ".join(f"{question.name} ({question.kind}: {question.takes})" for question in self.questions)
            raise ConfigError(f"these questions cannot be asked of the same responses: {named}. Fix: two collections")
        return needs.pop() if needs else "any"


def read_project(source: str | Path) -> Project:
    """The project of a TOML file, or the one question of a kind (`pairwise`, `rating` ...).

    Raises:
        ConfigError: the file cannot be read, or asks what cannot be asked.
    """
    if str(source) in KINDS:
        return Project(questions=(parse_question({"kind": str(source), "name": DEFAULT_NAMES[str(source)]}),))
    try:
        table = tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"the questions {source} cannot be read: {error}. Fix: a TOML file, or one of: {', '.join(KINDS)}"
        ) from error
    unknown = table.keys() - {"title", "guidelines", "questions"}
    given = table.get("questions")
    if unknown or not isinstance(given, list) or not given:
        wrong = f"it has {', '.join(sorted(unknown))}" if unknown else "it has no [[questions]]"
        raise ConfigError(f"{source}: {wrong}; known: title, guidelines, [[questions]]")
    for name in ("title", "guidelines"):
        if not isinstance(table.get(name, ""), str):
            raise ConfigError(f"{source}: {name} must be a text")
    questions = tuple(parse_question(one) for one in given)
    check_names(questions)
    project = Project(
        questions=questions, guidelines=table.get("guidelines", "").strip(), title=table.get("title", "").strip()
    )
    assert project.takes
    return project


def check_names(questions: Sequence[Question]) -> None:
    """Raises ConfigError where two questions have one name."""
    names = [question.name for question in questions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two questions have the name {', '.join(twice)}")


def parse_question(options: Mapping[str, Any]) -> Question:
    """A question from its options: `kind`, `name`, `text`, and what its kind has.

    Raises:
        ConfigError: an option is not known, or holds what it must not.
    """
    if options.get("kind") not in KINDS:
        raise ConfigError(f"a question needs a kind, one of {', '.join(KINDS)}; got {options.get('kind')!r}")
    kind = KINDS[options["kind"]]
    name = options.get("name", DEFAULT_NAMES[kind.kind])
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", name):
        raise ConfigError(f"the name of a question has letters, digits, - and _, at most 40; got {name!r}")
    known = {field.name for field in fields(kind)}
    if unknown := options.keys() - known - {"kind"}:
        raise ConfigError(f"question {name}: {', '.join(sorted(unknown))} is not known; known: {', '.join(known)}")
    text: Any = options.get("text", {})
    text = dict.fromkeys(LANGUAGES, text) if isinstance(text, str) else text
    if not isinstance(text, Mapping) or not all(isinstance(one, str) for one in text.values()):
        raise ConfigError(f"question {name}: text must be a text, or {{en = ..., zh = ...}}")
    given = {key: value for key, value in options.items() if key not in ("kind", "name", "text")}
    return kind(name=name, text=dict(text), **given)
