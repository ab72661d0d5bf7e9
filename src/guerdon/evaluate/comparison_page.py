"""The page of `guerdon compare`: one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from guerdon.evaluate.comparison import RewardComparison
from guerdon.files import atomic_write
from guerdon.metrics import METRICS
from guerdon.report.templating import environment


def comparison_page(found: RewardComparison) -> str:
    """The page as HTML text."""
    return environment().get_template("compare.html.j2").render(found=found, metrics=METRICS)


def write_comparison_page(found: RewardComparison, path: Path) -> None:
    """Writes the page. Raises OutputError."""
    with atomic_write(path) as file:
        file.write(comparison_page(found))
