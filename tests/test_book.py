"""The chapters keep the promises that the book makes to its readers."""

import ast
import calendar
import importlib
import json
import re
import shutil
import subprocess
import unicodedata
from decimal import Decimal

import execute
import nbformat
import pytest
import repository

from chapters import APPENDIX, CHAPTERS, ROOT, cells, chapter_number, solutions, texts

# A cell that times something live, or draws what one has measured
TIMED = re.compile(r"nanoseconds\(|steps_of_speed|halving_times|perf_counter\(")
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
TIERS = ("Check", "Compute", "Think")
KINDS = (
    "Predict",
    "Prove",
    "Program",
)  # of chapters that have fewer than five exercises yet
HOW_IT_WORKS = """## Exercises

Fill in `answer` and run the cell: it says whether the answer is right, or which mistake it \
looks like. `hint("{}.1")` gives a first hint."""
every_notebook = pytest.mark.parametrize(
    "path", CHAPTERS + APPENDIX, ids=lambda path: path.stem
)
NUMBER = re.compile(r"(?:(?<![\w\d)}\]])[-−])?\d+(?:[,_]\d{3})*(?:\.\d+)?")


def test_there_are_chapters():
    assert len(CHAPTERS) >= 4 and len(APPENDIX) >= 3


def plain(source: str) -> str:
    """Prose without code, addresses, and numbers of chapters and exercises."""
    for unread in (
        r"```.*?```",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"#\d+",
        r"^# \d+\.",
        r"[Cc]hapter(?: \d+|s \d+(?:, \d+)*(?: (?:and|to) \d+)?)",
        r"\*\*\d+\.\d \w+",
        r"Solution \d+\.\d",
        r"exercise \d+\.\d",
        r"[Dd]ays? \d[\d, ]*(?:(?:and|to) \d+)?",
        r"\^\{[^}]*\}",
    ):
        source = re.sub(unread, "", source, flags=re.S)
    return source.replace("{,}", ",")


def value(number: str) -> Decimal:
    """The number that the text or a cell shows, with its sign."""
    return Decimal(re.sub("[,_]", "", number).replace("−", "-"))


@every_notebook
def test_every_number_in_the_text_is_computed_on_the_page(path):
    """Numbers of two digits or more stand in a code cell or in its output, sign and all."""
    computed = set()
    for cell in cells(path, "code"):
        said = [t for output in cell["outputs"] for t in texts(output)]
        for text in [cell["source"], *(t for t in said if not t.startswith("<Figure"))]:
            computed |= {value(number) for number in NUMBER.findall(text)}
    for code in solutions(path):  # which are run, too
        computed |= {value(number) for number in NUMBER.findall(code)}
    told = [cell["source"] for cell in cells(path, "markdown")]
    told = [text for text in told if not text.startswith("## References")]
    for cell in cells(path, "code"):
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        told.append(figure.get("caption", ""))
    for text in told:
        numbers = [n for n in NUMBER.findall(plain(text)) if len(n.lstrip("-−")) > 1]
        unfounded = [n for n in numbers if value(n) not in computed]
        assert not unfounded, f"{unfounded} in: {text[:80]}"


@every_notebook
def test_a_chapter_is_a_valid_notebook(path):
    nbformat.validate(nbformat.read(path, as_version=4))


@every_notebook
def test_code_and_outputs_are_those_of_the_run_that_is_noted(path):
    record = json.loads(execute.RECORD.read_text(encoding="utf-8"))
    notebook = nbformat.read(path, as_version=4)
    trouble = execute.stale(notebook, execute.named(path), record)
    assert not trouble, trouble


@every_notebook
def test_outputs_show_nothing_that_a_reader_should_not_see(path):
    last = 0
    for cell in cells(path, "code"):
        tags = set(cell["metadata"].get("tags", [])) - {"hide-input"}
        if TIMED.search(cell["source"]):  # what a clock says is not compared
            assert tags == {"nbval-ignore-output"} and "assert" not in cell["source"]
        else:
            assert not tags, f"tags {tags} could switch a check off"
        assert not re.search(r"NBVAL_|PYTEST_VALIDATE", cell["source"])
        assert not any(output.get("metadata") for output in cell["outputs"])
        assert cell["execution_count"] > last, (
            "stored outputs are from one run, top to bottom"
        )
        last = cell["execution_count"]
        said = "\n".join(text for output in cell["outputs"] for text in texts(output))
        assert not re.search(
            r"Warning\b|Traceback|/(home|root|tmp|Users|usr)/| at 0x[0-9a-f]+", said
        )
        assert max(len(line) for line in cell["source"].splitlines()) <= 100
        assert cell["metadata"].keys() <= {"tags", "mystnb"}, (
            "metadata that changes from run to run"
        )


@every_chapter
def test_figures_have_a_caption_a_name_and_an_alternative_text(path):
    names = []
    for cell in cells(path, "code"):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            about = cell["metadata"]["mystnb"]
            names.append(about["figure"]["name"])
            assert about["figure"]["caption"] and len(about["image"]["alt"]) > 40
            assert "hide-input" in cell["metadata"]["tags"]
    assert names and len(set(names)) == len(names)


@every_notebook
def test_text_reads_well_where_only_plain_markdown_is_known(path):
    """No MyST directive or role: Colab and GitHub would show it raw."""
    for cell in cells(path, "markdown"):
        assert not re.search(
            r"^(:::|```\{)|\{[a-z:]+\}`|^\+\+\+|^\([\w-]+\)=", cell["source"], re.M
        )


@every_chapter
def test_a_chapter_has_its_parts(path):
    prose = "\n".join(cell["source"] for cell in cells(path, "markdown"))
    for part in (
        "After this chapter you can",
        "## By hand",
        "in Pyro",
        "What did it buy us?",
    ):
        assert part in prose, part
    assert (
        "| symbol | meaning |" in prose and "## References" in prose and "eq" in prose
    )


@every_chapter
def test_an_exercise_is_a_question_a_cell_for_the_answer_and_a_folded_solution(path):
    found = cells(path)
    at = [cell["source"].startswith("## Exercises\n") for cell in found].index(True)
    assert found[at]["source"] == HOW_IT_WORKS.format(chapter_number(path))
    kinds = []
    while not found[at + 1]["source"].startswith("## "):
        name = f"{chapter_number(path)}.{len(kinds) + 1}"
        question, blank, solution = found[at + 1 : at + 4]
        kinds += re.findall(rf"^\*\*{name} (\w+)\.\*\* ", question["source"])
        assert re.search(r"\b(Submit|submit) ", question["source"])
        asked = re.escape(f'check("{name}", answer)')
        assert re.fullmatch(rf"answer = \.\.\.  # .+\n{asked}", blank["source"])
        (output,) = blank["outputs"]
        said = "".join(output["data"]["text/plain"])
        assert said.startswith(f'No answer yet. hint("{name}") helps, ')
        folded = rf"<details><summary>Solution {name}</summary>\n\n.*\n\n</details>"
        assert re.fullmatch(folded, solution["source"], flags=re.S)
        code = solutions(path)[len(kinds) - 1].rstrip()
        assert ast.unparse(ast.parse(code).body[-1]).startswith(
            f"assert check('{name}', "
        )
        at += 3
    assert len(solutions(path)) == len(kinds)
    tiers = TIERS if set(kinds) <= set(TIERS) else KINDS
    assert kinds == sorted(kinds, key=tiers.index) and set(kinds) == set(tiers)
    assert tiers == KINDS or len(kinds) >= 5


@every_notebook
def test_the_setup_cell_installs_what_a_lonely_notebook_lacks(path):
    def opening(notebook):
        return cells(notebook, "code")[0]["source"].split("\n\n")[:2]

    assert opening(path) == opening(CHAPTERS[0])
    assert f"%pip install -q git+{repository.present()}\n" in opening(path)[1] + "\n"


@every_notebook
def test_a_package_is_fetched_where_that_package_is_missing(path):
    """Not where another one is: it may be there alone."""
    code = "\n".join(cell["source"] for cell in cells(path, "code"))
    fetched = re.findall(r"%pip install -q (?!git)(.+)", code)
    asked = re.findall(
        r"if not find_spec\(\"?(\w+)\"?\):.*\n +%pip install -q (?!git)(.+)", code
    )
    assert [name.strip("{}") for name in fetched] == [name for name, _ in asked]
    assert all(name == what.strip("{}") for name, what in asked)


@every_notebook
def test_cited_works_are_in_the_bibliography(path):
    bibliography = (ROOT / "references.bib").read_text()
    references = next(
        (c["source"] for c in cells(path) if c["source"].startswith("## References")),
        "",  # the appendix may do without
    )
    assert references or path in APPENDIX
    for doi in re.findall(r"https://doi\.org/([^)\s]+)", references):
        assert doi in bibliography
    for address in re.findall(
        r"\((https://(?:jmlr|proceedings\.mlr|probml)[^)\s]+)", references
    ):
        assert address in bibliography


def unaccented(text):
    """Without accents and braces, whether they are written as TeX or as letters."""
    text = re.sub(r"\\[\"'`^~]", "", text).replace("{", "").replace("}", "")
    letters = unicodedata.normalize("NFD", text)
    return "".join(x for x in letters if not unicodedata.combining(x))


def test_works_that_the_library_cites_are_in_the_bibliography():
    """As "Name 1999", "Name & Name 1999" or "Name et al. 1999"."""
    known = re.split(r"\n@", unaccented((ROOT / "references.bib").read_text("utf-8")))
    pattern = r"\b([A-Z][\w'’-]+)(?:\s&\s[A-Z][\w-]+|\set\sal\.)?\s((?:19|20)\d\d)\b"
    cited = {
        (name, year)
        for path in ROOT.glob("hmmlib/**/*.py")
        for name, year in re.findall(pattern, unaccented(path.read_text("utf-8")))
        if name not in calendar.month_name
    }
    assert len(cited) > 20
    assert not [
        (name, year)
        for name, year in sorted(cited)
        if not any(
            name in work and re.search(rf"year += {year}", work) for work in known
        )
    ]


def test_the_glossary_is_in_alphabetical_order():
    page = (ROOT / "chapters/appendix/glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^(?![ `#])(.+)$", page, flags=re.M)
    assert len(terms) > 50
    assert terms == sorted(terms, key=str.casefold)


def test_notation_names_code_that_exists():
    """Each `name` of the last column is found in the module that its row names."""
    page = (ROOT / "chapters/appendix/notation.md").read_text()
    rows = re.findall(r"^\|.*\| `([\w.]+)` \|$", page, flags=re.M)
    assert len(rows) > 15
    for name in rows:
        parts = name.split(".")
        target = importlib.import_module(".".join(["hmmlib", parts[0]]))
        for part in parts[1:]:
            fields = getattr(target, "__annotations__", {})
            assert hasattr(target, part) or part in fields, name
            target = getattr(target, part, None)


def test_every_public_function_says_what_it_returns_and_raises():
    """A docstring each; whoever raises ValueError says so."""
    for path in (ROOT / "hmmlib").rglob("*.py"):
        public = ast.parse(path.read_text()).body
        classes = [
            each
            for each in public
            if isinstance(each, ast.ClassDef) and each.name[0] != "_"
        ]
        public += [method for each in classes for method in each.body]
        for node in public:
            if not isinstance(
                node, ast.FunctionDef | ast.ClassDef
            ) or node.name.startswith("_"):
                continue
            said = ast.get_docstring(node) or ""
            assert said, f"{path.stem}.{node.name} has no docstring"
            if isinstance(node, ast.FunctionDef) and "raise ValueError" in ast.unparse(
                node
            ):
                assert "ValueError" in said, (
                    f"{path.stem}.{node.name} does not say that it raises ValueError"
                )


def test_the_address_is_written_once(tmp_path):
    """Another address, put everywhere, leaves no trace of the present one; and comes
    back.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)

    address = repository.present()
    changed = repository.replace(tmp_path, "https://github.com/someone/elsewhere")
    names = {str(path.relative_to(tmp_path)) for path in changed}
    assert {"_config.yml", "README.md", "CITATION.cff", "pyproject.toml"} <= names
    assert {str(path.relative_to(ROOT)) for path in CHAPTERS} <= names
    for path in tmp_path.rglob("*"):
        if path.is_file() and ".git/" not in str(path):
            assert not any(
                form.encode() in path.read_bytes() for form in repository.forms(address)
            )
    repository.replace(tmp_path, address)
    for path in changed:
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="URL: got 'rain', needs https"):
        repository.forms("rain")


def test_the_commands_of_the_readme_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"make (\w+)", readme))
    assert {"book", "test"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, flags=re.M), command
