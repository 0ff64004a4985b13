"""Each option of read_meter does what it says, and a message's cure runs."""

import gzip
import io
import re

import numpy as np
import pandas as pd
import pytest
from meters import as_file, minutes

from hmmlib.meter import check_power, read_meter
from hmmlib.nilm.meters import csv_file, steps

CALL = r"read_meter\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"


def cures(text, message):
    """What the calls make of the file that a message offers; None for one that is refused."""
    names = {"read_meter": read_meter, "io": io, "pd": pd}
    found = []
    for call in re.findall(CALL, str(message.value)):
        try:
            found.append(eval(call, names | {"file": io.StringIO(text)}))
        except ValueError:
            found.append(None)
    return found


@pytest.mark.parametrize(
    ("text", "watts"),
    [
        ("time;power\n2026-02-23 18:00;300\n2026-02-23 18:01;400\n", [300, 400]),
        ("time;power\n2026-02-23 18:00;300,5\n2026-02-23 18:01;400\n", [300.5, 400]),
        ("time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,inf\n", [300, np.nan]),
        ("time\tpower\n2026-02-23 18:00\t300\n2026-02-23 18:01\t400\n", [300, 400]),
        ('time,power\n2026-02-23 18:00,"300,5"\n2026-02-23 18:01,"400,25"\n', [300.5, 400.25]),
        ("# by a logger\ntime,power\n2026-02-23 18:00,300\n2026-02-23 18:01,400\n", [300, 400]),
        ("Zeit,Leistung W\n2026-02-23 18:00,300\n2026-02-23 18:01,400\n", [300, 400]),
        ("time,power\n2026-02-23 18:00,0.3\n2026-02-23 18:01,0.4\n", [300, 400]),
        ("time,power\n2026-02-23 18:00,30\n2026-02-23 18:01,40\n", [30, 40]),
        ("time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,off line\n", [300, np.nan]),
        ("time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,-40\n", [300, -40]),
        ("time,power\n2026-02-23 18:01,400\n2026-02-23 18:00,300\n", [300, 400]),
        ("time,power\n2026-02-23 18:00,300\n2026-02-23 18:02,300\n"
         "2026-02-23 18:01,400\n2026-02-23 18:03,300\n", [300, 400, 300, 300]),
        ("time,power\n2026-02-23 18:00,300\n" + 2 * "2026-02-23 18:01,400\n", [300, 400]),
        ("time,power\n2026-02-23 18:00:00,300\n2026-02-23 18:00:07,400\n"
         "2026-02-23 18:00:50,200\n2026-02-23 18:00:55,400\n", None),
    ],
    ids=["separator", "both", "infinite", "tab", "decimal", "comment", "columns", "kilowatts",
         "little", "missing",
         "negative", "newest first", "order", "repeated", "changes"],
)  # fmt: skip
def test_a_message_has_a_cure_that_runs(text, watts):
    with pytest.raises(ValueError, match=r"^file: ") as refused:
        read_meter(io.StringIO(text))
    found = [power for power in cures(text, refused) if power is not None]
    assert any(watts is None or np.allclose(x, watts, equal_nan=True) for x in found)


@pytest.mark.parametrize(
    ("date", "options"),
    [
        ("23/02/2026", {}), ("02/23/2026", {}), ("23.02.2026", {}), ("3.2.26", {}),
        ("03/04/2026", {"day_first": True}), ("03/04/2026", {"day_first": False}),
        ("3-4-26", {"day_first": True}), ("2026/02/23", {}), ("2026-02-03", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "clock", ["{:02d}:{:02d}", "{:d}:{:02d}:00 {}", "{:02d}:{:02d}:00.5"]
)
def test_dates_and_times_of_day_in_many_orders(date, options, clock):
    order = "ymd" if date[4] in "/-" and date[2] != "-" else None
    numbers = [int(x) for x in re.findall(r"\d+", date)]
    if order is None:
        day_first = options.get("day_first", numbers[1] <= 12)
        numbers = [numbers[2], *(numbers[1::-1] if day_first else numbers[:2])]
    year, month, day = numbers
    expected = pd.Timestamp(2000 + year % 100, month, day, 13, 5)
    if order:
        clock = "{:02d}:{:02d}"
    hour = 13 if "{}" not in clock else 1
    cells = [clock.format(hour, minute, "PM") for minute in (5, 6)]
    for rows, columns in (
        ([f'"{date} {cell}",{date}' for cell in cells], {}),
        ([f"{date},{cell}" for cell in cells], {"time_column": ["time", "clock"]}),
    ):
        text = "time,clock,power\n" + "".join(f"{row},300\n" for row in rows)
        power = read_meter(io.StringIO(text), **columns, **options)
        assert power.index[0].floor("min") == expected and len(power) == 2


def test_an_hour_that_comes_twice_has_a_cure_for_files_and_series():
    at = pd.date_range("2026-10-24 22:00", periods=300, freq="min", tz="UTC")
    clock = at.tz_convert("Europe/Paris").tz_localize(None)
    power = pd.Series(np.arange(300) % 50 + 300.0, clock)
    text = as_file(power).getvalue()
    with pytest.raises(ValueError, match="repeated in autumn") as refused:
        read_meter(io.StringIO(text))
    (read,) = cures(text, refused)
    with pytest.raises(ValueError, match="repeated in autumn") as refused:
        check_power(power)
    cure = re.search(r"power\.tz_localize\(.*\)", str(refused.value))[0]
    for each in (read, check_power(eval(cure, {"power": power}))):
        assert (each.index == at).all() and (each.to_numpy() == power.to_numpy()).all()


def test_a_date_that_may_be_two_is_asked_for():
    text = "time,power\n03/04/2026 18:00,300\n03/04/2026 18:01,400\n"
    with pytest.raises(ValueError, match="line 2 is 2026-04-03 or 2026-03-04") as asked:
        read_meter(io.StringIO(text))
    assert [str(power.index[0].date()) for power in cures(text, asked)] == [
        "2026-04-03",
        "2026-03-04",
    ]
    wrong = "time,power\n03/04/2026 18:00,300\n03/14/2026 18:01,400\n"
    with pytest.raises(
        ValueError, match=r"'03/14/2026 18:01' in line 3.*day_first=False"
    ):
        read_meter(io.StringIO(wrong), day_first=True)


def test_the_order_of_dates_is_that_of_the_first_lines(monkeypatch):
    """Read piece by piece, the second piece, which alone could be in April, is in February."""
    at = pd.date_range("2026-02-13", periods=20, freq="1D")
    lines = [f"{day:%m/%d/%Y},300" for day in at]
    monkeypatch.setattr(csv_file, "LINES", 10)
    power = read_meter(io.StringIO("time,power\n" + "\n".join(lines)))
    assert (power.index == at).all()


@pytest.mark.parametrize(("factor", "digits"), [(1, 0), (1, 1), (1000, 0)])
def test_seconds_since_1970_are_utc(factor, digits):
    first = 1771869600.5 if digits else 1771869600  # 2026-02-23 18:00 in UTC
    text = f"time,power\n{first * factor},300\n{(first + 60) * factor},400\n"
    power = read_meter(io.StringIO(text))
    assert power.index[0].floor("s") == pd.Timestamp("2026-02-23 18:00", tz="UTC")
    for number in ("20260223", "45000.5", "3"):
        with pytest.raises(ValueError, match=r"is a number, needs a time.* since 1970"):
            read_meter(io.StringIO(f"time,power\n{number},300\n"))


def by_the_second(at, values, num_seconds, hold):
    """The reading of each second, by a loop: the oracle of the means."""
    seconds = np.full(num_seconds, np.nan)
    for number, (start, value) in enumerate(zip(at, values, strict=True)):
        last = at[number + 1] if number + 1 < len(at) else num_seconds
        seconds[start : min(last, start + hold)] = value
    return seconds


@pytest.mark.parametrize("block", [3, 1_000_000])
@pytest.mark.parametrize("seed", range(5))
def test_means_of_steps_weigh_time(seed, block, monkeypatch):
    monkeypatch.setattr(steps, "BLOCK", block)
    rng = np.random.default_rng(seed)
    at = np.sort(rng.choice(3600, 150, replace=False))
    at = at[(at < 900) | (at > 1300)]  # a gap
    values = np.where(rng.random(len(at)) < 0.1, np.nan, rng.uniform(0, 3000, len(at)))
    index = pd.Timestamp("2026-02-23 18:00") + pd.to_timedelta(at, unit="s")
    power = read_meter(as_file(pd.Series(values, index)), step="1min", hold="100s")
    first = at[0] // 60
    seconds = by_the_second(at, values, 60 * (at[-1] // 60 + 1), 100)
    each = pd.DataFrame(seconds.reshape(-1, 60)).T
    expected = each.mean().where(each.count() >= 30)[first:]
    assert power.index[0] == pd.Timestamp("2026-02-23 18:00") + first * pd.Timedelta(
        "1min"
    )
    assert power.index.freq == "1min"
    assert np.allclose(power, expected, equal_nan=True)
    assert 0 < power.isna().sum() < 20


def test_of_two_readings_at_a_stamp_the_later_counts():
    text = (
        "time,power\n2026-02-23 18:00,300\n2026-02-23 18:00,500\n2026-02-23 18:01,400\n"
    )
    assert read_meter(io.StringIO(text), step="30s").tolist() == [500, 500, 400]


def test_a_register_becomes_power_without_loss():
    """On an even grid, at odd times with step=, and across a replaced meter."""
    rng = np.random.default_rng(0)
    watts = rng.uniform(100, 2000, 96)
    at = pd.date_range("2026-01-01", periods=97, freq="15min")
    total = pd.Series(np.r_[0, watts.cumsum()] / 4000 + 23622, at)
    for unit, register in (("kWh", total), ("Wh", 1000 * total)):
        power = read_meter(as_file(register), unit=unit, cumulative=True)
        assert power.index.freq == "15min" and np.allclose(power, watts)
    seconds = np.sort(rng.choice(86400, 3000, replace=False))
    odd = at.union(at[0] + pd.to_timedelta(seconds, unit="s"))
    energy = pd.Series(np.interp(odd.asi8, at.asi8, total), odd)
    power = read_meter(as_file(energy), unit="kWh", cumulative=True, step="15min")
    assert np.allclose(power, watts, rtol=1e-6)
    replaced = total - 23000 * (total.index >= at[50])
    power = read_meter(as_file(replaced), unit="kWh", cumulative=True)
    assert power.isna().sum() == 1 and np.isnan(power.iloc[49])


def test_the_cures_for_a_register_are_its_power():
    at = pd.date_range("2026-01-01", periods=40, freq="15min")
    text = as_file(pd.Series(23622 + 0.127 * np.arange(40), at)).getvalue()
    with pytest.raises(ValueError, match="rises 39 times") as refused:
        read_meter(io.StringIO(text))
    kwh, wh = cures(text, refused)
    assert np.allclose(kwh, 508) and wh is None  # half a watt
    load = as_file(minutes(np.tile([300.0, 900, 200], 40)))
    with pytest.raises(ValueError, match=r"falls in 40 of .* changes"):
        read_meter(load, unit="Wh", cumulative=True)


def test_cells_that_stand_for_a_missing_reading():
    text = (
        "time,power\n2026-02-23 18:00,300\n2026-02-23 18:01,-1\n2026-02-23 18:02,lost\n"
    )
    power = read_meter(io.StringIO(text), missing=["lost", -1])
    assert np.allclose(power, [300, np.nan, np.nan], equal_nan=True)


def test_columns_are_a_table():
    table = pd.DataFrame(
        {"mains": [300.0, 2300.0], "kettle": [0.0, 2000.0]}, minutes([0, 0]).index
    )
    text = table.rename_axis("time").to_csv()
    read = read_meter(io.StringIO(text), power_column=["kettle", "mains"])
    pd.testing.assert_frame_equal(
        read, table[["kettle", "mains"]], check_names=False, check_index_type=False
    )
    assert read.index.freq == "1min" and read.index.name == "time"


def test_energies_and_steps_of_minutes():
    text = "time,power\n2026-02-23 18:00,0.1\n2026-02-23 18:15,0.2\n"
    power = read_meter(io.StringIO(text), unit="kWh", step="5min")
    assert np.allclose(power, [400] * 3 + [800] * 3)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zip"])
def test_packed_files_with_lines_before_the_names(suffix, tmp_path):
    text = "a reader\n\nhis meter\ntime,power\n2026-02-23 18:00,300\n\nnever,400\n"
    path = tmp_path / f"meter{suffix}"
    if suffix == ".csv.zip":
        pd.io.common.zipfile.ZipFile(path, "w").writestr("meter.csv", text)
    else:
        path.write_bytes(
            gzip.compress(text.encode()) if "gz" in suffix else text.encode()
        )
    with pytest.raises(ValueError, match="'never' in line 7 is not a time"):
        read_meter(path, skip_lines=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "separator: got ';;', needs one character"),
        ({"skip_lines": -1}, "skip_lines: got -1"), ({"day_first": 1}, "day_first: got int"),
        ({"missing": "lost"}, "missing: got 'lost', needs a list"),
        ({"step": "a while"}, "step: got 'a while'"), ({"hold": 0}, "hold: got 0"),
        ({"cumulative": True}, "unit: got none with cumulative=True, needs"),
        ({"signed": "yes"}, "signed: got str"),
        ({"power_column": []}, "power_column: got list, needs a str, or a list of them"),
        ({"power_column": ["power", "power"]}, "needs each once"),
        ({"time_column": ["time", 3]}, "time_column: got .'time', 3., needs a str"),
    ],
)  # fmt: skip
def test_odd_options_are_refused_before_the_file_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        read_meter("no such file", **options)


def test_signed_readings_are_kept_only_if_asked():
    text = "time,power\n2026-02-23 18:00,300\n2026-02-23 18:00:30,-900\n2026-02-23 18:01,5\n"
    power = read_meter(io.StringIO(text), signed=True, step="1min")
    assert power.tolist() == [-300, 5]
    with pytest.raises(ValueError, match="1 of 2 readings are negative"):
        check_power(power)
