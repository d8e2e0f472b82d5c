"""The state of a training run on disk, from which an interrupted one goes on to the same result."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memworld.errors import MemworldError
from memworld.storage import KIND_KEY, one_line, read_arrays, read_json, write_arrays, write_json

_log = logging.getLogger(__name__)


@dataclass
class Run:
    """A training run: how far it is, what was best so far, and both on disk.

    Attributes:
        output: the folder of `training.json` and, while training runs, `checkpoint.safetensors`.
        kind: what is trained; how `training.json` names its folder.
        settings: all that the result depends on, as plain JSON values in named groups.
        steps: most gradient steps.
        patience: looks without improvement after which training stops.
        measures: what is noted at a look besides the step: `loss`, on the validation episodes, and others.
        step: gradient steps taken.
        history: one entry per look: step and measures.
        best: the weights of the best look.
        best_loss: its validation loss.
        looks_since_best: looks without improvement.
        stopped_early: whether patience ended before the steps did.
        finished: whether the result is written.
    """

    output: Path
    kind: str
    settings: dict[str, dict[str, Any]]
    steps: int
    patience: int
    measures: tuple[str, ...]
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_loss: float = math.inf
    looks_since_best: int = 0
    stopped_early: bool = False
    finished: bool = False

    def __post_init__(self) -> None:
        log = self.output / "training.json"
        if not log.exists():
            self._write_log()
            return
        stored = read_json(log, "training run")
        try:
            if stored["settings"] and not set(self.settings) & set(stored["settings"]):
                raise MemworldError(
                    f"{self.output} holds what was not trained, so that there is nothing to resume: name another "
                    "folder, or use --overwrite"
                )
            self.finished, self.stopped_early = bool(stored["finished"]), bool(stored["stopped_early"])
            for group, settings in self.settings.items():
                for name, value in settings.items():
                    # What is finished is what it is, on a machine that computes in another precision too.
                    if stored["settings"][group][name] != value and not (self.finished and name == "precision"):
                        raise MemworldError(
                            f"{self.output} was trained with {group} {name} {stored['settings'][group][name]}, asked "
                            f"now for {value}: use the same settings and episodes to resume, or --overwrite"
                        )
            if self.finished:
                self.history = [{name: float(look[name]) for name in self._noted} for look in stored["history"]]
                if not self.history:
                    raise ValueError("no history")
        except MemworldError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise MemworldError(
                f"{log} is damaged ({type(error).__name__}: {one_line(error)}): use --overwrite"
            ) from error

    @property
    def _noted(self) -> tuple[str, ...]:
        """What is noted at a look."""
        return ("step", *self.measures)

    def _write_log(self) -> None:
        write_json(
            self.output / "training.json",
            {
                KIND_KEY: self.kind,
                "settings": self.settings,
                "finished": self.finished,
                "stopped_early": self.stopped_early,
                "history": self.history,
            },
        )

    def look(self, result: dict[str, float], network: nn.Module) -> None:
        """Note a look at the validation episodes; keep the weights if they are the best so far.

        Raises:
            MemworldError: the loss is no number any more.
        """
        if not math.isfinite(result["loss"]):
            raise MemworldError(
                f"training diverged: after {self.step} steps the validation loss is {result['loss']}; "
                f"use a learning_rate below {self.settings['training']['learning_rate']:g}"
            )
        self.history.append({"step": float(self.step), **result})
        if result["loss"] < self.best_loss:
            self.best_loss, self.looks_since_best = result["loss"], 0
            self.best = {k: v.detach().clone() for k, v in network.state_dict().items()}
        else:
            self.looks_since_best += 1
        self._decide()

    def _decide(self) -> None:
        """Whether to stop before the last step."""
        self.stopped_early = self.looks_since_best >= self.patience and self.step < self.steps

    def save(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Write the checkpoint: one file, so that its parts always belong together."""
        arrays = {f"network.{k}": v for k, v in network.state_dict().items()}
        arrays |= {f"best.{k}": v for k, v in self.best.items()}
        arrays |= dict(_optimiser_tensors(optimiser))
        for name in self._noted:
            arrays[f"history.{name}"] = torch.tensor([h[name] for h in self.history], dtype=torch.float64)
        arrays["looks_since_best"] = torch.tensor(self.looks_since_best)
        write_arrays(self.output / "checkpoint.safetensors", {k: v.detach().cpu().numpy() for k, v in arrays.items()})

    def load(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Go on from the checkpoint, if there is one."""
        path = self.output / "checkpoint.safetensors"
        if not path.exists():
            return
        arrays = {k: torch.from_numpy(v) for k, v in read_arrays(path, "checkpoint").items()}
        try:
            network.load_state_dict(
                {k.removeprefix("network."): v for k, v in arrays.items() if k.startswith("network.")}
            )
            self.best = {k: arrays[f"best.{k}"].reshape(v.shape) for k, v in network.state_dict().items()}
            columns = {n: arrays[f"history.{n}"].tolist() for n in self._noted}
            self.looks_since_best = int(arrays["looks_since_best"])
            for name, tensor in _optimiser_tensors(optimiser):
                tensor.copy_(arrays[name])
            self.history = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            self.step = int(self.history[-1]["step"])
            self.best_loss = min(h["loss"] for h in self.history)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise MemworldError(f"{path} does not fit these settings: use --overwrite") from error
        # A run that was stopped just after its last look has nothing left but to write its result.
        self._decide()
        _log.info("resumed training at step %d", self.step)

    def finish(self) -> None:
        """Note that the result is written; the checkpoint is no longer needed."""
        self.finished = True
        self._write_log()
        (self.output / "checkpoint.safetensors").unlink(missing_ok=True)


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Adam's state, one named tensor at a time, made now if no step has been taken yet."""
    for number, parameter in enumerate(p for group in optimiser.param_groups for p in group["params"]):
        state = optimiser.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            yield f"optimiser.{number}.{name}", state[name]
