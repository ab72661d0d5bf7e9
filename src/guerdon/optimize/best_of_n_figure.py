"""The picture of best-of-n."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guerdon.optimize.best_of_n import BestOfN
from guerdon.report.drawing import SERIES, new_figure, plain_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def best_of_n_figure(result: BestOfN) -> Figure:
    """One panel for each value, over n on a logarithmic axis, with 95% intervals; above, the bound on the KL."""
    count = len(result.curves)
    figure = new_figure(4.6 * count + 0.4, 3.7)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for place, (axis, curve) in enumerate(zip(axes, result.curves, strict=True)):
        points = [mean.point for mean in curve.means]
        colour = SERIES[place % len(SERIES)]
        axis.plot(result.ns, points, marker="o", color=colour)
        axis.fill_between(
            result.ns,
            [mean.low for mean in curve.means],
            [mean.high for mean in curve.means],
            color=colour,
            alpha=0.15,
            lw=0,
        )
        axis.set_xscale("log", base=2)
        axis.set_xticks(result.ns, [str(n) for n in result.ns])
        axis.set_xlabel("n, responses to pick from")
        axis.set_title(f"{curve.name}{' (picks)' if place == 0 else ' (only watches)'}", fontsize=10, loc="left")
        plain_axis(axis)
        above = axis.secondary_xaxis("top")
        above.set_xticks(result.ns, [f"{kl:.2f}" for kl in result.kl_bounds], fontsize=8)
        above.set_xlabel("KL from the policy, at most (nats)", fontsize=8)
        above.minorticks_off()
    return figure
