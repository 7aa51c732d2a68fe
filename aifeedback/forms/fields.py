"""The fields that all forms share, and the pair that is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aifeedback.errors import InputError
from aifeedback.forms.contents import as_prompt
from aifeedback.forms.row import Row
from aifeedback.forms.wording import kind
from aifeedback.records import Content, Pair, Winner

SHARED = frozenset({"id", "system", "reference"})
ABOUT = frozenset({"gold", "votes", "model_a", "model_b"})
_WINNERS: Mapping[str, Winner] = {"a": "a", "b": "b", "tie": "tie"}


class Head(NamedTuple):
    """What all pairs of one row have in common."""

    id: str
    prompt: Content
    system: str
    reference: str
    meta: Mapping[str, object]


class About(NamedTuple):
    """What the input says about a and b: who wins, by which votes, and who wrote them."""

    gold: Winner | None = None
    votes: tuple[Winner, ...] = ()
    model_a: str = ""
    model_b: str = ""


def read_text(fields: Mapping[str, object], name: str, label: str = "") -> str:
    """An optional text, `""` where it is absent or null. Raises InputError, with `label` or the name, for others."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise InputError(f'"{label or name}" must be text, not {kind(value)}.')


def read_head(row: Row, known: frozenset[str], prompt: Content, responses: Iterable[Content]) -> Head:
    """Read id, system and reference. A row without an id is named by a hash of its content, 16 hex digits."""
    prompt, system = as_prompt(prompt, read_text(row.fields, "system"))
    reference = read_text(row.fields, "reference")
    row_id = as_id(row.fields.get("id")) or _content_id(prompt, *responses, system, reference)
    return Head(row_id, prompt, system, reference, row.meta(known))


def read_about(row: Row) -> About:
    """Read gold, votes and models. Without a gold, a strict majority of the votes is it."""
    fields = row.fields
    votes = _votes(fields.get("votes"))
    gold = fields.get("gold")
    winner = _majority(votes) if gold is None or gold == "" else _winner(gold, "gold")
    return About(winner, votes, read_text(fields, "model_a"), read_text(fields, "model_b"))


def make_pair(row: Row, head: Head, response_a: Content, response_b: Content, about: About, suffix: str = "") -> Pair:
    """Put the pair together; `suffix` tells pairs of one row apart."""
    return Pair(
        id=head.id + suffix,
        prompt=head.prompt,
        response_a=response_a,
        response_b=response_b,
        system=head.system,
        reference=head.reference,
        gold=about.gold or "",
        votes=about.votes,
        model_a=about.model_a,
        model_b=about.model_b,
        meta=head.meta,
        file=row.file,
        line=row.line,
        exact=row.exact,
    )


def as_id(value: object) -> str:
    """An id as text, `""` for null. Raises InputError for what is neither text nor a whole number."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InputError(f'"id" must be text or a whole number, not {kind(value)}.')


def _content_id(*contents: Content) -> str:
    digest = hashlib.sha256()
    for content in contents:
        texts = (
            [content] if isinstance(content, str) else [text for turn in content for text in (turn.role, turn.content)]
        )
        digest.update(b"text" if isinstance(content, str) else b"%d turns" % len(content))
        for text in texts:
            plain = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(plain))  # so that no two contents run together alike
            digest.update(plain)
    return digest.hexdigest()[:16]


def _votes(value: object) -> tuple[Winner, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InputError(f'"votes" must be a list, not {kind(value)}.')
    return tuple(_winner(vote, f"votes[{number}]") for number, vote in enumerate(value))


def _winner(value: object, name: str) -> Winner:
    winner = _WINNERS.get(value.lower()) if isinstance(value, str) else None
    if winner is None:
        raise InputError(f'"{name}" must be "a", "b" or "tie".')
    return winner


def _majority(votes: Sequence[Winner]) -> Winner | None:
    return next((winner for winner in _WINNERS.values() if 2 * votes.count(winner) > len(votes)), None)
