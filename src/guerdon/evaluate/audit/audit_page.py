"""The pages of the audit: one file each that needs nothing else."""

from __future__ import annotations

from guerdon.evaluate.audit.audit_results import HALF, Audit, family_groups
from guerdon.evaluate.audit.label_results import DataAudit
from guerdon.perturbations.perturbation import SAME_MEANING
from guerdon.report.strips import Axis
from guerdon.report.templating import environment

SHARE = Axis(0.0, 1.0, HALF)
"""The strip of a share that is a half without a bias."""
OF_ALL = Axis(0.0, 1.0, None)
VERDICTS = {
    "bias": "bad",
    "slight": "",
    "as people": "",
    "resists": "good",
    "blind": "bad",
    "none found": "good",
    "cannot tell": "",
    "not asked": "",
}
"""Verdict -> how its tag is coloured."""


def audit_page(found: Audit) -> str:
    """The page of a reward's audit as HTML text."""
    asked = [line for line in found.lines if line.verdict != "not asked"]
    families = family_groups([line for line in asked if line.family != SAME_MEANING])
    kept = [line for line in asked if line.family == SAME_MEANING]
    kept.sort(key=lambda line: -line.order.point if line.order_pairs else 1.0)
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            found=found,
            labels=found.labels,
            families=families,
            kept=kept,
            not_asked=[line.name for line in found.lines if line.verdict == "not asked"],
            share=SHARE,
            of_all=OF_ALL,
            verdicts=VERDICTS,
        )
    )


def labels_page(found: DataAudit) -> str:
    """The page of an audit of labels alone as HTML text."""
    return environment().get_template("audit_labels.html.j2").render(labels=found, share=SHARE)
