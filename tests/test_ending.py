"""What a run has to pass, the code that comes of it, and the same as JUnit XML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.ending import Check, MaxFailed, checks, exit_code
from aifeedback.errors import BudgetSpent, CriticGone, StopRun
from aifeedback.gates import Gates
from aifeedback.junit import Suite, junit, sayable
from aifeedback.records import Invalid
from aifeedback.summary import Share, Tally

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GATES = Gates(min_consistency=0.8, max_longer_rate=0.6)
USUAL = MaxFailed()


def tally(troubled: int = 0, read: int = 10, consistent: int = 9) -> Tally:
    counted = Tally("critic", consistent=Share(consistent, 10), longer=Share(5, 10))
    for _ in range(troubled):
        counted.add(Invalid("pairs.jsonl", 1, "{", "not JSON: what? at column 1"))
    counted.read = read
    return counted


def checked(
    counted: Tally, stopped: StopRun | None = None, allowed: MaxFailed = USUAL, gates: Gates = GATES
) -> list[Check]:
    return checks(counted, gates.judge(counted), stopped, allowed, go_on="Go on.", reasons="Look there.")


@pytest.mark.parametrize(
    ("counted", "stopped", "missed", "code"),
    [
        (tally(), None, [], 0),
        (tally(troubled=1), None, ["max-failed"], 1),
        (tally(consistent=7), None, ["min-consistency"], 3),
        (tally(consistent=7, troubled=1), None, ["min-consistency", "max-failed"], 3),
        (tally(consistent=7), BudgetSpent("--max-requests 3 is used up."), ["complete", "min-consistency"], 4),
        (tally(troubled=1), CriticGone("the endpoint stayed away."), ["complete", "max-failed"], 5),
    ],
)
def test_the_first_of_the_codes_is_given_and_every_miss_is_told(
    counted: Tally, stopped: StopRun | None, missed: list[str], code: int
) -> None:
    found = checked(counted, stopped)
    assert [check.name for check in found] == ["complete", "min-consistency", "max-longer-rate", "max-failed"]
    assert [check.name for check in found if not check.passed] == missed
    assert exit_code(found) == code
    assert all(check.missed.count("\n") == 0 for check in found)


@pytest.mark.parametrize(
    ("allowed", "troubled", "passes"),
    [
        (MaxFailed(), 10, True), (MaxFailed(), 11, False), (MaxFailed(5, is_share=False), 5, True),
        (MaxFailed(5, is_share=False), 6, False), (MaxFailed(0, is_share=False), 0, True), (MaxFailed(1.0), 1000, True),
    ],
)  # fmt: skip
def test_troubled_pairs_are_allowed_up_to_a_count_or_a_share(allowed: MaxFailed, troubled: int, passes: bool) -> None:
    *_, check = checked(tally(troubled=troubled, read=1000), allowed=allowed)
    assert check.passed is passes


def test_too_many_failures_name_the_most_frequent_reason_and_where_the_others_are() -> None:
    *_, check = checked(tally(troubled=3))
    assert check.missed == (
        "3 of 10 pairs failed, were unparsed, too long or invalid: more than --max-failed allows. "
        'Most often: "not JSON" (3). Look there.'
    )
    assert check.figures == {"troubled": 3, "read": 10, "limit": "1%"}


def parsed(*suites: Suite) -> ET.Element:
    return ET.fromstring(junit(suites).decode())


def suite(checks: list[Check], **more: object) -> Suite:
    return Suite("aifeedback label", checks, STARTED, 1.5, **more)  # type: ignore[arg-type]


# What the schemas of Jenkins and of Ant's own report ask for: children in their order, and the attributes that must be there.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out", "system-err"],
    "properties": ["property"],
    "testcase": ["error", "failure"],
}
ATTRIBUTES = {
    "testsuite": {"name", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time", "id", "package"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
}


def assert_valid(element: ET.Element) -> None:
    names = [child.tag for child in element]
    allowed = CHILDREN.get(element.tag, [])
    assert names == sorted(names, key=allowed.index)
    assert set(element.attrib) == ATTRIBUTES.get(element.tag, set())
    for child in element:
        assert_valid(child)


def test_junit_has_a_case_for_each_check_with_the_same_line_as_stderr() -> None:
    found = checked(tally(consistent=7, troubled=1), BudgetSpent("--max-requests 3 is used up."))
    root = parsed(suite(found, properties={"critic": "c"}, remarks=["length bias: much."]))
    assert_valid(root)
    (run,) = root
    assert {name: run.get(name) for name in ("tests", "failures", "errors", "skipped", "time", "timestamp")} == {
        "tests": "4", "failures": "2", "errors": "1", "skipped": "0", "time": "1.500", "timestamp": "2026-01-02T03:04:05",
    }  # fmt: skip
    cases = {case.get("name"): case for case in run.iter("testcase")}
    assert list(cases) == [check.name for check in found]
    for check in found:
        why = list(cases[check.name])
        assert [each.get("message") for each in why] == ([] if check.passed else [check.missed])
    assert [each.tag for each in cases["complete"]] == ["error"]
    assert cases["min-consistency"][0].get("type") == "exit-3"
    figures: Mapping[str, str] = {each.get("name", ""): each.get("value", "") for each in run.iter("property")}
    assert figures["critic"] == "c"
    assert figures["min-consistency.estimate"] == "0.7"
    assert figures["min-consistency.limit"] == "0.8"
    assert figures["max-failed.troubled"] == "1"
    assert run.findtext("system-out") == "length bias: much."


def test_a_figure_that_does_not_exist_is_empty() -> None:
    (run,) = parsed(suite(checked(Tally("c"))))
    figures = {each.get("name"): each.get("value") for each in run.iter("property")}
    assert figures["min-consistency.estimate"] == figures["min-consistency.interval_low"] == ""
    assert run.get("failures") == "2"


def test_several_suites_are_counted_through() -> None:
    root = parsed(suite(checked(tally())), suite(checked(tally(troubled=1))))
    assert_valid(root)
    assert [(run.get("id"), run.get("failures")) for run in root] == [("0", "0"), ("1", "1")]


@given(st.text(st.characters() | st.characters(categories=["Cs", "Cc"])))
def test_whatever_a_server_says_the_xml_can_be_read_and_holds_it(said: str) -> None:
    check = Check("max-failed", 1, said or "x", {"limit": said})
    (run,) = parsed(suite([check], remarks=[said]))
    assert_valid(run)
    (why,) = next(run.iter("testcase"))
    assert why.get("message") == sayable(said or "x")


def test_what_xml_can_not_hold_is_written_as_an_escape() -> None:
    assert sayable("a\x1b[31m\x00\ud800 é <&>\t\uffff") == "a\\x1b[31m\\x00\\ud800 é <&>\t\\uffff"
