"""From a meter to readings: files read as watts, and series checked before use.

* reader: a file as watts; options, layout, formats: how a file is written, and which are
  recognised
* csv_file, columns, stamps, readings: its lines, numbers and times; clock: its time zone
* register, steps: power from a register, and the mean of each step
* series: a checked series; order, grid, register, faults: its stamps and readings
* source: how messages name what the caller passed
"""
