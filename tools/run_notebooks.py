"""Execute copies of all notebooks, render each as a page, and compare their headline numbers with the reference bands.

A notebook prints a headline number with `denoise_lib.display.headline`; its line is what is read here.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .execution import cell_name, execute
from .pages import render
from .pairing import write

HEADLINE = re.compile(
    r"headline\s+(?P<key>.+): (?P<value>\S.*?)\s+band (?P<low>\S+) \.\. (?P<high>\S+)\s+(?P<verdict>ok|OUTSIDE)"
)


@dataclass(frozen=True)
class Headline:
    """One headline number and its verdict."""

    key: str
    value: str
    band: str
    verdict: str


@dataclass
class Report:
    """What came of one notebook."""

    path: Path
    page: Path
    seconds: float
    headlines: list[Headline] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run_all(folder: Path, build: Path) -> int:
    """Run every notebook of a folder into `build`, print the table, and return the exit status."""
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        print(f"FAILED  there are no notebooks in {folder}/")
        return 1
    build.mkdir(parents=True, exist_ok=True)
    reports = []
    for path in paths:
        print(f"{path} ...", end=" ", flush=True)
        reports.append(run_one(path, build))
        print(f"{reports[-1].seconds:.1f} s{'  FAILED' if reports[-1].problems else ''}", flush=True)
    (build / "index.html").write_text(index_page(reports), encoding="utf-8")
    print(f"\n{table(reports)}\n\nall pages: {build / 'index.html'}")
    problems = [f"FAILED  {report.path}, {problem}" for report in reports for problem in report.problems]
    print("\n".join(problems) or f"all {len(reports)} notebooks ran, and every headline number lies in its band")
    return 1 if problems else 0


def run_one(path: Path, build: Path) -> Report:
    """Execute a copy of one notebook where the original stands, and write the copy and its page to `build`."""
    notebook = nbformat.read(path, as_version=4)
    begin = time.perf_counter()
    problem = execute(notebook, path.parent)
    report = Report(path, build / f"{path.stem}.html", time.perf_counter() - begin)
    if problem:
        report.problems.append(problem)
    read_headlines(notebook, report)
    write(notebook, build / path.name)
    report.page.write_text(render(notebook, path.stem), encoding="utf-8")
    return report


def read_headlines(notebook: NotebookNode, report: Report) -> None:
    """Collect the headline lines of all cells; one that is outside of its band, or unreadable, is a problem."""
    for index, cell in enumerate(notebook.cells):
        printed = "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")
        for line in printed.splitlines():
            if not line.startswith("headline "):
                continue
            if not (match := HEADLINE.fullmatch(line.rstrip())):
                report.problems.append(f"{cell_name(notebook, index)}: this headline cannot be read: {line}")
                continue
            found = Headline(match["key"], match["value"], f"{match['low']} .. {match['high']}", match["verdict"])
            report.headlines.append(found)
            if found.verdict != "ok":
                report.problems.append(
                    f"{cell_name(notebook, index)}: {found.key} is {found.value}, outside of its band {found.band}"
                )


def table(reports: list[Report]) -> str:
    """A line for each headline number; notebook, seconds and page stand on the notebook's first."""
    rows = [("notebook", "seconds", "headline number", "value", "band", "", "page")]
    for report in reports:
        first = (report.path.stem, f"{report.seconds:.1f}", str(report.page))
        numbers = [(line.key, line.value, line.band, line.verdict) for line in report.headlines] or [("-", "", "", "")]
        if report.problems and all(line.verdict == "ok" for line in report.headlines):
            numbers[0] = (*numbers[0][:3], "FAILED")
        for place, number in enumerate(numbers):
            name, seconds, page = first if place == 0 else ("", "", "")
            rows.append((name, seconds, *number, page))
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def index_page(reports: list[Report]) -> str:
    """A page that links the others."""
    items = []
    for report in reports:
        numbers = [f"{line.key}: {line.value} (band {line.band}) {line.verdict}" for line in report.headlines]
        details = "".join(f"<li>{escape(text)}</li>" for text in [*numbers, *(f"FAILED: {text}" for text in report.problems)])
        link = f'<a href="{escape(report.page.name)}">{escape(report.path.stem)}</a>'
        items.append(f"<li>{link}, {report.seconds:.0f} s<ul>{details}</ul></li>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The denoising course</title>'
        '<body style="font-family: sans-serif; max-width: 60em; margin: 2em auto">'
        f"<h1>The denoising course</h1><ul>{''.join(items)}</ul></body></html>\n"
    )
