"""Power over time: read from a file, and checked; the names of `hmmlib.nilm` for it."""

from hmmlib.nilm.meters.csv_file import BLANK_LINES, LINES, PACKED
from hmmlib.nilm.meters.grid import FEW_GAPS, MOST_MISSING, ROUND, as_time
from hmmlib.nilm.meters.options import UNITS
from hmmlib.nilm.meters.reader import read_meter
from hmmlib.nilm.meters.register import ENERGIES, FEW_RISES, MOST_FALLS, refuse_register
from hmmlib.nilm.meters.series import MANY_RISES, WATTS_OF_A_HOUSE, check_power, checked
from hmmlib.nilm.meters.source import Source
from hmmlib.nilm.meters.stamps import MIXED, OFFSET

__all__ = [
    "BLANK_LINES",
    "ENERGIES",
    "FEW_GAPS",
    "FEW_RISES",
    "LINES",
    "MANY_RISES",
    "MIXED",
    "MOST_FALLS",
    "MOST_MISSING",
    "OFFSET",
    "PACKED",
    "ROUND",
    "UNITS",
    "WATTS_OF_A_HOUSE",
    "Source",
    "as_time",
    "check_power",
    "checked",
    "read_meter",
    "refuse_register",
]
