from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import pytest
import tyro
from tyro.conf import OmitArgPrefixes

from guerdon.cli.help_texts import add_help_texts, field_docs
from guerdon.cli.main import main


@dataclass(frozen=True, kw_only=True)
class Common:
    seed: int = 0
    """Seed of everything that is drawn at random, which is more
    than one line."""
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    rate: float = 0.5
    """Share of the
    whole."""


def verb(out: str = "-", options: OmitArgPrefixes[Options] = Options()) -> None:
    """Does something.

    Args:
        out: A file, or
            - for standard output, at the end of a line that is
            not the last.
        options: How.
    """


def test_docstrings_of_fields_are_flowing_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert dict(field_docs(Options)) == {"rate": "Share of the whole."}
    add_help_texts(verb)
    texts = {field.name: field.metadata.get("help") for field in dataclasses.fields(Options)}
    assert texts == {
        "seed": "Seed of everything that is drawn at random, which is more than one line.",
        "depth": None,
        "rate": "Share of the whole.",
    }
    with pytest.raises(SystemExit):
        tyro.cli(verb, args=["--help"])
    printed = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Share of the whole." in printed
    assert "A file, or - for standard output, at the end of a line that is not the last." in printed


@pytest.mark.parametrize("words", [["data"], ["data", "--help"]])
def test_a_family_of_verbs_has_a_help_of_its_own(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "data split" in shown
    assert "optimize" not in shown
