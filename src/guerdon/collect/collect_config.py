"""How a collection is served, and what goes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from guerdon.errors import ConfigError

Who: TypeAlias = Literal["people", "models", "all"]
LayoutOut: TypeAlias = Literal["guerdon", "label-studio", "argilla"]
Pooling: TypeAlias = Literal["dawid-skene", "votes", "bradley-terry"]
STORE = "collect.db"
POSTGRESQL = ("postgresql://", "postgres://", "postgresql+psycopg://")
"""How the address of a store in PostgreSQL begins."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionConfig:
    """What is asked, of whom, and where the app listens.

    Example:
        >>> CollectionConfig(overlap=2).private
        True
    """

    questions: str | None = None
    """A TOML file of questions, or a kind: pairwise, rating, ranking, spans, steps, rewrite. Without it, what the store
    asks already, or pairwise."""
    overlap: int = 1
    """How many people judge each task."""
    gold: str | None = None
    """Data whose judgements are known to be right: its comparisons are asked in between, to see who answers so."""
    gold_every: int = 10
    """About one of so many tasks is a gold one."""
    pairs: int = 3
    """Of a prompt with more than two responses, how many pairs are drawn where pairs are compared."""
    policy: str | None = None
    """Language model that answers the prompts of DATA while people judge: smollm2, a folder, a hub name, or what the
    endpoint calls it. Responses that DATA has are then not read."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible server, as http://localhost:8000/v1; OPENAI_API_KEY is sent where it is set."""
    answers: int = 2
    """Answers that the policy writes to each prompt."""
    max_new_tokens: int = 256
    """Length of the longest answer, in tokens."""
    temperature: float = 1.0
    """Temperature of the policy."""
    in_order: bool = False
    """Ask in the order of the data, not in one drawn by chance."""
    host: str = "127.0.0.1"
    """Address to listen at. Any other than this machine's own needs --url, and people sign in."""
    port: int = 8765
    """Port to listen at; 0 takes any that is free."""
    url: str | None = None
    """Address under which people reach the app, as https://labels.example.org; with it they sign in."""

    def __post_init__(self) -> None:
        """Raises ConfigError, all faults at once."""
        faults = []
        if self.overlap < 1:
            faults.append(f"--overlap must be at least 1, got {self.overlap}")
        if self.answers < 1:
            faults.append(f"--answers must be at least 1, got {self.answers}")
        if self.endpoint and not self.policy:
            faults.append("--endpoint needs the server's name of the model in --policy")
        if self.gold_every < 2:
            faults.append(f"--gold-every must be at least 2, got {self.gold_every}")
        if self.pairs < 1:
            faults.append(f"--pairs must be at least 1, got {self.pairs}")
        if not 0 <= self.port <= 65535:
            faults.append(f"--port must be from 0 to 65535, got {self.port}")
        if self.url is not None and not _is_origin(self.url):
            faults.append(f"--url must be an address without a path, as https://labels.example.org, got {self.url!r}")
        if self.host not in LOOPBACK and self.url is None:
            faults.append(
                f"--host {self.host} can be reached from other machines: say under which address, --url http://NAME:PORT"
            )
        if faults:
            raise ConfigError("; ".join(faults))

    @property
    def private(self) -> bool:
        """Whether the app is for the one person at this machine, who needs no password."""
        return self.url is None


def _is_origin(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return False
