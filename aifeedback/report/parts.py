"""The figures as parts of a page: rates with their intervals, tables and remarks, in plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aifeedback.measures import Interval
from aifeedback.report.account import Account
from aifeedback.report.lengths import NAMES
from aifeedback.report.wording import STATUSES, between, count, duration, listed, percent, usd
from aifeedback.summary import Share

_ROWS = 12


@dataclass(frozen=True, slots=True)
class Rate:
    """One figure from 0 to 1, `of` what. `fair`: what it is where nothing biases it, None where that can't be said.

    `chance`: what a coin would get.
    """

    name: str
    rate: float | None
    interval: Interval | None
    of: str
    fair: float | None = None
    note: str = ""
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of plain text; those from column `numbers` on are figures."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One section. `short`: its name where there is little room; `charts`: the names of those that belong to it."""

    anchor: str
    short: str
    title: str
    about: str
    rates: Sequence[Rate] = ()
    tables: Sequence[Table] = ()
    remarks: Sequence[str] = ()
    charts: Sequence[str] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told about. `summary`: of the run, None where there is none; `rest`: whether the rest was read too."""

    name: str
    account: Account
    summary: Mapping[str, object] | None = None
    rest: bool = True

    @property
    def counts(self) -> Mapping[str, int]:
        """Pairs by what became of them: as counted, or, without the rest, as the run's summary says."""
        counted = self.account.tally.counts()
        if self.rest or self.summary is None:
            return counted
        return {name: _whole(self.summary.get(name)) for name in counted}

    @property
    def complete(self) -> bool:
        """Whether it is known what became of all pairs."""
        return self.rest or self.summary is not None


def parts(facts: Facts) -> list[Part]:
    """All sections but the pairs themselves."""
    return [
        position(facts),
        lengths(facts),
        kinship(facts),
        sureness(facts),
        agreement(facts),
        cost(facts),
        sources(facts),
    ]


def funnel(facts: Facts) -> list[tuple[str, str, int, float, str]]:
    """Code, name, count, share of all that was read, and meaning, of each status that occurs, and of the labelled."""
    counts = facts.counts
    read = counts["read"] or 1
    return [
        (status, name, counts[status], counts[status] / read, meaning)
        for status, (name, meaning) in STATUSES.items()
        if counts[status] or status == "labeled"
    ]


def funnel_note(facts: Facts) -> str:
    """Whether the counts are all there is."""
    read = facts.counts["read"]
    if facts.rest:
        return f"The counts add up to {count(read, 'pair')} read."
    if facts.summary is not None:
        return f"There is no rest file: what became of the {count(read, 'pair')} is taken from the run's summary, and only the labelled pairs can be shown."
    return "There is no rest file, so pairs without a label are not known: ties, conflicts and failures are missing from every figure here. Name it with --rest FILE."


def headline(facts: Facts) -> str:
    """One line: how many of how many, by whom."""
    counts, critics = facts.counts, critic_names(facts)
    what = f"{counts['labeled']:,} of {count(counts['read'], 'pair')} labelled"
    if not facts.complete:
        what = f"{count(counts['labeled'], 'labelled pair')}"
    return f"{what} by {listed(critics, most=2)}" if critics else what


def lead(facts: Facts) -> str:
    """A few sentences on how it was done."""
    found = facts.account.sources
    template, criteria = ([name for name, _ in counts.most_common()] for counts in (found.templates, found.criteria))
    said = []
    if template:
        said.append(
            f"Asked with the template {listed(template)}"
            + (f", by the criteria {listed(criteria)}" * bool(criteria))
            + "."
        )
    tally = facts.account.tally
    if tally.consistent.n and facts.rest:
        said.append(
            f"Both orders name the same winner in {percent(tally.consistent.rate)} of {count(tally.consistent.n, 'pair')}."
        )
    if tally.right.n:
        said.append(
            f"The label is what people chose in {percent(tally.right.rate)} of {count(tally.right.n, 'pair')} with gold."
        )
    else:
        said.append("No pair says what people chose, so how far the labels agree with people is not known.")
    return " ".join(said)


def critic_names(facts: Facts) -> list[str]:
    """Who labelled, the busiest first."""
    asked = [name for name in facts.account.critics if name]
    return asked or [name for name, _ in facts.account.sources.critics.most_common()]


def figures(facts: Facts) -> list[Rate]:
    """The few that matter most, for the head of the page."""
    tally, account = facts.account.tally, facts.account
    found = []
    if facts.complete:
        labelled = Share(facts.counts["labeled"], facts.counts["read"])
        found.append(Rate("Labelled", labelled.rate, None, _of(labelled.n, "pairs read")))
    if facts.rest:
        found.append(_rate("Same winner in both orders", tally.consistent, "pairs"))
    found.append(
        Rate(
            "First shown wins",
            tally.first_shown.rate,
            tally.first_shown.interval(),
            _of(tally.first_shown.n, "decided verdicts"),
            0.5,
        )
    )
    found.append(_rate("Longer wins", tally.longer, "labelled pairs", fair=account.lengths.by_people.rate or 0.5))
    found.append(_rate("Own family wins", tally.same_family, "labelled pairs", fair=0.5))
    found.append(_rate("Agrees with people", tally.right, "pairs with gold", chance=0.5))
    return [rate for rate in found if rate.rate is not None]


def position(facts: Facts) -> Part:
    """Whether the place decides."""
    slots, tally = facts.account.slots, facts.account.tally
    both = slots.same + slots.flipped
    remarks = [] if facts.rest else [_NO_REST]
    rates = []
    if both:
        flipped = Share(tally.consistent.n - tally.consistent.hits, tally.consistent.n)
        rates = [
            _rate("Decision changes with the places", flipped, "pairs asked in both orders", fair=0.0),
            *(
                Rate(f"– {name}", n / both, Share(n, both).interval, f"{n:,} of {both:,}")
                for name, n in (
                    ("the first shown won both times", slots.first),
                    ("the second shown won both times", slots.second),
                    ("a tie in one of the orders", slots.half),
                )
            ),
        ]
    if tally.first_shown.n:
        rates.append(
            Rate(
                "First shown wins",
                tally.first_shown.rate,
                tally.first_shown.interval(),
                _of(tally.first_shown.n, "decided verdicts"),
                0.5,
                "Fair is half: each pair is shown in both orders.",
            )
        )
    critics = [
        (
            each.critic or "(unnamed)",
            count(each.pairs),
            _with_interval(1 - each.consistent.rate, _mirrored(each.consistent.interval))
            if each.consistent.rate is not None
            else "–",
            _with_interval(each.first_shown.rate, each.first_shown.interval()),
            count(sum(each.verdicts.values()) - each.verdicts[None]),
        )
        for each in facts.account.critics.values()
    ]
    tables = (
        [
            Table(
                "By critic",
                ("Critic", "Pairs", "Flips", "First shown wins", "Unread verdicts"),
                critics,
                note="Each critic's own verdicts, before they are put together.",
            )
        ]
        if len(critics) > 1
        else []
    )
    return Part(
        "position",
        "Position",
        "Position bias",
        "Each pair is shown twice, with the places exchanged. A critic that reads the responses names the same winner.",
        rates,
        tables,
        remarks if rates else (),
        empty="" if rates else "No verdict in this file can be read in both orders.",
    )


def lengths(facts: Facts) -> Part:
    """Whether the length decides."""
    found, tally = facts.account.lengths, facts.account.tally
    people = found.by_people
    rates = [
        _rate(
            "Longer wins, by the critic",
            tally.longer,
            "labelled pairs of unequal length",
            fair=people.rate if people.n else 0.5,
            note="Fair is what people choose here." if people.n else "Without people's choices, half is taken as fair.",
        ),
        _rate("Longer wins, by people", people, "pairs with gold"),
        _rate(
            "Longer wins where lengths match",
            found.matched,
            "labelled pairs within 10%",
            fair=0.5,
            note="Lengths within 10% of each other: what is left of the preference when length hardly differs.",
        ),
    ]
    remarks = (
        [f"{count(found.flagged, 'pair')} flagged by --length-control: length alone decides the winner."]
        if found.flagged
        else []
    )
    rows = [
        (name, _with_count(critic), _with_count(by_people))
        for name, critic, by_people in zip(NAMES, found.critic, found.people, strict=True)
        if critic.n or by_people.n
    ]
    columns = 3 if people.n else 2
    table = Table(
        "Longer wins, by how much longer it is",
        ("Times as long", "By the critic", "By people")[:columns],
        [row[:columns] for row in rows],
    )
    return Part(
        "length",
        "Length",
        "Length bias",
        "Lengths are counted in characters. That longer responses win often is no fault by itself, where they are better: compare with people.",
        [rate for rate in rates if rate.rate is not None],
        [table] if rows else [],
        remarks,
        ("length",) if any(share.n for share in found.critic) else (),
        "" if rows else "No labelled pair has responses of unequal length.",
    )


def kinship(facts: Facts) -> Part:
    """Whether critics favour their own."""
    kin, tally = facts.account.kin, facts.account.tally
    matches = list(kin.matches())
    rows = [
        (
            match.judge,
            f"{match.first} (own)" if match.own else match.first,
            match.second,
            count(match.wins.n),
            _with_interval(match.wins.rate, match.wins.interval),
        )
        for match in matches[:_ROWS]
    ]
    models = sorted(kin.models.items(), key=lambda item: (-(item[1].rate or 0), item[0]))
    tables = []
    if rows:
        more = len(matches) - len(rows)
        note = f"{count(more, 'more pair')} of models are not shown." if more else ""
        tables.append(
            Table(
                "By pair of models", ("Critic's family", "Model", "Against", "Pairs", "Model wins"), rows, 3, note=note
            )
        )
        tables.append(
            Table(
                "By model",
                ("Model", "Pairs", "Wins"),
                [(name, count(wins.n), _with_interval(wins.rate, wins.interval)) for name, wins in models[:_ROWS]],
            )
        )
    rates = [
        _rate("Own family wins", tally.same_family, "labelled pairs with one response of the critic's family", fair=0.5)
    ]
    if rows:
        empty = (
            ""
            if tally.same_family.n
            else "No labelled pair has just one response by a model of the critic's family, so whether it favours its own can't be seen."
        )
    else:
        empty = "The labelled pairs don't say which models wrote the responses (model_a, model_b)."
    return Part(
        "kin",
        "Self-preference",
        "Self-preference",
        "Critics tend to favour what models of their own family write. A high rate may also mean that these are better: compare with people.",
        [rate for rate in rates if rate.rate is not None],
        tables,
        empty=empty,
    )


def sureness(facts: Facts) -> Part:
    """How sure the labels are."""
    found = facts.account.sureness
    soft, hard = sum(found.soft), sum(found.hard)
    remarks = []
    if found.n:
        remarks.append(f"The mean preference is {found.mean or 0:.3f} over {count(found.n, 'labelled pair')}.")
        remarks.append(
            f"{count(soft, 'label')} from the critic's probabilities (soft), {count(hard, 'label')} from votes alone (hard)."
        )
    return Part(
        "sureness",
        "Sureness",
        "How sure the labels are",
        "The preference is P(chosen is better): a probability where it comes from the critic's token probabilities, else a share of votes.",
        remarks=remarks,
        charts=("sureness",) if found.n else (),
        empty="" if found.n else "There is no labelled pair.",
    )


def agreement(facts: Facts) -> Part:
    """Whether people say the same."""
    tally, calibration = facts.account.tally, facts.account.calibration
    if not tally.right.n:
        empty = "No pair says what people chose. Give some of them gold (a, b or tie) or votes: 100 pairs already tell a good critic from a coin."
        return Part("people", "People", "Agreement with people", _PEOPLE, empty=empty)
    told = tally.rates()["agreement"]
    assert isinstance(told, Mapping), "there is gold"
    aa, ab, ba, bb = tally.confusion
    decided = Share(aa + bb, aa + ab + ba + bb)
    rates = [
        _rate("Right", tally.right, "pairs with gold", chance=0.5, note="A pair without a label counts as wrong."),
        _rate("Right where it gave a label", decided, "labelled pairs with gold", chance=0.5),
        *(
            _rate(f"Right with {order.value[0].upper()} shown first", share, "pairs asked so", chance=0.5)
            for order, share in tally.right_by_order.items()
            if share.n
        ),
    ]
    remarks = [] if facts.rest else [_NO_REST]
    if told["kappa"] is not None:
        interval = told["kappa_ci"]
        spread = f" (95% interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
        remarks.append(
            f"Cohen's kappa is {told['kappa']:.3f}{spread}: agreement beyond chance, where 0 is none and 1 complete."
        )
    if calibration.n:
        remarks.append(
            f"Calibration over {count(calibration.n, 'soft pair')} with gold: Brier score {calibration.brier:.3f} (0.25 is a critic that always says 0.5), expected calibration error {calibration.ece:.3f}."
        )
    table = Table(
        "Label against people",
        ("", "People say A", "People say B"),
        [("Critic says A", count(aa), count(ab)), ("Critic says B", count(ba), count(bb))],
    )
    return Part(
        "people",
        "People",
        "Agreement with people",
        _PEOPLE,
        rates,
        [table],
        remarks,
        ("calibration",) if calibration.n else (),
    )


def cost(facts: Facts) -> Part:
    """What it took."""
    about = "What asking took, from the run's summary."
    summary = facts.summary
    if summary is None:
        return Part(
            "cost",
            "Cost",
            "Cost and tokens",
            about,
            empty="Not in this file. Name the run's summary with --summary FILE.",
        )
    requests, tokens = _mapping(summary.get("requests")), _mapping(summary.get("tokens"))
    money, seconds = summary.get("cost_usd"), summary.get("seconds")
    read = _whole(summary.get("read"))
    rows = [
        ("Requests sent", count(_whole(requests.get("sent")))),
        ("Retried", count(_whole(requests.get("retried")))),
        ("Answered from the store", count(_whole(requests.get("from_store")))),
        ("Input tokens", count(_whole(tokens.get("input")))),
        ("of them from a cache", count(_whole(tokens.get("cached")))),
        ("Output tokens", count(_whole(tokens.get("output")))),
        ("of them reasoning", count(_whole(tokens.get("reasoning")))),
        ("Cost", usd(float(money)) if isinstance(money, int | float) else "no price is known"),
    ]
    if isinstance(money, int | float) and read:
        rows.append(("Cost per 1,000 pairs", usd(1000 * float(money) / read)))
    if isinstance(seconds, int | float):
        rows.append(("Time", duration(float(seconds))))
    return Part("cost", "Cost", "Cost and tokens", about, tables=[Table("", ("What", "Figure"), rows)])


def sources(facts: Facts) -> Part:
    """What was labelled, and how."""
    found = facts.account.sources
    manifest = _mapping((facts.summary or {}).get("manifest"))
    rows = [(name, text) for name, text in (*_from_lines(found), *_from_manifest(manifest)) if text]
    remarks = [] if manifest else ["The run's summary is not here: what the lines themselves say is shown."]
    return Part(
        "sources",
        "Setup",
        "What was labelled, and how",
        "Enough to do the same again.",
        tables=[Table("", ("What", "Value"), rows, numbers=2)] if rows else (),
        remarks=remarks,
    )


_NO_REST = "There is no rest file: conflicts and ties are missing, so this looks better than it was."
_PEOPLE = "How often the critic's label is what people chose, over all pairs with a gold of a or b."


def _from_lines(found: object) -> Iterator[tuple[str, str]]:
    for name, attribute in (
        ("Critic", "critics"),
        ("Served by", "served_by"),
        ("Template", "templates"),
        ("Criteria", "criteria"),
        ("Input", "files"),
    ):
        counts: Counter[str] = getattr(found, attribute)
        names = counts.most_common()
        several = len(names) > 1
        yield (
            name,
            listed([f"{each} ({n:,})" if several else each for each, n in names], most=6),
        )


def _from_manifest(manifest: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, key in (
        ("Criteria in full", "criteria_text"),
        ("Version", "version"),
        ("Escalated to", "escalate_to"),
        ("Seed", "seed"),
    ):
        if key in manifest and manifest[key] != "":
            yield name, str(manifest[key])
    for key, value in _mapping(manifest.get("parameters")).items():
        if value not in (None, "", {}, []):
            said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield key.replace("_", " ").capitalize(), said
    for file, digest in _mapping(manifest.get("inputs")).items():
        yield f"SHA-256 of {file}", str(digest)


def _rate(
    name: str,
    share: Share,
    noun: str,
    *,
    fair: float | None = None,
    note: str = "",
    chance: float | None = None,
) -> Rate:
    """`noun`: what is counted, in the plural."""
    return Rate(name, share.rate, share.interval, _of(share.n, noun), fair, note, chance)


def _of(n: int, noun: str) -> str:
    return f"{n:,} {noun.replace('pairs', 'pair', 1).replace('verdicts', 'verdict', 1) if n == 1 else noun}"


def _with_interval(rate: float | None, interval: Interval | None) -> str:
    return percent(rate) + (f" ({between(interval)})" if interval else "")


def _with_count(share: Share) -> str:
    return f"{_with_interval(share.rate, share.interval)} of {share.n:,}" if share.n else "–"


def _mirrored(interval: Interval | None) -> Interval | None:
    return None if interval is None else (1 - interval[1], 1 - interval[0])


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
