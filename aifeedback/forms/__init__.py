"""The shapes that lines come in, a file each, and which of them a record has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aifeedback.errors import InputError, SettingsError
from aifeedback.forms import alpaca, candidates, pair, preference, transcript, ultrafeedback
from aifeedback.forms.fields import as_id
from aifeedback.forms.row import Form, find, row_of
from aifeedback.forms.wording import quoted
from aifeedback.records import Pair
from aifeedback.settings import FormName, InputSettings

_FORMS: Mapping[FormName, Form] = {
    "pair": pair.FORM,
    "candidates": candidates.FORM,
    "transcript": transcript.FORM,
    "preference": preference.FORM,
    "alpaca": alpaca.FORM,
    "ultrafeedback": ultrafeedback.FORM,
}
_QUESTIONS = frozenset({"prompt", "instruction"})
_NAMES_SHOWN = 8


def recognise(record: Mapping[str, object]) -> FormName | None:
    """The first form that the record has all fields of (null counts as lacking), or None."""
    for name, form in _FORMS.items():
        if not form.missing(record) and (name != "transcript" or transcript.looks_like_one(record)):
            return name
    return None


def to_pairs(
    record: Mapping[str, object], settings: InputSettings, *, file: str, line: int, exact: bool = False
) -> list[Pair]:
    """Make the pairs of one record: one, or for several responses as many as `settings.pairs` says.

    Raises InputError, with file and line, for a record that is no usable pair, and SettingsError where
    `--pairs best-worst` meets a response without a score.
    """
    row = row_of(record, settings.map, file=file, line=line, exact=exact)
    try:
        name = settings.format or recognise(row.fields)
        form = _FORMS[name or _nearest(row.fields)]
        if missing := form.missing(row.fields):
            raise InputError(_advice(missing, row.fields, form, settings))
        return form.read(row, settings)
    except InputError as error:
        error.file, error.line = file, line
        raise


def check_names(settings: InputSettings) -> None:
    """Raise SettingsError where `--map` names a field of ours that no form has."""
    ours = frozenset[str]().union(*(form.known for form in _FORMS.values()))
    for name, source in settings.map.items():
        if name not in ours:
            raise SettingsError(
                f"--map {name}={source}: no form has a field {quoted(name)}. Ours are {', '.join(sorted(ours))}."
            )


def given_id(record: Mapping[str, object], settings: InputSettings) -> str:
    """The id that the record gives itself, `""` where it has none that can be used."""
    try:
        return as_id(find(record, settings.map.get("id", "id")))
    except InputError:
        return ""


def _nearest(fields: Mapping[str, object]) -> FormName:
    """The form of which most responses are there, or else the prompt."""

    def nearness(name: FormName) -> tuple[int, int]:
        there = {field for field in _FORMS[name].known if fields.get(field) is not None}
        required = there.intersection(_FORMS[name].required)
        return len(required - _QUESTIONS), len(there & _QUESTIONS)

    return max(_FORMS, key=nearness)


def _advice(missing: Sequence[str], fields: Mapping[str, object], form: Form, settings: InputSettings) -> str:
    """What is missing, and which of the record's own fields it may be."""
    lacking = " and ".join(
        f"no {quoted(settings.map[name])} for {name}" if name in settings.map else f'no "{name}"' for name in missing
    )
    unknown = [name for name in fields if name not in form.known]
    found = ", ".join(map(quoted, unknown[:_NAMES_SHOWN])) + (", …" if len(unknown) > _NAMES_SHOWN else "")
    example = quoted(unknown[0]).strip('"') if unknown else "instruction"
    there = f" among {found}" if found else ""
    return f"{lacking}{there}. Name your field with --map {missing[0]}={example}."
