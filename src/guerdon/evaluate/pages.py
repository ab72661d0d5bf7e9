"""The pages of evaluate, compare and doctor: one file each that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from guerdon.evaluate.comparison import RewardComparison
from guerdon.evaluate.doctor import Diagnosis
from guerdon.evaluate.figure import reliability_figure
from guerdon.evaluate.results import Evaluation, Section
from guerdon.metrics import METRICS
from guerdon.report.charts import Chart
from guerdon.report.drawing import page_svg
from guerdon.report.strips import Axis
from guerdon.report.templating import write_page


def write_evaluation_page(found: Evaluation, path: str | Path) -> None:
    """Writes the page of an evaluation, with its pictures. Raises OutputError."""
    title = "Stated probabilities beside what people preferred"
    stated = any(section.details.probabilities for section in found.sections)
    charts = [Chart(title, page_svg(reliability_figure(found), title))] if stated else []
    axes = [section_axis(section) for section in found.sections]
    write_page(path, "evaluation.html.j2", found=found, metrics=METRICS, axes=axes, charts=charts)


def section_axis(section: Section) -> Axis:
    """The axis that holds all systems in all parts of a section."""
    parts = (section.overall, *section.subsets)
    known = [system.metrics for part in parts for system in part.systems]
    values = [metrics[section.primary] for metrics in known if section.primary in metrics]
    return Axis.around(METRICS[section.primary].chance, values)


def write_comparison_page(found: RewardComparison, path: str | Path) -> None:
    """Writes the page of a comparison. Raises OutputError."""
    write_page(path, "compare.html.j2", found=found, metrics=METRICS)


def write_doctor_page(found: Diagnosis, path: str | Path) -> None:
    """Writes the page of what the doctor found. Raises OutputError."""
    write_page(path, "doctor.html.j2", found=found)
