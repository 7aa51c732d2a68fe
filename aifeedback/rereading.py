"""A line that was written for a label, or for a pair without one, becomes that label again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from aifeedback.errors import InputError
from aifeedback.forms.contents import as_prompt, read_content, read_response
from aifeedback.forms.fields import ABOUT, SHARED, as_id, make_pair, read_about, read_head, read_text
from aifeedback.forms.row import Row
from aifeedback.forms.wording import kind
from aifeedback.jsontext import loads
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Content, Invalid, Label, Order, Pair, Reply, Status, Verdict
from aifeedback.settings import Panel, ReconcileSettings

_OURS = SHARED | ABOUT | frozenset({"prompt", "response_a", "response_b"})
_NO_LABEL = "Name a file that aifeedback label wrote."
_MISSING = frozenset({Status.UNPARSED, Status.REFUSED, Status.TOO_LONG, Status.FAILED, Status.UNASKED})


def reread(value: object, *, exact: bool = False) -> Label | Invalid:
    """The label of a line of the labelled file, or what a line of the rest says of its pair.

    Verdicts keep what the line holds of them: `reply` is its text and what served it. What the line does not say is
    empty; `gold` is the votes' majority where only those are there. Raises InputError, without file and line, for
    what is neither.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"this is {kind(value)}, no labelled pair. {_NO_LABEL}")
    if "status" in value:
        return _unlabelled(value, exact=exact)
    lacking = [name for name in ("prompt", "chosen", "rejected", "feedback") if name not in value]
    if lacking:
        if "response_a" in value:
            raise InputError("this pair is not labelled yet. Label it first: aifeedback label.")
        raise InputError(f'no "{lacking[0]}": this is no labelled pair. {_NO_LABEL}')
    return _labelled(value, exact=exact)


def _labelled(value: Mapping[str, object], *, exact: bool) -> Label:
    feedback = _mapping(value["feedback"], "feedback")
    winner = feedback.get("winner")
    if winner not in {"a", "b"}:
        raise InputError('"feedback.winner" must be "a" or "b".')
    prompt = read_content(value["prompt"], "prompt")
    chosen, rejected = read_response(value["chosen"], "chosen"), read_response(value["rejected"], "rejected")
    a, b = (chosen, rejected) if winner == "a" else (rejected, chosen)
    pair = _pair(value, feedback, prompt, a, b, _meta(value.get("meta")), exact=exact)
    preference = _probability(value.get("preference", 1.0), "preference")
    p_a = _p_a(feedback.get("p_a"), "feedback.p_a")
    if p_a is None:
        p_a = PA(preference if winner == "a" else round(1.0 - preference, 6))
    if p_a == 0.5 or (p_a > 0.5) != (winner == "a"):
        raise InputError(f'"feedback.p_a" is {p_a:g}, which is not on the side of the winner {winner}.')
    return _label(pair, None, "", p_a, feedback)


def _unlabelled(value: Mapping[str, object], *, exact: bool) -> Label | Invalid:
    status = value["status"]
    if status not in {each.value for each in Status}:
        raise InputError(f'"status" is none of {", ".join(Status)}.')
    reason = read_text(value, "reason")
    if status == Status.INVALID and not _has_content(value.get("pair")):
        return Invalid(read_text(value, "file"), _line(value), read_text(value, "raw"), reason, as_id(value.get("id")))
    given = _mapping(value.get("pair"), "pair")
    for name in ("prompt", "response_a", "response_b"):
        if name not in given:
            raise InputError(f'"pair" has no "{name}".')
    feedback = _mapping(value.get("feedback", {}), "feedback")
    pair = _pair(
        {**value, "id": value.get("id", given.get("id")), "system": given.get("system")},
        {**given, **{name: feedback[name] for name in ("reference",) if feedback.get(name)}, "file": value.get("file", ""), "line": value.get("line", 0)},
        read_content(given["prompt"], "pair.prompt"),
        read_content(given["response_a"], "pair.response_a"),
        read_content(given["response_b"], "pair.response_b"),
        {name: item for name, item in given.items() if name not in _OURS},
        exact=exact,
    )  # fmt: skip
    p_a = _p_a(feedback.get("p_a"), "feedback.p_a")
    return _label(pair, Status(str(status)), reason, p_a, feedback)


def _label(pair: Pair, status: Status | None, reason: str, p_a: PA | None, feedback: Mapping[str, object]) -> Label:
    critic = read_text(feedback, "critic")
    verdicts = _verdicts(feedback.get("verdicts", []), critic, status)
    names = {verdict.critic for verdict in verdicts}
    # Where others were asked before the one whose verdicts count, the line names that one.
    decided_by = critic if critic in names and len(names) > 1 else ""
    counting = [verdict for verdict in verdicts if not decided_by or verdict.critic == decided_by]
    return Label(
        pair,
        status,
        reason,
        p_a,
        _order_means(pair, counting, p_a),
        agreed=feedback.get("agreed") is True,
        verdicts=tuple(verdicts),
        decided_by=decided_by,
    )


def _order_means(pair: Pair, verdicts: Sequence[Verdict], p_a: PA | None) -> Mapping[Order, PA]:
    """P(a) in each order that can be read.

    Which rule made one of several critics does not stand in the line: it is the one that gives the line's own P(a).
    """
    if not verdicts:
        return {}
    rules: tuple[Panel, ...] = get_args(Panel)
    read = [reconcile(pair, verdicts, ReconcileSettings(panel=rule)) for rule in rules]
    return next((label for label in read if label.p_a == p_a), read[0]).order_p_a


def _verdicts(value: object, critic: str, status: Status | None) -> list[Verdict]:
    if not isinstance(value, list):
        raise InputError(f'"feedback.verdicts" must be a list, not {kind(value)}.')
    missing = status if status in _MISSING else Status.UNPARSED
    return [_verdict(each, f"feedback.verdicts[{number}]", critic, missing) for number, each in enumerate(value)]


def _verdict(value: object, name: str, critic: str, missing: Status | None) -> Verdict:
    fields = _mapping(value, name)
    order = fields.get("order")
    if order not in {each.value for each in Order}:
        raise InputError(f'"{name}.order" must be "ab" or "ba".')
    p_a, said = _p_a(fields.get("p_a"), f"{name}.p_a"), read_text(fields, "reason", f"{name}.reason")
    sample, mass = fields.get("sample", 0), fields.get("mass", 0.0)
    return Verdict(
        read_text(fields, "critic", f"{name}.critic") or critic,
        Order(str(order)),
        sample if isinstance(sample, int) else 0,
        p_a,
        method=read_text(fields, "method", f"{name}.method"),
        reason=said,
        soft=fields.get("soft") is True,
        mass=float(mass) if isinstance(mass, int | float) else 0.0,
        status=None if p_a is not None else missing,
        why="" if p_a is not None else said,
        reply=Reply(said, model=read_text(fields, "served_by", f"{name}.served_by")),
    )


def _pair(
    fields: Mapping[str, object],
    about: Mapping[str, object],
    prompt: Content,
    a: Content,
    b: Content,
    meta: Mapping[str, object],
    *,
    exact: bool,
) -> Pair:
    """`about` holds what the line says of a and b, and where the pair stood."""
    row = Row({}, {"id": fields.get("id"), "system": fields.get("system"), "reference": about.get("reference")}, {}, read_text(about, "file"), _line(about), exact)  # fmt: skip
    prompt, system = as_prompt(prompt, read_text(row.fields, "system"))
    head = read_head(row._replace(fields={**row.fields, "system": system}), _OURS, prompt, (a, b))
    said = read_about(row._replace(fields={name: about.get(name) for name in ABOUT}))
    return make_pair(row, head._replace(meta=meta), a, b, said)


def _meta(value: object) -> Mapping[str, object]:
    """The fields that the input had beside ours: as they are, or as `--meta text` wrote them."""
    if isinstance(value, str):
        try:
            value = loads(value.encode("utf-8", "surrogatepass"))[0]
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise InputError(f'"{name}" must be an object, not {kind(value)}.')
    return value


def _has_content(value: object) -> bool:
    return isinstance(value, Mapping) and any(value.get(name) for name in ("prompt", "response_a", "response_b"))


def _line(value: Mapping[str, object]) -> int:
    line = value.get("line", 0)
    return line if isinstance(line, int) else 0


def _p_a(value: object, name: str) -> PA | None:
    return None if value is None else PA(_probability(value, name))


def _probability(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f'"{name}" must be a number from 0 to 1.')
    return round(float(value), 6)
