"""The card of a pushed memory: `README.md` as the hub shows it, with figures. Every number in it is measured."""

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from memworld.encoders import Encoder
from memworld.memory import Memory
from memworld.report.tables import number
from memworld.sharing.facts import actions_of, measure, sources_of
from memworld.sharing.figures import coverage_png, strip_steps, strips
from memworld.sharing.markdown import code, quoted
from memworld.sharing.parts import CARD, COVERAGE, FIGURES, STRIP
from memworld.sharing.places import HubPlace
from memworld.storage import make_folder, one_line, read_json, write_bytes, write_picture

_SIZES = (
    "n<1K",
    "1K<n<10K",
    "10K<n<100K",
    "100K<n<1M",
    "1M<n<10M",
    "10M<n<100M",
    "100M<n<1B",
    "1B<n<10B",
    "10B<n<100B",
)
"""The hub's categories of size."""

_MOST = 32
"""Actions, or columns of them, that are told one by one."""


def write_card(folder: Path, memory: Memory, encoder: Encoder, place: HubPlace | Path, license: str | None) -> None:
    """Write the card of a memory, and its figures, into the memory's folder.

    Args:
        folder: where the memory lies.
        memory: which.
        encoder: its own.
        place: where it will be pulled from; of a folder only the name is told, as its path says something
            of its owner.
        license: under which others may use it, if that is said.

    Raises:
        MemworldError: the folder cannot be written.
    """
    facts = measure(memory)
    shown = max(range(len(memory.entries)), key=lambda i: memory.entries[i].steps)
    make_folder(folder / FIGURES)
    write_picture(folder / STRIP, strips(memory, encoder, shown))
    if facts.coverage is not None:
        write_bytes(folder / COVERAGE, coverage_png(facts.coverage))
    on_hub = isinstance(place, HubPlace)
    text = _template().render(
        facts.__dict__,
        columns=actions_of(memory, facts.found),
        most=_MOST,
        title=f"A memory of {facts.found['world'][:100] or 'a world'}",
        license=license,
        size_category=_SIZES[min(max(0, len(str(facts.found["transitions"])) - 3), len(_SIZES) - 1)],
        strip={"episode": memory.entries[shown].id, "steps": strip_steps(memory, shown), "path": STRIP},
        coverage_path=COVERAGE,
        source=one_line(place if isinstance(place, HubPlace) else place.resolve().name),
        on_hub=on_hub,
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        encoder=_told_of(encoder, folder, memory),
        sources=sources_of(memory.entries),
        version=version("memworld"),
    )
    write_bytes(folder / CARD, text.encode())


def _template() -> jinja2.Template:
    """The card; whatever comes out of data goes through `code` or `quoted` there."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("memworld", "sharing"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "code": code,
        "quoted": quoted,
        "number": number,
        "in_shell": shlex.quote,
        "grouped": lambda count: f"{count:,.10g}",
        "counted": lambda count, what: f"{count:,} {what}{'s' if count != 1 else ''}",
    }
    return made.get_template("card.md.jinja")


def _told_of(encoder: Encoder, folder: Path, memory: Memory) -> dict[str, Any]:
    """What is said of the encoder."""
    described, seen = read_json(folder / "encoder" / "encoder.json", "encoder"), set(encoder.episodes_seen)
    return {
        "kind": described["kind"],
        "source": described.get("source", ""),
        "latent_shape": encoder.latent_shape,
        "active_units": encoder.active_units,
        "seen": len(seen),
        "seen_here": len(seen & set(memory.ids)),
        "fingerprint": encoder.fingerprint,
    }
