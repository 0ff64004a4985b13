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
