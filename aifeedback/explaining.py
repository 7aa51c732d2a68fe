"""Why a question's reply is not in the store: what differs from the nearest one that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aifeedback.errors import TemplateError
from aifeedback.files import Reader
from aifeedback.job import Job
from aifeedback.keys import Asked, Key, Keys
from aifeedback.lanes import asked_of
from aifeedback.records import Pair
from aifeedback.rows import identical
from aifeedback.store import Row, Store


def explanations(job: Job, store: Store, *, environment: Mapping[str, str], line: int = 0) -> Iterator[tuple[str, str]]:
    """For each question of the job its place and what is known about its reply. Raises InputError, SettingsError."""
    reader = Reader(job.inputs, job.input_settings)
    reader.check()
    rows = list(store.rows())
    here = {row.key for row in rows}
    by_pair: dict[bytes, list[Row]] = {}
    for row in rows:
        by_pair.setdefault(row.pair, []).append(row)
    asked = [asked_of(critic, job.label_settings.ask, environment, job.context) for critic in job.critics]
    keys = [Keys(each) for each in asked]
    renderer, ask = job.renderer(), job.label_settings.ask
    for pair in (item for chunk in reader.chunks() for item in chunk if isinstance(item, Pair)):
        if identical(pair) or (line and pair.line != line):
            continue
        try:
            questions = renderer.questions(pair, ask.orders, ask.samples)
        except TemplateError as error:
            yield f"{pair.file}, line {pair.line}, {pair.id}", f"not asked: {error}"
            continue
        for question in questions:
            for each, maker in zip(asked, keys, strict=True):
                key = maker.key(question)
                where = f"{pair.file}, line {pair.line}, {pair.id}, order {question.order}"
                why = "stored" if key.digest in here else _difference(key, each, by_pair.get(key.pair, []))
                yield where, why


def _difference(key: Key, asked: Asked, near: list[Row]) -> str:
    """What sets this question apart from the stored one that is most like it."""
    if not near:
        return "not stored: nothing about a pair with this prompt and these responses is"
    return "not stored: " + min(
        (_differences(key, asked, row) for row in near), key=lambda found: (found.count(";"), found)
    )


def _differences(key: Key, asked: Asked, row: Row) -> str:
    found = []
    if row.facets["endpoint"] != asked.endpoint:
        found.append(f"endpoint was {row.facets['endpoint']}, is {asked.endpoint}")
    if row.facets["model"] != asked.model:
        found.append(f"model was {row.facets['model']}, is {asked.model}")
    was, now = (value if isinstance(value, Mapping) else {} for value in (row.facets["parameters"], asked.parameters))
    found += [
        f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
    if row.messages != key.messages:
        context = row.facets["context"]
        assert isinstance(context, Mapping), "facets hold the context as an object"
        changed = [
            f"{name} was {context.get(name)}, is {value}"
            for name, value in asked.context.items()
            if context.get(name) != value
        ]
        found += changed or ["the messages differ: the system prompt, the reference, the examples or the seed"]
    elif row.sample != key.sample:
        found.append(f"sample {row.sample} is stored, this is sample {key.sample}")
    return "; ".join(found) or "its reply was cut off, filtered or failed, and so was not kept"
