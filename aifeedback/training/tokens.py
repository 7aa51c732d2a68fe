"""A model's tokenizer and chat template, read from its small files: the same ids as transformers', in a fiftieth of the time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aifeedback.errors import SettingsError
from aifeedback.records import Message
from aifeedback.training.model_files import LEGACY, SETTINGS, SPECIALS, TEMPLATE, TOKENIZER, ModelFiles, json_object

if TYPE_CHECKING:
    from jinja2 import Template
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Refused(ValueError):
    """The chat template can't render these turns; `str()` is why."""


class Tokens(Protocol):
    """What the checks need of a tokenizer. `chat_ids` raises Refused; `vocabulary` is its highest id and one."""

    eos_token: str | None
    eos_id: int | None
    bos_id: int | None
    special_tokens: Mapping[str, int]
    has_chat_template: bool
    vocabulary: int
    context: int | None

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text, with what the tokenizer adds to it."""

    def chat_ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
        """The ids of a rendered dialogue, to which nothing is added."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens spelled out."""


class ChatTemplate:
    """A chat template, rendered as transformers does: sandboxed, with the names it has there."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        self._special = dict(special)
        self._template = _compiled(source)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The dialogue as text. Raises Refused."""
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": message.content} for message in messages]
        wanted = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": add_generation_prompt}
        try:
            return self._template.render(**(self._special | wanted))
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise Refused(str(error)) from error


def _compiled(source: str) -> Template:
    import json
    from datetime import datetime

    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.nodes import Node
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant writes, and renders as what stands in it."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: object, ensure_ascii: bool = False, **how: object) -> str:  # noqa: FBT001, FBT002 - as templates call it
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)  # type: ignore[arg-type] # indent, separators, sort_keys

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda how: datetime.now().astimezone().strftime(how),
    }
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise SettingsError(f"the model's chat template can't be read: {error}. Mend it.") from error


@dataclass(slots=True)
class QuickTokens:
    """Tokens without transformers."""

    _tokenizer: Tokenizer
    _template: ChatTemplate | None
    eos_token: str | None
    eos_id: int | None
    bos_id: int | None
    special_tokens: Mapping[str, int]
    vocabulary: int
    context: int | None
    has_chat_template: bool = field(init=False)

    def __post_init__(self) -> None:
        self.has_chat_template = self._template is not None

    def text_ids(self, text: str) -> list[int]:
        """See Tokens."""
        return self._tokenizer.encode(text).ids

    def chat_ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
        """See Tokens."""
        if self._template is None:
            raise Refused("the tokenizer has no chat template")
        text = self._template.render(messages, add_generation_prompt=add_generation_prompt)
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """See Tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)


# transformers builds some tokenizers anew from the vocabulary alone, by their class, whatever else their file says. Where
# both agree, the file will do: class -> normalizer, pre-tokenizer, and the special tokens that the settings must name
# since the class has its own for them.
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES: dict[str, object] = {"type": "ByteLevel", "add_prefix_space": False}
_SPLIT = {"type": "Split", "pattern": {"Regex": _QWEN}, "behavior": "Isolated", "invert": False}
_REBUILT: Mapping[str, tuple[object, object, Sequence[str]]] = {
    "GPT2Tokenizer": (None, _BYTES | {"use_regex": True}, ("unk_token", "bos_token", "eos_token")),
    "Qwen2Tokenizer": (
        {"type": "NFC"},
        {"type": "Sequence", "pretokenizers": [_SPLIT, _BYTES | {"use_regex": False}]},
        ("unk_token", "eos_token", "pad_token"),
    ),
}
_AS_IT_IS = frozenset({"TokenizersBackend", "PreTrainedTokenizer"})
# Models whose tokenizer gets the class of their type, whatever it says itself, and a family whose files are mended.
_FORCED = {"qwen2": "Qwen2Tokenizer"}
_SLOW = re.compile(r"qwen3_5|qwen4|siglip|hyperclova|mi[ns]tral|mixtral|pixtral|voxtral")


def quick_tokenizer(files: ModelFiles) -> Tokens | None:
    """The tokenizer from its files, or None where only transformers surely gives the ids that it trains on.

    Raises SettingsError where a file can't be read.
    """
    if TOKENIZER not in files.tokenizer:
        return None
    from tokenizers import AddedToken, Tokenizer

    settings, raw = _settings(files), json_object(files.tokenizer[TOKENIZER])
    if settings is None or not _read_as_it_is(files, settings, raw):
        return None
    try:
        tokenizer = Tokenizer.from_file(str(files.tokenizer[TOKENIZER]))
    except Exception as error:  # tokenizers raises nothing more precise
        raise SettingsError(f"{files.tokenizer[TOKENIZER]}: can't be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = bool(settings.get("split_special_tokens"))
    special = {name: text for name in _NAMED if (text := _spelling(settings.get(name))) is not None}
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    more = [text for text in [*special.values(), *_extra(settings)] if text not in added]
    tokenizer.add_tokens([AddedToken(text, special=True) for text in dict.fromkeys(more)])
    template = _template_of(files, settings)
    bos, eos = special.get("bos_token"), special.get("eos_token")
    known = tokenizer.get_added_tokens_decoder()
    return QuickTokens(
        tokenizer,
        ChatTemplate(template, special) if template is not None else None,
        eos,
        tokenizer.token_to_id(eos) if eos is not None else None,
        tokenizer.token_to_id(bos) if bos is not None else None,
        {token.content: number for number, token in known.items() if token.special},
        max(tokenizer.get_vocab().values(), default=-1) + 1,
        files.context,
    )


def _settings(files: ModelFiles) -> Mapping[str, object] | None:
    """tokenizer_config.json with what an older file says besides; None where it wants what we don't do."""
    settings = json_object(files.tokenizer.get(SETTINGS))
    if "auto_map" in settings or settings.get("fix_mistral_regex") or settings.get("init_inputs"):
        return None
    if "added_tokens_decoder" not in settings:
        if LEGACY in files.tokenizer:
            return None
        settings |= json_object(files.tokenizer.get(SPECIALS))
    return settings


def _read_as_it_is(files: ModelFiles, settings: Mapping[str, object], raw: Mapping[str, object]) -> bool:
    """Whether transformers takes tokenizer.json as it stands."""
    if _SLOW.search(files.tokenizer_model) or not _agree(settings.get("added_tokens_decoder"), raw.get("added_tokens")):
        return False
    named = _FORCED.get(files.tokenizer_model) or settings.get("tokenizer_class")
    name = named.removesuffix("Fast") if isinstance(named, str) else ""
    if name in _AS_IT_IS:
        return True
    if name == "LlamaTokenizer":
        return b'"ByteLevel"' in files.tokenizer[TOKENIZER].read_bytes()
    model = raw.get("model")
    if name not in _REBUILT or not isinstance(model, dict) or settings.get("add_prefix_space"):
        return False
    normalizer, split, named_tokens = _REBUILT[name]
    plain = not any(value for key, value in model.items() if key not in {"type", "vocab", "merges"})
    return (
        plain
        and model.get("type") == "BPE"
        and raw.get("normalizer") == normalizer
        and _bare(raw.get("pre_tokenizer")) == split
        and all(key in settings for key in named_tokens)
        and _gapless(model.get("vocab"), raw.get("added_tokens"))
    )


def _agree(said: object, held: object) -> bool:
    """Whether both files name the same added tokens, or only one of them does."""
    if not isinstance(said, dict):
        return True
    flags = ("content", "lstrip", "rstrip", "normalized", "single_word", "special")
    here = {str(token["id"]): [token.get(flag) for flag in flags] for token in _objects(held)}
    return here == {number: [token.get(flag) for flag in flags] for number, token in said.items()}


def _gapless(vocabulary: object, added: object) -> bool:
    """Whether added tokens keep their ids when they are added one by one to the vocabulary."""
    held = vocabulary if isinstance(vocabulary, dict) else {}
    new = {token["id"] for token in _objects(added) if token["content"] not in held}
    return new == set(range(len(held), len(held) + len(new)))


def _objects(value: object) -> Iterable[dict[str, object]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _bare(part: object) -> object:
    """A pre-tokenizer without what changes offsets only."""
    if isinstance(part, dict):
        bare = {key: _bare(value) for key, value in part.items() if key != "trim_offsets"}
        return {"use_regex": True} | bare if bare.get("type") == "ByteLevel" else bare
    return [_bare(item) for item in part] if isinstance(part, list) else part


def _spelling(token: object) -> str | None:
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _extra(settings: Mapping[str, object]) -> list[str]:
    """Further special tokens: a list, or a dict by name; tokens of other names (`image_token`) count as well."""
    found = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    items = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
    named = [value for key, value in settings.items() if key.endswith("_token") and key not in _NAMED]
    return [text for item in [*items, *named] if (text := _spelling(item)) is not None]


def _template_of(files: ModelFiles, settings: Mapping[str, object]) -> str | None:
    """The template that applies where none is named; a file of its own goes before the settings."""
    if TEMPLATE in files.tokenizer:
        return files.tokenizer[TEMPLATE].read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        found = {item.get("name"): item.get("template") for item in _objects(found)}
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) else None


class _SlowTokens:
    """Tokens by way of transformers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int | None) -> None:
        self._tokenizer = tokenizer
        decoder = tokenizer.added_tokens_decoder
        self.eos_token: str | None = tokenizer.eos_token
        self.eos_id: int | None = tokenizer.eos_token_id
        self.bos_id: int | None = tokenizer.bos_token_id
        self.special_tokens: Mapping[str, int] = {
            token.content: number for number, token in decoder.items() if token.special
        }
        self.vocabulary = max([*tokenizer.get_vocab().values(), *decoder, -1]) + 1
        self.context = context
        try:
            self.has_chat_template = bool(tokenizer.get_chat_template())
        except ValueError:
            self.has_chat_template = False

    def text_ids(self, text: str) -> list[int]:
        """See Tokens."""
        ids: list[int] = self._tokenizer(text)["input_ids"]
        return ids

    def chat_ids(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> list[int]:
        """See Tokens."""
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            found: Any = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
            )
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            raise Refused(str(error)) from error
        return [int(number) for number in found]

    def decode(self, ids: Sequence[int]) -> str:
        """See Tokens."""
        return str(self._tokenizer.decode(list(ids)))


def slow_tokenizer(files: ModelFiles, *, trust_remote_code: bool = False) -> Tokens:
    """The same by way of transformers, which takes seconds. Raises SettingsError where it can't be loaded."""
    return _SlowTokens(load_tokenizer(files, trust_remote_code=trust_remote_code), files.context)


def load_tokenizer(files: ModelFiles, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer as transformers has it, from where its files were found. Raises SettingsError where it can't be loaded."""
    from transformers import AutoTokenizer

    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            files.tokenizer_at, revision=files.revision or "main", trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(f"{files.name}: no tokenizer that can be loaded: {reason}") from error
    return found
