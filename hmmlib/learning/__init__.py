"""Learning the parameters: Baum-Welch, gradient ascent, starts, and which state is which."""

from hmmlib.learning.align import align_states
from hmmlib.learning.durations import fit_hsmm, hsmm_em_step
from hmmlib.learning.em import em_step, fit_em, weighted_fit
from hmmlib.learning.from_data import fit
from hmmlib.learning.gradient import fit_gradient
from hmmlib.learning.result import PARTS, Fit, log_prior
from hmmlib.learning.selection import aic, bic, num_params
from hmmlib.learning.starts import fit_restarts, guess_emission, random_starts

__all__ = [
    "PARTS",
    "Fit",
    "aic",
    "align_states",
    "bic",
    "em_step",
    "fit",
    "fit_em",
    "fit_gradient",
    "fit_hsmm",
    "fit_restarts",
    "guess_emission",
    "hsmm_em_step",
    "log_prior",
    "num_params",
    "random_starts",
    "weighted_fit",
]
