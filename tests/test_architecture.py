"""The way that data travels is the way that modules import: only from those above them in this list."""

import ast
from pathlib import Path

import memworld

PIPELINE = [
    "errors",
    "storage",
    "extras",
    "stored_frames",
    "strips",
    "stretches",
    "actions",
    "episodes",
    "datasets",
    "formats",
    "worlds",
    "record",
    "gaussian",
    "training",
    "encoders",
    "memory",
    "store",
    "remember",
    "search",
    "retrieve",
    "aggregate",
    "dynamics",
    "support",
    "rollout",
    "imagine",
    "contexts",
    "lookup",
    "cluster",
    "analogues",
    "hybrid",
    "learned",
    "engine",
    "pixels",
    "pictures",
    "inputs",
    "upkeep",
    "world_model",
    "plan",
    "envs",
    "recorded",
    "inspection",
    "baselines",
    "evaluate",
    "report",
    "distill",
    "sharing",
    "config",
    "demo",
    "pipeline",
    "control",
    "play",
    "studies",
    "bench",
    "cli",
]

ROOT = Path(memworld.__file__).parent


def room(path: Path) -> str:
    """The entry of `PIPELINE` that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports, at its top or in its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("memworld"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("memworld.")}
    return names - {"__version__"}


def files() -> list[Path]:
    return [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


def test_every_module_has_its_place() -> None:
    assert {room(p) for p in files()} == set(PIPELINE)


def test_modules_import_only_from_those_above_them() -> None:
    for path in files():
        here = PIPELINE.index(room(path))
        below = {name for name in imported_rooms(path) if PIPELINE.index(name) > here}
        assert not below, f"{path.relative_to(ROOT)} imports from below: {sorted(below)}"


def test_the_package_s_front_only_re_exports() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}
    assert sorted(memworld.__all__) == memworld.__all__
    assert all(hasattr(memworld, name) for name in memworld.__all__)
