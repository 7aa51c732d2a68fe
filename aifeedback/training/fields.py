"""The settings that a trainer and its adapter take: names, types and defaults, read from their packages' source.

Importing the classes would say the same, but costs the four seconds that torch takes to load, for a typing error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aifeedback.errors import SettingsError

if TYPE_CHECKING:
    from aifeedback.training.settings import Kind

MISSING = "training needs more packages. Install them with: pip install 'aifeedback[train]' (in a checkout: '.[train]')"

_CLASSES: Mapping[Kind, tuple[str, str]] = {
    "dpo": ("trl.trainer.dpo_config", "DPOConfig"),
    "sft": ("trl.trainer.sft_config", "SFTConfig"),
    "kto": ("trl.trainer.kto_config", "KTOConfig"),
}
_LORA = ("peft.tuners.lora.config", "LoraConfig")

# "Deprecated" as the first word of a sentence speaks of the field; elsewhere it speaks of one value, or of a tool.
_DEPRECATED = re.compile(r"(?:^|(?<=[.:] ))Deprecated\b.*", re.DOTALL)
_VALUES = re.compile(r"Possible values are: (`'\w+'`(?:, (?:and |or )?`'\w+'`)*)\.")
_PLAIN: Mapping[str, Type] = {"bool": "bool", "int": "int", "float": "float", "str": "str", "None": "none"}
_CONTAINERS: Mapping[str, Type] = {"list": "list", "List": "list", "tuple": "list", "dict": "dict", "Dict": "dict"}

Type = Literal["bool", "int", "float", "str", "choice", "list", "dict", "any", "object", "none"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the things that a value may be.

    `items`: what a list's members may be. `choices`: the values of a Literal, an enum or a field's own list of them.
    `object` is an instance of a class, which no file or flag can spell.
    """

    type: Type
    items: tuple[Shape, ...] = ()
    choices: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `annotation` as its author wrote it, `kinds` what that means, in no order.

    `default` is None too where it is `computed` only when the trainer's settings are made.
    `home`: the class that says so, with its module. `deprecated`: what the package says about that, or "".
    """

    name: str
    annotation: str
    kinds: tuple[Shape, ...]
    default: object | None
    home: str
    computed: bool = False
    deprecated: str = ""

    def takes(self, *types: Type) -> bool:
        """Whether a value may be one of these."""
        return any(shape.type in types for shape in self.kinds)


@cache
def fields_of(kind: Kind) -> Mapping[str, Field]:
    """Every setting of the trainer of this kind, inherited ones too, in the order of its class.

    Raises SettingsError where the packages are missing or are not laid out as they should be.
    """
    return _fields_of(*_CLASSES[kind])


@cache
def lora_fields() -> Mapping[str, Field]:
    """Every setting of peft's LoraConfig. Raises as `fields_of` does."""
    return _fields_of(*_LORA)


def _fields_of(module: str, name: str) -> Mapping[str, Field]:
    if any(find_spec(package) is None for package in ("trl", "transformers", "peft")):
        raise SettingsError(MISSING)
    found = _find(module, name)
    if found is None:
        raise SettingsError(f"no {name} in the installed {module.partition('.')[0]}. {MISSING}")
    return dict(_inherited(*found))


@dataclass(frozen=True, slots=True)
class _Module:
    """What the top of a module binds: its classes, and where its imported names come from."""

    name: str
    classes: Mapping[str, ast.ClassDef]
    imports: Mapping[str, tuple[str, str]]


@cache
def _module(name: str) -> _Module | None:
    path = _path(name)
    if path is None:
        return None
    classes: dict[str, ast.ClassDef] = {}
    imports: dict[str, tuple[str, str]] = {}
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for statement in _top(ast.parse(path.read_bytes()).body):
        if isinstance(statement, ast.ClassDef):
            classes[statement.name] = statement
        elif isinstance(statement, ast.ImportFrom):
            above = package[: len(package) - statement.level + 1] if statement.level else []
            home = ".".join([*above, *filter(None, [statement.module])])
            imports |= {alias.asname or alias.name: (home, alias.name) for alias in statement.names}
    return _Module(name, classes, imports)


def _path(module: str) -> Path | None:
    """The file of a module. Only its package's top is asked for, since finding more would import it."""
    top, *below = module.split(".")
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    stem = Path(spec.submodule_search_locations[0], *below)
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under `if` and `try` too: lazy packages name their parts there."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _top([*statement.body, *statement.orelse])
        else:
            yield statement


def _find(module: str, name: str) -> tuple[_Module, ast.ClassDef] | None:
    """The class that `name` means in a module, followed through the imports that pass it on."""
    for _ in range(5):
        there = _module(module)
        if there is None:
            return None
        if name in there.classes:
            return there, there.classes[name]
        if name not in there.imports:
            return None
        module, name = there.imports[name]
    return None


def _inherited(module: _Module, klass: ast.ClassDef) -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for base in reversed(klass.bases):
        found = _find(module.name, base.id) if isinstance(base, ast.Name) else None
        if found is not None:
            fields |= _inherited(*found)
    if any("dataclass" in ast.unparse(decorator) for decorator in klass.decorator_list):
        for own in _own(module, klass):
            before = fields.get(own.name)
            # A class that repeats a field to change its default doesn't make it any less deprecated.
            fields[own.name] = replace(own, deprecated=own.deprecated or (before.deprecated if before else ""))
    return fields


def _own(module: _Module, klass: ast.ClassDef) -> Iterator[Field]:
    for statement in klass.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        annotation = ast.unparse(statement.annotation)
        said = _said(statement.value)
        if "ClassVar" in annotation or _literal(said.get("init")) is False:
            continue
        default, computed = _default(said)
        metadata = said.get("metadata")
        about = _keys(metadata) if isinstance(metadata, ast.Dict) else {}
        text = _literal(about.get("help"))
        text = text if isinstance(text, str) else ""
        shapes = _shapes(module, statement.annotation)
        if _literal(about.get("const")) is True and not any(shape.type == "bool" for shape in shapes):
            # What the bare flag stands for is a value, though the annotation of `fsdp` says text alone: "false" is true.
            shapes = (*shapes, Shape("bool"))
        yield Field(
            name=statement.target.id,
            annotation=annotation,
            kinds=_chosen(shapes, _choices(about, text)),
            default=default,
            home=f"{module.name}.{klass.name}",
            computed=computed,
            deprecated=said_so[0] if (said_so := _DEPRECATED.search(text)) else "",
        )


def _said(value: ast.expr | None) -> dict[str, ast.expr]:
    """The keywords of `field(...)`; a plain value is a default."""
    if value is None:
        return {}
    if isinstance(value, ast.Call) and ast.unparse(value.func) in {"field", "dataclasses.field"}:
        return {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg}
    return {"default": value}


def _keys(table: ast.Dict) -> dict[str, ast.expr]:
    return {
        key.value: value
        for key, value in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _literal(value: ast.expr | None) -> object:
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None


def _default(said: Mapping[str, ast.expr]) -> tuple[object, bool]:
    """The default, and whether it is known only when the code runs."""
    value = said.get("default")
    factory = said.get("default_factory")
    if isinstance(factory, ast.Name) and factory.id in {"list", "dict"}:
        return ([] if factory.id == "list" else {}), False
    if factory is not None:
        value = factory.body if isinstance(factory, ast.Lambda) else factory
    default = _literal(value)
    return default, default is None and not (isinstance(value, ast.Constant) and value.value is None)


def _choices(about: Mapping[str, ast.expr], text: str) -> tuple[object, ...]:
    """The values that a field's metadata allow; where they don't, those that its help promises to list."""
    listed = _literal(about.get("choices"))
    if isinstance(listed, list | tuple):
        return tuple(listed)
    promised = _VALUES.search(text)
    return tuple(re.findall(r"\w+", promised[1])) if promised else ()


def _chosen(shapes: tuple[Shape, ...], choices: tuple[object, ...]) -> tuple[Shape, ...]:
    """The same shapes, with free text, and lists of it, held to the choices."""
    if not choices:
        return shapes
    return tuple(
        Shape("choice", choices=choices) if shape.type == "str" else replace(shape, items=_chosen(shape.items, choices))
        for shape in shapes
    )


def _shapes(module: _Module, annotation: ast.expr) -> tuple[Shape, ...]:
    """What an annotation allows. An enum beside `str` stands alone: the trainer turns the text into its member."""
    shapes = tuple(dict.fromkeys(_alternatives(module, annotation)))
    if any(shape.type == "choice" and all(isinstance(value, str) for value in shape.choices) for shape in shapes):
        return tuple(shape for shape in shapes if shape.type != "str")
    return shapes


def _alternatives(module: _Module, node: ast.expr) -> Iterator[Shape]:
    match node:
        case ast.Constant(value=None):
            yield Shape("none")
        case ast.Constant(value=str(text)):
            yield from _alternatives(module, ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, right=right):
            yield from _alternatives(module, left)
            yield from _alternatives(module, right)
        case ast.Name(id=name):
            yield _named(module, name)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            yield from _subscripted(module, name, inner.elts if isinstance(inner, ast.Tuple) else [inner])
        case _:
            yield Shape("object")


def _subscripted(module: _Module, name: str, inner: Sequence[ast.expr]) -> Iterator[Shape]:
    if name == "Optional":
        yield Shape("none")
    if name in {"Optional", "Union"}:
        for node in inner:
            yield from _alternatives(module, node)
    elif name == "Literal":
        yield Shape("choice", choices=tuple(_literal(node) for node in inner))
    elif _CONTAINERS.get(name) == "list":
        yield Shape("list", items=tuple(dict.fromkeys(shape for node in inner for shape in _shapes(module, node))))
    else:
        yield _named(module, name)


def _named(module: _Module, name: str) -> Shape:
    if name in _PLAIN:
        return Shape(_PLAIN[name])
    if name in _CONTAINERS:
        return Shape(_CONTAINERS[name], items=(Shape("any"),) if _CONTAINERS[name] == "list" else ())
    if name == "Any":
        return Shape("any")
    found = _find(module.name, name)
    if found is None or not any(ast.unparse(base).endswith("Enum") for base in found[1].bases):
        return Shape("object")
    members = [node.value for node in found[1].body if isinstance(node, ast.Assign)]
    return Shape("choice", choices=tuple(_literal(member) for member in members))
