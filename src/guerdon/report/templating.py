"""How pages are made from templates: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from guerdon.files import atomic_write
from guerdon.metrics import format_bounds, format_interval, format_p_value, format_value

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(*packages: str) -> Environment:
    """The templates of other packages, if any, and of `report/templates`.

    The filters value, bounds, interval, p_value, count and percent print numbers.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "guerdon.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"value": format_value, "bounds": format_bounds, "interval": format_interval}
    found.filters |= {"p_value": format_p_value}
    found.filters |= {"count": "{:,}".format, "percent": "{:.0%}".format}
    return found


def write_page(path: str | Path, template: str, **values: Any) -> None:
    """Writes the page that a template makes of values, one file that needs nothing else. Raises OutputError."""
    page = environment().get_template(template).render(**values)
    with atomic_write(path) as file:
        file.write(page)
