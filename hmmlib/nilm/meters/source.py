"""What the caller passed, in words: messages name it and offer a cure that runs."""

from typing import NamedTuple


class Source(NamedTuple):
    """How messages refer to a series of readings and tell the caller to repair it."""

    name: str = "power"  #: the first word of a message
    series: str = "power"  #: an expression for the readings as a Series
    reverse: str = "use power[::-1]"
    sort: str = "use sort_index() first"
    once: str = "power[~power.index.duplicated()]"
    then: str = ""  #: what remains to be done with the repaired Series
