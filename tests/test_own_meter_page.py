"""A reader's own meter in use: a file dropped, appliances named, a split, a file to keep."""

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest
from browser import PHONE
from own_meters import TOLD, a_meter, described, sample
from test_browser import AXE, SERIOUS

from hmmlib import nilm

DROP = """([text, name]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name, { type: "text/csv" }));
    const zone = document.querySelector(".hmm-drop");
    for (const kind of ["dragenter", "dragover", "drop"])
        zone.dispatchEvent(new DragEvent(kind, { dataTransfer: data, cancelable: true }));
}"""


def as_text(power):
    return power.dropna().rename_axis("time").to_csv(header=["power"])


def drop(page, power, name="mine.csv"):
    """Drop a file of these readings; returns when it is split."""
    page.evaluate(DROP, [as_text(power), name])
    finished(page, name)


def finished(page, name="sample data"):
    shown = page.locator(".hmm-facts b", has_text=name)
    shown.wait_for()
    page.locator("progress").wait_for(state="hidden")
    assert page.locator(".hmm-stale").count() == 0


def table(page):
    """The cells of the table of energies, by appliance."""
    rows = page.locator(".hmm-split tbody tr").all()
    return {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in rows
    }


def assert_shows(page, house, power, day):
    """Energies and intervals as the library has them, of all days and of the one shown."""
    whole = nilm.energy_intervals(house, power, by="1000D").droplevel(0)
    daily = nilm.energy_intervals(house, power).loc[pd.Timestamp(day)]
    for name, cells in table(page).items():
        for of, shown in ((whole.loc[name], cells[:2]), (daily.loc[name], cells[3:])):
            assert shown[0] == f"{of['mean']:.2f}"
            low, high = map(float, shown[1].split(" to "))
            assert abs(low - of["low"]) < 0.006 and abs(high - of["high"]) < 0.006


def test_the_sample_is_split_when_the_page_opens(opened):
    tab = opened(sample(source="a house"))
    finished(tab.page, "a house")
    power, _ = a_meter()
    house = nilm.described_house(power, described(), 3)
    assert_shows(tab.page, house, power, "2026-02-02")
    evidence = float(house.model.log_likelihood(np.array(power)))
    text = tab.page.locator(".hmm-explore").inner_text()
    assert f"{evidence:.6f}".replace("-", "−") in text
    assert not tab.errors


def test_a_dropped_file_is_split_and_saved_and_nothing_leaves_the_page(opened):
    tab = opened(sample())
    page = tab.page
    finished(page)
    power, _ = a_meter(3, seed=8, start="2026-03-05")
    power.iloc[900:960] = np.nan
    asked = len(tab.requests)
    drop(page, power)
    house = nilm.described_house(power, described(), 3)
    assert_shows(page, house, power, "2026-03-05")
    page.get_by_role("button", name="Next day").click()
    assert "Fri, 6 March 2026" in page.locator(".hmm-explore").inner_text()
    assert_shows(page, house, power, "2026-03-06")
    medians = nilm.disaggregate(house, power)
    for name in TOLD:
        on = medians[name] > 0
        assert table(page)[name][2] == str(
            int((on & ~on.shift(fill_value=False)).sum())
        )
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    saved = pd.read_csv(download.value.path(), index_col="time", parse_dates=True)
    assert list(saved) == ["meter", *TOLD, "rest", *(f"{name} on" for name in TOLD)]
    np.testing.assert_allclose(saved["meter"], power)
    there = power.notna()
    total = saved[[*TOLD, "rest"]].sum(axis=1)
    np.testing.assert_allclose(total[there], power[there], atol=0.2)
    smoothed = house.model.smooth(np.array(power)).smoothed_probs
    np.testing.assert_allclose(saved["kettle on"], smoothed[1][:, 1], atol=5e-5)
    mine = [each.url for each in tab.requests[asked:]]
    assert all(address.startswith("blob:") for address in mine), mine
    assert not tab.errors
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"
    assert page.evaluate(stored) == [0, 0, ""]


def test_appliances_are_named_by_four_numbers(opened):
    page = opened(sample()).page
    finished(page)
    page.get_by_role("button", name="Add an appliance").click()
    assert page.locator(".hmm-stale").count() == 1, "the answer is of other numbers"
    page.keyboard.type("iron")
    for label, value in zip(
        ("Watts when on", "Minutes a run", "Runs a day", "Spread, W"),
        ("1500", "12", "0.5", "60"),
        strict=True,
    ):
        page.get_by_label(f"{label}, appliance 3").fill(value)
    page.get_by_label("Levels of the rest").select_option("2")
    page.get_by_role("button", name="Split the meter").click()
    finished(page)
    told = {**TOLD, "iron": (1500, 12, 0.5, 60)}
    power, _ = a_meter()
    assert_shows(
        page, nilm.described_house(power, described(told), 2), power, "2026-02-02"
    )
    for _ in range(4):
        page.get_by_role("button", name="Add an appliance").click()
    assert "256 of at most 256" in page.locator(".hmm-explore").inner_text()
    assert page.get_by_role("button", name="Add an appliance").is_disabled()
    page.get_by_role("button", name="Remove appliance 7").click()
    page.get_by_role("button", name="Sample data").click()
    finished(page)
    assert list(table(page)) == [*TOLD, "rest"]


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [
        ("Watts when on", "", "heater: “Watts when on” needs a number above 0"),
        ("Spread, W", "-3", "heater: “Spread, W” needs a number above 0"),
        ("Minutes a run", "0.5", "heater: a run takes one minute or more"),
        ("Runs a day", "16", "16 runs of 90 minutes leave no minute"),
        ("Name", "kettle", "kettle: each needs a name of its own"),
        ("Name", "rest", "“rest” is taken"),
        ("Name", " ", "An appliance: each needs a name"),
    ],
)
def test_numbers_that_describe_nothing_are_said_so(opened, label, value, message):
    page = opened(sample()).page
    finished(page)
    field = page.get_by_label(f"{label}, appliance 1")
    field.fill(value)
    page.get_by_role("button", name="Split the meter").click()
    assert message in page.get_by_role("alert").inner_text()
    assert field.get_attribute("aria-invalid") == "true"
    assert page.locator("progress").is_hidden()


def test_a_wrong_file_leaves_the_last_answer_and_a_right_one_the_error(opened):
    page = opened(sample()).page
    finished(page)
    before = table(page)
    page.evaluate(DROP, ["time,power\n2026-02-23 18:00,x\n", "bad.csv"])
    page.get_by_role("alert").filter(has_text="No column of numbers").wait_for()
    assert table(page) == before
    power, _ = a_meter(1, seed=9)
    drop(page, power)
    assert page.locator(".hmm-wrong").text_content() == ""
    flat = power * 0 + 300
    page.evaluate(DROP, [as_text(flat), "flat.csv"])
    page.get_by_role("alert").filter(has_text="fewer than 3 different").wait_for()


def test_a_file_is_chosen_by_keyboard_and_its_column_and_unit(opened, tmp_path):
    page = opened(sample()).page
    finished(page)
    power, _ = a_meter(1, seed=2)
    both = pd.DataFrame({"power a": power / 1000, "power b": power / 2}).round(6)
    path = tmp_path / "two.csv"
    path.write_text(both.rename_axis("time").to_csv())
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").press("Enter")
    chooser.value.set_files(path)
    finished(page, "two.csv")
    assert page.get_by_label("Readings in").input_value() == "kW"
    house = nilm.described_house(power, described(), 3)
    assert_shows(page, house, power, "2026-02-02")
    page.get_by_label("Column").select_option("power b")
    half = (power / 2).round(6)
    house = nilm.described_house(half, described(), 3)
    evidence = f"{float(house.model.log_likelihood(np.array(half))):.6f}"
    page.get_by_text(evidence.replace("-", "−")).wait_for()
    assert page.get_by_label("Readings in").input_value() == "W"
    assert_shows(page, house, half, "2026-02-02")


def test_work_is_cancelled_and_can_be_done_again(opened):
    page = opened(sample()).page
    finished(page)
    for _ in range(4):
        page.get_by_role("button", name="Add an appliance").click()
    page.evaluate(DROP, [as_text(a_meter(20)[0]), "long.csv"])
    page.get_by_text("Splitting the meter").wait_for()
    page.get_by_role("button", name="Cancel").click()
    assert page.locator("progress").is_hidden()
    assert page.locator(".hmm-facts b", has_text="long.csv").count() == 0
    page.get_by_role("button", name="Sample data").click()
    finished(page)


@pytest.mark.parametrize("how", ["throws", "fails"])
def test_a_page_that_may_have_no_worker_does_the_work_itself(new_tab, tmp_path, how):
    from explorers import page_of

    policy = "<meta http-equiv=Content-Security-Policy content=\"worker-src 'none'\">"
    gone = "<script>window.Worker = function () { throw new Error('none'); }</script>"
    text = (policy if how == "fails" else gone) + page_of(sample())
    (tmp_path / "page.html").write_text(text)
    tab = new_tab()
    tab.page.goto((tmp_path / "page.html").as_uri())
    finished(tab.page)
    power, _ = a_meter()
    house = nilm.described_house(power, described(), 3)
    assert_shows(tab.page, house, power, "2026-02-02")


def test_names_cannot_become_markup_or_formulas(opened):
    page = opened(sample()).page
    finished(page)
    evil = '=<img src=x onerror="broken=1">'
    page.get_by_label("Name, appliance 1").fill(evil)
    page.get_by_role("button", name="Split the meter").click()
    finished(page)
    assert page.evaluate("window.broken") is None
    assert page.locator(".hmm-explore img").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    with open(download.value.path(), newline="") as file:
        head = next(csv.reader(file))
    assert head[2] == "'" + evil[:30] and head[3] == "kettle"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, (768, 900), (1280, 900)], ids=str)
def test_it_fits_and_is_accessible(opened, size, dark):
    page = opened(sample(), size=size, dark=dark).page
    finished(page)
    drop(page, a_meter(1, seed=3)[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.evaluate(AXE)
    assert page.evaluate(SERIOUS) == []
    page.evaluate(DROP, ["nothing", "bad.csv"])
    page.get_by_role("alert").filter(has_text="one column").wait_for()
    assert page.evaluate(SERIOUS) == []


def test_the_picture_follows_the_width_and_goes_on_paper(opened):
    page = opened(sample()).page
    finished(page)
    wide = page.locator(".hmm-day").bounding_box()["width"]
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function(
        "document.querySelector('.hmm-day').getBoundingClientRect().width < 500"
    )
    assert wide > 1000
    page.emulate_media(media="print")
    assert not page.get_by_role("button").first.is_visible()
    assert page.locator(".hmm-day").is_visible()
    assert page.locator(".hmm-split").is_visible()


def test_what_was_done_is_said(opened):
    page = opened(sample()).page
    finished(page)
    voice = page.locator("[aria-live=polite]")
    said = voice.inner_text()
    assert re.match(r"heater \d+\.\d kilowatt-hours, kettle", said)
    page.get_by_role("button", name="Next day").click()
    assert voice.inner_text().startswith("Tue, 3 February 2026: heater")
    assert page.get_by_role("img", name="Tue, 3 February 2026").count() == 1


def test_the_sample_has_a_picture_without_scripts():
    figure = sample()
    assert "heater, kettle and the rest" in figure.words
    assert len(figure._repr_html_()) < 150_000
    assert io.BytesIO(figure.picture()).read(4) == b"\x89PNG"
