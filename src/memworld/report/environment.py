"""The templates of the reports."""

import jinja2

from memworld.report.pictures import png
from memworld.report.tables import number


def environment() -> jinja2.Environment:
    """Templates of this package: everything escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("memworld", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"png": png, "number": number}
    return made
