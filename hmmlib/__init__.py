"""Hidden Markov models, by hand in PyTorch and as stories in Pyro.

hmm            the model, and its verbs
recursion      the one algorithm behind all answers; enumeration, the slow one it is checked by
inference      the questions, asked of `Potentials`; engines, who answers them
observations   what was observed; emissions, what a state emits, a family a file
learning       Baum-Welch, gradient ascent, starts, which state is which
factorial      several chains, one observation
durations      states that last for explicit durations
nilm           a house's power, split among its appliances
pyro_models    the same stories in Pyro
draw, plot     graphical models; figures of sequences and posteriors
datasets       the data of the book; book, what only its pages need
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hmmlib.durations import HSMM
    from hmmlib.factorial import FactorialHMM, additive_gaussian
    from hmmlib.hmm import HMM
    from hmmlib.learning import Fit, fit

FRONT_DOOR = {
    "HMM": "hmm",
    "HSMM": "durations",
    "FactorialHMM": "factorial",
    "additive_gaussian": "factorial",
    "Fit": "learning",
    "fit": "learning",
}
__all__ = ["HMM", "HSMM", "FactorialHMM", "Fit", "additive_gaussian", "fit"]

try:
    __version__ = version("hmmlib")
except PackageNotFoundError:  # the source alone, not installed
    __version__ = "unknown"


def __getattr__(name: str):
    """What the front door offers, imported at its first use."""
    if name not in FRONT_DOOR:
        raise AttributeError(f"module 'hmmlib' has no attribute {name!r}")
    return getattr(import_module(f"hmmlib.{FRONT_DOOR[name]}"), name)
