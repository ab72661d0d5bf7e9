"""The words of the house: what a judgement of text is, and what gives a reward.

Nothing here imports torch or numpy, so that every floor above can import it for free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that an assistant's message calls.

    Example:
        >>> ToolCall("search", '{"query": "boil an egg"}').name
        'search'
    """

    name: str
    arguments: str
    """JSON text of the arguments, usually an object."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat, with the fields that chat templates read (the OpenAI message format).

    Example:
        >>> Message("user", "How long does an egg take?").role
        'user'
    """

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    content: str
    """May be empty beside tool calls."""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_content: str = ""
    """The reasoning of an assistant's turn, where the data keeps it apart from the content."""
    name: str = ""
    """Name of the tool that a `tool` message answers for."""
    tool_call_id: str = ""


Prompt: TypeAlias = str | tuple[Message, ...]
"""A plain text, or the turns of a chat that the response answers."""

Prompts: TypeAlias = Sequence[Prompt]
"""One for each response that a scorer is asked about."""

Responses: TypeAlias = Sequence[str]
"""n responses, each to the prompt of its place."""

References: TypeAlias = Sequence[str | None] | None
"""One for each response, where it has one: what a scorer may check it against (an answer, unit tests, a reference)."""

VerdictKind: TypeAlias = Literal["letter", "quote"]
"""How a language model says which response is better: by the letter A or B, or by the beginning of the better one."""

Overlong: TypeAlias = Literal["auto", "cut", "error"]
"""What happens to a text of more tokens than the model reads. `cut`: the prompt is cut from its left, then the response
at its end, both counted. `error`: it is refused. `auto`: as `cut`, but a whole data set is refused when more than 5% of
its responses would be cut."""

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16"]
BaseDtype: TypeAlias = Literal["float32", "bfloat16", "nf4"]
"""Precision of a model's weights; `auto` is bfloat16 on a GPU and float32 elsewhere."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row was read, for error messages."""

    source: str
    """File path, hub name, or `<stdin>`."""
    line: int
    """1-based line of a text file; 1-based row of a table, array or hub set."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every judgement has: a prompt, and where it belongs."""

    prompt: Prompt
    reference: str | None = None
    """A known good answer (or unit tests) to judge against, where the data has one."""
    subset: str = ""
    """The part of the data set the row belongs to; figures are also given per subset."""
    group: str = ""
    """What must stay on one side of a split and in one bootstrap cluster; empty means the prompt itself."""
    id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns that Guerdon does not read; they are kept when rows are written."""
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Row):
    """One response was preferred to another.

    Example:
        >>> Comparison(prompt="How long?", chosen="Eight minutes.", rejected="It depends.", preference=0.75).chosen
        'Eight minutes.'
    """

    chosen: str
    rejected: str
    preference: float = 1.0
    """P(chosen preferred), in [0.5, 1]: 1 a plain choice, 0.5 a tie, between them a vote share."""
    margin: float | None = None
    """By how much chosen was preferred, in the units of the data; None where not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(Row):
    """One response with a score for one or more attributes; higher is better.

    Example:
        >>> Rating(prompt="How long?", response="Eight minutes.", scores={"helpful": 4, "brief": 5}).scores["brief"]
        5
    """

    response: str
    scores: Mapping[str, float]
    """Attribute -> value in the units of the data; a single score has the name `score`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Row):
    """Several responses to one prompt with a score each; higher is better, equal scores are ties.

    Example:
        >>> Ranking(prompt="How long?", responses=("Eight minutes.", "It depends."), scores=(2, 0)).scores
        (2, 0)
    """

    responses: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Row):
    """A good answer (`reference`), and texts generated for the same prompt that it should beat.

    Example:
        >>> Reference(prompt="How long?", reference="Eight minutes.", generated=("It depends.",)).reference
        'Eight minutes.'
    """

    generated: tuple[str, ...] = ()


STEP_BREAK = "\n\n"
"""What stands between two steps of a solution."""
_BLANK_LINES = re.compile(r"\n\s*\n\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Row):
    """A solution in steps, and which of them are right.

    Example:
        >>> Steps(prompt="2 + 3 * 4?", steps=("2 + 3 = 5", "5 * 4 = 20"), labels=(0, None)).steps[0]
        '2 + 3 = 5'
    """

    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    """One for each step: 1 right, 0 wrong, between them the share of judges (or of continuations that end well); None
    where nobody judged it, as behind the first error."""


AnyRow: TypeAlias = Comparison | Rating | Ranking | Reference | Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates(Row):
    """A prompt with its candidate responses: to be scored, picked from, sampled for, or learnt from.

    `reference` is what scorers that need one check a response against: a known answer, a reference text, unit tests.

    Example:
        >>> Candidates(prompt="How long?", responses=("Eight minutes.", "It depends."), scores=(1.0, 0.0)).systems
        ()
    """

    responses: tuple[str, ...] = ()
    """Empty for a prompt that nobody has answered yet. Equal texts are separate samples."""
    scores: tuple[float, ...] | None = None
    """What people, or tests, say of each response, NaN where one has no score; None without any."""
    demonstration: str | None = None
    """A good response, to be learnt by likelihood: what was chosen, or the reference text."""
    systems: tuple[str, ...] = ()
    """Which system wrote each response; empty where not known."""
    other_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Scores of other systems that the data brings along, by name (`bm25`), one per response."""


@dataclass(frozen=True, slots=True, eq=False)
class Rewards:
    """The rewards of n responses; for those without one, why.

    Example:
        >>> rewards = score_texts(load_scorer("exact"), ["2 + 2?"] * 2, ["4", "5"], references=["4", None])
        >>> rewards.values.tolist(), rewards.reasons
        ([1.0, nan], ('', 'the row has no reference answer'))
    """

    values: np.ndarray
    """float32, shape (n,); NaN means no reward."""
    reasons: tuple[str, ...]
    """n texts: empty where there is a reward, else the reason why there is none."""

    def __len__(self) -> int:
        return len(self.reasons)


@runtime_checkable
class Scorer(Protocol):
    """Everything that gives a reward: R(x) of the text, raw and unbounded.

    A scorer that knows why a response has no reward also has `score_with_reasons` (see `ReasonedScorer`). Ask any
    scorer with `guerdon.rewards.scoring.score_texts`, which gives rewards and reasons for both kinds. `score` may be
    called from several threads at once.

    Example:
        >>> class Polite:
        ...     def score(self, prompts, responses, *, references=None):
        ...         return np.array(["please" in text for text in responses], dtype=np.float32)
        >>> isinstance(Polite(), Scorer)
        True
    """

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """Scores `responses[i]` as the answer to `prompts[i]`.

        Args:
            prompts: n prompts.
            responses: n responses.
            references: n references, for scorers that need one (an answer, unit tests, a reference text).

        Returns:
            float32 array, shape (n,), in the scorer's own units, in the order given. NaN means exactly "no reward":
            consumers mask it and never turn it into 0.

        Raises:
            ValueError: the lengths differ.
        """
        ...


@runtime_checkable
class ReasonedScorer(Scorer, Protocol):
    """A scorer that says why a response has no reward.

    Example:
        >>> isinstance(load_scorer("exact"), ReasonedScorer)
        True
    """

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Scores as `Scorer.score`, with a reason for each response that has no reward."""
        ...


@runtime_checkable
class StepScorer(Scorer, Protocol):
    """A process reward: a scorer that also says how right each step of a response is.

    Example:
        >>> isinstance(load_scorer("longest"), StepScorer)
        False
    """

    def step_scores(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        """Scores every step of n responses, in one pass over each.

        Returns:
            float32, shape (n, most steps): higher is better, NaN behind the last step and for steps that are not read.
        """
        ...


@runtime_checkable
class Comparer(Protocol):
    """Gives the probability that one response is preferred to another.

    Example:
        >>> class Judge:
        ...     def compare(self, prompts, a, b, *, references=None):
        ...         return np.full(len(a), 0.5, dtype=np.float32)
        >>> isinstance(Judge(), Comparer)
        True
    """

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """Returns P(a[i] preferred to b[i]), float32 array, shape (n,), NaN where there is no verdict."""
        ...


@runtime_checkable
class ReasonedComparer(Comparer, Protocol):
    """A comparer that says why a pair has no verdict.

    Example:
        >>> isinstance(load_scorer("longest"), ReasonedComparer)
        False
    """

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """Compares as `Comparer.compare`, with a reason for each pair that has no verdict."""
        ...


def prompt_text(prompt: Prompt) -> str:
    """The prompt as one string: chat turns as `role: content` lines; a single user turn as its content.

    A prompt given as a string and the same prompt given as one user turn are the same prompt, so they give
    the same text; it is also the key by which rows of one prompt are found.
    """
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0].role == "user":
        return message_text(prompt[0])
    return "\n".join(f"{message.role}: {message_text(message)}" for message in prompt)


def message_text(message: Message) -> str:
    """All that a message says as one string: reasoning in `<think>` tags, content, tool calls in `<tool_call>` tags.

    This is how Qwen and Hermes models write them, and the one way in which a response, which is always a string, holds
    a tool call.
    """
    calls = (
        f'<tool_call>\n{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments}}}\n'
        "</tool_call>"
        for call in message.tool_calls
    )
    thought = f"<think>\n{message.reasoning_content}\n</think>\n\n" if message.reasoning_content else ""
    return thought + "\n".join(filter(None, (message.content, *calls)))


def group_key(row: Row) -> str:
    """What must not be torn apart: the row's group where it has one, else its prompt."""
    return row.group or prompt_text(row.prompt)


def response_texts(row: AnyRow) -> tuple[str, ...]:
    """Every text that a row judges as an answer to its prompt, a reference first."""
    if isinstance(row, Comparison):
        return row.chosen, row.rejected
    if isinstance(row, Rating):
        return (row.response,)
    if isinstance(row, Ranking):
        return row.responses
    if isinstance(row, Steps):
        return step_prefixes(row)[-1:]
    return (*([row.reference] if row.reference else []), *row.generated)


def step_prefixes(row: Steps) -> tuple[str, ...]:
    """The solution as far as each step: steps are parted by an empty line, and have none within."""
    steps = [_BLANK_LINES.sub("\n", step.strip()) for step in row.steps]
    return tuple(STEP_BREAK.join(steps[: end + 1]) for end in range(len(steps)))


def origin_of(rows: Iterable[AnyRow], prompt: Prompt, response: str) -> Origin | None:
    """Where a text was read: the first row that has it, if it knows."""
    key = prompt_text(prompt)
    holders = (row for row in rows if response in response_texts(row) and prompt_text(row.prompt) == key)
    return next((row.origin for row in holders), None)
