"""From a meter to readings: files read as watts, and series checked before use.

* reader: a file as watts; csv_file, columns, clock: its lines, cells and time zone
* series: a checked series; order, grid, register, faults: its stamps and readings
* source: how messages name what the caller passed
"""
