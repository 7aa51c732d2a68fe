"""What a run had to pass, as JUnit XML: the form in which CI servers show what failed and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree as ET

from aifeedback.ending import Check, Value

# What XML 1.0 has no way to say, also not as a number.
_UNSAYABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Suite:
    """One run, or one critic's part of it: what it had to pass, its further `properties`, and `remarks` for people.

    `started` in UTC; it took `seconds`.
    """

    name: str
    checks: Sequence[Check]
    started: datetime
    seconds: float
    properties: Mapping[str, Value] = field(default_factory=dict[str, Value])
    remarks: Sequence[str] = ()


def junit(suites: Iterable[Suite]) -> bytes:
    """The file's text, in UTF-8. A missed check is a failure; a run that did not come to its end is an error."""
    root = ET.Element("testsuites")
    for number, suite in enumerate(suites):
        root.append(_suite(suite, number))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(suite: Suite, number: int) -> ET.Element:
    missed = [check for check in suite.checks if not check.passed]
    errors = sum(_is_error(check) for check in missed)
    # Everything that one schema or another wants, in the order that suits all of them.
    facts: dict[str, Value] = {
        "name": suite.name,
        "timestamp": suite.started.strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": "localhost",
        "tests": len(suite.checks),
        "failures": len(missed) - errors,
        "errors": errors,
        "skipped": 0,
        "time": f"{suite.seconds:.3f}",
        "id": number,
        "package": "aifeedback",
    }
    element = ET.Element("testsuite", _said(facts))
    figures = {f"{check.name}.{name}": value for check in suite.checks for name, value in check.figures.items()}
    properties = ET.SubElement(element, "properties")
    for name, value in {**suite.properties, **figures}.items():
        ET.SubElement(properties, "property", _said({"name": name, "value": value}))
    for check in suite.checks:
        case = ET.SubElement(element, "testcase", _said({"name": check.name, "classname": suite.name, "time": "0.000"}))
        if not check.passed:
            kind = "error" if _is_error(check) else "failure"
            why = ET.SubElement(case, kind, _said({"message": check.missed, "type": f"exit-{check.code}"}))
            why.text = sayable(check.missed)
    ET.SubElement(element, "system-out").text = sayable("\n".join(suite.remarks))
    ET.SubElement(element, "system-err")
    return element


def _is_error(check: Check) -> bool:
    return check.code > 3


def _said(facts: Mapping[str, Value]) -> dict[str, str]:
    return {name: sayable(_text(value)) for name, value in facts.items()}


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def sayable(text: str) -> str:
    r"""The text with control characters and halves of characters, which XML can't hold, written as `\x1b` and `\ud800`."""
    return _UNSAYABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
