"""Whether learning has come to an end, and what it says on its way."""

import logging
import sys
from collections import deque

log = logging.getLogger(__name__)
ROUNDING = 1.5e-8  # a loss that is too small to speak of


class ConvergenceMonitor:
    """The log-likelihoods of an iteration after the other, and when to stop.

    Args:
        tol: an iteration that gains less, in nats, is the last.
        n_iter: the most iterations.
        verbose: whether each is printed to `sys.stderr`.

    `history` holds log p(x) before each iteration, `iter` is their number. A model takes
    another monitor with the same attributes in its `monitor_`.

    Example:
        >>> monitor = ConvergenceMonitor(tol=0.1, n_iter=10, verbose=False)
        >>> for log_prob in [-5.0, -3.0, -2.99]:
        ...     monitor.report(log_prob)
        >>> monitor.converged
        True
    """

    _template = "{iter:>10d} {log_prob:>16.8f} {delta:>+16.8f}"

    def __init__(self, tol: float, n_iter: int, verbose: bool):
        self.tol, self.n_iter, self.verbose = tol, n_iter, verbose
        self.history: deque[float] = deque()
        self.iter = 0

    def __repr__(self) -> str:
        """Each attribute, by name."""
        parts = sorted((vars(self) | {"history": list(self.history)}).items())
        lines = "".join(f"    {name}={value},\n" for name, value in parts)
        return f"{type(self).__name__}(\n{lines})"

    def report(self, log_prob: float) -> None:
        """Note log p(x) before an iteration, and warn, in the log, if it fell."""
        gain = log_prob - self.history[-1] if self.history else float("nan")
        if self.verbose:
            told = {"iter": self.iter + 1, "log_prob": log_prob, "delta": gain}
            print(self._template.format(**told), file=sys.stderr)
        if gain < -ROUNDING:
            log.warning(
                "Model is not converging: log p(x) fell by %g, to %g", -gain, log_prob
            )
        self.history.append(log_prob)
        self.iter += 1

    @property
    def converged(self) -> bool:
        """Whether the last iteration gained less than `tol`, or was the last one allowed."""
        if self.iter == self.n_iter:
            return True
        *_, before, now = [None, None, *self.history][-2:]
        return before is not None and now - before < self.tol

    def _reset(self) -> None:
        """Forget everything noted."""
        self.iter = 0
        self.history.clear()
