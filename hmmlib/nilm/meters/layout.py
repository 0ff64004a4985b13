"""How a meter's file is written: its columns, its unit, its stamps."""

from typing import NamedTuple


class Layout(NamedTuple):
    """How a file is written, and what is made of its readings; the options of `read_meter`."""

    time: tuple[str, ...] = ("time",)  #: columns of the stamp, joined by blanks
    power: tuple[str, ...] = ("power",)  #: columns of the readings
    unit: str = "W"
    separator: str = ","
    decimal: str = "."
    skip_lines: int = 0  #: before the line of column names
    day_first: bool | None = (
        None  #: whether 03/04 is 3 April; None where it is not known
    )
    cumulative: bool = False  #: whether the readings count energy up
    missing: tuple = ()  #: cells without a reading, besides empty ones
    step: str | None = None  #: of the mean of each step; None for readings as they are
    hold: str = "1h"  #: the longest time that a reading stands for
    name: str = (
        ""  #: what files like this one are called; empty if it was not recognised
    )
    columns: tuple[str, ...] = ()  #: names of the columns where the file has none
    total: bool = False  #: whether the columns of the readings are added
    export: tuple[str, ...] = ()  #: columns of what is fed into the grid
    series: str = ""  #: a column whose cells name the series that a line belongs to

    def told(self) -> str:
        """What was recognised, in a line."""
        power = " + ".join(map(repr, self.power))
        counted = "cumulative " * self.cumulative
        mean = f", as the mean of each {self.step}" if self.step else ""
        return f"{self.name}: {counted}{self.unit} in {power}, time in" + (
            f" {' and '.join(map(repr, self.time))}{mean}"
        )
