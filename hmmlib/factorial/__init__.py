"""Several hidden chains, one observation: exact inference, and two approximations.

* `model`: `FactorialHMM`, its parameters and the verbs of `hmmlib.hmm.HMM`.
* `additive`: `additive_gaussian`; the levels of all chains add up, with Gaussian noise.
* `approximate`: `mean_field` and `coordinate_ascent`, one chain at a time.
* `paths`: `path_log_joint`, the score of one joint path.
* `blocks`: how the verbs answer; a long series, block by block.
* `series`: observations and answers of a batch, one sequence at a time.
* `counts`: expected starts, moves and uses, which learning needs.
* `messages`: the recursion over one block, compiled or in PyTorch.

Letters and axes as in `hmmlib.recursion`: a message has one axis for each chain, and a step
costs M · K^(M+1), not K^(2M).
"""

from hmmlib.factorial.additive import additive_gaussian
from hmmlib.factorial.approximate import coordinate_ascent, mean_field
from hmmlib.factorial.counts import JointCounts
from hmmlib.factorial.model import FactorialHMM
from hmmlib.factorial.paths import path_log_joint

__all__ = [
    "FactorialHMM",
    "JointCounts",
    "additive_gaussian",
    "coordinate_ascent",
    "mean_field",
    "path_log_joint",
]
