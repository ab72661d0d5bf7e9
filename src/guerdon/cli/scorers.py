"""How a verb takes a scorer: `MODEL`, and the options of `ScorerConfig` beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional, Suppress, arg

from guerdon.rewards.load import ScorerConfig

Model = Annotated[
    Positional[str],
    arg(
        metavar="MODEL",
        help="The scorer: a folder, a hub name, a rule (longest, shortest, exact, numeric, unit-tests, chrf), "
        "cosine, likelihood:POLICY, implicit:POLICY@REFERENCE, tfidf:DATA or bm25:DATA (fitted on that "
        "data here and now), rubric:FILE.toml (a language model behind an endpoint), or module:object.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ScorerOptions(ScorerConfig):
    """The options of a scorer, whose name is an argument of its own.

    Use it as `def verb(model: Model, ..., /, scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions())`.
    """

    name: Suppress[str] = "MODEL"

    def named(self, name: str) -> ScorerConfig:
        """The scorer of this name under these options."""
        return ScorerConfig(**asdict(self) | {"name": name})


@dataclass(frozen=True, kw_only=True)
class TrustedScorerOptions(ScorerOptions):
    """The options of a scorer beside a policy's: `--trust-remote-code` is the policy's, and counts for both."""

    trust_remote_code: Suppress[bool] = False
