"""Learning the parameters: Baum-Welch, gradient ascent, starts, and which state is which;
and what a fit is worth: standard errors, intervals and criteria.
"""

from hmmlib.learning.align import align_states
from hmmlib.learning.bootstrap import Bootstrap, bootstrap, bootstrap_intervals
from hmmlib.learning.durations import fit_hsmm, hsmm_em_step
from hmmlib.learning.em import em_step, fit_em, weighted_fit
from hmmlib.learning.errors import (
    StandardErrors,
    confidence_intervals,
    standard_errors,
    wald,
)
from hmmlib.learning.from_data import fit
from hmmlib.learning.gradient import fit_gradient
from hmmlib.learning.overview import Summary, summary
from hmmlib.learning.profile import ProfileInterval, profile, profile_interval
from hmmlib.learning.residuals import Residuals, pseudo_residuals
from hmmlib.learning.result import PARTS, Fit, log_prior
from hmmlib.learning.selection import Choice, aic, bic, choose_num_states, num_params
from hmmlib.learning.starts import fit_restarts, guess_emission, random_starts
from hmmlib.learning.streams import StepwiseFit, fit_em_stepwise, fit_em_streamed
from hmmlib.learning.sums import Sums, added, em_step_from, expected_sums
from hmmlib.learning.validation import (
    CrossValidated,
    cross_validate,
    held_out_log_likelihood,
)

__all__ = [
    "PARTS",
    "Bootstrap",
    "Choice",
    "CrossValidated",
    "Fit",
    "ProfileInterval",
    "Residuals",
    "StandardErrors",
    "StepwiseFit",
    "Summary",
    "Sums",
    "added",
    "aic",
    "align_states",
    "bic",
    "bootstrap",
    "bootstrap_intervals",
    "choose_num_states",
    "confidence_intervals",
    "cross_validate",
    "em_step",
    "em_step_from",
    "expected_sums",
    "fit",
    "fit_em",
    "fit_em_stepwise",
    "fit_em_streamed",
    "fit_gradient",
    "fit_hsmm",
    "fit_restarts",
    "guess_emission",
    "held_out_log_likelihood",
    "hsmm_em_step",
    "log_prior",
    "num_params",
    "profile",
    "profile_interval",
    "pseudo_residuals",
    "random_starts",
    "standard_errors",
    "summary",
    "wald",
    "weighted_fit",
]
