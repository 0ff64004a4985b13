"""What a state emits: any distribution of torch, each family in a file of its own.

`protocol` says what the library asks of a family, and answers for any distribution of
torch; a family that knows better registers its answers in its own file. `parts` takes
distributions apart and rebuilds them. To add a family: write its file, and import it below.
"""

import torch.distributions
from torch.distributions import Distribution

from hmmlib.checks import as_probs
from hmmlib.emissions import (  # noqa: F401  (each registers its family)
    bernoulli,
    exponential,
    gamma,
    linear,
    log_normal,
    mixture,
    multivariate_normal,
    negative_binomial,
    normal,
    poisson,
    student_t,
)
from hmmlib.emissions.categorical import Categorical, as_symbols, symbol_log_probs
from hmmlib.emissions.condensed import condensed, restated
from hmmlib.emissions.independent import Product
from hmmlib.emissions.linear import LinearEmission
from hmmlib.emissions.multivariate_normal import SphericalNormal, TiedNormal
from hmmlib.emissions.parts import (
    Part,
    arguments,
    at,
    bounds_of_support,
    by_logits,
    construct,
    constructed_with,
    innermost,
    of_valid,
    parameters,
    parts,
    rebuilt,
    rows,
)
from hmmlib.emissions.protocol import (
    Limits,
    Lookup,
    blank,
    blank_of,
    counted_probs,
    draw,
    fit,
    given,
    has_clusters,
    in_support,
    log_prob,
    lookup,
    m_step,
    misses_parts,
    num_free,
    of_table,
    randomised,
    surely_in_support,
    table_of,
    widened,
)
from hmmlib.emissions.quantiles import below_and_above, cdf, quantiles
from hmmlib.emissions.support import check_support, log_likelihoods, seen_steps

__all__ = [
    "Limits",
    "LinearEmission",
    "Lookup",
    "Part",
    "Product",
    "SphericalNormal",
    "TiedNormal",
    "arguments",
    "as_emission",
    "as_symbols",
    "at",
    "below_and_above",
    "blank",
    "blank_of",
    "bounds_of_support",
    "by_logits",
    "cdf",
    "check_support",
    "condensed",
    "construct",
    "constructed_with",
    "counted_probs",
    "draw",
    "family_named",
    "fit",
    "given",
    "has_clusters",
    "in_support",
    "innermost",
    "log_likelihoods",
    "log_prob",
    "lookup",
    "m_step",
    "misses_parts",
    "num_free",
    "of_table",
    "of_valid",
    "parameters",
    "parts",
    "quantiles",
    "randomised",
    "rebuilt",
    "restated",
    "rows",
    "seen_steps",
    "surely_in_support",
    "symbol_log_probs",
    "table_of",
    "widened",
]


def as_emission(emission, num_states: int) -> Distribution:
    """The emission of `num_states` states; a (K, V) matrix stands for `Categorical`.

    Raises:
        ValueError: for a matrix whose rows do not sum to one, and another batch_shape.
    """
    if not isinstance(emission, Distribution):
        # Checked here, and more strictly than by torch, which normalises in silence.
        probs = as_probs("emission", emission, "(K, V)")
        emission = of_valid(Categorical, probs=probs)
    if tuple(emission.batch_shape) != (num_states,):
        found = tuple(emission.batch_shape)
        symbols = isinstance(emission, Categorical) and emission.probs.ndim == 2
        turned = symbols and emission.probs.shape[1] == num_states
        hint = "; is its matrix transposed? Rows are states" if turned else ""
        raise ValueError(
            f"emission: got batch_shape {found}, needs ({num_states},), one a state{hint}"
        )
    return emission


def family_named(name: str) -> type | None:
    """The family of hmmlib or of torch with that name; None where there is none."""
    families = LinearEmission, Product, SphericalNormal, TiedNormal
    own = {each.__name__: each for each in families}
    found = own.get(name) or vars(torch.distributions).get(name)
    concrete = isinstance(found, type) and issubclass(found, Distribution)
    return found if concrete and found is not Distribution else None
