"""Text out of data in Markdown and YAML, where it must stay text."""

import json
import re

from memworld.storage import one_line

_LONGEST = 120
"""Characters of one piece of text; of more, the rest is left out."""


def code(text: object) -> str:
    """Text that is shown as it is, whatever is in it; also in a table's cell."""
    line = one_line(text)
    line = line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
    if not line:
        return "(none)"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith(("`", " ")) or line.endswith(("`", " ")) else ""
    # In a table a bar ends the cell even within code, unless it has a backslash before it.
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")


def quoted(text: object) -> str:
    """Text as a string of YAML or of Python, of one line."""
    return json.dumps(one_line(text), ensure_ascii=False)
