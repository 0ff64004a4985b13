"""Files of well-known meters are recognised, and said to be; the rest is read by options.

All numbers are made up; the lines look as those of the real files do.
"""

import ast
import io
import re
import textwrap

import numpy as np
import pandas as pd
import pytest

from hmmlib.meter import read_meter
from hmmlib.nilm.meters import reader

CALL = r"read_meter\(file(?:[^()]|\([^()]*\))*\)(?:\.sum\([^()]*\))?"

HOME_ASSISTANT = """entity_id,state,last_changed
sensor.mains_power,300.0,2026-04-24T10:00:00.000Z
sensor.mains_power,900.0,2026-04-24T10:00:30.000Z
sensor.mains_power,unavailable,2026-04-24T10:02:00.000Z
sensor.mains_power,400.0,2026-04-24T10:04:00.250Z
"""
TWO_SENSORS = HOME_ASSISTANT + "sensor.kettle_power,2000,2026-04-24T10:00:00.000Z\n"
BLOCK = (
    'Name,A READER\nAddress,"1 MAIN ST, TOWN"\nAccount Number,1\nService,Service 1\n\n'
)
GREEN_BUTTON = BLOCK + (
    "TYPE,DATE,START TIME,END TIME,USAGE,UNITS,COST,NOTES\n"
    "Electric usage,2012-10-31,00:00,00:59,1.16,kWh,$0.15,\n"
    "Electric usage,2012-10-31,01:00,01:59,0.97,kWh,$0.12,\n"
)
SOLAR = BLOCK + (
    "TYPE,DATE,START TIME,END TIME,IMPORT (kWh),EXPORT (kWh),NOTES\n"
    "Electric usage,9/1/2025,0:00,0:14,0.12,0,\n"
    "Electric usage,9/1/2025,0:15,0:29,0.02,0.10,\n"
)
SDGE = (
    "Name,A READER\nResource,Electric\nMeter Number,1\nInterval UOM,Minute(s)\n"
    "Total Usage,0.66\nUOM,kWh\n"
    "Meter Number,Date,Start Time,Duration,Consumption,Generation,Net\n"
    '"1","11/1/2022","12:00 AM","60","0.2200","","0.2200"\n'
    '"1","11/1/2022","1:00 AM","60","0.4400","","0.4400"\n'
)
CHANNEL = "1352500098 240\n1352500104 260\n1352500110 250\n1352500158 250\n"
MAINS = "1363547562.4 233.45 263.67 244.53\n1363547563.4 235.45 264.10 244.60\n"
REDD = "1303132929 226.31\n1303132932 224.31\n"
REFIT = (
    "Time,Unix,Aggregate,Appliance1,Appliance2,Appliance3,Appliance4,Appliance5,"
    "Appliance6,Appliance7,Appliance8,Appliance9,Issues\n"
    "2013-10-09 13:06:17,1381323977,523,74,0,69,0,0,0,0,0,1,0\n"
    "2013-10-09 13:06:31,1381323991,526,75,0,69,0,0,0,0,0,1,0\n"
)
P1 = (
    "time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh,L1 max W\n"
    "2024-01-01 00:00,100.000,200.000,50.000,30.000,0\n"
    "2024-01-01 00:15,100.100,200.000,50.000,30.000,0\n"
    "2024-01-01 00:30,100.200,200.050,50.000,30.000,0\n"
)


def read(text, *args, **options):
    return read_meter(
        io.StringIO(text), *args, **{"expected_watts": (1, 9e4)} | options
    )


@pytest.mark.parametrize(
    ("text", "said", "start", "step", "watts"),
    [
        (HOME_ASSISTANT, "Home Assistant history: W in 'state', time in 'last_changed'",
         "2026-04-24 10:00Z", "1min", [600, 900, np.nan, np.nan, 400]),
        (GREEN_BUTTON, "Green Button CSV: kWh in 'USAGE', time in 'DATE' and 'START TIME'",
         "2012-10-31 00:00", "1h", [1160, 970]),
        (GREEN_BUTTON.replace("USAGE,UNITS", "USAGE (kWh),X"), "kWh in 'USAGE (kWh)'",
         "2012-10-31 00:00", "1h", [1160, 970]),
        (SOLAR.replace("0.10,", "0,"), "IMPORT", "2025-09-01", "15min", [480, 80]),
        (SDGE, "'Consumption'", "2022-11-01", "1h", [220, 440]),
        (CHANNEL, "UK-DALE or REDD: W in 'power'", "2012-11-09 22:28Z", "1min", [250.0]),
        (MAINS, "UK-DALE", "2013-03-17 19:12Z", "1min", [np.nan]),
        (REFIT, "REFIT: W in 'Aggregate', time in 'Unix'", "2013-10-09 13:06Z", "1min",
         [(14 * 523 + 29 * 526) / 43]),
        (P1, "Dutch P1 meter: cumulative kWh in 'Import T1 kWh' + 'Import T2 kWh'",
         "2024-01-01", "15min", [400, 600]),
        (P1.replace("T1 ", "").replace("Import T2 kWh,", "x,"), "kWh in 'Import kWh'",
         "2024-01-01", "15min", [400, 400]),
    ],
    ids=["home assistant", "green button", "unit in the name", "import", "with am and pm",
         "channel", "mains", "refit", "p1", "kwh meter"],
)  # fmt: skip
def test_well_known_files_are_recognised(text, said, start, step, watts):
    power = read(text)
    assert said in power.attrs["meter"]
    assert power.index[0] == pd.Timestamp(start) and power.index.freq == step
    assert np.allclose(power, watts, equal_nan=True)


def test_what_is_not_recognised_is_not_said_to_be():
    assert "meter" not in read("time,power\n2026-02-23 18:00,300\n").attrs


def test_several_sensors_are_asked_for_one():
    with pytest.raises(
        ValueError, match=r"2 series, 'sensor.kettle_power', 'sensor.m"
    ) as asked:
        read(TWO_SENSORS)
    assert cured(TWO_SENSORS, asked).tolist() == [2000]
    table = read(
        TWO_SENSORS, power_column=["sensor.mains_power", "sensor.kettle_power"]
    )
    assert list(table) == ["sensor.mains_power", "sensor.kettle_power"]
    assert table.iloc[0].tolist() == [600, 2000] and table.index.freq == "1min"
    with pytest.raises(
        ValueError, match=r"no entity_id 'sensor.tv', it has 'sensor.kettle"
    ):
        read(TWO_SENSORS, power_column="sensor.tv")


def test_a_register_of_home_assistant_is_read_by_the_call_that_is_offered():
    lines = [
        f"sensor.total,{7 + 0.02 * n:.2f},2026-04-24T{10 + n // 6:02d}:{n % 6}3:20.5Z\n"
        for n in range(40)
    ]
    text = "entity_id,state,last_changed\n" + "".join(lines)
    with pytest.raises(ValueError, match="as a register does") as asked:
        read_meter(io.StringIO(text))
    power = cured(text, asked)
    assert np.allclose(power, 120)  # 0.02 kWh in ten minutes
    assert power.index.freq == "1min"


def test_what_counts_gas_is_no_power():
    gas = GREEN_BUTTON.replace("kWh", "therms").replace("Electric", "Natural gas")
    with pytest.raises(ValueError, match=r"as many cells|no column 'time'"):
        read(gas)


def test_options_count_more_than_what_was_recognised():
    text = HOME_ASSISTANT.replace("400.0", "lost")
    power = read(text, missing=["lost"], step="30s", hold="1min")
    assert np.allclose(power.iloc[:5], [300, 900, 900, np.nan, np.nan], equal_nan=True)
    assert power.iloc[3:].isna().all() and power.index.freq == "30s"


def test_appliances_of_refit_are_a_table():
    table = read(REFIT, power_column=["Aggregate", "Appliance1", "Appliance3"])
    assert list(table) == ["Aggregate", "Appliance1", "Appliance3"]
    assert np.allclose(table["Appliance3"], 69)


def cured(text, asked, number=0):
    """What the call makes of the file that a message offers."""
    calls = re.findall(CALL, str(asked.value))
    names = {"read_meter": read_meter, "file": io.StringIO(text), "io": io, "pd": pd}
    return eval(calls[number], names)


def test_what_is_fed_into_the_grid_needs_a_decision():
    fed = P1.replace(
        "50.000,30.000,0\n2024-01-01 00:30", "50.0,30.0,0\n2024-01-01 00:30"
    )
    fed = fed.replace("200.050,50.000,30.000", "200.050,50.000,30.200")
    for text, net, drawn in (
        (fed, [400, -200], [400, 600]),
        (SOLAR, [480, -320], [480, 80]),
    ):
        with pytest.raises(
            ValueError, match=r"fed into the grid.*needs a decision"
        ) as asked:
            read(text)
        assert np.allclose(cured(text, asked, 0), net)
        assert np.allclose(cured(text, asked, 1), drawn)


SHELLY = (
    "Date/time UTC,Active energy Wh (1),Returned energy Wh (1),Min V,Max V\n"
    "2025-12-27 00:00,50.10,0.00,232.0,233.5\n2025-12-27 00:10,25.00,0.00,232.0,233.5\n"
)
SHELLY_3 = (
    "timestamp,a_total_act_energy,a_fund_act_energy,b_total_act_energy,c_total_act_energy\n"
    "1683097260,1.5,1,2.5,3\n1683097320,1,1,2,3\n"
)
EMPORIA = (
    "Time Bucket (America/New_York),Home-Mains_A (kWatts),Home-Mains_B (kWatts)\n"
    "12/04/2025 00:00:00,0.5,1.25\n12/04/2025 00:01:00,No CT,1.5\n"
)
ENPHASE = (
    "Date/Time,Energy Produced (Wh),Energy Consumed (Wh)\n"
    "2021-12-01 00:00:00 +0000,0,22\n2021-12-01 00:15:00 +0000,0,17\n"
)
LINKY = (
    "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Unite\n"
    "1;Courbe de charge;05/01/2026;06/01/2026;W\nHorodate;Valeur\n"
    "2026-01-05T00:30:00+01:00;1200\n2026-01-05T01:00:00+01:00;800\n"
)
GERMAN = "Datum;Zeit;kWh\n28.03.2026;23:45;0,125\n29.03.2026;0:00;0,25\n"
REGISTER = (
    "time,total\n2026-01-01 00:00,7.0\n2026-01-01 00:30,7.25\n2026-01-01 01:00,7.5\n"
)
GRID = "time,grid\n2026-06-01 12:00,300\n2026-06-01 12:01,-900\n"
OTHERS = [SHELLY, SHELLY_3, EMPORIA, ENPHASE, LINKY, GERMAN, REGISTER, GRID]
WATTS = [
    [300.6, 150], [420, 360], [1750, np.nan], [88, 68], [800, np.nan], [500, 1000],
    [500, 500], [300, -900],
]  # fmt: skip


def documented():
    """The calls in the documentation, each with the lines before it."""
    block = reader.__doc__.split("reads each:\n\n")[1]
    return [each.split("\n", 1)[1] for each in textwrap.dedent(block).split("# ")[1:]]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_the_calls_of_the_documentation_read_the_files_of_others(number):
    *before, call = ast.parse(documented()[number]).body
    names = {
        "file": None,
        "read_meter": lambda _, *args, **how: read(OTHERS[number], *args, **how),
    }
    exec(compile(ast.Module(before, []), "documentation", "exec"), names)
    power = eval(compile(ast.Expression(call.value), "documentation", "eval"), names)
    assert np.allclose(power, WATTS[number], equal_nan=True)


def test_all_calls_of_the_documentation_are_tried():
    assert len(documented()) == len(OTHERS) == len(WATTS)
