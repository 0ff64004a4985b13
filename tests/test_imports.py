"""The front door is light: what takes long to import is imported at its first use."""

import subprocess
import sys

import pytest

HEAVY = (
    "numba",
    "scipy",
    "pandas",
    "matplotlib",
    "pyro",
    "IPython",
    "networkx",
    "sklearn",
)
TELL = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh Python has loaded after `code`."""
    run = [sys.executable, "-c", f"{code}\n{TELL}"]
    told = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    return set(told.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "from hmmlib import HMM, HSMM, fit",
        "from hmmlib.hmm import HMM\nfrom hmmlib.learning import em_step, fit_gradient",
        "from hmmlib import inference, observations, recursion, enumeration, storage",
    ],
)
def test_the_front_door_is_light(code):
    loaded = loaded_by(code)
    assert {"hmmlib", "torch"} <= loaded and not loaded & set(HEAVY)


def test_the_compiled_engine_is_imported_at_its_first_use():
    build = "from hmmlib import HMM\nhmm = HMM([1.0], [[1.0]], [[0.5, 0.5]])\n"
    assert "numba" not in loaded_by(build + "hmm.potentials([0, 1]), hmm.sample(3)")
    recursion = "from hmmlib import engines\nhmm.viterbi([0], engine=engines.recursion)"
    assert "numba" not in loaded_by(build + recursion)
    assert "numba" in loaded_by(build + "hmm.viterbi([0, 1])")
