"""A house's meter, split while it is read. It needs Python 3 and nothing else: no hmmlib.

    python live_filter.py house.json [lag] < readings

`house.json` is what `hmmlib.nilm.House.save` wrote. A line of `readings` is a number of watts;
an empty line or `nan` is a missing reading. Each is answered by a line of JSON: the posterior
mean and median of the watts of each appliance, `lag` readings ago (0 if not given).

A message is a list of logarithms, one for each joint state, the last appliance fastest.
"""

import hashlib
import itertools
import json
import math
import sys
from operator import add

VERSION, TABLES = 1, ("initial_probs", "transition_matrix", "loc", "scale")  # of a file


class LiveFilter:
    """p(states | readings so far). `house` is what `read_house` returns."""

    def __init__(self, house, lag=0):
        starts, moves, self.levels, spreads = zip(*house.values())
        self.names, self.lag, self.recent, self.begun = list(house), lag, [], False
        self.rows = [[list(map(log, row)) for row in matrix] for matrix in moves]
        self.columns = [list(zip(*matrix)) for matrix in self.rows]
        self.message = [sum(map(log, each)) for each in itertools.product(*starts)]
        self.totals = [sum(each) for each in itertools.product(*self.levels)]
        variances = [[s * s for s in each] for each in spreads]
        self.scales = [math.sqrt(sum(each)) for each in itertools.product(*variances)]

    def observe(self, watts):
        """Take one more reading; NaN where it is missing.

        Raises ValueError, and takes nothing, for what cannot be a reading of this house.
        """
        if watts < 0 or watts == math.inf:
            raise ValueError(f"got {watts:g}, needs a finite number of watts from 0 on")
        entered = moved(self.message, self.columns) if self.begun else self.message
        scores = [0.0] * len(entered)  # log p(watts | states), but for a constant
        if not math.isnan(watts):
            apart = [(watts - x) / s for x, s in zip(self.totals, self.scales)]
            scores = [-0.5 * z * z - math.log(s) for z, s in zip(apart, self.scales)]
        message = list(map(add, entered, scores))
        norm = log_sum(message)
        if norm == -math.inf:
            raise ValueError(f"got {watts:g}, which this house cannot draw")
        if self.begun and self.lag:
            self.recent = [*self.recent, (self.message, scores)][-self.lag :]
        self.message, self.begun = [x - norm for x in message], True

    def watts(self):
        """Mean and median watts by name, `lag` readings ago, or at the first reading."""
        message = self.message
        if self.recent:
            onward = [0.0] * len(message)  # log p(the readings that follow | states)
            for _, scores in reversed(self.recent):
                onward = moved(list(map(add, onward, scores)), self.rows)
            message = list(map(add, self.recent[0][0], onward))
        norm, answer = log_sum(message), {}
        joint = [math.exp(x - norm) for x in message]
        for name, levels in zip(self.names, self.levels):
            parts = by_state(joint, len(levels))
            probs = [sum(part) for part in parts]
            mean = sum(p * x for p, x in zip(probs, levels))
            answer[name] = {"mean": mean, "median": median(probs, levels)}
            joint = [p for each in zip(*parts) for p in each]  # the next chain is first
        return answer


def moved(message, tables):
    """log sum_i exp(message[i]) A[i][j] for each joint state j, one chain at a time.

    `tables` are the columns of each chain's log A; with its rows it moves backwards. A chain
    that has moved becomes the last one, so that in the end all are in their first order.
    """
    for table in tables:
        groups = zip(*by_state(message, len(table)))
        message = [log_sum(list(map(add, left, c))) for left in groups for c in table]
    return message


def by_state(values, size):
    """The values for each of the `size` states of the first chain."""
    rest = len(values) // size
    return [values[i * rest : (i + 1) * rest] for i in range(size)]


def log(x):
    """The logarithm of a probability, -inf for 0."""
    return math.log(x) if x > 0 else -math.inf


def log_sum(terms):
    """log sum exp(terms), and -inf if all are."""
    top = max(terms)
    terms = [0.0] if top == -math.inf else [x - top for x in terms]
    return top + math.log(sum(map(math.exp, terms)))


def median(probs, levels):
    """The lowest level that is not exceeded with a probability of at least one half."""
    order = sorted(range(len(levels)), key=levels.__getitem__)
    below = list(itertools.accumulate(probs[k] for k in order))
    return next(levels[k] for k, p in zip(order, below) if p >= below[-1] / 2)


def read_house(path):
    """Start, moves, levels and spreads of each appliance, by name. Raises ValueError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        body, told = json.loads(text), json.loads(text, parse_float=str, parse_int=str)
        told.pop("sha256")  # the checksum is of each digit of all the rest
        checksum = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        if (found := f"{body['kind']} of {body['format']}") != "House of hmmlib":
            raise ValueError(f"holds a {found}, needs a House of hmmlib")
        if body["version"] > VERSION:
            raise ValueError(f"has version {body['version']}, needs at most {VERSION}")
        if body["sha256"] != checksum:
            raise ValueError("was changed after it was written")
        house = {}
        for name, hmm in body["content"]["appliances"].items():
            if hmm["emission"]["family"] != "Normal":
                raise ValueError(f"{name}: needs watts that are Normal")
            given = hmm | hmm["emission"]["arguments"]
            house[name] = [given[table]["tensor"] for table in TABLES]
        return house
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no house that can be read: {error}") from error


def main(path, lag="0"):
    """Answer each line of readings by a line of JSON."""
    live = LiveFilter(read_house(path), int(lag))
    for line in sys.stdin:
        try:
            live.observe(float(line.strip() or "nan"))
            answer = live.watts()
        except ValueError as error:  # a minute has passed all the same
            live.observe(math.nan)
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 1 else print(__doc__)
