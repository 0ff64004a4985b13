"""Copied code runs alone: every block that a chapter offers, in an empty folder, without hmmlib."""

import importlib
import json

import numpy as np
import pytest
import torch
from runs_alone import RECORD, blocks, questions, record, run

from chapters import CHAPTERS

MODULES = ("recursion", "nilm", "pyro_models")


@pytest.fixture(scope="module")
def offered(site):
    return blocks(site)


@pytest.fixture(scope="module")
def outcomes(offered):
    return run(offered)


def alike(one, two):
    """The same answers, tensors and arrays to the last bits."""
    if isinstance(one, tuple):
        return all(map(alike, one, two))
    if one is None or two is None:
        return one is two
    one, two = (
        each.detach().numpy() if isinstance(each, torch.Tensor) else np.asarray(each)
        for each in (one, two)
    )
    return np.allclose(one, two, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_every_chapter_offers_functions_a_file_and_a_cell_by_hand(offered):
    for path in CHAPTERS:
        mine = [block for block in offered if block.page == path.stem]
        functions = [block.code for block in mine if block.printed is None]
        assert len(functions) >= 2
        assert sum("From Rain to Watts: " in code for code in functions) == 1
        assert len(mine) - len(functions) == 1


def test_every_block_runs(offered, outcomes):
    failed = [
        (block.page, block.code[:80], error)
        for block, (error, *_) in zip(offered, outcomes, strict=True)
        if error
    ]
    assert failed == []


def test_a_cell_by_hand_prints_what_it_printed_on_the_page(offered, outcomes):
    compared = 0
    for block, (_, printed, _) in zip(offered, outcomes, strict=True):
        if block.printed is not None:
            assert printed.strip() == block.printed.strip(), block.page
            compared += len(printed.strip()) > 10
    assert compared == len(CHAPTERS)


def test_every_function_answers_as_the_librarys(offered, outcomes):
    """The same question, asked of the block and of hmmlib."""
    library = {}
    for name in MODULES:
        library |= vars(importlib.import_module(f"hmmlib.{name}"))
    loops = {}
    for name in ("numbers", "chain"):
        loops |= vars(importlib.import_module(f"hmmlib.engines.{name}"))
    dtype, compared = torch.get_default_dtype(), 0
    try:
        for block, (_, _, answers) in zip(offered, outcomes, strict=True):
            if block.printed is None:
                given, asked = questions(block.code)
                names = dict(loops if "max_finite" in asked else library)
                exec(given, names)
                for name, question in asked.items():
                    assert alike(answers[name], eval(question, names)), (
                        block.page,
                        name,
                    )
                    compared += 1
    finally:
        torch.set_default_dtype(dtype)
    assert compared > 50


def test_the_site_marks_what_was_run(site, offered):
    """The record from which pages are marked is that of these very blocks."""
    told = json.loads(RECORD.read_text())
    now = record(offered)
    assert told == now, "run `make alone`"
    for page in {block.page for block in offered}:
        text = (site / f"chapters/{page}.html").read_text(encoding="utf-8")
        number = sum(block.page == page for block in offered)
        assert text.count("Runs alone: ") == number
