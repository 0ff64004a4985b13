"""A register that counts energy up is told apart from power."""

import numpy as np
import pandas as pd
import pytest
from meters import as_file, minutes

from hmmlib.meter import check_power, read_meter


def register(start, kwh, num_steps=200):
    """A counter that rises by `kwh` on average in each quarter of an hour."""
    used = np.random.default_rng(0).exponential(kwh, num_steps)
    index = pd.date_range("2025-01-01", periods=num_steps, freq="15min")
    return pd.Series((start + np.cumsum(used)).round(3), index)


REPLACED = register(23622.0, 0.127)
REPLACED.iloc[100:] -= REPLACED.iloc[100]
TODAY = register(0.0, 0.127) % 10.0
COARSE = np.floor(register(1500.0, 0.2))


@pytest.mark.parametrize("unit", ["W", "kW", "kWh", "Wh"])
@pytest.mark.parametrize(
    "counter",
    [register(23622.0, 0.127), 1000 * register(23622.0, 0.127), REPLACED, TODAY, COARSE],
    ids=["kWh", "Wh", "replaced", "reset each day", "coarse"],
)  # fmt: skip
def test_a_register_is_refused_in_every_unit(counter, unit):
    with pytest.raises(
        ValueError, match=r"^file: 'power' rises .*unit='kWh', cumulative=True"
    ):
        read_meter(as_file(counter), unit=unit)


def test_a_register_is_refused_as_a_series_too():
    found = r"^power: rises 199 times and never falls.*multiplied by 4,000 or 4, it is watts"
    with pytest.raises(ValueError, match=found):
        check_power(register(23622.0, 0.127))
    check_power(register(0.0, 127.0, 20))  # five hours may rise


def each_day(*parts, num_days=28):
    """Watts of `parts` from 8 o'clock on, and 0 otherwise, minute by minute."""
    day = np.zeros(1440)
    on = np.concatenate(parts)
    day[480 : 480 + len(on)] = on
    return minutes(np.tile(day, num_days), "2026-01-01")


@pytest.mark.parametrize(
    "power",
    [
        each_day(np.linspace(50, 3000, 60)),
        each_day(np.linspace(50, 2000, 30), np.full(400, 2000.0)),
        minutes(np.tile(np.r_[np.linspace(70, 90, 25), np.zeros(20)], 900)),
    ],
    ids=["heat pump", "soft start", "refrigerator"],
)
def test_a_load_that_ramps_up_and_stops_is_power(power):
    assert (check_power(power) == power).all()
    read = read_meter(as_file(power), expected_watts=(1, 5000))
    assert (read == power).all()


@pytest.mark.parametrize("first", [1, 480, 1000])
def test_a_plug_that_counts_the_kwh_of_each_day_is_a_register(first):
    """An hour at 2 kW, from minute `first` of the day on; back to 0 at midnight."""
    day = np.cumsum((np.arange(1440) >= first) & (np.arange(1440) < first + 60)) / 30
    counter = minutes(np.tile(day.round(3), 28), "2026-01-01")
    with pytest.raises(ValueError, match="rises 1680 times and falls 27 times"):
        read_meter(as_file(counter), expected_watts=(1, 5000))


def test_the_cure_for_a_register_gives_its_watts():
    """508 W are 0.127 kWh in a quarter of an hour; where it was replaced nothing is known."""
    used = REPLACED.diff()
    power = read_meter(as_file(used.where(used >= 0)), unit="kWh")
    assert power.isna().sum() == 2 and power.mean() == pytest.approx(508, rel=0.2)
    assert np.allclose(power.iloc[1:50], 4000 * np.diff(REPLACED.iloc[:50]))


def test_what_only_seems_to_count_up_is_power():
    """A constant, a short evening that rises, a fridge that jumps up and sinks slowly."""
    night = minutes(np.tile(np.r_[150.0, np.linspace(120, 100, 19), 0.0], 20))
    for power in (minutes([300.0] * 50), minutes(np.arange(300, 307)), night):
        assert (read_meter(as_file(power)) == power).all()
