"""From a meter to readings: files read as watts, and series checked before use.

These files are recognised by `read_meter(file)`; `.attrs["meter"]` of the answer says as what,
and options that are passed count more:

* Home Assistant, a history downloaded as CSV: `entity_id,state,last_changed`. Of several
  sensors one is chosen by its name, or a list of them:
  `read_meter(file, power_column="sensor.mains_power")`. A reading holds for up to a day.
* Green Button, the CSV of North American utilities: lines on the account, then date, start
  time and kWh of each interval.
* UK-DALE and REDD, `channel_1.dat` or `mains.dat`: seconds since 1970, and watts.
* REFIT, `CLEAN_House1.csv`. Its appliances are columns:
  `read_meter(file, power_column=["Aggregate", "Appliance1"])`.
* HomeWizard, the export of a Dutch P1 meter or of a kWh meter: registers of each tariff.

Logs that are not on an even grid become means of each minute. What a house with solar panels
feeds into the grid is not drawn by it: `read_meter` asks whether to subtract it.

Files of others, with the call that reads each::

    # Shelly EM, em_data.csv
    read_meter(file, "Date/time UTC", "Active energy Wh (1)", unit="Wh", time_zone="UTC")
    # Shelly Pro 3EM, three phases
    phases = [f"{phase}_total_act_energy" for phase in "abc"]
    read_meter(file, "timestamp", phases, unit="Wh").sum(axis=1, min_count=3)
    # Emporia Vue, two phases, minute by minute
    zone = "America/New_York"
    mains = ["Home-Mains_A (kWatts)", "Home-Mains_B (kWatts)"]
    read_meter(
        file, f"Time Bucket ({zone})", mains, "kW", zone, day_first=False, missing=["No CT"]
    ).sum(axis=1, min_count=2)
    # Enphase, with meters of consumption
    read_meter(file, "Date/Time", "Energy Consumed (Wh)", unit="Wh")
    # Linky, the load curve of Enedis, whose stamps end an interval
    read_meter(file, "Horodate", "Valeur", separator=";", skip_lines=2).shift(-1)
    # date and time apart, decimal commas, as of a German spreadsheet
    read_meter(file, ["Datum", "Zeit"], "kWh", "kWh", separator=";", decimal=",")
    # a register in kWh: the power until the next reading
    read_meter(file, "time", "total", "kWh", cumulative=True)
    # net power behind solar panels, negative where it is fed into the grid
    read_meter(file, "time", "grid", signed=True)

Its modules:

* reader: a file as watts; options, layout, formats: how a file is written, and which are
  recognised
* csv_file, columns, stamps, readings: its lines, numbers and times; clock: its time zone
* register, steps: power from a register, and the mean of each step
* series: a checked series; order, grid, register, faults: its stamps and readings
* source: how messages name what the caller passed
"""

__all__: list[str] = []
