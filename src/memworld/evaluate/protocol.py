"""The protocol: every method on the same windows of held-out episodes, measured at every step."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from memworld.encoders import Encoder
from memworld.episodes import EpisodeDataset
from memworld.errors import MemworldError
from memworld.evaluate import methods as known
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.metrics import StateProbe, l1, latent_kl, median_picture, moving_pixel_l1, ssim
from memworld.evaluate.results import Evaluation, MethodTiming, MetricRow, Neighbour, Retrieval, Strip, Table, interval
from memworld.evaluate.verdicts import warnings_about
from memworld.evaluate.windows import Windows, episodes_of, held_out_windows
from memworld.imagine import MODES, Mode
from memworld.memory import Memory
from memworld.search import Conditioning
from memworld.world_model import DynamicsConfig, WorldModel


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate.

    Attributes:
        horizon: steps to predict.
        starts: random starts per held-out episode.
        shown: steps ahead that tables and film strips show.
        strategies: of `retrieve.STRATEGIES`.
        modes: of `imagine.MODES`.
        conditioning: on actions: `none`, `hard` or `soft`.
        seed: of starts, sampling and bootstrap.
        strips: film strips to keep.
        retrievals: predictions per strategy whose neighbours to keep.
        timing_batch: imagined worlds in the batch that is timed.
    """

    horizon: int = 20
    starts: int = 20
    shown: tuple[int, ...] = (1, 5, 10, 20)
    strategies: tuple[str, ...] = ("rollout", "replay_l2", "replay_kl")
    modes: tuple[Mode, ...] = MODES
    conditioning: Conditioning = "none"
    seed: int = 0
    strips: int = 3
    retrievals: int = 2
    timing_batch: int = 64

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise MemworldError(f"horizon must be at least 1, got {self.horizon}")
        if self.starts < 1 or self.timing_batch < 1:
            raise MemworldError("starts and timing_batch must be at least 1")
        for strategy in self.strategies:
            DynamicsConfig(strategy, conditioning=self.conditioning)

    @property
    def shown_horizons(self) -> tuple[int, ...]:
        """The shown steps that lie within the horizon."""
        return tuple(h for h in self.shown if h <= self.horizon) or (self.horizon,)


def evaluate(
    encoder: Encoder,
    memory: Memory,
    training: EpisodeDataset,
    held_out: EpisodeDataset,
    config: EvaluationConfig | None = None,
    *,
    progress: bool = False,
) -> Evaluation:
    """Measure the strategies, the baselines and the oracle on held-out episodes.

    Args:
        encoder: the memory's encoder.
        memory: what is searched; it must hold no held-out episode.
        training: its episodes; they give the median picture and the state probe.
        held_out: episodes that nothing has seen.
        config: what to evaluate.
        progress: whether to show a progress bar.

    Raises:
        MemworldError: memory of another encoder, held-out episodes in memory, or episodes shorter
            than the horizon.
    """
    config = config or EvaluationConfig()
    memory.check_encoder(encoder)
    seen = set(memory.ids) & set(held_out.ids)
    if seen:
        raise MemworldError(f"held-out episode {min(seen)} is in the memory: remember the training episodes only")
    probe = StateProbe.fit(training, memory) if training.info.state_names else None
    judge = _Judge(median_picture(training), probe)
    methods = _methods(encoder, memory, training, config)
    collected = _Collected(config)
    total = len(methods) * len(episodes_of(held_out, config.horizon))
    episodes = held_out_windows(held_out, encoder, config.horizon, config.starts, config.seed)
    with tqdm(total=total, desc="evaluate", unit="method", disable=not progress) as bar:
        for windows in episodes:
            for method in methods:
                predicted = method.predict(windows)
                collected.add(method, windows, predicted, judge.measure(windows, predicted), memory)
                bar.update()
    world = training.info.world or "unknown"
    table = Table(collected.table(world, methods))
    return Evaluation(
        table=table,
        timings=tuple(_timings(encoder, memory, held_out, config)),
        strips=tuple(collected.strips),
        retrievals=tuple(collected.retrievals),
        warnings=tuple(warnings_about(table, encoder, collected.support, config.shown_horizons, probe)),
        facts=_facts(encoder, memory, held_out, config, collected),
    )


def _methods(encoder: Encoder, memory: Memory, training: EpisodeDataset, config: EvaluationConfig) -> list[Method]:
    """Bounds and baselines first, then the strategies, the oracle last."""
    mean_frame, mean_state = _means(training)
    methods = [known.encoder_bound(encoder), known.persistence(), known.data_mean(memory, mean_frame, mean_state)]
    for strategy in config.strategies:
        dynamics = DynamicsConfig(strategy, conditioning=config.conditioning)
        methods += [known.search_method(encoder, memory, dynamics, mode, config.seed) for mode in config.modes]
    return [*methods, known.oracle(encoder, memory, config.seed)]


def _means(training: EpisodeDataset) -> tuple[np.ndarray, np.ndarray | None]:
    """The mean frame, uint8, and the mean state of a data set."""
    total = np.zeros(training.info.observation_shape)
    states, count = np.zeros(len(training.info.state_names)), 0
    for episode in training:
        total += episode.observations.sum(0, dtype=np.float64)
        count += len(episode.observations)
        states += 0 if episode.states is None else episode.states.sum(0, dtype=np.float64)
    return (total / count).round().astype(np.uint8), (states / count).astype(np.float32) if len(states) else None


@dataclass(frozen=True)
class _Judge:
    """Measures predictions against the truth."""

    median: np.ndarray
    probe: StateProbe | None

    def measure(self, windows: Windows, predicted: Predicted) -> dict[str, np.ndarray]:
        """Every metric by name, (S, T) each."""
        shape = windows.true_frames.shape[:2]
        true, frames = (f.reshape(-1, *f.shape[2:]) for f in (windows.true_frames, predicted.frames))
        flat = [
            type(latents)(*(x.flatten(0, 1) for x in (latents.mu, latents.sigma, latents.z)))
            for latents in (windows.true_latents, predicted.latents)
        ]
        values = {
            "kl": latent_kl(*flat),
            "l1": l1(true, frames),
            "ssim": ssim(true, frames),
            "moving_pixel_l1": moving_pixel_l1(true, frames, self.median),
        }
        if self.probe is not None and windows.true_states is not None:
            states = predicted.states
            states = self.probe.read(flat[1].z).reshape(*shape, -1) if states is None else states
            errors = np.abs(states - windows.true_states).astype(np.float64)
            values["state_error"] = errors.mean(2)
            values |= {f"state_error:{name}": errors[..., i] for i, name in enumerate(self.probe.names)}
        if predicted.rollout is not None:
            values["support"] = predicted.rollout.support.numpy()
        return {name: value.reshape(shape) for name, value in values.items()}


class _Collected:
    """Gathers numbers and pictures over the held-out episodes."""

    def __init__(self, config: EvaluationConfig) -> None:
        self.config = config
        self.values: dict[tuple[str, str], dict[str, list[np.ndarray]]] = {}
        self.strips: list[Strip] = []
        self.retrievals: list[Retrieval] = []
        self.support: dict[str, list[np.ndarray]] = {}
        self.shortfall: dict[str, int] = {}
        self.windows = 0

    def add(
        self, method: Method, windows: Windows, predicted: Predicted, measured: dict[str, np.ndarray], memory: Memory
    ) -> None:
        """Take one method's numbers and pictures on one episode."""
        per_metric = self.values.setdefault((method.name, method.mode), {})
        for name, value in measured.items():
            # A frame in which nothing moves has no moving-pixel error; the others speak for the window.
            per_metric.setdefault(name, []).append(np.nanmean(value, axis=0))
        self._add_to_strip(method, windows, predicted)
        if predicted.rollout is not None:
            self.support.setdefault(method.label, []).append(measured["support"])
            missing = int(predicted.rollout.shortfall.sum()) if self.config.conditioning == "hard" else 0
            self.shortfall[method.label] = self.shortfall.get(method.label, 0) + missing
            self._add_retrieval(method, windows, predicted, memory)
        self.windows += len(windows.starts) if method.name == "persistence" else 0

    def _add_to_strip(self, method: Method, windows: Windows, predicted: Predicted) -> None:
        """One strip per episode, of its middle window, for the first few episodes."""
        horizons = self.config.shown_horizons
        at = [h - 1 for h in horizons]
        window = len(windows.starts) // 2
        if not any(s.episode == windows.episode for s in self.strips):
            if len(self.strips) == self.config.strips:
                return
            start = int(windows.starts[window])
            truth = windows.true_frames[window, at]
            self.strips.append(Strip(windows.episode, start, horizons, windows.start_frames[window], truth, ()))
        if self.strips[-1].episode == windows.episode:
            strip = self.strips[-1]
            rows = (*strip.rows, (method.label, predicted.frames[window, at].copy()))
            self.strips[-1] = Strip(strip.episode, strip.start, strip.horizons, strip.start_frame, strip.truth, rows)

    def _add_retrieval(self, method: Method, windows: Windows, predicted: Predicted, memory: Memory) -> None:
        """The first steps of a few windows, once per strategy, if memory keeps its frames."""
        kept = sum(r.method == method.name for r in self.retrievals)
        rollout = predicted.rollout
        if (
            rollout is None
            or kept >= self.config.retrievals
            or method.mode != self.config.modes[0]
            or not memory.keep_frames
        ):
            return
        window = len(windows.starts) // 2
        rows = {
            (int(rollout.episodes[window, 0, k]), int(rollout.steps[window, 0, k])): int(rollout.rows[window, 0, k])
            for k in range(rollout.rows.shape[2])
            if int(rollout.rows[window, 0, k]) >= 0
        }
        number = {name: i for i, name in enumerate(rollout.episode_ids)}
        neighbours = []
        for cited in sorted(rollout.citations(window, 0), key=lambda c: c.distance)[:8]:
            row = rows[number[cited.episode], cited.step]
            frame, successor = memory.frames([row, row + 1])
            neighbours.append(Neighbour(cited.episode, cited.step, cited.distance, cited.weight, frame, successor))
        self.retrievals.append(
            Retrieval(
                method.name,
                windows.episode,
                int(windows.starts[window]),
                windows.start_frames[window],
                windows.true_frames[window, 0],
                predicted.frames[window, 0].copy(),
                float(rollout.support[window, 0]),
                tuple(neighbours),
            )
        )

    def table(self, world: str, methods: Sequence[Method]) -> list[MetricRow]:
        """Means and intervals of everything, and the paired differences from persistence."""
        rows: list[MetricRow] = []
        baseline = self.values["persistence", ""]
        for method in methods:
            measured = {name: np.stack(v) for name, v in self.values[method.name, method.mode].items()}
            if method.name != "persistence":
                measured |= {
                    f"{name}_minus_persistence": measured[name] - np.stack(baseline[name])
                    for name in ("moving_pixel_l1", "l1", "ssim", "state_error")
                    if name in measured and name in baseline
                }
            for metric, per_episode in measured.items():
                mean, low, high = interval(per_episode, self.config.seed)
                rows += [
                    MetricRow(
                        world, method.name, method.mode, t + 1, metric,
                        float(mean[t]), float(low[t]), float(high[t]), len(per_episode),
                    )
                    for t in range(self.config.horizon)
                ]  # fmt: skip
        return rows


def _timings(
    encoder: Encoder, memory: Memory, held_out: EpisodeDataset, config: EvaluationConfig
) -> list[MethodTiming]:
    """Time one imagined world, and a batch of them, over five steps; the median of three runs."""
    steps = min(5, config.horizon)
    windows = next(iter(held_out_windows(held_out, encoder, steps, config.timing_batch, config.seed)))
    timings = []
    for strategy in config.strategies:
        for mode in config.modes:
            world = WorldModel(encoder, memory, DynamicsConfig(strategy, conditioning=config.conditioning))
            cost = []
            for batch in (1, len(windows.starts)):
                frames, actions = windows.start_frames[:batch], windows.actions[:batch]
                world.imagine(frames, actions, mode=mode)
                runs = []
                for _ in range(3):
                    began = time.perf_counter()
                    world.imagine(frames, actions, mode=mode)
                    runs.append((time.perf_counter() - began) * 1000 / (steps * batch))
                cost.append(float(np.median(runs)))
            timings.append(MethodTiming(strategy, mode, memory.steps, cost[0], len(windows.starts), cost[1]))
    return timings


def _facts(
    encoder: Encoder, memory: Memory, held_out: EpisodeDataset, config: EvaluationConfig, collected: _Collected
) -> dict[str, str]:
    """What was measured on what, in words."""
    facts = {
        "world": memory.info.world or "unknown",
        "memory": f"{len(memory.episodes)} episodes, {memory.steps} transitions",
        "held out": f"{len(held_out)} episodes, {collected.windows} windows of {config.horizon} steps",
        "encoder": f"latents {list(encoder.latent_shape)}, {encoder.active_units} active units, "
        f"fingerprint {encoder.fingerprint[:12]}",
        "conditioning on actions": config.conditioning,
        "direction of KL in Replay-KL": "KL(stored || query)",
        "intervals": "95%, bootstrap over held-out episodes",
        "seed": str(config.seed),
        "arithmetic": f"{torch.get_num_threads()} threads",
    }
    if config.conditioning == "hard":
        facts["rows missing under hard conditioning"] = ", ".join(f"{k}: {v}" for k, v in collected.shortfall.items())
    return facts
