"""A rubric: by which criteria a language model judges, what it is asked, and how its answer is read."""

from __future__ import annotations

import dataclasses
import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from guerdon.data.read import load_rows
from guerdon.errors import ConfigError
from guerdon.types import Comparison, Message, Prompt, Rating, Row, prompt_text

Mode = Literal["pointwise", "pairwise"]

_INSTRUCTIONS = {
    "pointwise": "You grade an answer to a question by one criterion, and by nothing else.",
    "pairwise": "You compare two answers to the same question by one criterion, and by nothing else. The order in "
    "which they are shown means nothing, nor does their length.",
}
_VALUE = r"(?P<value>A|B|ties?|tied|-?\d+(?:\.\d+)?)(?:\s*/\s*(?P<of>\d+(?:\.\d+)?))?"
_LINE = re.compile(
    rf"[^\w-]*(?:(?:the|my|final|overall|verdict|better|best|winner|answer|response|score|rating|grade|is)\b[^\w-]*)*"
    rf"{_VALUE}(?:\s+is\s+(?:the\s+)?better)?\W*",
    re.IGNORECASE,
)
"""A line that is a verdict and nothing else: `B`, `**Score: 4/5**`, `The better answer is A.`"""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What is judged, and how much it counts."""

    name: str
    """A short name; of rows with several scores, the score of this name is its example."""
    text: str
    """What makes an answer good by this criterion, as the model is told."""
    weight: float = 1.0
    """Its share of the sum, above 0."""


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """The keys of a rubric's TOML file; its criteria are `[[criteria]]` tables.

    Example:
        >>> rubric = Rubric.read("helpful.toml")
        >>> rubric.mode, [criterion.name for criterion in rubric.criteria]
        ('pairwise', ['correct', 'clear'])
    """

    endpoint: str
    """Address of the server, such as http://localhost:8000/v1; OPENAI_API_KEY of the environment is sent along."""
    model: str
    """Name by which the server knows the model. Verdicts are kept for this name, not for the address."""
    criteria: tuple[Criterion, ...]
    """Each is a question of its own."""
    mode: Mode = "pairwise"
    """pairwise: two responses side by side, a Comparer; pointwise: a score for each response, a Scorer."""
    instructions: str = ""
    """What the model is told first; empty takes a sentence for the mode."""
    scale: tuple[float, float] = (1, 5)
    """Lowest and highest score of a pointwise verdict."""
    both_orders: bool = True
    """Show each pair in both orders and take the mean: a liking for the first place cancels, at twice the price."""
    examples: str = ""
    """Labelled rows that are shown as solved examples: comparisons, or for pointwise ratings in the scale."""
    num_examples: int = 4
    """How many of them."""
    max_new_tokens: int = 8
    """Length of an answer; more where the model is to write its reasons before the verdict."""
    temperature: float = 0.0
    """0 takes the most probable answer."""
    max_requests: int = 10_000
    """The most verdicts that the file of verdicts may hold. What would be more is not asked, and has no reward."""
    verdicts: str = ""
    """File that keeps every answer by its content; empty: beside the rubric, as NAME.verdicts.jsonl."""
    timeout: float = 600.0
    """Seconds for one request."""
    seed: int = 0
    """Seed of the drawing of examples."""
    path: Path = field(default=Path("rubric.toml"), compare=False)
    """The file itself; paths in it count from its folder."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a TOML file. Raises ConfigError with every fault found."""
        path = Path(path).expanduser().resolve()
        try:
            found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"the rubric {path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"the rubric {path} is not TOML: {error}") from error
        faults = _key_faults(found, cls, "path")
        tables = found.get("criteria", [])
        if isinstance(tables, list) and all(isinstance(one, dict) for one in tables):
            for place, one in enumerate(tables, start=1):
                faults += [f"criterion {place}: {fault}" for fault in _key_faults(one, Criterion)]
        else:
            faults.append("criteria must be [[criteria]] tables")
        if not faults:
            criteria = tuple(Criterion(**one) for one in tables)
            scale = {"scale": tuple(found["scale"])} if "scale" in found else {}
            rubric = cls(**found | scale | {"criteria": criteria, "path": path})
            faults = rubric._faults()
        if faults:
            raise ConfigError(f"{path}: {'; '.join(faults)}")
        return rubric

    def _faults(self) -> list[str]:
        names = [criterion.name for criterion in self.criteria]
        checks = {
            f"mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}": self.mode in get_args(Mode),
            "there must be one or more [[criteria]]": bool(names),
            f"criteria must have different names, got {', '.join(names)}": len(set(names)) == len(names),
            "the weight of each criterion must be above 0": all(one.weight > 0 for one in self.criteria),
            f"scale must be two numbers from 0 up, the lower first, got {list(self.scale)}": len([*self.scale]) == 2
            and 0 <= self.scale[0] < self.scale[-1],
            "max_new_tokens, max_requests and timeout must be above 0": min(
                self.max_new_tokens, self.max_requests, self.timeout
            )
            > 0,
            "temperature, num_examples and seed must be 0 or more": min(self.temperature, self.num_examples, self.seed)
            >= 0,
        }
        return [fault for fault, good in checks.items() if not good]

    @property
    def verdicts_path(self) -> Path:
        """Where the answers are kept."""
        return self.path.parent / (self.verdicts or f"{self.path.stem}.verdicts.jsonl")

    def example_rows(self) -> list[Comparison | Rating]:
        """The labelled rows that are shown, drawn by the seed. Raises DataError, and ConfigError for other rows."""
        if not self.examples or not self.num_examples:
            return []
        local = self.path.parent / Path(self.examples).expanduser()
        kind = Comparison if self.mode == "pairwise" else Rating
        rows = [row for row in load_rows(str(local) if local.exists() else self.examples) if isinstance(row, kind)]
        if not rows:
            raise ConfigError(f"{self.path}: examples of a {self.mode} rubric are {kind.__name__.lower()}s; none found")
        for row in (row for row in rows if isinstance(row, Rating)):
            for criterion in self.criteria:
                if (value := _score(row, criterion)) is None or not self.scale[0] <= value <= self.scale[1]:
                    raise ConfigError(
                        f"{row.origin or self.examples}: an example needs a score for {criterion.name!r} (or `score`) "
                        f"in the scale {self.scale[0]:g} to {self.scale[1]:g}, got {value}"
                    )
        return random.Random(self.seed).sample(rows, min(self.num_examples, len(rows)))

    def question(
        self, criterion: Criterion, examples: Sequence[Row], prompt: Prompt, responses: Sequence[str], reference: str
    ) -> tuple[Message, ...]:
        """What the model is asked about one response, or about two: solved examples first."""
        turns: list[Message] = []
        for place, row in enumerate(examples):
            shown: tuple[str, ...]
            if isinstance(row, Comparison):
                shown = (row.chosen, row.rejected) if place % 2 == 0 else (row.rejected, row.chosen)
                answer = "tie" if row.preference == 0.5 else "AB"[place % 2]
            else:
                assert isinstance(row, Rating)
                shown, answer = (row.response,), f"{_score(row, criterion):g}"
            asked = self._body(row.prompt, shown, row.reference or "")
            turns += [Message("user", asked), Message("assistant", answer)]
        turns.append(Message("user", self._body(prompt, responses, reference)))
        head = f"{self.instructions or _INSTRUCTIONS[self.mode]}\n\nCriterion: {criterion.text}\n\n"
        return (dataclasses.replace(turns[0], content=head + turns[0].content), *turns[1:])

    def _body(self, prompt: Prompt, responses: Sequence[str], reference: str) -> str:
        parts = [("Question", prompt_text(prompt))] + [("Reference answer", reference)] * bool(reference)
        if self.mode == "pairwise":
            parts += [("Answer A", responses[0]), ("Answer B", responses[1])]
            wish = "Which answer is better by the criterion? End with a line that is A, B or tie."
        else:
            parts.append(("Answer", responses[0]))
            low, high = self.scale
            wish = (
                "How good is the answer by the criterion? End with a line that is a number from "
                f"{low:g} (worst) to {high:g} (best)."
            )
        return "\n\n".join([*(f"[{name}]\n{text}" for name, text in parts), wish])

    def verdict(self, answer: str) -> tuple[float, str]:
        """A score, or P(A preferred), that an answer holds; NaN with the reason where it holds none, or several."""
        said = re.sub(r"<think>.*?(</think>|\Z)", "", answer, flags=re.DOTALL)
        matches = [match for line in said.splitlines() if (match := _LINE.fullmatch(line.strip()))]
        found = {self._value(match) for match in matches}
        start = " ".join(said.split())[:60]
        if None in found or not found:
            kind = "A, B or tie" if self.mode == "pairwise" else f"a score from {self.scale[0]:g} to {self.scale[1]:g}"
            return float("nan"), f"the verdict cannot be read: no line is {kind} in {start!r}"
        if len(found) > 1:
            return float("nan"), f"the verdict cannot be read: several are given in {start!r}"
        (value,) = found
        assert value is not None
        return value, ""

    def _value(self, match: re.Match[str]) -> float | None:
        word, of = match["value"].lower(), match["of"]
        if self.mode == "pairwise":
            return {"a": 1.0, "b": 0.0}.get(word, 0.5 if word.startswith("tie") else None) if of is None else None
        try:
            value = float(word)
        except ValueError:
            return None
        return (
            value if self.scale[0] <= value <= self.scale[1] and float(of or self.scale[1]) == self.scale[1] else None
        )


def _score(row: Rating, criterion: Criterion) -> float | None:
    return row.scores.get(criterion.name, row.scores.get("score"))


def _key_faults(found: dict[str, Any], cls: Any, *own: str) -> list[str]:
    """Keys that are missing, not known, or of another type than their default has."""
    known = {one.name: one for one in dataclasses.fields(cls) if one.name not in own}
    faults = [f"no key {name!r} is known; keys are {', '.join(known)}" for name in found if name not in known]
    for name, one in known.items():
        if one.default is dataclasses.MISSING and name not in found:
            faults.append(f"the key {name!r} is missing")
        default = "" if one.default is dataclasses.MISSING else one.default
        kinds = (int, float) if isinstance(default, float) else (list,) if isinstance(default, tuple) else type(default)
        wrong = name in found and name != "criteria" and not isinstance(found[name], kinds)
        if wrong or (isinstance(found.get(name), bool) and not isinstance(default, bool)):
            faults.append(f"{name} cannot be {found[name]!r}")
    return faults
