"""Videos with tables, as a data set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from gymnasium.spaces import Box, Discrete

from memworld.actions import MAX_ACTIONS, ActionSpace, supported_space
from memworld.datasets import DatasetInfo, EpisodeDataset, EpisodeEntry
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.formats.format import ReadOptions
from memworld.formats.pieces import pieces_of
from memworld.formats.tables import shorten
from memworld.formats.video.pairs import VIDEOS, Pair, find_pairs, has_pair
from memworld.formats.video.reel import Reel
from memworld.formats.video.table import ActionTable, read_table
from memworld.formats.video.written import (
    MARKER,
    Written,
    is_overwriting,
    load_written,
    read_marker,
    read_written,
)
from memworld.formats.video_frames import count_frames, gather_frames, read_frames


def find_video(path: Path) -> bool:
    """Whether `path` is a video, or a folder that `VideoWriter` made or that holds a video with a table."""
    if path.is_file():
        return path.suffix.lower() in VIDEOS
    return path.is_dir() and ((path / MARKER).is_file() or has_pair(path))


def open_video(path: str | Path, options: ReadOptions | None = None) -> EpisodeDataset:
    """Open videos with a table of actions each; a video is decoded when its episode is asked for.

    All tables are read at once, and of the first video one frame. An episode whose files are damaged
    or do not belong together is listed, of 0 steps if they are not known, and cannot be loaded.

    Args:
        path: a folder of videos and tables, or one video with its table beside it.
        options: `size`; `frame_after_action` and `most_steps` apply to tables made by hand.

    Raises:
        MemworldError: there is nothing of the kind, no table can be read, the tables disagree about
            what an action or a state is, or PyAV is not installed; loading an episode raises it if its
            files are damaged.
    """
    path, options = Path(path), options or ReadOptions()
    if not path.exists():
        raise MemworldError(f"{path} does not exist: check the path")
    marked = read_marker(path) if path.is_dir() and (path / MARKER).is_file() else None
    # What is about to be overwritten is gone already.
    pairs = [] if marked and is_overwriting(path) else find_pairs(path)
    written: dict[str, Written] = {}
    problems: dict[str, MemworldError] = {}
    for pair in pairs:
        try:
            if found := read_written(pair):
                written[pair.id] = found
        except MemworldError as error:
            problems[pair.id] = error
    if marked or written:
        # A video without a table is what a killed write leaves.
        complete = [pair for pair in pairs if pair.tables]
        return _open_written(path, complete, marked, written, problems, options)
    return _open_by_hand(path, pairs, options)


def _open_written(
    path: Path,
    pairs: list[Pair],
    marked: DatasetInfo | None,
    written: Mapping[str, Written],
    problems: Mapping[str, MemworldError],
    options: ReadOptions,
) -> EpisodeDataset:
    first = next(iter(written.values()), None)
    info = marked or (first.info if first else None)
    assert info is not None
    reference = path / MARKER if marked or first is None else first.table
    for one in written.values():
        if one.info != info:
            raise MemworldError(f"{one.table} is of another data set than {reference}: keep them in different folders")
    by_id = {pair.id: pair for pair in pairs}
    # What is broken comes last, as its place is not known.
    ordered = sorted(by_id, key=lambda name: (name not in written, written[name].number if name in written else 0))
    entries = [
        EpisodeEntry(name, written[name].steps, written[name].source) if name in written else EpisodeEntry(name, 0)
        for name in ordered
    ]

    def load(episode_id: str) -> Episode:
        with _one_error(by_id[episode_id]):
            if episode_id in problems:
                raise problems[episode_id]
            if episode_id not in written:
                raise MemworldError(f"table {by_id[episode_id].table} was not written by memworld: keep it elsewhere")
            return load_written(by_id[episode_id], written[episode_id], options.size)

    return EpisodeDataset(_sized(info, options), entries, load, path)


def _open_by_hand(path: Path, pairs: list[Pair], options: ReadOptions) -> EpisodeDataset:
    """Open files made by hand."""
    tables: dict[str, ActionTable] = {}
    entries, problems = [], []
    for pair in pairs:
        try:
            table = read_table(pair.table)
            _check_choices(table)
            tables[pair.id] = table
            entries.append(EpisodeEntry(pair.id, table.steps(count_frames(pair.video)), _source(pair, table)))
        except MemworldError as error:
            problems.append(error)
            entries.append(EpisodeEntry(pair.id, 0))
    if not tables:
        raise problems[0] if problems else MemworldError(f"{path} holds no video with a table: it is no such data set")
    by_id = {pair.id: pair for pair in pairs}
    layout = next(iter(tables.values())).layout
    space, shape = _infer_space(list(tables.values())), _frame_shape([by_id[name] for name in tables], options)
    info = DatasetInfo(shape, space, "", layout.state_names, layout.action_names)
    pieces = {piece.entry.id: piece for piece in pieces_of(entries, options.most_steps)}
    reel = Reel()

    def load(episode_id: str) -> Episode:
        piece = pieces[episode_id]
        pair = by_id[piece.whole.id]
        with _one_error(pair):
            table = read_table(pair.table)
            _check_choices(table)
            if piece.is_whole:
                # One more than the most that fit is enough to see that there are too many.
                frames = gather_frames(islice(read_frames(pair.video), len(table) + 2), options.size)
                held = len(frames)
                if held != piece.whole.steps + 1:
                    held = _check_decoded(pair, len(table), held)
            else:
                held = count_frames(pair.video)
                try:
                    frames = reel.read(pair.video, piece.start, piece.entry.steps + 1, options.size)
                except MemworldError as error:
                    raise MemworldError(f"{_listed(pair, len(table), held)}, but {error}") from error
            arrays = table.arrays(held, options.frame_after_action)
            return piece.cut(frames, arrays)

    ignored = sorted({column for table in tables.values() for column in table.layout.ignored})
    left_out = [f"column {column}" for column in ignored]
    if any(entry.id in tables and entry.steps < tables[entry.id].actions_given for entry in entries):
        left_out.append(options.action_left_out)
    return EpisodeDataset(info, [piece.entry for piece in pieces.values()], load, path, left_out)


def _check_decoded(pair: Pair, rows: int, decoded: int) -> int:
    """The frames that a video lists, of which `decoded` were read: all, or as many as say that they are too many.

    Raises:
        MemworldError: more or fewer were read.
    """
    listed = count_frames(pair.video)
    if decoded > listed or decoded < min(listed, rows + 2):
        raise MemworldError(
            f"{_listed(pair, rows, listed)}, but {decoded} can be decoded: encode the video again, so that they agree"
        )
    return listed


def _listed(pair: Pair, rows: int, listed: int) -> str:
    return f"table {pair.table} has {rows} rows and video {pair.video} lists {listed} frames"


@contextmanager
def _one_error(pair: Pair) -> Iterator[None]:
    """Name the episode and its folder in whatever is wrong with it."""
    try:
        yield
    except MemworldError as error:
        raise MemworldError(f"episode {pair.id} in {pair.folder}: {error}") from error


def _sized(info: DatasetInfo, options: ReadOptions) -> DatasetInfo:
    if options.size is None:
        return info
    return replace(info, observation_shape=(*options.size, info.observation_shape[2]))


def _frame_shape(pairs: list[Pair], options: ReadOptions) -> tuple[int, int, int]:
    """The shape of the frames of the first video that can be read."""
    problem: MemworldError | None = None
    for pair in pairs:
        try:
            height, width, _ = next(read_frames(pair.video, count=1)).shape
        except MemworldError as error:
            problem = problem or error
        else:
            return (*(options.size or (height, width)), 3)
    assert problem is not None
    raise problem


def _source(pair: Pair, table: ActionTable) -> dict[str, object]:
    source: dict[str, object] = {"video": pair.video.name, "table": pair.table.name}
    if table.rewards is None:
        source["rewards"] = "none recorded"
    if table.layout.ignored:
        source["ignored_columns"] = shorten(table.layout.ignored)
    return source


def _check_choices(table: ActionTable) -> None:
    """Raise if numbered choices are outside what a `Discrete` may offer."""
    given = table.actions[: len(table) - table.ends_bare]
    if table.actions.ndim == 1 and len(given) and not 0 <= given.min() <= given.max() < MAX_ACTIONS:
        raise MemworldError(
            f"table {table.path} has actions of {given.min()} to {given.max()}: number them from 0 without gaps, to at "
            f"most {MAX_ACTIONS - 1}, or write them with a decimal point if they are measured"
        )


def _infer_space(tables: list[ActionTable]) -> ActionSpace:
    """The space that holds the actions of all tables.

    Raises:
        MemworldError: two of them disagree about what an action or a state is.
    """

    def kind(table: ActionTable) -> str:
        if table.actions.ndim == 1:
            return "numbered choices"
        names = shorten(table.layout.action_names)
        return f"{table.actions.shape[1]} measured numbers" + f" ({names})" * bool(names)

    first = tables[0]
    for table in tables:
        if kind(table) != kind(first):
            raise MemworldError(
                f"table {first.path} has actions of {kind(first)}, {table.path} of {kind(table)}: keep them apart, or "
                "write all of them in one way (measured numbers with a decimal point)"
            )
        if table.layout.state_names != first.layout.state_names:
            raise MemworldError(
                f"table {first.path} has the states {shorten(first.layout.state_names) or 'none'}, {table.path} "
                f"{shorten(table.layout.state_names) or 'none'}: give all the same"
            )
    if first.actions.ndim == 1:
        return Discrete(1 + max(int(table.actions[: len(table) - table.ends_bare].max(initial=0)) for table in tables))
    return supported_space(Box(-np.inf, np.inf, first.actions.shape[1:], np.float32))
