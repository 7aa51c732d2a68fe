"""Where the parts of an export go: files, a pipe or the hub; all of them are seen at the end, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath

from aifeedback.errors import SettingsError
from aifeedback.exports import dataset_info, llamafactory
from aifeedback.exports.format import Format
from aifeedback.exports.hub import Pushed
from aifeedback.exports.parquet_file import Table
from aifeedback.exports.settings import ExportSettings
from aifeedback.exports.shares import Shares
from aifeedback.exports.sinks import Array, Lines, Sink
from aifeedback.publish import STDOUT, HeldOutput, Output, PipeOutput, check_distinct, open_output

_SINKS: Mapping[str, Callable[[Output], Sink]] = {"lines": Lines, "array": Array, "parquet": Table}


class Places:
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


@contextmanager
def opened(settings: ExportSettings, shape: Format, shares: Shares) -> Iterator[Places]:
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
    places: Places | None = None
    try:
        check_distinct([settings.labels], [("-o", path) for path in paths.values()])
        for name, path in paths.items():
            outputs[name] = _held(open_output(path))
        sinks: dict[str, Sink] = {name: _SINKS[shape.layout](output) for name, output in outputs.items()}
        files = {} if settings.output == STDOUT else paths
        places = Places({"": settings.repo} if pushed else files, outputs, sinks)
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


def _held(output: Output) -> Output:
    """A pipe gets nothing before all rows are known to be good."""
    return HeldOutput(output) if isinstance(output, PipeOutput) else output


def _path(output: str, part: str) -> str:
    """NAME.train.jsonl of NAME.jsonl."""
    if not part:
        return output
    path, gz = PurePath(output.removesuffix(".gz")), ".gz" if output.endswith(".gz") else ""
    return str(path.with_name(f"{path.stem}.{part}{path.suffix}{gz}"))
