"""A labelled file in, a trainer's file out: one pass, a bounded number of rows in memory, all or nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aifeedback.errors import InputError, SettingsError
from aifeedback.exports import dataset_info, llamafactory
from aifeedback.exports.format import Files, Format, Row
from aifeedback.exports.formats import FORMATS
from aifeedback.exports.hub import check_hub
from aifeedback.exports.parquet_file import check_installed
from aifeedback.exports.places import Places, opened
from aifeedback.exports.row import Labelled, Unfit, read_row
from aifeedback.exports.settings import Exported, ExportSettings
from aifeedback.exports.shares import Shares, part_of, read_shares
from aifeedback.files import STDIN, Line, Source, name_of
from aifeedback.jsontext import dumps
from aifeedback.publish import STDOUT

_TOLD = 5
_EVIDENCE = ("feedback", "meta")
_SUFFIXES = {"lines": ".jsonl", "array": ".json", "parquet": ".parquet"}


def export(settings: ExportSettings) -> Exported:
    """Write labels in the shape of `settings.to`: all of them, or nothing where one can't be written.

    Raises InputError for rows that can't be exported (with a note for each further one), SettingsError, OutputError.
    """
    shape = _format(settings)
    shares = read_shares(settings.split)
    source = Source([settings.labels])
    source.check()
    with opened(settings, shape, shares) as places:
        done = _Export(settings, shape, shares, places).run(source)
        places.publish()
    done.places = places.paths
    done.paste = shape.paste(_files(places.paths or {"": f"FILE{_SUFFIXES[shape.layout]}"}), places.messages)
    if settings.to == "llamafactory" and not places.paths:
        done.paste += f"\n{dataset_info.NAME}: {dumps(llamafactory.entries(['FILE.jsonl'])).decode()}"
    return done


@dataclass(slots=True)
class _Export:
    """One pass over the rows."""

    settings: ExportSettings
    format: Format
    shares: Shares
    places: Places

    def run(self, source: Source) -> Exported:
        """Put every row in its place. Raises InputError where one has none, or there is nothing."""
        done, problems, shape = Exported(), list[InputError](), ""
        done.parts.update({name: 0 for name, _ in self.shares} or {"": 0})
        for line in source.values():
            done.read += 1
            try:
                row = _row(line)
                if row.preference < self.settings.min_preference:
                    done.weak += 1
                    continue
                shape = shape or _shape(row)
                if self.format.as_is and _shape(row) != shape:
                    raise Unfit(f"{_shape(row)} in a file of {shape}. Label with --shape messages.")
                written = self._written(row)
            except Unfit as unfit:
                done.bad += 1
                if len(problems) < _TOLD:
                    problems.append(InputError(str(unfit), file=line.file, line=line.line))
                continue
            part = part_of(row.prompt, self.shares, self.settings.seed)
            if part and self.format.parts:
                written = [{**each, "split": part} for each in written]
            done.parts[part] += 1
            if not self.settings.skip_bad and problems:
                continue  # nothing will be written any more, but all rows are looked at
            self.places.sinks[part].add(written)
            done.rows += len(written)
        self.places.messages = shape == "messages"
        self._see_result(done, problems)
        return done

    def _written(self, row: Labelled) -> list[Row]:
        """The rows of a pair. Raises Unfit."""
        rows = self.format.write(row)
        if self.settings.keep_feedback:
            kept: Row = {"id": str(row.record.get("id") or ""), "preference": row.preference}
            for name in _EVIDENCE:
                value = row.record.get(name, {})
                # in a typed table it is text: meta may have another shape on each row
                kept[name] = dumps(value, exact=True).decode() if self.format.layout == "parquet" else value
            rows = [{**each, **kept} for each in rows]
        return rows

    def _see_result(self, done: Exported, problems: Sequence[InputError]) -> None:
        name = name_of(self.settings.labels)
        if not done.read:
            hint = " Did what should have written it fail?" if self.settings.labels == STDIN else ""
            raise InputError(f"no rows in it, so there is nothing to export.{hint}", file=name)
        if problems and not self.settings.skip_bad:
            first, *more = problems
            for problem in more:
                first.add_note(str(problem))
            first.add_note(
                f"{done.bad} of {done.read} rows can't be exported to {self.settings.to}, and nothing was written. "
                "--skip-bad leaves such rows out."
            )
            raise first
        if not done.pairs:
            raise InputError(f"none of its {done.read} pairs is left to export.", file=name)
        for part, count in done.parts.items():
            if not count:
                raise SettingsError(
                    f"--split: no prompt came to {part}, and a loader fails on an empty file. Give it a larger share, or another --seed."
                )


def _format(settings: ExportSettings) -> Format:
    """The format asked for. Raises SettingsError for options that don't go together."""
    if settings.to not in FORMATS:
        raise SettingsError(f"no format {settings.to!r}. There are {', '.join(FORMATS)}.")
    shape = FORMATS[settings.to]
    if settings.keep_feedback and not shape.keeps:
        those = ", ".join(name for name, each in FORMATS.items() if each.keeps)
        raise SettingsError(f"--keep-feedback: {settings.to} has no room for it. These have: {those}.")
    if settings.to == "hub":
        if not settings.repo or settings.output != STDOUT:
            raise SettingsError("--to hub takes --repo OWNER/NAME, and no -o.")
        check_hub()
        return shape
    if settings.repo or settings.private:
        raise SettingsError("--repo and --private belong to --to hub.")
    if shape.layout == "parquet":
        check_installed()
        if settings.output == STDOUT and sys.stdout is not None and sys.stdout.isatty():
            raise SettingsError("Parquet is no text for a terminal. Name a file with -o.")
    if settings.output.endswith(".gz") and (shape.layout != "lines" or settings.to == "llamafactory"):
        raise SettingsError(f"-o {settings.output}: {settings.to} is not read compressed. Leave .gz away.")
    return shape


def _files(paths: Mapping[str, str]) -> Files:
    """What is trained on, and what beside it: by their names, else the first and the second."""
    train = paths.get("train") or next(iter(paths.values()))
    others = {name: path for name, path in paths.items() if path != train}
    tests = [others[name] for name in ("test", "validation", "eval") if name in others]
    return Files(train, (tests or [*others.values()] or [""])[0])


def _row(line: Line) -> Labelled:
    if line.problem:
        raise Unfit(line.problem)
    return read_row(line.value)


def _shape(row: Labelled) -> str:
    return "text" if isinstance(row.prompt, str) else "messages"
