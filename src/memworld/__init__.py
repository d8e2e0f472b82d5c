"""World models by search in memory.

The public names, in the order in which data travels:

    episodes    Episode, DatasetInfo, EpisodeDataset, ReadOptions, open_dataset, convert, record,
                open_world, World
    encoder     Encoder, VAEConfig, TrainingConfig, train_vae, open_encoder
    memory      Memory, remember, MemoryStream, RememberWrapper, open_memory, save_memory, inspect_memory,
                check_memory, compact_memory, forget_episodes, go_back
    world       WorldModel, DynamicsConfig, AnalogueConfig, Prediction, Rollout, Imagined, Past, Citation
    environment ImaginedEnv, ImaginedVectorEnv, EncodeObservation
    acting      PlanConfig, planning_policy; `memworld.control` has control and live
    evaluation  EvaluationConfig, evaluate
    handing on  distill, push_memory, pull_memory

Bad input raises `MemworldError`, a `ValueError` whose one line names the cause and the fix.
"""

from importlib.metadata import version as _version

from memworld.analogues import AnalogueConfig
from memworld.datasets import DatasetInfo, EpisodeDataset
from memworld.distill import distill
from memworld.dynamics import DynamicsConfig
from memworld.encoders import Encoder, open_encoder
from memworld.encoders.training import TrainingConfig, train_vae
from memworld.encoders.vae import VAEConfig
from memworld.envs import EncodeObservation, ImaginedEnv, ImaginedVectorEnv
from memworld.episodes import Episode
from memworld.errors import MemworldError
from memworld.evaluate.config import EvaluationConfig
from memworld.evaluate.protocol import evaluate
from memworld.formats import ReadOptions, open_dataset
from memworld.formats.convert import convert
from memworld.gaussian import Latents
from memworld.inspection import inspect_memory
from memworld.memory import Memory
from memworld.plan import PlanConfig, planning_policy
from memworld.record import record
from memworld.remember import MemoryStream, RememberWrapper, remember
from memworld.rollout import Citation, Imagined, Past, Prediction, Rollout
from memworld.sharing import pull_memory, push_memory
from memworld.store import check_memory, compact_memory, forget_episodes, go_back, open_memory, save_memory
from memworld.world_model import WorldModel
from memworld.worlds import World, open_world

__version__ = _version("memworld")

__all__ = [
    "AnalogueConfig",
    "Citation",
    "DatasetInfo",
    "DynamicsConfig",
    "EncodeObservation",
    "Encoder",
    "Episode",
    "EpisodeDataset",
    "EvaluationConfig",
    "Imagined",
    "ImaginedEnv",
    "ImaginedVectorEnv",
    "Latents",
    "Memory",
    "MemoryStream",
    "MemworldError",
    "Past",
    "PlanConfig",
    "Prediction",
    "ReadOptions",
    "RememberWrapper",
    "Rollout",
    "TrainingConfig",
    "VAEConfig",
    "World",
    "WorldModel",
    "__version__",
    "check_memory",
    "compact_memory",
    "convert",
    "distill",
    "evaluate",
    "forget_episodes",
    "go_back",
    "inspect_memory",
    "open_dataset",
    "open_encoder",
    "open_memory",
    "open_world",
    "planning_policy",
    "pull_memory",
    "push_memory",
    "record",
    "remember",
    "save_memory",
    "train_vae",
]
