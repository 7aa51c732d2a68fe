"""A labelled file in, a trainer's file out: one pass, a bounded number of rows in memory, all or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from aifeedback.errors import InputError, SettingsError
from aifeedback.exports import dataset_info, llamafactory
from aifeedback.exports.format import Files, Format, Row
from aifeedback.exports.formats import FORMATS
from aifeedback.exports.hub import Pushed, check_hub
from aifeedback.exports.parquet_file import Table, check_installed
from aifeedback.exports.row import Labelled, Unfit, read_row
from aifeedback.exports.settings import Exported, ExportSettings
from aifeedback.exports.shares import Shares, part_of, read_shares
from aifeedback.exports.sinks import Array, Lines, Sink
from aifeedback.files import STDIN, Line, Source, name_of
from aifeedback.jsontext import dumps
from aifeedback.publish import STDOUT, HeldOutput, Output, PipeOutput, check_distinct, open_output

_TOLD = 5
_EVIDENCE = ("feedback", "meta")
_SUFFIXES = {"lines": ".jsonl", "array": ".json", "parquet": ".parquet"}
_SINKS: Mapping[str, Callable[[Output], Sink]] = {"lines": Lines, "array": Array, "parquet": Table}


def export(settings: ExportSettings) -> Exported:
    """Write labels in the shape of `settings.to`: all of them, or nothing where one can't be written.

    Raises InputError for rows that can't be exported (with a note for each further one), SettingsError, OutputError.
    """
    shape = _format(settings)
    shares = read_shares(settings.split)
    source = Source([settings.labels])
    source.check()
    with _opened(settings, shape, shares) as places:
        done = _Export(settings, shape, shares, places).run(source)
        places.publish()
    done.places = places.paths
    done.paste = shape.paste(_files(places.paths or {"": f"FILE{_SUFFIXES[shape.layout]}"}), places.messages)
    if settings.to == "llamafactory" and not places.paths:
        done.paste += f"\n{dataset_info.NAME}: {dumps(llamafactory.entries(['FILE.jsonl'])).decode()}"
    return done


class _Places:
    """Where each part goes."""

    def __init__(self, paths: Mapping[str, str], outputs: Mapping[str, Output], sinks: Mapping[str, Sink]) -> None:
        self.paths = paths
        self.sinks = sinks
        self.messages = False
        self._outputs = list(outputs.values())
        self._beside: list[tuple[Output, Callable[[], list[bytes]]]] = []
        self._pushed: Pushed | None = None

    def beside(self, output: Output, lines: Callable[[], list[bytes]]) -> None:
        """Publish one more output together with the others; what is in it is asked for at the very end."""
        self._beside.append((output, lines))

    def push(self, pushed: Pushed) -> None:
        """Push the parts to the hub when they are whole."""
        self._pushed = pushed

    def publish(self) -> None:
        """Let all be seen at once, as far as files can: first everything that may fail."""
        for sink in self.sinks.values():
            sink.close()
        for output, lines in self._beside:
            output.write(lines())
        outputs = self._all
        for output in outputs:
            output.settle()
        for output in outputs:
            if isinstance(output, HeldOutput):
                output.release()
            output.finish()
        if self._pushed is not None:
            self._pushed.push()

    def discard(self) -> None:
        """Leave what stood there before."""
        for output in self._all:
            output.discard()

    @property
    def _all(self) -> list[Output]:
        return [*self._outputs, *(output for output, _ in self._beside)]


@dataclass(slots=True)
class _Export:
    """One pass over the rows."""

    settings: ExportSettings
    format: Format
    shares: Shares
    places: _Places

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


@contextmanager
def _opened(settings: ExportSettings, shape: Format, shares: Shares) -> Iterator[_Places]:
    """All outputs; where anything fails, what stood there before is left."""
    names = [name for name, _ in shares] or [""]
    if shares and shape.parts and not set(names) <= set(shape.parts):
        raise SettingsError(
            f"--split: {settings.to} reads parts called {' and '.join(shape.parts)} alone. Name them so."
        )
    if settings.split and settings.output == STDOUT and settings.to != "hub":
        raise SettingsError(
            "--split needs a name for its files. Name one with -o: FILE.train.jsonl is made of FILE.jsonl."
        )
    pushed = Pushed(settings.repo, private=settings.private, parts=names) if settings.to == "hub" else None
    paths = pushed.paths if pushed else {name: _path(settings.output, name) for name in names}
    outputs: dict[str, Output] = {}
    places: _Places | None = None
    try:
        check_distinct([settings.labels], [("-o", path) for path in paths.values()])
        for name, path in paths.items():
            outputs[name] = _held(open_output(path))
        sinks: dict[str, Sink] = {name: _SINKS[shape.layout](output) for name, output in outputs.items()}
        files = {} if settings.output == STDOUT else paths
        places = _Places({"": settings.repo} if pushed else files, outputs, sinks)
        if pushed:
            places.push(pushed)
        if settings.to == "llamafactory" and files:
            places.beside(*_info(files, settings.labels))
        yield places
    except BaseException:
        if places is not None:
            places.discard()
        else:
            for output in outputs.values():
                output.discard()
        raise
    finally:
        if pushed:
            pushed.clear()


def _info(files: Mapping[str, str], labels: str) -> tuple[Output, Callable[[], list[bytes]]]:
    """The dataset_info.json beside the files, and what will stand in it."""
    try:
        entries = llamafactory.entries(list(files.values()))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    path = Path(next(iter(files.values()))).parent / dataset_info.NAME
    check_distinct([labels, *files.values()], [("dataset_info.json:", str(path))])
    dataset_info.merged(path, entries)  # what is wrong with it is said now
    # somebody may write into it while rows come in: it is read again at the end
    return open_output(str(path)), lambda: dataset_info.merged(path, entries)


def _files(paths: Mapping[str, str]) -> Files:
    """What is trained on, and what beside it: by their names, else the first and the second."""
    train = paths.get("train") or next(iter(paths.values()))
    others = {name: path for name, path in paths.items() if path != train}
    tests = [others[name] for name in ("test", "validation", "eval") if name in others]
    return Files(train, (tests or [*others.values()] or [""])[0])


def _held(output: Output) -> Output:
    """A pipe gets nothing before all rows are known to be good."""
    return HeldOutput(output) if isinstance(output, PipeOutput) else output


def _path(output: str, part: str) -> str:
    """NAME.train.jsonl of NAME.jsonl."""
    if not part:
        return output
    path, gz = PurePath(output.removesuffix(".gz")), ".gz" if output.endswith(".gz") else ""
    return str(path.with_name(f"{path.stem}.{part}{path.suffix}{gz}"))


def _row(line: Line) -> Labelled:
    if line.problem:
        raise Unfit(line.problem)
    return read_row(line.value)


def _shape(row: Labelled) -> str:
    return "text" if isinstance(row.prompt, str) else "messages"
