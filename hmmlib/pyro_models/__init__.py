"""The models of the book as Pyro programs, and the questions that the chapters ask of them.

`stories` and `learnable` are the programs, `missing` masks NaN in them; `decoding` infers
the hidden states, `learning` the parameters; `twin` converts a model of `hmmlib`.
"""

from hmmlib.pyro_models.decoding import best_path, evidence, posterior_paths
from hmmlib.pyro_models.learnable import (
    learnable_story,
    marginal_story,
    unknown_tables,
)
from hmmlib.pyro_models.learning import fit_svi, sample_nuts
from hmmlib.pyro_models.missing import nan_is_missing
from hmmlib.pyro_models.stories import (
    factorial_story,
    house_story,
    signal_story,
    weather_story,
)
from hmmlib.pyro_models.twin import to_discrete_hmm

# in the order of the API page
__all__ = [  # noqa: RUF022
    "nan_is_missing",
    "weather_story",
    "signal_story",
    "factorial_story",
    "house_story",
    "unknown_tables",
    "learnable_story",
    "marginal_story",
    "evidence",
    "best_path",
    "posterior_paths",
    "fit_svi",
    "sample_nuts",
    "to_discrete_hmm",
]
