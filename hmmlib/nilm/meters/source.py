"""What the caller passed, in words: messages name it and offer a cure that runs."""

from typing import NamedTuple

from hmmlib.checks import told
from hmmlib.nilm.meters.layout import Layout


class Source(NamedTuple):
    """How messages refer to a series of readings and tell the caller to repair it."""

    name: str = "power"  #: the first word of a message
    series: str = "power"  #: an expression for the readings as a Series
    reverse: str = "use power[::-1]"
    sort: str = "use sort_index() first"
    once: str = "power[~power.index.duplicated()]"
    then: str = ""  #: what remains to be done with the repaired Series
    given: dict | None = None  #: the options of a call of `read_meter`

    def call(self, **more) -> str:
        """The call of `read_meter` that the caller made, with other options."""
        options = (self.given or {}) | more
        return "read_meter(file" + "".join(
            f", {name}={value!r}" for name, value in options.items()
        ) + ")"  # fmt: skip


def of_file(given: dict, layout: Layout) -> Source:
    """The words for a caller who can read the file with pandas and repair it.

    Args:
        given: the options of the call of `read_meter`.
        layout: how the file is written.
    """
    (time, *_), (power, *_) = layout.time, layout.power
    written = ("sep", layout.separator, ","), ("decimal", layout.decimal, ".")
    how = "".join(f", {name}={told(x)}" for name, x, usual in written if x != usual)
    table = f"pd.read_csv(file, index_col={told(time)}, parse_dates=True{how})"
    lines = f"pd.read_csv(file{how})"
    return Source(
        name="file",
        series=f"{table}[{told(power)}]",
        reverse=f"reverse its lines, such as {_again(lines + '[::-1]')}",
        sort=f"sort its lines, such as {_again(lines + f'.sort_values({told(time)})')}",
        once=_again(lines + ".drop_duplicates()"),
        then=", passed in watts to check_power",
        given=given,
    )


def _again(table: str) -> str:
    """The call that reads a repaired table."""
    return f"read_meter(io.StringIO({table}.to_csv(index=False)))"
