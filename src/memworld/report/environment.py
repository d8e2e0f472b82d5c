"""The templates of the reports, and what stands in each: one style sheet, and one script."""

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources

import jinja2
from markupsafe import Markup

from memworld.report.looks import COLOURS
from memworld.report.pictures import png
from memworld.report.tables import number

_STYLES = ("report.css", "charts.css", "study.css")
_SCRIPTS = ("report.js", "charts.js")


def environment() -> jinja2.Environment:
    """Templates of this package: everything escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("memworld", "report/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"png": png, "number": number}
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    script = _all(_SCRIPTS)
    made.globals |= {
        # Neither comes from outside, and neither may be escaped: a browser takes both as they stand.
        "script": Markup(script),
        "styles": Markup(_all(_STYLES)),
        "colours": COLOURS,
        # The page allows this script by its hash, and so no other that somebody may have put into a name.
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return made


def _all(names: Iterable[str]) -> str:
    """Files of the page, one after the other."""
    page = resources.files("memworld.report") / "page"
    return "".join((page / name).read_text(encoding="utf-8") for name in names)
