"""A meter's file is read as it was meant, or refused in words."""

import io

import numpy as np
import pandas as pd
import pytest

from hmmlib.meter import check_power, read_meter


def minutes(values, start="2026-02-23 18:00"):
    index = pd.date_range(start, periods=len(values), freq="min")
    return pd.Series(values, index=index, dtype=float)


def test_what_is_left_out_is_missing():
    power = minutes([200, 300, 400, 500, 600, 700]).drop(
        pd.Timestamp("2026-02-23 18:04")
    )
    checked = check_power(power)
    assert checked.isna().tolist() == [False] * 4 + [True, False]
    assert checked.index.freq == "min" and checked.iloc[-1] == 700


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([1.0, 2.0], "got list, needs a Series"),
        (pd.Series([1.0, 2.0]), "got RangeIndex, needs a Series with a DatetimeIndex"),
        (minutes([]), "got no reading"),
        (minutes([1, 2]).iloc[[0, 1, 1]], "1 stamps come twice, the first 2026-02-23 18:01"),
        (minutes([1, 2, 3]).iloc[[0, 2, 1]], "goes back in time at 2026-02-23 18:01"),
        (minutes([1, np.inf]), "1 readings are infinite, inf at 2026-02-23 18:01"),
        (minutes([1, -3]), "1 readings are negative, -3 at 2026-02-23 18:01"),
        (minutes([1, 2]).astype(str) + "W", "needs numbers"),
    ],
)  # fmt: skip
def test_wrong_series_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        check_power(wrong)


def test_irregular_stamps_are_refused_with_the_cure():
    power = minutes(range(100, 110))
    jitter = power.copy()
    jitter.index = jitter.index + pd.to_timedelta([0] * 9 + [7], unit="s")
    with pytest.raises(
        ValueError, match=r"1 of 10 stamps.*18:09:07.*resample\(\"60s\"\)"
    ):
        check_power(jitter)
    with pytest.raises(
        ValueError, match="most readings are 0 days 00:02:00 apart, needs"
    ):
        check_power(power.iloc[::2], "1min")
    check_power(jitter.resample("60s").mean())


def as_file(power, columns=("time", "power")):
    return io.StringIO(power.rename_axis(columns[0]).to_csv(header=[columns[1]]))


def test_a_file_is_read_in_its_own_words():
    power = minutes([250, 1250, np.nan, 300])
    pd.testing.assert_series_equal(
        read_meter(as_file(power)), power, check_names=False, check_index_type=False
    )
    kilo = as_file(power / 1000, ("Zeit", "kW"))
    kilo = read_meter(kilo, time_column="Zeit", power_column="kW", unit="kW")
    assert np.allclose(kilo, power, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("time,watt\n2026-02-23 18:00,300\n", {}, "no column 'power', it has 'time', 'watt'"),
        ("time,power\n2026-02-23 18:00,0.3\n2026-02-23 18:01,1.2\n", {}, "1.2 W.*another unit"),
        ("time,power\n2026-02-23 18:00,500\n", {"unit": "kW"}, "500,000 W.*another unit"),
        ("time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,n/k\n", {}, "'n/k' in line 3"),
        ("time,power\n2026-02-23 18:00,300\nyesterday,300\n", {}, "'yesterday' in line 3"),
        ("time,power\n2026-02-23 18:00,300\n", {"unit": "hp"}, "'hp', needs one of W, kW"),
        ("time,power\n", {}, "no reading"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_words(text, options, message):
    with pytest.raises(ValueError, match=message):
        read_meter(io.StringIO(text), **options)


def test_the_hour_that_comes_twice():
    """In Paris the clock goes back on 26 October 2008, 3:00 to 2:00."""
    true = pd.date_range("2008-10-25 23:00", periods=240, freq="min", tz="UTC")
    clock = true.tz_convert("Europe/Paris")
    power = pd.Series(np.arange(240) + 200.0, index=true)
    local = power.set_axis(clock.tz_localize(None))
    with pytest.raises(ValueError, match=r"60 stamps come twice.*time_zone"):
        read_meter(as_file(local))
    for file, options in (
        (as_file(local), {"time_zone": "Europe/Paris"}),
        (as_file(power.set_axis(clock)), {}),
    ):
        read = read_meter(file, **options)
        assert (read.index == true).all() and (read == power).all()
    with pytest.raises(ValueError, match="time_zone: 'Europe/Lutetia' does not fit"):
        read_meter(as_file(local), time_zone="Europe/Lutetia")
