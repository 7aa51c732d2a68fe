"""What a model's folder, or its page on the hub, says without its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from aifeedback.errors import SettingsError

TOKENIZER, SETTINGS, SPECIALS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE, LEGACY = "chat_template.jinja", "added_tokens.json"
_FILES = (TOKENIZER, SETTINGS, SPECIALS, TEMPLATE, LEGACY)
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
# A tokenizer without a limit of its own says 1e30.
_NO_LIMIT = 10**9
_Get = Callable[[str], Path | None]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a model's folder or its page on the hub says without its weights.

    `config` is the model's own config.json, of an adapter that of its base. `tokenizer` names the tokenizer's files,
    which lie at `tokenizer_at` (a folder or hub id), and `tokenizer_model` is the type of the model beside them.
    `adapter` is the adapter_config.json of an adapter, `base` the name of what it belongs to. `found` is the file
    that was found first: on the hub its folder is named after the commit. `revision` is what was asked of the hub.
    """

    name: str
    config: Mapping[str, object]
    tokenizer: Mapping[str, Path]
    tokenizer_at: str
    tokenizer_model: str = ""
    adapter: Mapping[str, object] | None = None
    base: str = ""
    found: tuple[Path, ...] = ()
    revision: str = ""

    @classmethod
    def find(cls, name: str, revision: str = "") -> ModelFiles:
        """The files of a local folder, or of a model on the hub. Raises SettingsError where there are none.

        `revision` is the model's own on the hub, of an adapter that of its base, as the trainer takes it.
        """
        get = _place(name, revision=revision)
        own = get("config.json")
        if own is not None:
            files = _tokenizer_files(get)
            config = json_object(own)
            return cls(name, config, files, name, str(config.get("model_type") or ""), found=(own,), revision=revision)
        get = _place(name)
        adapter = get("adapter_config.json")
        if adapter is None:
            raise SettingsError(f"{name}: no config.json in it, so it is no model. Name a model's folder or hub id.")
        said = json_object(adapter)
        base, of_base = _base_of(name, said, revision)
        config_path = of_base("config.json")
        if config_path is None:
            raise SettingsError(f"{name} is an adapter of {base}, which has no config.json. Merge that one first.")
        config, found = json_object(config_path), (adapter, config_path)
        if get(TOKENIZER) or get(SETTINGS):
            return cls(name, config, _tokenizer_files(get), name, "", said, base, found)
        kind = str(config.get("model_type") or "")
        return cls(name, config, _tokenizer_files(of_base), base, kind, said, base, found, revision)

    @property
    def folders(self) -> Sequence[Path]:
        """The folders of this machine that the model is loaded from: its own, and its base's where it is an adapter."""
        return [Path(name).resolve() for name in (self.name, self.base) if name and Path(name).is_dir()]

    @property
    def rank(self) -> int | None:
        """The rank of the adapter; None where it is none, or doesn't say."""
        return _whole(self.adapter.get("r")) if self.adapter is not None else None

    @property
    def vocabulary(self) -> int | None:
        """Rows of the model's embedding, None where its config doesn't say."""
        return self._number("vocab_size")

    @property
    def context(self) -> int | None:
        """Tokens that the model can see at once, None where nothing says so."""
        said = [self._number("max_position_embeddings") or self._number("n_positions")]
        said.append(_whole(json_object(self.tokenizer.get(SETTINGS)).get("model_max_length")))
        return min((number for number in said if number and number < _NO_LIMIT), default=None)

    def _number(self, key: str) -> int | None:
        text = self.config.get("text_config")
        return _whole(self.config.get(key)) or (_whole(text.get(key)) if isinstance(text, Mapping) else None)


def _tokenizer_files(get: _Get) -> dict[str, Path]:
    return {file: path for file in _FILES if (path := get(file))}


def _base_of(name: str, adapter: Mapping[str, object], revision: str) -> tuple[str, _Get]:
    """The name of the model that an adapter belongs to, and how to get its files."""
    base = adapter.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise SettingsError(f'{name}: its adapter_config.json has no "base_model_name_or_path". Add it.')
    return base, _place(base, f"{name} is an adapter of ", revision=revision)


def _place(name: str, before: str = "", *, revision: str = "") -> _Get:
    """How to get a file of a model by its name: None where there is no such file."""
    folder = Path(name)
    if folder.is_dir():
        return lambda file: path if (path := folder / file).is_file() else None
    if folder.exists():
        raise SettingsError(f"{before}{name}: a file. Name the folder of a model.")
    if not _HUB_NAME.fullmatch(name):
        raise SettingsError(f"{before}{name}: no such folder. Name a model's folder or hub id.")
    return lambda file: _download(name, file, before, revision)


@cache
def _unreachable(url: str) -> bool:
    """Whether nobody answers at `url`. A proxy may know the way where we don't, so with one nothing is said."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies():
        return False
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 443), timeout=5):
            return False
    except OSError:
        return True


def _download(name: str, file: str, before: str, revision: str) -> Path | None:
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    try:
        # Asked for without a network, the hub's library tries for half a minute.
        offline = is_offline_mode() or _unreachable(ENDPOINT)
        return Path(hf_hub_download(name, file, revision=revision or None, local_files_only=offline))
    except errors.GatedRepoError as error:
        raise SettingsError(
            f"{before}{name}: access must be asked for on its hub page, then run hf auth login."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SettingsError(f"{before}{name}: no such folder, and no such model on the hub. Mend --model.") from error
    except errors.LocalEntryNotFoundError as error:
        # Without a network the cache is all there is, for transformers as well; with one that broke off, nothing is known.
        if is_offline_mode() and file != "config.json":
            return None
        raise SettingsError(
            f"{before}{name}: no such folder, and the hub can't be reached for {file}. Name a local folder, or go online."
        ) from error
    except errors.EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(f"{before}{name}: {file} can't be fetched from the hub: {reason}") from error


def json_object(path: Path | None) -> dict[str, object]:
    """A JSON file that holds an object; {} where there is none. Raises SettingsError."""
    if path is None:
        return {}
    try:
        found: object = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: no JSON object.")
    return found


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
