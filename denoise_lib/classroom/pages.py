"""Two pages: one about the class, without names, to be shown in the room; one of rows, for the instructor.

The class page says how many had each exercise right, and which mistakes how many made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median

from jinja2 import Environment

from ..exercises.checker import EXERCISES
from ..exercises.exercise import NOT_ATTEMPTED, RIGHT, WRONG
from .course import Course
from .grading import Row, handed_in
from .question_bank import QUESTIONS
from .sandbox.process import CRASHED, TIMED_OUT
from .sandbox.run_submission import MISSING
from .verdicts import WRITTEN

COLOURS = {
    RIGHT: "#2c7fb8", WRONG: "#d95f0e", NOT_ATTEMPTED: "#bdbdbd", MISSING: "#e3e3e3", TIMED_OUT: "#756bb1", CRASHED: "#636363",
}  # fmt: skip
FRAME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
  body {font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222}
  table {border-collapse: collapse; width: 100%; margin: 1rem 0}
  td, th {padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top}
  .number {text-align: right; white-space: nowrap}
  .bar {display: flex; height: 1.2rem; min-width: 12rem}
  .key i {display: inline-block; width: .9rem; height: .9rem; margin: 0 .3rem 0 1rem; vertical-align: middle}
  small {color: #666}
</style>
<h1>{{ title }}</h1>
"""
CLASS = """
<p>{{ summary | join(" · ") }}</p>
{% if machine %}
<p>Points for what the machine grades, of {{ most }}: mean {{ machine.mean }}, median {{ machine.median }}.</p>
<h2>Exercises</h2>
<p class="key">{% for status, colour in colours.items() %}<i style="background: {{ colour }}"></i>{{ status }}{% endfor %}</p>
<table>
{% for item in items %}
  <tr><td>{{ item.name }}</td><td class="number">{{ item.word }}</td><td>
  {% if item.counts %}<div class="bar" role="img" aria-label="{{ item.label }}" title="{{ item.label }}">
    {% for status, count in item.counts %}<span style="flex: {{ count }}; background: {{ colours[status] }}"></span>{% endfor %}
  </div><small>{{ item.label }}</small>{% else %}{{ item.label }}{% endif %}</td></tr>
{% endfor %}
</table>
<h2>Mistakes</h2>
<table>
{% for name, mistake, count, sentence in mistakes %}
  <tr><td class="number">{{ count }} of {{ there }}</td><td>{{ name }}</td>
  <td><b>{{ mistake }}</b><br><small>{{ sentence }}</small></td></tr>
{% else %}
  <tr><td>none</td></tr>
{% endfor %}
</table>
{% endif %}
{% if board %}<h2>Leader board</h2><p>{{ board | join(", ") }} dB on the hidden pairs.</p>{% endif %}
</html>
"""
STUDENTS = """
<table>
  <tr><th>student</th><th>status</th><th class="number">points</th><th class="number">to be read</th>
  <th>notes</th><th></th></tr>
{% for row in rows %}
  <tr><td>{{ row.student }}<br><small>{{ row.name }}</small></td><td>{{ row.status }}</td>
  <td class="number">{{ "%g" % row.points }} of {{ "%g" % row.most }}</td><td class="number">{{ row.waiting or "" }}</td>
  <td><small>{% if row.psnr %}{{ "%.2f dB on the hidden pairs." % row.psnr }}<br>{% endif %}
  {% for note in row.notes %}{{ note }}<br>{% endfor %}</small></td>
  <td>{% if row.student in pages %}<a href="{{ pages[row.student] }}">feedback</a>{% endif %}</td></tr>
{% endfor %}
</table>
</html>
"""


def _render(template: str, **values: object) -> str:
    return Environment(autoescape=True, trim_blocks=True).from_string(FRAME + template).render(**values)


def misconceptions(rows: Sequence[Row]) -> list[tuple[str, str, int, str]]:
    """(item, mistake, students, sentence), the most frequent first."""
    counts = Counter(
        (name, item["mistake"]) for row in handed_in(rows) for name, item in row.items.items() if item["status"] == WRONG
    )
    mistakes = [(name, mistake, count, _sentence(name, mistake)) for (name, mistake), count in counts.items()]
    return sorted(mistakes, key=lambda one: (-one[2], one[0], one[1]))


def _sentence(name: str, mistake: str) -> str:
    known = {one.name: one.feedback for one in EXERCISES[name].mistakes} if name in EXERCISES else {}
    known |= {one.mistake: one.feedback for one in QUESTIONS[name].wrong} if name in QUESTIONS else {}
    return known.get(mistake, "")


def class_page(rows: Sequence[Row], assignment: str) -> str:
    """A page about the class, without a name on it."""
    there = handed_in(rows)
    others = Counter(row.status for row in rows if row not in there)
    summary = [f"{len(rows)} students", f"{len(there)} with a notebook"]
    summary += [f"{count} {word}" for word, count in sorted(others.items())]
    graded = [[item for item in row.items.values() if item["kind"] != WRITTEN] for row in there]
    points = [sum(item["points"] for item in items) for items in graded]
    names = list(there[0].items) if there else []
    return _render(
        CLASS,
        title=f"{assignment}: the class",
        summary=summary,
        there=len(there),
        colours=COLOURS,
        machine={"mean": f"{mean(points):.1f}", "median": f"{median(points):g}"} if points else None,
        most=f"{sum(item['max'] for item in graded[0]):g}" if graded else "",
        items=[_line(name, [row.items[name] for row in there if name in row.items]) for name in names],
        mistakes=misconceptions(rows),
        board=[f"{one:.2f}" for one in sorted((row.psnr for row in there if row.psnr is not None), reverse=True)],
    )


def _line(name: str, items: list[dict[str, object]]) -> dict[str, object]:
    """One item of all students."""
    if items[0]["kind"] == WRITTEN:
        given = [float(str(item["points"])) for item in items if item["points"] is not None]
        word = f"mean {mean(given):.1f} of {items[0]['max']:g}" if given else ""
        return {"name": name, "word": word, "counts": [], "label": f"{len(items) - len(given)} to be read"}
    counts = Counter(str(item["status"]) for item in items)
    known = [(status, counts[status]) for status in COLOURS if counts[status]]
    label = ", ".join(f"{count} {status}" for status, count in known)
    return {"name": name, "word": f"{counts[RIGHT]} of {len(items)} right", "counts": known, "label": label}


def students_page(rows: Sequence[Row], course: Course, assignment: str) -> str:
    """A page of rows, with links to the feedback."""
    pages = {row.student: f"../../feedback/{row.student}/{assignment}/{assignment}.html" for row in rows}
    there = {student: link for student, link in pages.items() if (course.reports(assignment) / link).exists()}
    return _render(STUDENTS, title=f"{assignment}: students", rows=rows, pages=there)
