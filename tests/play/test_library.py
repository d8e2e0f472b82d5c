import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from memworld.errors import MemworldError
from memworld.formats import NpzWriter, open_npz, write_npz
from memworld.memory import Memory
from memworld.play import seen
from memworld.play.dataset_source import DatasetSource
from memworld.play.library import Library
from memworld.play.memory_source import MemorySource
from memworld.play.pngs import read_png, write_png
from memworld.play.seen import PixelIndex
from memworld.store import open_memory, save_memory
from tests.helpers import make_dataset, moving_square_dataset, one_clear_error, unless_refused, untrained_vae


def test_names_that_stand_in_addresses(memory: Path, data: Path, tmp_path: Path) -> None:
    odd = tmp_path / "my data & more"
    shutil.copytree(data, odd)
    library = Library([memory, data, memory, odd, Path("/")])
    assert list(library.sources) == ["memory", "episodes", "memory-2", "my-data-more", "source"]
    assert isinstance(library.source("memory"), MemorySource)
    assert isinstance(library.source("my-data-more"), DatasetSource)
    for name in ("other", "../memory", "", None, 3):
        with one_clear_error("no source"):
            library.source(name)


def test_what_is_damaged_is_listed_with_the_reason(memory: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(memory, tmp_path / "memory")
    (tmp_path / "memory" / "memory.json").write_text("{")
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "dataset.json").write_text("[]")
    library = Library([tmp_path / "memory", memory, tmp_path / "data", data, tmp_path / "missing"])
    about = {told["name"]: told for told in library.about()}
    assert [name for name, told in about.items() if told["episodes"]] == ["memory-2", "episodes"]
    for name in ("memory", "data", "missing"):
        assert not about[name]["playable"]
        assert about[name]["why_not"]
        assert about[name]["keys"] is None
    assert about["memory-2"]["playable"]


def test_a_damaged_episode_does_not_take_the_others_along(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "episodes" / "e1.npz").write_bytes(b"nothing")
    source = Library([tmp_path / "data"]).source("data")
    assert source.frame(0, 0).shape == (16, 16, 1)
    with one_clear_error("e1"):
        source.frame(1, 0)
    assert source.told(2)["steps"] == 20


def test_an_encoder_is_called_one(memory: Path) -> None:
    [told] = Library([memory / "encoder"]).about()
    assert told["why_not"].startswith("this is an encoder, not episodes or a memory")


def test_an_empty_memory_cannot_be_played(tmp_path: Path) -> None:
    encoder = untrained_vae((16, 16, 1), (4, 4, 4))
    save_memory(Memory(moving_square_dataset(1, 5).info, encoder), tmp_path / "memory", encoder=encoder)
    library = Library([tmp_path / "memory"])
    [told] = library.about()
    assert (told["playable"], told["episodes"], told["steps"]) == (False, 0, 0)
    assert "empty" in told["why_not"]
    with one_clear_error("empty"):
        library.source("memory").stage()


def test_a_memory_without_frames_shows_decoded_ones(frameless: Path) -> None:
    source = Library([frameless]).source("memory")
    memory, stage = open_memory(frameless), source.stage()
    shown = stage.world.encoder.decode(memory.rows.latents.mu[[25]])[0]
    np.testing.assert_array_equal(source.frame(1, 4), shown)
    assert source.strip(1, 5).shape == (16, 80, 1)
    assert source.about()["settings"]["choices"]["analogues"]["decoding"] == ["decoder"]
    found = source.like_recorded(1, 4, 3).found
    assert (found[0].episode, found[0].step) == (1, 4)


def test_few_episodes_are_kept_in_memory(data: Path) -> None:
    source = DatasetSource("data", "data", data)
    for index in (0, 1, 2, 3, 4, 0, 5):
        source.frame(index, 0)
    assert list(source._loaded) == [3, 4, 0, 5]
    assert source.known(1) is not None  # its curves stay


def test_found_moments_lie_apart(memory: Path) -> None:
    source = Library([memory]).source("memory")
    found = source.like_recorded(2, 10, 12).found
    for one in found:
        for other in found:
            assert one is other or one.episode != other.episode or abs(one.step - other.step) >= 5
    distances = [near.distance for near in found]
    assert distances == sorted(distances)


@pytest.mark.parametrize("kind", ["memory", "data"])
def test_what_nothing_recorded_is_like_is_told(kind: str, request: pytest.FixtureRequest, data: Path) -> None:
    source = next(iter(Library([request.getfixturevalue(kind)]).sources.values()))
    seen = source.like_recorded(2, 10, 3)
    assert seen.usual is not None
    assert not seen.unlike
    again, shape = source.found(write_png(open_npz(data)[3].observations[5]), 3)
    assert (again.unlike, shape) == (False, (16, 16))
    noise = np.random.default_rng(0).integers(0, 256, (16, 160, 1), np.uint8)
    strange, shape = source.found(write_png(noise), 3)
    assert (strange.unlike, shape) == (True, (16, 160))
    assert strange.found[0].distance > seen.usual


def test_of_a_single_episode_nothing_says_what_is_usual(tmp_path: Path) -> None:
    write_npz(moving_square_dataset(episodes=1, steps=20), tmp_path / "data")
    seen = DatasetSource("data", "data", tmp_path / "data").like_recorded(0, 3, 2)
    assert (seen.usual, seen.unlike, len(seen.found)) == (None, False, 2)


def test_what_is_usual_is_the_distance_to_other_episodes(data: Path) -> None:
    index = PixelIndex(open_npz(data))
    frames = [(number, frame.astype(float)) for number, e in enumerate(open_npz(data)) for frame in e.observations]
    nearest = [min(np.abs(a - b).mean() for m, b in frames if m != n) for n, a in frames]
    assert index.usual == pytest.approx(np.quantile(nearest, 0.99), rel=1e-4)


def test_an_episode_is_read_for_its_row_alone(data: Path) -> None:
    source = DatasetSource("data", "data", data)
    assert source.listed(2, 5)["episodes"][0]["return"] is None
    [told] = source.listed(2, 5, read=True)["episodes"]
    assert told["return"] == open_npz(data)[2].rewards.sum()
    assert list(source._loaded) == []  # no frames are kept of it
    assert source.listed(2, 1)["episodes"] == [told]


def test_large_data_sets_are_searched_in_part(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PixelIndex(open_npz(data))
    monkeypatch.setattr(seen, "_MOST_FRAMES", 30)
    part = PixelIndex(open_npz(data))
    assert len(whole._keys) == 126
    assert len(part._keys) <= 30
    [near] = part.like(open_npz(data)[3].observations[5], 1).found
    assert near.distance == 0


def test_frames_smaller_than_what_is_compared(tmp_path: Path) -> None:
    dataset = make_dataset(np.random.default_rng(0), 2, 5, (3, 40, 3))
    with NpzWriter(tmp_path / "data", dataset.info) as writer:
        for episode in dataset:
            writer.append(episode)
    source = Library([tmp_path / "data"]).source("data")
    assert source.like_recorded(1, 2, 1).found[0].distance == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_of_every_kind(mode: str, channels: int) -> None:
    into = io.BytesIO()
    Image.new(mode, (30, 20)).save(into, "PNG")
    assert read_png(into.getvalue(), (8, 9, channels)).shape == (8, 9, channels)


def test_a_png_is_read_as_it_was_written() -> None:
    for channels in (1, 3):
        frame = np.random.default_rng(0).integers(0, 256, (7, 5, channels), np.uint8)
        np.testing.assert_array_equal(read_png(write_png(frame), frame.shape), frame)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_pictures_that_would_fill_memory_are_not_decoded() -> None:
    for width, height in ((100_000, 100_000), (4097, 1), (1, 4097), (2**31 - 1, 2**31 - 1)):
        with one_clear_error("pixels: 4096 is the most|no PNG"):
            read_png(png(width, height), (8, 8, 1))
    assert read_png(png(4096, 2, bytes(2 * 4097)), (8, 8, 1)).shape == (8, 8, 1)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF"])
def test_other_pictures_are_no_pngs(kind: str) -> None:
    into = io.BytesIO()
    Image.new("RGB", (8, 8)).save(into, kind)
    with one_clear_error("no PNG"):
        read_png(into.getvalue(), (8, 8, 3))


def test_what_is_damaged_is_told_without_objects() -> None:
    for content in (b"nothing", SOUND[:20], SOUND[:40]):
        with pytest.raises(MemworldError) as refused:
            read_png(content, (8, 8, 3))
        assert "<" not in str(refused.value)
        assert "0x" not in str(refused.value)


def test_a_palette_that_is_missing() -> None:
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).quantize(4)
    picture.save(into := io.BytesIO(), "PNG", transparency=3)
    whole = into.getvalue()
    at = whole.index(b"PLTE")
    assert read_png(whole, (4, 4, 3)).shape == (4, 4, 3)
    size = int.from_bytes(whole[at - 4 : at], "big")
    with one_clear_error("no PNG"):
        read_png(whole[: at - 4] + whole[at + 4 + size + 4 :], (4, 4, 3))


SOUND = png(6, 4, bytes(4 * 7))


@settings(max_examples=400)
@given(
    st.binary(max_size=60)
    | st.tuples(st.integers(0, len(SOUND)), st.binary(max_size=9)).map(lambda cut: SOUND[: cut[0]] + cut[1])
    | st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)).map(
        lambda edit: SOUND[: edit[0]] + bytes([edit[1]]) + SOUND[edit[0] + 1 :]
    )
    | st.tuples(
        st.sampled_from([b"tRNS", b"PLTE", b"iCCP", b"tEXt", b"zTXt", b"acTL", b"fdAT", b"eXIf"]),
        st.binary(max_size=30),
    ).map(lambda inner: SOUND[:33] + chunk(*inner) + SOUND[33:])
)
def test_damaged_pngs_are_refused_or_read(content: bytes) -> None:
    frame = unless_refused(lambda: read_png(content, (4, 4, 1)))
    assert frame is None or frame.shape == (4, 4, 1)
