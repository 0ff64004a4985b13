"""A small network that reads the mains and tells the states of each appliance.

Letters: N windows of T readings, M appliances with K_m states, C channels.
"""

import base64
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hmmlib.checks import as_count
from hmmlib.engines.threads import one_thread
from hmmlib.nilm.remixing import Sources, drawn
from hmmlib.seeds import seeded

CHANNELS = 32
LAYERS = 7  # each sees twice as far as the one before
MOST_LAYERS = 30  # see as far as there are readings
NUM_WINDOWS = 16  # of a batch
LEARNING_RATE = 6e-3
WARM_UP = 20  # batches
SINGLE = torch.float32  # whatever the default is
UNIT = 50.0  # watts: below about so many the input is linear, above logarithmic


class StateNetwork(nn.Module):
    """log p(z_t^m | mains around t): dilated convolutions, a softmax for each appliance.

    A state is told from the 2^(layers + 1) - 1 readings around it: with 7 layers, two hours
    before and two after, at a reading a minute. Van den Oord et al. 2016; Bai et al. 2018.

    Args:
        sizes: M numbers of states.
        channels, layers: how wide and how deep.
    """

    def __init__(
        self, sizes: tuple[int, ...], channels: int = CHANNELS, layers: int = LAYERS
    ):
        super().__init__()
        self.sizes = tuple(sizes)
        self.first = nn.Conv1d(3, channels, 3, padding=1, dtype=SINGLE)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=2**n, dilation=2**n, dtype=SINGLE)
            for n in range(layers)
        )
        self.last = nn.Conv1d(channels, sum(sizes), 1, dtype=SINGLE)

    def forward(self, watts: Tensor) -> tuple[Tensor, ...]:
        """Log probabilities, M of (N, T, K_m), of the mains (N, T); NaN where missing."""
        seen = ~watts.isnan()
        watts = torch.where(seen, watts, 0.0)
        inputs = torch.asinh(watts / UNIT) / 3, watts / 1000, seen.to(watts)
        hidden = self.first(torch.stack(inputs, dim=1))  # (N, C, T)
        for layer in self.layers:
            hidden = hidden + layer(F.relu(hidden))
        scores = self.last(F.relu(hidden)).mT.split(self.sizes, dim=-1)
        return tuple(each.log_softmax(-1) for each in scores)

    def content(self) -> dict:
        """What `save` writes, by name: the weights as bytes of float32 in base64."""
        weights = nn.utils.parameters_to_vector(self.parameters()).detach()
        data = weights.numpy().astype("<f4").tobytes()
        return {
            "sizes": list(self.sizes),
            "channels": self.first.out_channels,
            "layers": len(self.layers),
            "weights": base64.b64encode(data).decode("ascii"),
        }

    @classmethod
    def of_content(cls, content: dict) -> "StateNetwork":
        """The network of what `content` returned.

        Raises:
            ValueError: unless there are as many weights as its sizes ask for, all finite.
        """
        sizes = [as_count("sizes", each) for each in content["sizes"]]
        channels = as_count("channels", content["channels"])
        layers = as_count("layers", content["layers"], least=0)
        told = base64.b64decode(content["weights"], validate=True)
        data = np.frombuffer(told, dtype="<f4")
        inner = layers * (3 * channels + 1)
        needs = channels * (10 + inner + sum(sizes)) + sum(sizes)
        fits = layers <= MOST_LAYERS and len(data) == needs
        if not fits or not np.isfinite(data).all():
            raise ValueError(
                f"weights: got {len(data)} numbers, needs {needs}, all finite, for"
                f" {len(sizes)} appliances, {channels} channels and {layers} of at most"
                f" {MOST_LAYERS} layers"
            )
        network = cls(sizes, channels, layers)
        weights = torch.from_numpy(data.astype(np.float32))
        nn.utils.vector_to_parameters(weights, network.parameters())
        return network


def new_network(sizes: tuple[int, ...], seed: int) -> StateNetwork:
    """A network with random weights; torch's own random stream is left untouched."""
    with seeded(seed):
        return StateNetwork(sizes)


def trained(
    network: StateNetwork,
    sources: Sources,
    remix: float,
    seconds: float,
    num_batches: int | None,
    generator: Generator,
) -> tuple[list[Tensor], int]:
    """Train up the log-likelihood of the states, on one thread of torch.

    Returns:
        How often each state was shown, M of (K_m,), and the number of batches.
    """
    counts = [torch.zeros(size) for size in network.sizes]
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99))
    done = 0
    with one_thread(), torch.enable_grad():
        for done, progress in _progress(seconds, num_batches):
            for group in optimizer.param_groups:
                group["lr"] = _rate(done, progress)
            watts, states = drawn(sources, NUM_WINDOWS, remix, generator)
            loss = 0.0
            for m, log_probs in enumerate(network(watts)):
                told = states[..., m].flatten()
                known = told >= 0
                told, log_probs = told[known], log_probs.flatten(0, 1)[known]
                missed = F.nll_loss(log_probs, told, reduction="sum")
                loss = loss + missed / known.sum().clamp(min=1)
                counts[m] += torch.bincount(told, minlength=len(counts[m]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return counts, done


def _progress(seconds: float, num_batches: int | None) -> Iterator[tuple[int, float]]:
    """The number of each batch, from 1, and the share of the work before it."""
    start, done = time.monotonic(), 0
    while True:
        spent = (time.monotonic() - start) / seconds
        share = spent if num_batches is None else done / num_batches
        if share >= 1:
            return
        done += 1
        yield done, share


def _rate(batch: int, progress: float) -> float:
    """The learning rate: up over the first batches, then down along half a cosine."""
    down = 0.5 * (1 + math.cos(math.pi * progress))
    return LEARNING_RATE * min(1.0, batch / WARM_UP) * down
