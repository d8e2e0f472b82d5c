"""The protocol: every method on the same windows of held-out episodes, measured at every step."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from memworld.baselines import Baseline
from memworld.datasets import EpisodeDataset
from memworld.encoders import Encoder
from memworld.errors import MemworldError
from memworld.evaluate import methods as known
from memworld.evaluate.collect import Gallery, Numbers
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.methods import Method, Predicted
from memworld.evaluate.metrics import StateProbe, latent_kl, median_picture, ssim
from memworld.evaluate.results import Evaluation, Table
from memworld.evaluate.timing import measure_timings
from memworld.evaluate.verdicts import misses, warnings_about
from memworld.evaluate.windows import Windows, episodes_of, held_out_windows
from memworld.memory import Memory
from memworld.pixels import l1, moving_pixel_l1
from memworld.world_model import WorldModel


def evaluate(
    encoder: Encoder,
    memory: Memory,
    training: EpisodeDataset,
    held_out: EpisodeDataset,
    config: EvaluationConfig | None = None,
    models: Mapping[str, Baseline] | None = None,
    *,
    progress: bool = False,
) -> Evaluation:
    """Measure the strategies, the baselines, trained models and the oracle on held-out episodes.

    Args:
        encoder: the memory's encoder.
        memory: what is searched; it must hold no held-out episode.
        training: its episodes; they give the median picture and the state probe.
        held_out: episodes that nothing has seen.
        config: what to evaluate.
        models: baselines that were trained on the memory's episodes, by the names that tables give them.
        progress: whether to show a progress bar.

    Raises:
        MemworldError: memory of another encoder, held-out episodes that memory holds or the encoder
            was trained on, or none that is as long as the horizon.
    """
    config = config or EvaluationConfig()
    memory.check_encoder(encoder)
    check_unseen(encoder, memory, held_out)
    models = models or {}
    for model in models.values():
        check_baseline(model, encoder, held_out)
    probe = StateProbe.fit(training, memory) if training.info.state_names else None
    judge = Judge(median_picture(training), probe)
    worlds = {name: WorldModel(encoder, memory, dynamics) for name, dynamics in config.dynamics.items()}
    for world in worlds.values():
        world.prepare(progress)
    methods = all_methods(encoder, memory, training, worlds, models, config)
    numbers, gallery = Numbers(), Gallery(config, memory)
    count = len(episodes_of(held_out, config.horizon))
    episodes = held_out_windows(held_out, encoder, config.horizon, config.starts, config.seed, past=config.context - 1)
    what = f"evaluate {len(methods)} methods on {count} episode{'s' if count != 1 else ''}"
    with tqdm(total=len(methods) * count, desc=what, unit="measurement", disable=not progress) as bar:
        for windows in episodes:
            measured = {}
            for method in methods:
                predicted = method.predict(windows)
                measured[method.name, method.mode] = judge.measure(windows, predicted)
                numbers.note(method, predicted)
                gallery.add(method, windows, predicted)
                bar.update()
            numbers.add(measured)
    table = Table(numbers.table(training.info.world or "unknown", config.seed))
    return Evaluation(
        table=table,
        timings=tuple(measure_timings(methods, held_out, encoder, memory.steps, config, progress)),
        strips=tuple(gallery.strips),
        retrievals=tuple(gallery.retrievals),
        warnings=tuple(warnings_about(table, encoder, numbers.support, config.shown_horizons, probe)),
        facts=_facts(encoder, memory, worlds, models, held_out, config, numbers),
        per_episode=numbers.per_episode(),
        misses=tuple(misses(table, config.shown_horizons)),
    )


def split_by_memory(dataset: EpisodeDataset, memory: Memory) -> tuple[EpisodeDataset, EpisodeDataset]:
    """The episodes that a memory holds, whole or in pieces, and those that it does not.

    Raises:
        MemworldError: there are none of one kind.
    """
    held, new = ([i for i in dataset.ids if (i in memory.origins) == inside] for inside in (True, False))
    if not held or not new:
        raise MemworldError(
            f"the data have {len(held)} episodes that are in the memory and {len(new)} that are not: "
            "an evaluation needs both"
        )
    return dataset.subset(held), dataset.subset(new)


def check_baseline(model: Baseline, encoder: Encoder, held_out: EpisodeDataset) -> None:
    """Do nothing if a trained baseline speaks in this encoder's latents and has not seen the episodes.

    Raises:
        MemworldError: it was trained with another encoder, or on one of them.
    """
    if model.encoder_fingerprint != encoder.fingerprint:
        raise MemworldError(
            f"the baseline was trained with encoder {model.encoder_fingerprint[:12]}, the memory was made by encoder "
            f"{encoder.fingerprint[:12]}: train it again with the memory's own"
        )
    both = set(model.episodes_seen) & set(held_out.ids)
    if both:
        raise MemworldError(
            f"held-out episode {min(both)} trained the baseline, so it cannot measure: train it on those in memory"
        )


def check_unseen(encoder: Encoder, memory: Memory, held_out: EpisodeDataset) -> None:
    """Do nothing if the episodes are new to memory and encoder.

    Raises:
        MemworldError: one of them is not.
    """
    for who, seen in (("is in the memory", memory.origins), ("trained the encoder", encoder.episodes_seen)):
        both = set(seen) & set(held_out.ids)
        if both:
            raise MemworldError(
                f"held-out episode {min(both)} {who}, so it cannot measure: hold out others, or train and remember "
                "without it"
            )


def all_methods(
    encoder: Encoder,
    memory: Memory,
    training: EpisodeDataset,
    worlds: Mapping[str, WorldModel],
    models: Mapping[str, Baseline],
    config: EvaluationConfig,
) -> list[Method]:
    """Bounds and baselines first, then the trained models and the searches, the oracle last."""
    mean_frame, mean_state = _means(training)
    methods = [known.encoder_bound(encoder), known.persistence(), known.data_mean(memory, mean_frame, mean_state)]
    methods += [known.trained(name, model, config.seed) for name, model in models.items()]
    for name, world in worlds.items():
        methods += known.search_methods(world, name, config.modes, config.seed)
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
class Judge:
    """Measures predictions against the truth."""

    median: np.ndarray
    probe: StateProbe | None

    def measure(self, windows: Windows, predicted: Predicted) -> dict[str, np.ndarray]:
        """Every metric by name, (S, T) each."""
        shape = windows.true_frames.shape[:2]
        true, frames = (f.reshape(-1, *f.shape[2:]) for f in (windows.true_frames, predicted.frames))
        flat = [windows.true_latents.flatten(), predicted.latents.flatten()]
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


def _facts(
    encoder: Encoder,
    memory: Memory,
    worlds: Mapping[str, WorldModel],
    models: Mapping[str, Baseline],
    held_out: EpisodeDataset,
    config: EvaluationConfig,
    numbers: Numbers,
) -> dict[str, str]:
    """What was measured on what, in words."""
    measured = len(episodes_of(held_out, config.horizon))
    short = len(held_out) - measured
    facts = {
        "world": memory.info.world or "unknown",
        "memory": f"{len(memory.episodes):,} episodes, {memory.steps:,} transitions",
        "held out": f"{measured} episodes, up to {config.starts} windows of {config.horizon} steps in each"
        + (f"; {short} too short" if short else ""),
        "encoder": f"latents {list(encoder.latent_shape)}, {encoder.active_units} active units, "
        f"fingerprint {encoder.fingerprint[:12]}",
    }
    for name, model in worlds.items():
        facts[name] = model.dynamics.about
    facts |= {name: model.about for name, model in models.items()}
    missing = {label: count for label, count in numbers.missing_rows.items() if count}
    if missing:
        facts["rows that conditioning left missing"] = ", ".join(f"{label}: {n}" for label, n in missing.items())
    return {
        **facts,
        "intervals": "95%, expanded percentile bootstrap over held-out episodes",
        "seed": str(config.seed),
        "arithmetic": "1 thread" if (threads := torch.get_num_threads()) == 1 else f"{threads} threads",
    }
