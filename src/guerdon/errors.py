"""One exception class per boundary. The command line prints the message and exits with 2; anything else is a bug."""

from __future__ import annotations


class GuerdonError(Exception):
    """What the user can put right. The message says what is wrong, what was found, and how to fix it.

    Example:
        >>> try:
        ...     load_scorer("no-such-model")
        ... except GuerdonError as error:
        ...     print(type(error).__name__)
        ModelError
    """


class DataError(GuerdonError):
    """Rows that cannot be used; the message names file and line."""


class TextError(DataError):
    """One of several texts cannot be used. Whoever knows where it was read says so with `at`."""

    def __init__(self, index: int, fault: str) -> None:
        super().__init__(f"text {index + 1}: {fault}")
        self.index = index
        """0-based, among the texts given."""
        self.fault = fault

    def at(self, origin: object | None) -> DataError:
        """The same fault with the place that the text was read at, where that is known."""
        return self if origin is None else DataError(f"{origin}: {self.fault}")


class ConfigError(GuerdonError):
    """Options that do not fit together; all faults at once."""


class ModelError(GuerdonError):
    """A model that cannot be found, read or used as a reward model."""


class ContractError(ModelError):
    """A saved reward model whose score contract is missing, broken, or does not fit its weights."""

    def __init__(self, message: str, *, about: str = "contract") -> None:
        super().__init__(message)
        self.about = about
        """What is wrong, in the words of `guerdon doctor`: `head`, `LoRA base`, `template` ..."""


class OutputError(GuerdonError):
    """A result that cannot be written (disk full, folder read-only, path in use)."""


class MissingExtraError(GuerdonError):
    """A feature whose optional dependency is not installed; the message gives the pip command."""

    def __init__(self, feature: str, package: str, extra: str = "", *, command: str = "") -> None:
        """Says which, with the command for an extra of ours, or another one."""
        fix = command or f'pip install "guerdon[{extra}]"'
        super().__init__(f'{feature} needs the package "{package}", which is not installed. Fix: {fix}')
