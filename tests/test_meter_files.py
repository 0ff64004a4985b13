"""A meter's file is read as it was meant, or refused in words."""

import io
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from meters import as_file, minutes

from hmmlib.meter import read_meter
from hmmlib.nilm.meters import csv_file


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
    with pytest.raises(
        ValueError, match="time_zone: 'Europe/Lutetia' does not fit the stamps"
    ):
        read_meter(as_file(local), time_zone="Europe/Lutetia")


@pytest.mark.parametrize("step", ["1min", "15min", "30min", "1h"])
def test_energy_per_interval_comes_back_in_watts(step):
    watts = np.array([508.0, 520.0, np.nan, 1400.0])
    hours = pd.Timedelta(step) / pd.Timedelta("1h")
    energy = pd.Series(watts * hours, pd.date_range("2025-01-01", periods=4, freq=step))
    for unit, in_unit in (("Wh", energy), ("kWh", energy / 1000)):
        power = read_meter(as_file(in_unit), unit=unit)
        assert np.allclose(power, watts, equal_nan=True)
    with pytest.raises(ValueError, match="a single reading does not tell"):
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
        with pytest.raises(
            ValueError, match=r"(300|360) .*repeated rows; .*drop_duplicates"
        ):
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
    with pytest.raises(ValueError, match=r"not UTF-8 text.*pass open\("):
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
        (b"", "file: the file or its first line is empty"),
        (b"\n\n", "file: the file or its first line is empty"),
        (bytes(range(256)) * 20, "needs as many cells|not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not UTF-8 text"),
        (bytes(1000), "zero bytes"), (GOOD.encode("utf-16-le"), "zero bytes.*encoding"),
        (GOOD.replace(",", ";").encode(), "'time;power'; needs commas between"),
        (b"time;power\n2026-02-23 18:00;300,5\n2026-02-23 18:01;400,5\n",
         "decimal points in numbers"),
        (b"time,power\n2026-02-23 18:00,300,5\n2026-02-23 18:01,400,25\n", "as many cells"),
        (b"time,power,power\n2026-02-23 18:00,300,5\n", "more than one column 'power'"),
        (GOOD.replace("400", '"300,5"').encode(), "'300,5' in line 3 is no number"),
        (GOOD.replace("400", "=1+1").encode(), "'=1.1' in line 3 is no number"),
        (GOOD.replace("400", '"=HYPERLINK(""http://x"")"').encode(), "HYPERLINK.*no number"),
        (GOOD.replace("400", "-2").encode(), "1 of 2 readings are negative, such as -2"),
        (GOOD.replace("300", "30\0").encode(), "zero bytes"),
        (GOOD.replace("300", '"300').encode(), "EOF inside string.*as many cells"),
        (GOOD.replace("400", "9" * 400).encode(),
         "infinite" if NEW_PANDAS else "'9+[.]{3}9+' in line 3"),
        (GOOD.replace("400", "1" * 1_000_000).encode(), "power '1+[.]{3}1+' in line 3"),
        (b"time,power" + b"x" * 1_000_000, "it has 'time', 'powerx+[.]{3}x+';"),
        (GOOD.replace("18:01", "17:59").encode(), "goes back in time"),
        (GOOD.replace("18:01", "18:00").encode(), "1 stamps come twice"),
        (GOOD.replace("18:01", "18:01+01:00").encode(), "all or none"),
        (GOOD.replace("18:01", "18:00:60").encode(),
         "'2026-02-23 18:00:60' in line 3 is not a time"),
        (GOOD.encode() + b"1500-02-23 18:00,300\n",
         "goes back in time" if NEW_PANDAS else "is not a time"),
        (b"time,power\n1500-01-01 00:00,300\n1500-01-01 00:01,300\n" + ROW.encode(),
         "276,.* steps of .* is a stamp wrong" if NEW_PANDAS else "is not a time"),
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
        ("time,power\n" + ROW + "# at noon\n" + ROW, "'# at noon' in line 3 is not a time"),
    ],
)  # fmt: skip
def test_line_numbers_are_those_of_the_file(text, message, monkeypatch):
    with pytest.raises(ValueError, match=message):
        read_meter(io.StringIO(text))
    monkeypatch.setattr(csv_file, "LINES", 1)
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
    monkeypatch.setattr(csv_file, "LINES", 1000)
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
