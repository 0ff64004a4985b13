"""The house of chapter 10: fetched once, checked, and found where HMMLIB_DATA says."""

import gzip
import hashlib

import pytest
from test_household import served
from ukdale import needs_ukdale

from hmmlib.datasets import ukdale

MADE_UP = """Time,Aggregate,Kettle,Dishwasher,WashingMachine,Microwave
2013-06-01 00:00:00,190.5,0,0.0,0.0,0.0
2013-06-01 00:01:00,2290.5,2100.0,0.0,0.0,0.0
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A made-up file under the name and the checksum of the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HMMLIB_DATA", raising=False)
    path = tmp_path / "data" / ukdale.URL.rsplit("/", 1)[-1]
    path.parent.mkdir()
    path.write_bytes(gzip.compress(MADE_UP.encode()))
    monkeypatch.setattr(ukdale, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def check(table):
    assert list(table.columns) == [
        "mains", "kettle", "dishwasher", "washing_machine", "microwave",
    ]  # fmt: skip
    assert table.index.name == "time" and table.index.freq == "min"
    assert table["mains"].tolist() == [190.5, 2290.5]
    assert table["kettle"].tolist() == [0.0, 2100.0]
    assert {dtype.kind for dtype in table.dtypes} == {"f"}


def test_it_is_found_in_the_folder_that_is_named(house, monkeypatch):
    monkeypatch.setattr(ukdale, "URL", f"http://127.0.0.1:9/{house.name}")  # nobody
    monkeypatch.setenv("HMMLIB_DATA", str(house.parent))
    check(ukdale.fetch_ukdale())
    house.write_bytes(b"another")
    with pytest.raises(
        ValueError, match=f"HMMLIB_DATA: .*{house.name} has the SHA-256"
    ):
        ukdale.fetch_ukdale()


def test_it_is_downloaded_once(house, monkeypatch):
    monkeypatch.setenv("HMMLIB_DATA", str(house.parent.parent))  # has no such file
    with served(house.parent) as address:
        monkeypatch.setattr(ukdale, "URL", f"{address}/{house.name}")
        check(ukdale.fetch_ukdale(progressbar=False))
    check(ukdale.fetch_ukdale(progressbar=False))  # the server is gone


def test_offline_it_says_what_to_do(house, monkeypatch):
    monkeypatch.setattr(ukdale, "URL", f"http://127.0.0.1:9/{house.name}")
    with pytest.raises(OSError, match=r"could not be downloaded.*http.*HMMLIB_DATA"):
        ukdale.fetch_ukdale(progressbar=False)


@needs_ukdale
def test_the_month_is_as_its_description_says():
    table = ukdale.fetch_ukdale(progressbar=False)
    assert table.shape == (43_200, 5) and table.notna().all().all()
    assert [str(time) for time in table.index[[0, -1]]] == [
        "2013-06-01 00:00:00",
        "2013-06-30 23:59:00",
    ]
    mains = table["mains"]
    runs = mains.groupby((mains != mains.shift()).cumsum()).size()
    assert runs.max() == 3
