"""PlaNet's model in the latents of a memory's encoder: the paper's comparison."""

import torch
from torch import Tensor, nn

from memworld.baselines.network import Futures
from memworld.baselines.rssm.config import RSSMConfig
from memworld.baselines.rssm.model import RecurrentModel, two_layers
from memworld.baselines.rssm.objective import distortion
from memworld.errors import MemworldError
from memworld.gaussian import SIGMA_FLOOR, at_mean, kl


class LatentRSSM(RecurrentModel):
    """A recurrent state-space model whose observations are the encoder's posterior means.

    What an observation will be is predicted as a Gaussian. Its mean is learned as PlaNet learns
    pixels. Its standard deviation is read off the finished state by a layer that the rest of the
    model does not feel, so that it calibrates the prediction and leaves PlaNet as it is.
    """

    sees_pixels = False

    def __init__(
        self,
        latent_dim: int,
        action_features: int,
        config: RSSMConfig | None = None,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
        reward_std: float = 1.0,
    ) -> None:
        """Build the layers; their weights are drawn from torch's global generator.

        Args:
            latent_dim: D, the number of latents.
            action_features: F, the size of an action.
            config: sizes and objective.
            mean: (D,) by which the latents are centred; None takes 0.
            scale: (D,) floored standard deviation by which they are scaled, inside the network; None takes 1.
            reward_std: standard deviation of the training data's rewards, the unit in which they are learned.

        Raises:
            MemworldError: no latents or actions, mean or scale of another shape or not above 0.
        """
        if latent_dim < 1:
            raise MemworldError(f"latent_dim must be at least 1, got {latent_dim}")
        config = config or RSSMConfig()
        mean = torch.zeros(latent_dim) if mean is None else mean
        scale = torch.ones(latent_dim) if scale is None else scale
        if mean.shape != (latent_dim,):
            raise MemworldError(f"mean has shape {tuple(mean.shape)}, there are {latent_dim} latents: one for each")
        super().__init__(config, config.hidden, action_features, mean, scale, reward_std)
        self.embedding = nn.Sequential(*two_layers(latent_dim, config.hidden, config.hidden), nn.ReLU())
        self.predicted_mean = two_layers(self.features, config.hidden, latent_dim)
        self.predicted_sigma = two_layers(self.features, config.hidden, latent_dim)

    def normalised(self, observations: Tensor) -> Tensor:
        """(N, D) means of the encoder, centred and scaled."""
        return (observations - self.observation_mean) / self.observation_scale

    def embed(self, seen: Tensor) -> Tensor:
        """(N, D) normalised means to (N, E)."""
        return torch.as_tensor(self.embedding(seen))

    def observation_losses(self, features: Tensor, seen: Tensor, sigma: Tensor | None) -> dict[str, Tensor]:
        """`reconstruction` of (N, D) means, and `calibration`: KL(true posterior || predicted), its mean held fixed."""
        assert sigma is not None, "latents come with the standard deviations of their posteriors"
        mean = self.predicted_mean(features).float()
        reconstruction = distortion(mean, seen, self.config)
        predicted = at_mean(self._restored(mean.detach()), self._sigma(features.detach()))
        return {
            "reconstruction": reconstruction,
            "calibration": kl(at_mean(self._restored(seen), sigma), predicted).mean(),
        }

    def futures(self, features: Tensor, rewards: Tensor, termination: Tensor) -> Futures:
        """With the moments of the mixture of K predicted Gaussians as latents (B, T, D)."""
        mu, sigma = self._restored(self.predicted_mean(features).float()), self._sigma(features)
        variance = (sigma**2).mean(1) + mu.var(1, correction=0)
        return Futures(rewards, termination, latents=at_mean(mu.mean(1), variance.sqrt()))

    def _restored(self, mean: Tensor) -> Tensor:
        return mean * self.observation_scale + self.observation_mean

    def _sigma(self, features: Tensor) -> Tensor:
        """(..., D) standard deviations; softplus keeps them above 0 without the exponential's blow-ups."""
        raw = self.predicted_sigma(features).float()
        return torch.as_tensor(nn.functional.softplus(raw) * self.observation_scale + SIGMA_FLOOR)
