"""A meter's file is read as it was meant, or refused in words."""

import io
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from hmmlib import meter
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
        (minutes([1, -3]), "1 readings are negative, -3 at .* 18:01.*solar panels"),
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
        (["00:00", "00:01", "00:01"], r"rows that are repeated.*~power.index.duplicated"),
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
        with pytest.raises(ValueError, match="a log that is written when") as refused:
            check_power(power)
        assert 'power.resample("5s").ffill()' in str(refused.value)
        check_power(power.resample("5s").ffill())
        file = as_file(power)
        with pytest.raises(
            ValueError, match=r"^file: .*read_csv\(file, index_col='time'"
        ):
            read_meter(file)
        file.seek(0)
        read = pd.read_csv(file, index_col="time", parse_dates=True)["power"]
        assert len(check_power(read.resample("5s").ffill())) == pytest.approx(5000, 0.1)
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
    with pytest.raises(ValueError, match="29 to 31 days apart, as calendar months"):
        check_power(power)


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
        ("time,power\n2026-02-23 18:00,0.3\n2026-02-23 18:01,1.2\n", {}, "1.2 W.*expected_watts="),
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
        ValueError, match=r"^file: 'power' rises .*\.diff\(\).*unit='kWh'"
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


@pytest.mark.parametrize("step", ["1min", "15min", "30min", "1h"])
def test_energy_per_interval_comes_back_in_watts(step):
    watts = np.array([508.0, 520.0, np.nan, 1400.0])
    hours = pd.Timedelta(step) / pd.Timedelta("1h")
    energy = pd.Series(watts * hours, pd.date_range("2025-01-01", periods=4, freq=step))
    for unit, in_unit in (("Wh", energy), ("kWh", energy / 1000)):
        power = read_meter(as_file(in_unit), unit=unit)
        assert np.allclose(power, watts, equal_nan=True)
    with pytest.raises(ValueError, match="one reading does not tell"):
        read_meter(as_file(energy.iloc[:1]), unit="Wh")


@pytest.mark.parametrize("column", ["kWh", "Import (Wh)", "KWH/hh (per half hour)"])
def test_a_column_that_names_an_energy_is_not_taken_for_power(column):
    energy = minutes([250.0, 300.0, 260.0])
    for unit in ("W", "kW"):
        with pytest.raises(ValueError, match=r"names an energy.*needs unit='kWh'"):
            read_meter(
                as_file(energy, ("time", column)), power_column=column, unit=unit
            )


@pytest.mark.parametrize("offset", ["-05", "-0500", "-05:00", " -05:00", "-5"])
def test_any_offset_comes_back_in_utc(offset):
    other = "2018-06-02T03:31:00+0530"  # 22:01 in UTC
    for second in ("2018-06-01 17:01:00" + offset, other, "2018-06-01T22:01Z"):
        text = f"time,power\n2018-06-01 17:00:00{offset},300\n{second},400\n"
        read = read_meter(io.StringIO(text))
        assert str(read.index.tz) == "UTC"
        assert read.index[0] == pd.Timestamp("2018-06-01 22:00", tz="UTC")
        assert read.tolist() == [300, 400] and read.index.freq == "min"


def test_a_date_ends_in_no_offset():
    days = read_meter(io.StringIO("time,power\n2018-06-05,300\n2018-06-06,400\n"))
    assert days.index.tz is None and days.index[0] == pd.Timestamp("2018-06-05")


def test_rows_that_are_repeated_in_the_night_the_clock_goes_back():
    """Newest first, and each row twice: said as such, with and without a time zone."""
    true = pd.date_range("2024-10-26 23:00", periods=300, freq="min", tz="UTC")
    local = true.tz_convert("Europe/Paris").tz_localize(None)
    power = pd.Series(np.random.default_rng(0).uniform(200, 900, 300), local)
    for options in ({}, {"time_zone": "Europe/Paris"}):
        with pytest.raises(ValueError, match=r"newest .*read_csv\(file\)\[::-1\]"):
            read_meter(as_file(power.iloc[::-1]), **options)
        with pytest.raises(ValueError, match=r"300|360 .*repeated; .*drop_duplicates"):
            read_meter(as_file(power.repeat(2)), **options)
    two = pd.concat([power.iloc[:50], power.iloc[20:] + 1]).sort_index(kind="stable")
    with pytest.raises(ValueError, match=r"different readings.*\.mean\(\), passed in"):
        read_meter(as_file(two.set_axis(two.index - pd.Timedelta("1D"))))


GOOD = "time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,400\n"
NAMED = "time,power,Küche\n2026-02-23 18:00,300,1\n2026-02-23 18:01,400,2\n"


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode(), GOOD.encode("utf-8-sig"), NAMED.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("300", "+300").encode(), GOOD.replace("300", '"300"').encode(),
        GOOD.replace("\n", ",\n").encode(),  # a comma at each end
        GOOD.replace("300", "300,=cmd|x").replace("r\n", "r,note\n").encode(),
    ],
)  # fmt: skip
def test_files_of_many_kinds_are_the_same_table(data):
    read = read_meter(io.BytesIO(data))
    assert read.tolist() == [300, 400]
    assert read.index.tolist() == [
        pd.Timestamp("2026-02-23 18:00"),
        pd.Timestamp("2026-02-23 18:01"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused_and_read_when_it_is_named(encoding, tmp_path):
    path = tmp_path / "meter.csv"
    path.write_text(NAMED, encoding=encoding)
    with pytest.raises(ValueError, match=r"no UTF-8 text.*hand over open\("):
        read_meter(path)
    with path.open(encoding=encoding) as file:
        assert read_meter(file).tolist() == [300, 400]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.xz"])
def test_a_path_may_be_packed(suffix, tmp_path):
    path = tmp_path / f"meter{suffix}"
    pd.read_csv(io.StringIO(GOOD)).to_csv(path, index=False)
    assert read_meter(path).tolist() == read_meter(str(path)).tolist() == [300, 400]


@pytest.mark.parametrize("data", [GOOD.encode(), b"0\0"])
def test_an_open_file_stays_open(data):
    file = io.BytesIO(data)
    with nullcontext() if data == GOOD.encode() else pytest.raises(ValueError):
        read_meter(file)
    assert not file.closed


ROW = "2026-02-23 18:00,300\n"
NEW_PANDAS = int(pd.__version__.split(".")[0]) >= 3  # time of older ones begins in 1677


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (bytes(range(256)) * 20, "needs as many cells|no UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "no UTF-8 text"),
        (bytes(1000), "zero bytes"), (GOOD.encode("utf-16-le"), "zero bytes.*encoding"),
        (GOOD.replace(",", ";").encode(), "'time;power'; needs commas between"),
        (b"time;power\n2026-02-23 18:00;300,5\n2026-02-23 18:01;400,5\n", "points in numbers"),
        (b"time,power\n2026-02-23 18:00,300,5\n2026-02-23 18:01,400,25\n", "as many cells"),
        (b"time,power,power\n2026-02-23 18:00,300,5\n", "more than one column 'power'"),
        (GOOD.replace("400", '"300,5"').encode(), "'300,5' in line 3 is no number"),
        (GOOD.replace("400", "=1+1").encode(), "'=1.1' in line 3 is no number"),
        (GOOD.replace("400", '"=HYPERLINK(""http://x"")"').encode(), "HYPERLINK.*no number"),
        (GOOD.replace("400", "-2").encode(), "1 readings are negative, -2"),
        (GOOD.replace("300", "30\0").encode(), "zero bytes"),
        (GOOD.replace("300", '"300').encode(), "as many cells.*EOF inside string"),
        (GOOD.replace("400", "9" * 400).encode(),
         "infinite" if NEW_PANDAS else "'9+[.]{3}9+' in line 3"),
        (GOOD.replace("400", "1" * 1_000_000).encode(), "power '1+[.]{3}1+' in line 3"),
        (b"time,power" + b"x" * 1_000_000, "it has 'time', 'powerx+[.]{3}x+';"),
        (GOOD.replace("18:01", "17:59").encode(), "goes back in time"),
        (GOOD.replace("18:01", "18:00").encode(), "1 stamps come twice"),
        (GOOD.replace("18:01", "18:01+01:00").encode(), "all or none"),
        (GOOD.replace("18:01", "18:00:60").encode(), "'2026-02-23 18:00:60' in line 3 is no time"),
        (GOOD.encode() + b"1500-02-23 18:00,300\n",
         "goes back in time" if NEW_PANDAS else "is no time"),
        (b"time,power\n1500-01-01 00:00,300\n1500-01-01 00:01,300\n" + ROW.encode(),
         "276,.* steps of .* is a stamp wrong" if NEW_PANDAS else "is no time"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_in_words(data, message):
    with pytest.raises(ValueError, match=message) as error:
        read_meter(io.BytesIO(data))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,power\n" + ROW + "\n\n2026-02-23 18:01,abc\n", "'abc' in line 5"),
        ("\n\ntime,power\n" + ROW + "   \n,\nnow,1\n", "'now' in line 7"),
        ("\r\ntime,power\r\n\r\n" + ROW + "\r\nnow,1\r\n", "'now' in line 6"),
        ("\n\ntime,power\n\n" + ROW + "2026-02-23 18:01,30,5\n", "line 6, saw 3"),
        ("# by a logger\ntime,power\n" + ROW, "line 1 is a comment"),
        ("time,power\n" + ROW + "# at noon\n" + ROW, "'# at noon' in line 3 is no time"),
    ],
)  # fmt: skip
def test_line_numbers_are_those_of_the_file(text, message, monkeypatch):
    with pytest.raises(ValueError, match=message):
        read_meter(io.StringIO(text))
    monkeypatch.setattr(meter, "LINES", 1)
    with pytest.raises(ValueError, match=message):
        read_meter(io.BytesIO(text.encode()))


def test_blank_lines_are_skipped():
    text = (
        "\n \ntime,power\n\n"
        + ROW
        + "  \n,\n2026-02-23 18:01,\n2026-02-23 18:02,400\n\n"
    )
    assert np.allclose(
        read_meter(io.StringIO(text)), [300, np.nan, 400], equal_nan=True
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": None}, "file: got NoneType, needs a path"),
        ({"file": b"x"}, "file: got bytes"),
        ({"unit": []}, "unit: got"),
        ({"time_column": 3}, "time_column: got int, needs a str"),
        ({"expected_watts": (5, 1)}, "expected_watts: got .5, 1., needs two numbers"),
        ({"expected_watts": None}, "expected_watts: got None"),
        ({"time_zone": 3}, "time_zone: got int"),
    ],
)
def test_odd_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        read_meter(**{"file": io.StringIO(GOOD)} | options)


def test_a_long_file_is_read_piece_by_piece(monkeypatch):
    """The same table, the same line numbers, and no more lines at once than LINES."""
    power = minutes(np.arange(2500) % 300 + 200.0)
    whole = read_meter(as_file(power))
    held, to_numeric = [], pd.to_numeric
    monkeypatch.setattr(meter, "LINES", 1000)
    monkeypatch.setattr(
        pd, "to_numeric", lambda x, **how: held.append(len(x)) or to_numeric(x, **how)
    )
    pd.testing.assert_series_equal(read_meter(as_file(power)), whole)
    assert held == [1000, 1000, 500]
    lines = as_file(power).getvalue().splitlines()
    lines[2200] = lines[2200].split(",")[0] + ",none of it"
    with pytest.raises(ValueError, match="'none of it' in line 2201 is no number"):
        read_meter(io.StringIO("\n".join(lines)))
    zoned = [line.replace(",", "+00:00,") for line in lines[1500:2200]]
    with pytest.raises(ValueError, match="all or none"):
        read_meter(io.StringIO("\n".join(lines[:1001] + zoned[500:])))
