"""Hidden Markov models as scikit-learn's estimators, with hmmlearn's names.

`GaussianHMM`, `CategoricalHMM` and `PoissonHMM` take the parameters of hmmlearn 0.3, have its
methods and attributes, and after the same number of iterations from the same start the same
numbers: a program changes one import. Behind the names work `hmmlib.HMM` and its compiled
loops; what is missing (NaN) is allowed, and a probability of exactly 0 stays 0.

Needs scikit-learn: `pip install "hmmlib[sklearn]"`.
"""

from hmmlib.estimators.base import BaseHMM
from hmmlib.estimators.categorical import CategoricalHMM
from hmmlib.estimators.gaussian import GaussianHMM
from hmmlib.estimators.monitor import ConvergenceMonitor
from hmmlib.estimators.poisson import PoissonHMM

__all__ = [
    "BaseHMM",
    "CategoricalHMM",
    "ConvergenceMonitor",
    "GaussianHMM",
    "PoissonHMM",
]
