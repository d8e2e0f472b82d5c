"""The folder that a game runs in: its settings, its world, and the files through which the mod is spoken to."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memworld.worlds.minetest.terrain import BOTTOM, CHUNK, HIGH, LOW, TOP, Terrain

# A frame is the game's window of this many pixels a side, averaged over areas.
WINDOW = 128

DEGREES_PER_PIXEL = 0.2
"""How far the view turns when the pointer moves by one pixel."""

KEYS = {
    "forward": "w",
    "left": "a",
    "back": "s",
    "right": "d",
    "jump": "space",
    "sneak": "Shift_L",
    "sprint": "e",
    "attack": "k",
    "place": "l",
}
"""The X11 name of the key for each part of an action but the camera."""

PLAYER = "agent"

# As in Minecraft, where a sprint is 1.3 times as fast as a walk.
_SPRINT = 1.3

# In degrees. For a square window the game widens the view by the root of 1.6, here to 70 as Minecraft's.
_FIELD_OF_VIEW = 55.3
_WIDENED = math.radians(_FIELD_OF_VIEW * math.sqrt(1.6))
# The game turns by the sensitivity, in degrees a pixel, times this, which is 1 for its usual window.
_SENSITIVITY_FACTOR = math.tan(_WIDENED / 2) * 1.3763818698

# Gentle hills with woods, meadows and ponds, all in daylight; nothing moves and nothing is heard.
_SETTINGS = {
    "bind_address": "127.0.0.1",
    "enable_ipv6": False,
    "screen_w": WINDOW,
    "screen_h": WINDOW,
    "enable_shaders": False,
    # Nothing in the picture may depend on when it was taken.
    "enable_clouds": False,
    "enable_sound": False,
    "viewing_range": 60,
    "leaves_style": "simple",
    "fov": _FIELD_OF_VIEW,
    # Woods are too dark otherwise for a frame as small as ours.
    "display_gamma": 1.6,
    "fps_max": 30,
    "fps_max_unfocused": 30,
    "pause_on_lost_focus": False,
    "view_bobbing_amount": 0,
    "fall_bobbing_amount": 0,
    "node_highlighting": "none",
    "mouse_sensitivity": DEGREES_PER_PIXEL / _SENSITIVITY_FACTOR,
    "keymap_dig": "KEY_KEY_K",
    "keymap_place": "KEY_KEY_L",
    "keymap_aux1": "KEY_KEY_E",
    "aux1_descends": False,
    "fixed_map_seed": 4,
    "mg_name": "v7",
    "mgv7_spflags": "nomountains,noridges,nofloatlands,nocaverns",
    # Offset, scale, spread, seed, octaves, persistence and lacunarity.
    "mgv7_np_terrain_base": "9, 10, (100, 100, 100), 82341, 4, 0.5, 2.0",
    "mgv7_np_terrain_alt": "8, 5, (80, 80, 80), 5934, 4, 0.5, 2.0",
    "mg_biome_np_heat": "54, 8, (150, 150, 150), 5349, 2, 0.5, 2.0",
    "mg_biome_np_humidity": "60, 20, (100, 100, 100), 842, 2, 0.5, 2.0",
    # The mod alone has the map generated, in an order of its own, and all of it before the first episode.
    "num_emerge_threads": 1,
    "max_block_generate_distance": 0,
    "static_spawnpoint": f"({BOTTOM + CHUNK // 2}, {TOP - 10}, {BOTTOM + CHUNK // 2})",
    "mg_flags": "nocaves,nodungeons,light,decorations,biomes,noores",
    "time_speed": 0,
    "world_start_time": 12000,
    "enable_damage": False,
    "creative_mode": False,
    "disable_anticheat": True,
    # So long that no water ever flows.
    "liquid_update": 1e6,
    # In seconds; also how often the player's motion and view reach the mod.
    "dedicated_server_step": 0.03,
    # What was seen once is kept, so that a new episode can begin anywhere without waiting.
    "client_unload_unused_data_timeout": 1e6,
    "client_mapblock_limit": -1,
    "server_unload_unused_data_timeout": 1e6,
    "max_simultaneous_block_sends_per_client": 200,
    "full_block_send_enable_min_time_from_building": 0,
}


@dataclass(frozen=True)
class Status:
    """The player, as the mod saw it last.

    Attributes:
        steps: how many steps the game has done; they take a few hundredths of a second.
        done: number of the last command that was carried out.
        pos: where the feet are, in nodes: x (east), y (up), z (north).
        velocity: in nodes a second.
        heading: in degrees, clockwise from north.
        pitch: in degrees, downwards.
        log: the x, y, z of the nodes of trees that were dug since the command.
    """

    steps: int
    done: int
    pos: tuple[float, float, float]
    velocity: tuple[float, float, float]
    heading: float
    pitch: float
    log: tuple[tuple[int, int, int], ...]


class Folder:
    """A game's folder."""

    def __init__(self, path: Path, item: str) -> None:
        """Fill an empty folder.

        Args:
            path: the folder.
            item: what the player holds, as the game names it.
        """
        self.path = path
        self.world = path / "world"
        self.config = path / "minetest.conf"
        self.output = path / "output.txt"
        self._number = 0
        mod = self.world / "worldmods" / "memworld"
        mod.mkdir(parents=True)
        (mod / "mod.conf").write_text("name = memworld\ndepends = default\n")
        (mod / "init.lua").write_bytes(Path(__file__).with_name("mod.lua").read_bytes())
        backends = ("backend", "player_backend", "auth_backend", "mod_storage_backend")
        stores = ("dummy", "dummy", "sqlite3", "dummy")
        lines = [f"{name} = {store}\n" for name, store in zip(backends, stores, strict=True)]
        (self.world / "world.mt").write_text("".join(["gameid = minetest\n", *lines]))
        lines = [
            f"{name} = {str(value).lower() if isinstance(value, bool) else value}\n"
            for name, value in _SETTINGS.items()
        ]
        self.config.write_text("".join(lines))
        limits = {
            "low": LOW,
            "high": HIGH,
            "bottom": BOTTOM,
            "top": TOP,
            "chunk": CHUNK,
            "sprint": _SPRINT,
            "item": item,
        }
        (self.world / "settings").write_text(json.dumps(limits))

    def command(self, pos: Sequence[float], heading: float, goal: Sequence[Sequence[int]]) -> int:
        """Have the map restored, blocks of a goal set and the player placed.

        Args:
            pos: where to put the feet: x, y, z.
            heading: where to look, in degrees clockwise from north.
            goal: x, y, z of each block.

        Returns:
            the command's number, `Status.done` once it has been carried out.
        """
        self._number += 1
        place, *blocks = (dict(zip("xyz", point, strict=True)) for point in (pos, *goal))
        command = {"number": self._number, "pos": place, "yaw": -math.radians(heading), "goal": blocks}
        unfinished = self.world / "command.new"
        unfinished.write_text(json.dumps(command))
        unfinished.replace(self.world / "command")
        return self._number

    def status(self) -> Status | None:
        """What the mod wrote last; None if it has not begun."""
        try:
            found = json.loads((self.world / "status").read_text())
        except FileNotFoundError:
            return None
        flat = found["log"] or []
        log = tuple((int(x), int(y), int(z)) for x, y, z in zip(flat[::3], flat[1::3], flat[2::3], strict=True))
        heading, pitch = -math.degrees(found["yaw"]) % 360, math.degrees(found["pitch"])
        counts, pose = (int(found["steps"]), int(found["done"])), (tuple(found["pos"]), tuple(found["velocity"]))
        return Status(*counts, *pose, heading, pitch, log)

    def terrain(self) -> Terrain:
        """The map, once there is a status."""
        return Terrain.load(self.world / "terrain")

    def last_words(self) -> str:
        """The end of what the game has printed, in one line."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-4:])[-600:] or "it printed nothing"
