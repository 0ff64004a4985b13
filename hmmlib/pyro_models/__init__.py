"""The models of the book as Pyro programs, and the questions that the chapters ask of them.

`stories`, `richer` and `learnable` are the programs, `missing` masks NaN in them;
`decoding` infers the hidden states, `learning` the parameters; `twin` converts a model of
`hmmlib`.
"""

from hmmlib.pyro_models.decoding import (
    best_path,
    evidence,
    posterior_paths,
    smoothed_probs,
)
from hmmlib.pyro_models.learnable import (
    learnable_story,
    marginal_story,
    unknown_tables,
)
from hmmlib.pyro_models.learning import fit_svi, sample_nuts
from hmmlib.pyro_models.missing import nan_is_missing
from hmmlib.pyro_models.richer import (
    autoregressive_story,
    driven_story,
    durations_story,
    labelled,
    regression_story,
)
from hmmlib.pyro_models.stories import (
    factorial_story,
    house_story,
    signal_story,
    weather_story,
)
from hmmlib.pyro_models.twin import to_discrete_hmm

__all__ = [
    "autoregressive_story",
    "best_path",
    "driven_story",
    "durations_story",
    "evidence",
    "factorial_story",
    "fit_svi",
    "house_story",
    "labelled",
    "learnable_story",
    "marginal_story",
    "nan_is_missing",
    "posterior_paths",
    "regression_story",
    "sample_nuts",
    "signal_story",
    "smoothed_probs",
    "to_discrete_hmm",
    "unknown_tables",
    "weather_story",
]
