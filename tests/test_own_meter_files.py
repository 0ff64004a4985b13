"""A dropped file is read as `read_meter` reads it, or refused in words that name the line."""

import io
import time

import numpy as np
import pandas as pd
import pytest
from explorers import page_of
from meters import as_file, minutes
from own_meters import a_meter, sample

from hmmlib.meter import read_meter

READ = """([text, chosen]) => {
    const bytes = new TextEncoder().encode(text);
    const found = hmmExplore.readMeter(bytes, chosen || {});
    return { ...found, watts: Array.from(found.watts, v => Number.isNaN(v) ? null : v) };
}"""
REFUSED = """([bytes, chosen]) => {
    try { hmmExplore.readMeter(new Uint8Array(bytes), chosen || {}); return "it was read"; }
    catch (error) { return error.message; }
}"""


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.set_content(page_of(sample()))
    yield page
    page.close()


def read(page, text, **chosen):
    """The readings as a Series, and what else was found."""
    found = page.evaluate(READ, [text, chosen])
    watts = [np.nan if x is None else x for x in found["watts"]]
    start = pd.Timestamp(found["start"], unit="ms")
    index = pd.date_range(start, periods=len(watts), freq="min")
    return pd.Series(watts, index, dtype=float), found


def refused(page, text, **chosen):
    data = text if isinstance(text, bytes) else text.encode()
    return page.evaluate(REFUSED, [list(data), chosen])


def same(found, wanted):
    if wanted.index.tz is not None:
        wanted = wanted.tz_convert(None)
    assert (found.index == wanted.index).all()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


POWER = minutes([250, 1250, np.nan, 300, 2310.5])
TEXT = as_file(POWER.dropna()).getvalue()


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TEXT, {}),
        (TEXT.replace("\n", "\r\n"), {}),
        ("\ufeff" + TEXT, {}),
        (TEXT.replace(",250.0", ',"250.0"'), {}),
        (TEXT.replace(",", ";").replace(".", ","), {"separator": ";", "decimal": ","}),
        (TEXT.replace(",", "\t"), {"separator": "\t"}),
        (as_file(POWER / 1000, ("Zeit", "kW")).getvalue(),
         {"time_column": "Zeit", "power_column": "kW", "unit": "kW"}),
        ("a meter\nof a house,\n\n" + TEXT, {"skip_lines": 2}),
        ("Datum;Zeit;Leistung\n23.02.2026;18:00;250\n23.02.2026;18:01;1250,5\n",
         {"time_column": ["Datum", "Zeit"], "power_column": "Leistung", "separator": ";",
          "decimal": ","}),
        ("time,power\n02/23/2026 6:59 PM,250\n02/23/2026 7:00 PM,350\n", {"day_first": False}),
        ("time,power\n23/02/26 18:59,250\n23/02/26 19:00,350\n", {"day_first": True}),
        ("time,power\n2026-02-23T18:59:00+01:00,250\n2026-02-23T19:00:00+0100,350\n", {}),
        ("time,voltage,power\n2026-02-23 18:00,230,400\n2026-02-23 18:01,231,500\n", {}),
        ("time,power\n2026-02-23 18:00,400\n2026-02-23 18:01,unavailable\n"
         "2026-02-23 18:02,\n2026-02-23 18:03,500\n", {"missing": ["unavailable"]}),
    ],
)  # fmt: skip
def test_a_file_is_read_as_by_the_library(page, text, options):
    found, _ = read(page, text)
    same(found, read_meter(io.StringIO(text), **options))


def test_uneven_readings_become_means_of_a_minute(page):
    """Every few seconds, with gaps; a reading holds for three minutes at most."""
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.choice([6, 7, 8, 40, 250], 800, p=[0.4, 0.3, 0.2, 0.08, 0.02]))
    watts = rng.uniform(50, 3000, 800).round(1)
    watts[rng.random(800) < 0.05] = np.nan
    index = pd.Timestamp("2026-02-23 18:00:13") + pd.to_timedelta(at, "s")
    text = pd.Series(watts, index).rename_axis("time").to_csv(header=["power"])
    wanted = read_meter(io.StringIO(text), step="1min", hold="3min")
    assert 0 < wanted.isna().sum() < len(wanted) / 2
    same(read(page, text)[0], wanted)
    seconds = pd.Series(watts, (index - pd.Timestamp(0)) // pd.Timedelta("1s"))
    same(read(page, seconds.rename_axis("time").to_csv(header=["power"]))[0], wanted)
    dat = "".join(f"{t} {x}\n" for t, x in seconds.dropna().items())
    same(read(page, dat)[0], read_meter(io.StringIO(dat)))
    seldom = np.cumsum(rng.exponential(600, 200).round() + 1)
    changes = pd.Series(watts[:200], index[0] + pd.to_timedelta(seldom, "s"))
    text = changes.rename_axis("time").to_csv(header=["power"])
    same(read(page, text)[0], read_meter(io.StringIO(text), step="1min", hold="1h"))


def test_what_a_file_leaves_open_is_for_the_reader_to_choose(page):
    text = "time,power a,power b\n03/04/2026 18:00,2.5,310\n03/04/2026 18:01,2.4,320\n"
    found, told = read(page, text)
    assert told["ambiguous"] and told["unit"] == "kW" and found.index[0].month == 4
    assert [each["name"] for each in told["columns"]] == ["power a", "power b"]
    found, told = read(page, text, power=2, dayFirst=False)
    assert found.tolist() == [310, 320] and found.index[0].month == 3
    assert told["unit"] == "W" and told["power"] == 2
    assert "Is it in another unit" in refused(page, text, unit="W")


def test_newest_first_is_turned_round_and_a_year_is_cut(page):
    same(read(page, as_file(POWER.iloc[::-1]).getvalue())[0], POWER)
    long = minutes(np.tile([300.0, 310.0, 290.0], 20_000))
    found, told = read(page, as_file(long).getvalue())
    same(found, long.iloc[-44_640:])
    assert told["cut"] == 60_000 - 44_640 and told["lines"] == 60_000


START = "time,power\n2026-02-23 18:00,300\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "The file is empty"),
        (b"\n \n", "The file is empty"),
        (bytes(range(256)) * 20, "no text"),
        (b"PK\x03\x04" + bytes(200), "spreadsheet; save the sheet as CSV"),
        (b"\x1f\x8b\x08" + bytes(200), "packed file; unpack"),
        ("2026-02-23\n2026-02-24\n", "Line 1 has one column, “2026-02-23”"),
        ("power\n300\n310\n", "Line 1 has one column, “power”"),
        ("a,b\n1,2\n3,4\n", "No time in the first 3 lines"),
        ("time,name\n2026-02-23 18:00,x\n2026-02-23 18:01,y\n", "No column of numbers"),
        (START + "2026-02-23 18:01,offline\n", "Line 3: “offline” is not a number"),
        (START + "yesterday,300\n", "Line 3: “yesterday” is not a time"),
        (START + "2026-02-30 18:01,300\n", "Line 3: “2026-02-30 18:01” is not a time"),
        (START + "2026-02-23 24:61,300\n", "is not a time"),
        (START + "2026-02-23 18:01,-20\n", "Line 3: -20 is below 0"),
        (START + "2026-02-23 18:00,310\n2026-02-23 18:01,3\n2026-02-23 18:02,3\n",
         "Line 3: the time 2026-02-23 18:00 comes twice"),
        (START + "2026-02-23 18:02,1\n2026-02-23 18:01,3\n2026-02-23 18:04,3\n",
         "Line 4 goes back in time, to 2026-02-23 18:01"),
        (START + "2026-02-23 18:15,300\n2026-02-23 18:30,310\n",
         "Most readings are 15 minutes apart"),
        (START + "2026-02-23 18:16,300\n2026-02-23 18:30,310\n2026-02-23 18:46,310\n",
         "Most readings are 16 minutes apart"),
        (START + "2026-02-23 18:01,300\n2099-02-23 18:02,310\n2099-02-23 18:03,310\n",
         "Line 4: no reading from 2026-02-23 18:01 to 2099-02-23 18:02"),
        ("time,kWh\n2026-02-23 18:00,300\n2026-02-23 18:01,301\n", "names an energy"),
        ("time,power\n" + "".join(f"2026-02-23 18:{n:02d},{300 + n}\n" for n in range(40)),
         "rises 39 times and never falls"),
        (START + "2026-02-23 18:01,3e9\n", "3,000,000,000 W, expected are 100 to 100,000"),
        ("entity_id,state,last_changed\na,300,2026-02-23 18:00\nb,20,2026-02-23 18:01\n",
         "Line 3 is of “b”, and the lines before it of “a”"),
        ("time,power\n" + "2026-02-23 18:00,nan\n", "No column of numbers"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_in_words(page, text, message):
    found = refused(page, text)
    assert message in found
    assert len(found) < 260 and "undefined" not in found and "NaN" not in found


def test_a_million_lines(page, capsys):
    """Six seconds apart for ten weeks: the last month is taken, in a few seconds."""
    page.evaluate(
        """() => {
            const lines = ["time,power"];
            for (let n = 0; n < 1e6; n++)
                lines.push(new Date(1.7e12 + 6000 * n).toISOString() + "," + (200 + n % 977));
            window.long = new TextEncoder().encode(lines.join("\\n"));
        }"""
    )
    begun = time.perf_counter()
    told = page.evaluate(
        """() => { const { watts, cut, lines } = hmmExplore.readMeter(long);
                   return [watts.length, cut, lines, watts.every(v => v >= 200)]; }"""
    )
    seconds = time.perf_counter() - begun
    with capsys.disabled():
        print(f"\na million lines: {seconds:.1f} s")
    assert told[0] == 44_640 and told[1] > 50_000 and told[2:] == [1_000_000, True]


def test_a_file_in_wide_letters(page):
    data = "\ufeff" + as_file(a_meter(1)[0].iloc[:5]).getvalue()
    found = page.evaluate(
        "bytes => Array.from(hmmExplore.readMeter(new Uint8Array(bytes)).watts)",
        list(data.encode("utf-16le")),
    )
    assert found == a_meter(1)[0].iloc[:5].tolist()
