"""What biases the labels, part by part: the place, the length, and who wrote a response."""

from __future__ import annotations

from collections.abc import Sequence

from aifeedback.biases import ENOUGH_GOLD
from aifeedback.measures import Interval
from aifeedback.report.account import Account
from aifeedback.report.facts import Facts
from aifeedback.report.lengths import NAMES
from aifeedback.report.view import Part, Rate, Table, counted, rate_of, with_count, with_interval
from aifeedback.report.wording import count
from aifeedback.summary import Share

NO_REST = "There is no rest file: conflicts and ties are missing, so this looks better than it was."
_ROWS = 12
_HALF = 0.5


def position(facts: Facts) -> Part:
    """Whether the place decides."""
    account, tally = facts.account, facts.account.tally
    flipped = Share(tally.consistent.n - tally.consistent.hits, tally.consistent.n)
    rates = [rate_of("Decision changes with the places", flipped, "pairs readable in both orders"), *_flips(account)]
    rates.append(first_shown(facts, "First shown wins"))
    shown = [rate for rate in rates if rate.rate is not None]
    return Part(
        "position",
        "Position",
        "Position bias",
        "A critic that reads the responses decides alike, whichever of the two is shown first.",
        shown,
        [_by_critic(account)] if len(account.critics) > 1 else (),
        () if facts.rest or not shown else [NO_REST],
        empty="" if shown else "There is no verdict in this file that can be read.",
    )


def _why_not(facts: Facts, both: int) -> str:
    """Why the rate says nothing of the places; `""` where it does."""
    if not both:
        return "Asked in one order only, the place can't be told from the response."
    if facts.account.tally.first_shown_alone.n:
        return "Some pairs have a verdict in one order only, and there the place can't be told from the response."
    return "" if facts.rest else "Without the pairs whose orders disagree, this is near half for every critic."


def first_shown(facts: Facts, name: str) -> Rate:
    """How often the place shown first wins; fair is half where each pair was shown in both orders."""
    found, both = facts.account.tally.first_shown, facts.account.slots.pairs
    return Rate(
        name,
        found.rate,
        found.interval(),
        counted(found.n, "decided verdicts"),
        _HALF if both and facts.rest and not facts.account.tally.first_shown_alone.n else None,
        _why_not(facts, both),
        off=facts.is_biased("position"),
    )


def lengths(facts: Facts) -> Part:
    """Whether the length decides."""
    found, people = facts.account.lengths, facts.account.tally.gold_longer
    rates = [
        longer(facts, "Longer wins, by the critic", "labelled pairs of unequal length"),
        rate_of("Longer wins, by people", people, "pairs with gold"),
        rate_of(
            "Longer wins where lengths match",
            found.matched,
            "labelled pairs within 10%",
            fair=_HALF,
            note="What is left of the preference where the lengths hardly differ.",
        ),
    ]
    rows = [
        (name, with_count(critic), with_count(by_people))
        for name, critic, by_people in zip(NAMES, found.critic, found.people, strict=True)
        if critic.n or by_people.n
    ]
    columns = 3 if people.n else 2
    head = ("Times as long", "By the critic", "By people")[:columns]
    flagged = f"{count(found.flagged, 'pair')} flagged by --length-control: length alone decides the winner."
    return Part(
        "length",
        "Length",
        "Length bias",
        "Lengths are counted in characters. That longer responses win often is no fault where they are better: compare with people.",
        [rate for rate in rates if rate.rate is not None],
        [Table("Longer wins, by how much longer it is", head, [row[:columns] for row in rows])] if rows else (),
        [flagged] if found.flagged else (),
        ("length",) if any(share.n for share in found.critic) else (),
        "" if rows else "No labelled pair has responses of unequal length.",
    )


def longer(facts: Facts, name: str, noun: str) -> Rate:
    """How often the longer wins, against what people choose where enough is known of that."""
    tally = facts.account.tally
    fair, note = _fair(tally.longer_beside_gold)
    return rate_of(name, tally.longer, noun, fair=fair, note=note, off=facts.is_biased("length"))


def kinship(facts: Facts) -> Part:
    """Whether critics favour their own."""
    own = own_family(facts, "Own family wins", "labelled pairs with one response of the critic's family")
    tables = list(_matches(facts.account))
    empty = ""
    if not tables:
        empty = "The labelled pairs don't say which models wrote the responses (model_a, model_b)."
    elif own.rate is None:
        empty = "No labelled pair has just one response by a model of the critic's family, so whether it favours its own can't be seen."
    return Part(
        "kin",
        "Self-preference",
        "Self-preference",
        "Critics tend to favour what models of their own family write. A high rate may also mean that these are better: compare with people.",
        [own] if own.rate is not None else (),
        tables,
        empty=empty,
    )


def own_family(facts: Facts, name: str, noun: str) -> Rate:
    """How often the critic's own family wins."""
    tally = facts.account.tally
    fair, note = _fair(tally.same_family_beside_gold)
    return rate_of(name, tally.same_family, noun, fair=fair, note=note, off=facts.is_biased("own_family"))


def _flips(account: Account) -> Sequence[Rate]:
    slots = account.slots
    named = (
        ("the first shown won both times", slots.first),
        ("the second shown won both times", slots.second),
        ("a tie in one of the orders", slots.half),
    )
    return [rate_of(f"– {name}", Share(n, slots.pairs), "", of=f"{n:,} of {slots.pairs:,}") for name, n in named]


def _by_critic(account: Account) -> Table:
    rows = []
    for each in account.critics.values():
        agree = each.consistent
        flips = "–" if agree.rate is None else with_interval(1 - agree.rate, _mirrored(agree.interval))
        unread = sum(each.verdicts.values()) - each.verdicts[None]
        first = with_interval(each.first_shown.rate, each.first_shown.interval())
        rows.append((each.critic or "(unnamed)", count(each.pairs), flips, first, count(unread)))
    return Table(
        "By critic",
        ("Critic", "Pairs", "Changes with the places", "First shown wins", "Unread verdicts"),
        rows,
        note="Each critic's own verdicts, before they are put together.",
    )


def _matches(account: Account) -> Sequence[Table]:
    matches = list(account.kin.matches())
    if not matches:
        return ()
    rows = [
        (
            match.judge,
            f"{match.first} (own)" if match.own else match.first,
            match.second,
            count(match.wins.n),
            with_interval(match.wins.rate, match.wins.interval),
        )
        for match in matches[:_ROWS]
    ]
    more = len(matches) - len(rows)
    note = f"{count(more, 'more pair')} of models are not shown." if more else ""
    if account.kin.left_out:
        note += f" {count(account.kin.left_out, 'labelled pair')} of still other models are not counted here."
    models = sorted(account.kin.models.items(), key=lambda item: (-(item[1].rate or 0), item[0]))
    return (
        Table("By pair of models", ("Critic's family", "Model", "Against", "Pairs", "Model wins"), rows, 3, note),
        Table(
            "By model",
            ("Model", "Pairs", "Wins"),
            [(name, count(wins.n), with_interval(wins.rate, wins.interval)) for name, wins in models[:_ROWS]],
        ),
    )


def _fair(beside_gold: Sequence[int]) -> tuple[float, str]:
    """What is fair by the same rule as in biases.py, and why."""
    both, _, gold, _ = beside_gold
    n = sum(beside_gold)
    if n >= ENOUGH_GOLD:
        return (both + gold) / n, f"Fair is what people choose in the {count(n, 'labelled pair')} with gold."
    return _HALF, "Half is taken as fair, since too few pairs say what people choose."


def _mirrored(interval: Interval | None) -> Interval | None:
    return None if interval is None else (1 - interval[1], 1 - interval[0])
