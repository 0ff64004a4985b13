"""A series of readings is on an even grid, in order, or refused in words."""

import numpy as np
import pandas as pd
import pytest
from meters import as_file, minutes

from hmmlib.meter import check_power, read_meter


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
        (minutes([1, np.inf]), "1 of 2 readings are infinite, such as inf at 2026-02-23 18:01"),
        (minutes([1, -3]), "1 of 2 readings are negative, such as -3 at .* 18:01.*solar panels"),
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


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        (["00:02", "00:01", "00:00"], r"newest reading comes first.*power\[::-1\]"),
        (["00:00", "00:02", "00:01", "00:03"], r"back in time at .*00:01:00; use sort_index"),
        (["00:00", "00:01", "00:01"], r"in repeated rows.*~power.index.duplicated"),
    ],
)  # fmt: skip
def test_rows_in_a_wrong_order_are_told_apart(stamps, message):
    index = pd.DatetimeIndex([f"2024-10-26 {each}" for each in stamps])
    with pytest.raises(ValueError, match=message) as refused:
        check_power(pd.Series(300.0, index))
    assert ("autumn" in str(refused.value)) == ("repeated" in message)  # may be both


def test_a_log_of_changes_is_refused_with_a_cure_that_works():
    """Some 5,000 changes, 5 seconds apart on average, with and without microseconds."""
    rng = np.random.default_rng(1)
    at = pd.Timestamp("2024-04-24") + pd.to_timedelta(
        np.cumsum(rng.exponential(5.0, 5000)).round(6), unit="s"
    )
    for stamps in (at, at.floor("s").unique()):
        power = pd.Series(rng.uniform(100, 900, len(stamps)), stamps)
        with pytest.raises(ValueError, match="a log written only when") as refused:
            check_power(power)
        assert 'power.resample("5s").ffill()' in str(refused.value)
        check_power(power.resample("5s").ffill())
        file = as_file(power)
        with pytest.raises(ValueError, match=r"^file: .*read_meter\(file, step='5s'\)"):
            read_meter(file)
        file.seek(0)
        assert len(read_meter(file, step="5s")) == pytest.approx(5000, 0.1)
    assert check_power(power, "1s").notna().sum() == len(power)  # as one wishes


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_a_clock_that_trembles_is_no_log_of_changes(spread):
    rng = np.random.default_rng(0)
    power = minutes(rng.uniform(100, 900, 500))
    power.index += pd.to_timedelta(rng.normal(0, spread, 500), unit="s")
    cure = r'not a whole number of steps.*resample\("60s"\).mean\(\)$'
    with pytest.raises(ValueError, match=cure):
        check_power(power)


@pytest.mark.parametrize("months", [6, 14])
def test_calendar_months_are_no_even_grid(months):
    power = pd.Series(300.0, pd.date_range("2024-01-01", periods=months, freq="MS"))
    with pytest.raises(ValueError, match="29 to 31 days apart, like calendar months"):
        check_power(power)
