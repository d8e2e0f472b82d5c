"""The latest moments of an episode under way, as a policy needs them to imagine what comes next."""

from collections import deque

import numpy as np

from memworld.actions import ActionSpace, stored_dtype, stored_shape
from memworld.rollout import Past


class Recent:
    """What was seen and done last."""

    def __init__(self, space: ActionSpace, moments: int) -> None:
        """Begin an episode; so many moments are kept, the present among them."""
        self._space = space
        self._seen: deque[np.ndarray] = deque(maxlen=moments)
        self._done: deque[np.ndarray] = deque(maxlen=max(moments - 1, 0))

    def see(self, frame: np.ndarray) -> None:
        """Take in what is seen now, uint8 (H, W, C)."""
        self._seen.append(np.array(frame))

    def do(self, action: np.ndarray) -> None:
        """Take in what is done now, in the stored form."""
        self._done.append(action)

    @property
    def frame(self) -> np.ndarray:
        """The present."""
        return self._seen[-1]

    @property
    def past(self) -> Past:
        """The moments before the present, as far as they were seen and are kept: a past of one future."""
        before = len(self._seen) - 1
        frames = np.array([*self._seen][:before], np.uint8).reshape(1, before, *self.frame.shape)
        actions = np.array([*self._done][len(self._done) - before :], stored_dtype(self._space))
        return Past(frames, actions.reshape(1, before, *stored_shape(self._space)), np.ones((1, before), bool))
