"""How much memory a process takes, as Linux tells."""

from pathlib import Path


def resident(process: int | str = "self") -> tuple[int, int]:
    """Bytes of a process's own memory, and of files that it has mapped, which the system may take back."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    own, mapped = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped
