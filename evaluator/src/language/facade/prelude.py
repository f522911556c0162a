"""The parts of the standard library that plue has in its own form.

The standard forms of data classes and named tuples paste names into source text and execute it.
These do not: a class is a description that closures read. Runs once per zygote, before the jail
closes, with the real builtins; no file ever sees its globals.
"""

import collections
import copy as _copy
import enum as _enum
import functools as _functools
import shlex as _shlex
import typing as _typing

# Given by the host: check_field(name), identity(object).


class Base:
    """Injected as the last base of plain classes: text and hash without addresses."""

    __slots__ = ()

    def __repr__(self):
        return f"<{type(self).__name__} object>"

    def __hash__(self):
        return identity(self)


# --- dataclasses -------------------------------------------------------------------------------


class _Missing:
    __slots__ = ()

    def __repr__(self):
        return "MISSING"


class _KwOnly:
    __slots__ = ()

    def __repr__(self):
        return "KW_ONLY"


MISSING = _Missing()
KW_ONLY = _KwOnly()


class FrozenInstanceError(AttributeError):
    """A field of a frozen data class was set."""


class InitVar:
    """A parameter of __init__ that is handed to __post_init__ and is no field."""

    __slots__ = ("type",)

    def __init__(self, type):
        object.__setattr__(self, "type", type)

    def __class_getitem__(cls, type):
        return InitVar(type)

    def __setattr__(self, name, value):
        raise AttributeError("an InitVar does not change")

    def __repr__(self):
        return "InitVar"


class Field:
    """One field. Made by field() and @dataclass, never changed by a file."""

    __slots__ = ("name", "type", "default", "default_factory", "init", "repr", "hash", "compare",
                 "kw_only", "metadata")

    def __init__(self, **values):
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __setattr__(self, name, value):
        raise AttributeError("a field does not change")

    def __delattr__(self, name):
        raise AttributeError("a field does not change")

    def __repr__(self):
        return f"Field({self.name!r})"


def field(*, default=MISSING, default_factory=MISSING, init=True, repr=True, hash=None,
          compare=True, metadata=None, kw_only=MISSING):
    if default is not MISSING and default_factory is not MISSING:
        raise ValueError("cannot specify both default and default_factory")
    return Field(name=None, type=None, default=default, default_factory=default_factory, init=init,
                 repr=repr, hash=hash, compare=compare, kw_only=kw_only,
                 metadata=dict(metadata or {}))


def _said(annotation, *names):
    """Whether a textual annotation names one of these."""
    return isinstance(annotation, str) and any(
        annotation == name or annotation.startswith(name + "[")
        or annotation == "dataclasses." + name or annotation.startswith("dataclasses." + name + "[")
        or annotation == "typing." + name or annotation.startswith("typing." + name + "[")
        for name in names)


def _own_fields(cls, kw_only):
    found = []
    inits = []
    for name, annotation in cls.__dict__.get("__annotations__", {}).items():
        if annotation is KW_ONLY or _said(annotation, "KW_ONLY"):
            kw_only = True
            continue
        class_var = (annotation is _typing.ClassVar
                     or _typing.get_origin(annotation) is _typing.ClassVar
                     or _said(annotation, "ClassVar"))
        if class_var:
            continue
        check_field(name)
        default = cls.__dict__.get(name, MISSING)
        given = default if isinstance(default, Field) else field(default=default)
        if isinstance(given.default, (list, dict, set)):
            raise ValueError(f"mutable default {type(given.default).__name__} for field {name} is "
                             "not allowed: use default_factory")
        item = Field(name=name, type=annotation, default=given.default,
                     default_factory=given.default_factory, init=given.init, repr=given.repr,
                     hash=given.hash, compare=given.compare, metadata=given.metadata,
                     kw_only=kw_only if given.kw_only is MISSING else given.kw_only)
        if isinstance(default, Field):
            if given.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, given.default)
        if isinstance(annotation, InitVar) or annotation is InitVar or _said(annotation, "InitVar"):
            inits.append(name)
        found.append(item)
    for name, value in cls.__dict__.items():
        if isinstance(value, Field) and name not in cls.__dict__.get("__annotations__", {}):
            raise TypeError(f"{name!r} is a field but has no type annotation")
    return found, inits


def _make_init(cls_name, parameters, stored, inits, frozen):
    """parameters: every field in order, init variables included."""
    positional = [f for f in parameters if f.init and not f.kw_only]
    keyword = {f.name: f for f in parameters if f.init}
    seen_default = None
    for f in positional:
        if f.default is MISSING and f.default_factory is MISSING:
            if seen_default:
                raise TypeError(f"non-default argument {f.name!r} follows default argument "
                                f"{seen_default!r}")
        else:
            seen_default = f.name
    names = [f.name for f in positional]
    put = object.__setattr__

    def __init__(self, *args, **kwargs):
        if len(args) > len(names):
            raise TypeError(f"{cls_name}() takes {len(names)} positional arguments but "
                            f"{len(args)} were given")
        values = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in keyword:
                raise TypeError(f"{cls_name}() got an unexpected keyword argument {name!r}")
            if name in values:
                raise TypeError(f"{cls_name}() got multiple values for argument {name!r}")
            values[name] = value
        missing = []
        later = []
        for f in parameters:
            name = f.name
            if name in values:
                value = values[name]
            elif f.default_factory is not MISSING:
                value = f.default_factory()
            elif f.default is not MISSING:
                value = f.default
            elif f.init:
                missing.append(repr(name))
                continue
            else:
                continue
            if name in inits:
                later.append(value)
            elif name in stored:
                put(self, name, value)
        if missing:
            raise TypeError(f"{cls_name}() is missing {', '.join(missing)}")
        post = getattr(self, "__post_init__", None)
        if post is not None:
            post(*later)

    return __init__


def _key(self, names):
    return tuple([getattr(self, name) for name in names])


def _make_comparisons(cls, names, eq, order):
    if eq and "__eq__" not in cls.__dict__:
        def __eq__(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return _key(self, names) == _key(other, names)
        cls.__eq__ = __eq__
    if not order:
        return
    if not eq:
        raise ValueError("eq must be true if order is true")

    def comparison(method, compare):
        def function(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return compare(_key(self, names), _key(other, names))
        if method in cls.__dict__:
            raise TypeError(f"cannot overwrite {method} in class {cls.__name__}")
        setattr(cls, method, function)

    comparison("__lt__", lambda a, b: a < b)
    comparison("__le__", lambda a, b: a <= b)
    comparison("__gt__", lambda a, b: a > b)
    comparison("__ge__", lambda a, b: a >= b)


def _make_hash(cls, names, eq, frozen, unsafe_hash):
    explicit = cls.__dict__.get("__hash__", MISSING)
    by_eq = explicit is None and "__eq__" in cls.__dict__
    has_own = not (explicit is MISSING or by_eq)

    def __hash__(self):
        return hash(_key(self, names))

    if unsafe_hash:
        if has_own:
            raise TypeError(f"cannot overwrite __hash__ in class {cls.__name__}")
        cls.__hash__ = __hash__
    elif eq and frozen:
        if not has_own:
            cls.__hash__ = __hash__
    elif eq and not has_own:
        cls.__hash__ = None


def _freeze(cls, names):
    def __setattr__(self, name, value):
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    cls.__setattr__ = __setattr__
    cls.__delattr__ = __delattr__


def _make_repr(fields_shown):
    shown = [f.name for f in fields_shown]
    running = set()

    def __repr__(self):
        key = identity(self)
        if key in running:
            return "..."
        running.add(key)
        try:
            inner = ", ".join([f"{name}={getattr(self, name)!r}" for name in shown])
            return f"{type(self).__qualname__.rpartition('<locals>.')[2]}({inner})"
        finally:
            running.discard(key)

    return __repr__


def _process(cls, init, repr, eq, order, unsafe_hash, frozen, match_args, kw_only):
    if not isinstance(cls, type) or issubclass(cls, (type, _enum.Enum)):
        raise TypeError("@dataclass decorates a plain class")
    parameters = {}
    inits = []
    for base in reversed(cls.__mro__[1:]):
        described = base.__dict__.get("__dataclass_fields__")
        if described is not None:
            if base.__dict__["__dataclass_frozen__"] != frozen:
                raise TypeError("a frozen and a non-frozen dataclass cannot inherit from each other")
            parameters.update({f.name: f for f in described[0]})
            inits.extend(described[1])
    own, own_inits = _own_fields(cls, kw_only)
    for f in own:
        parameters[f.name] = f
    inits.extend(own_inits)
    everything = list(parameters.values())
    stored = [f for f in everything if f.name not in inits]
    cls.__dataclass_fields__ = (everything, inits)
    cls.__dataclass_frozen__ = frozen
    names = {f.name for f in stored}
    if init and "__init__" not in cls.__dict__:
        cls.__init__ = _make_init(cls.__name__, everything, names, set(inits), frozen)
    if repr and "__repr__" not in cls.__dict__:
        cls.__repr__ = _make_repr([f for f in stored if f.repr])
    compared = [f.name for f in stored if f.compare]
    _make_comparisons(cls, compared, eq, order)
    hashed = [f.name for f in stored if (f.compare if f.hash is None else f.hash)]
    _make_hash(cls, hashed, eq, frozen, unsafe_hash)
    if frozen:
        _freeze(cls, names)
    if match_args and "__match_args__" not in cls.__dict__:
        cls.__match_args__ = tuple([f.name for f in everything if f.init and not f.kw_only])
    return cls


def dataclass(cls=None, /, *, init=True, repr=True, eq=True, order=False, unsafe_hash=False,
              frozen=False, match_args=True, kw_only=False, slots=False, weakref_slot=False):
    def wrap(cls):
        return _process(cls, init, repr, eq, order, unsafe_hash, frozen, match_args, kw_only)
    return wrap if cls is None else wrap(cls)


def _described(value):
    cls = value if isinstance(value, type) else type(value)
    for base in cls.__mro__:
        found = base.__dict__.get("__dataclass_fields__")
        if found is not None:
            return [f for f in found[0] if f.name not in found[1]]
    return None


def is_dataclass(value):
    return _described(value) is not None


def fields(value):
    found = _described(value)
    if found is None:
        raise TypeError("must be called with a dataclass type or instance")
    return tuple(found)


def _convert(value, rebuild):
    if not isinstance(value, type) and _described(value) is not None:
        return rebuild([(f.name, _convert(getattr(value, f.name), rebuild))
                        for f in _described(value)])
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[_convert(v, rebuild) for v in value])
    if isinstance(value, (list, tuple)):
        return type(value)([_convert(v, rebuild) for v in value])
    if isinstance(value, dict):
        return {_convert(k, rebuild): _convert(v, rebuild) for k, v in value.items()}
    return _copy.deepcopy(value)


def asdict(value, *, dict_factory=dict):
    if isinstance(value, type) or _described(value) is None:
        raise TypeError("asdict() should be called on dataclass instances")
    return _convert(value, dict_factory)


def astuple(value, *, tuple_factory=tuple):
    if isinstance(value, type) or _described(value) is None:
        raise TypeError("astuple() should be called on dataclass instances")
    return _convert(value, lambda pairs: tuple_factory([v for _, v in pairs]))


def replace(value, /, **changes):
    if isinstance(value, type) or _described(value) is None:
        raise TypeError("replace() should be called on dataclass instances")
    for f in _described(value):
        if not f.init:
            if f.name in changes:
                raise ValueError(f"field {f.name} is declared with init=False, it cannot be "
                                 "specified with replace()")
            continue
        if f.name not in changes:
            changes[f.name] = getattr(value, f.name)
    return type(value)(**changes)


own_dataclasses = {
    "FrozenInstanceError": FrozenInstanceError, "InitVar": InitVar, "KW_ONLY": KW_ONLY,
    "MISSING": MISSING, "asdict": asdict, "astuple": astuple, "dataclass": dataclass,
    "field": field, "fields": fields, "is_dataclass": is_dataclass, "replace": replace,
}

# --- named tuples ------------------------------------------------------------------------------


def _tuple_class(name, names, defaults, module, extra=()):
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
        raise ValueError(f"{name!r} is no name for a class")
    for item in names:
        if not isinstance(item, str) or not item.isidentifier() or item.startswith("_"):
            raise ValueError(f"{item!r} is no name for a field")
        check_field(item)
    if len(set(names)) != len(names):
        raise ValueError("a field appears twice")
    count = len(names)
    new = tuple.__new__

    def __new__(cls, /, *args, **kwargs):
        if not kwargs and len(args) == count:
            return new(cls, args)
        if len(args) > count:
            raise TypeError(f"{name}() takes {count} arguments but {len(args)} were given")
        values = dict(zip(names, args))
        for key, value in kwargs.items():
            if key not in names:
                raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
            if key in values:
                raise TypeError(f"{name}() got multiple values for argument {key!r}")
            values[key] = value
        missing = [item for item in names if item not in values and item not in defaults]
        if missing:
            raise TypeError(f"{name}() is missing {', '.join(map(repr, missing))}")
        return new(cls, [values[item] if item in values else defaults[item] for item in names])

    def _make(cls, iterable):
        values = tuple(iterable)
        if len(values) != count:
            raise TypeError(f"expected {count} values, got {len(values)}")
        return new(cls, values)

    def _replace(self, /, **changes):
        unknown = [key for key in changes if key not in names]
        if unknown:
            raise ValueError(f"got unexpected field names: {unknown!r}")
        return new(type(self), [changes.get(item, old) for item, old in zip(names, self)])

    def _asdict(self):
        return dict(zip(names, self))

    def __repr__(self):
        return f"{type(self).__name__}({', '.join([f'{k}={v!r}' for k, v in zip(names, self)])})"

    def __getnewargs__(self):
        return tuple(self)

    body = {
        "__slots__": (), "__module__": module, "__new__": __new__, "__repr__": __repr__,
        "__getnewargs__": __getnewargs__, "__match_args__": names, "_fields": names,
        "_field_defaults": dict(defaults), "_make": classmethod(_make), "_replace": _replace,
        "_asdict": _asdict,
    }
    for index, item in enumerate(names):
        body[item] = property(lambda self, index=index: tuple.__getitem__(self, index))
    # Given at once, because setting `__doc__` later is an audited event.
    body.update(extra)
    return type(name, (tuple,), body)


def namedtuple(typename, field_names, *, rename=False, defaults=None, module=None):
    if isinstance(field_names, str):
        field_names = field_names.replace(",", " ").split()
    names = tuple(field_names)
    if rename:
        names = tuple(item if item.isidentifier() and not item.startswith("_") else f"field{i}"
                      for i, item in enumerate(names))
    defaults = tuple(defaults or ())
    if len(defaults) > len(names):
        raise TypeError("got more default values than field names")
    pairs = dict(zip(names[len(names) - len(defaults):], defaults))
    return _tuple_class(typename, names, pairs, "workflow")


class _NamedTupleMeta(type):
    def __new__(mcls, name, bases, namespace):
        annotations = namespace.get("__annotations__", {})
        names = tuple(annotations)
        defaults = {}
        for item in names:
            if item in namespace:
                defaults[item] = namespace[item]
            elif defaults:
                raise TypeError(f"non-default field {item} cannot follow default field")
        extra = {"__annotations__": dict(annotations)}
        for key, value in namespace.items():
            if key in ("__module__", "__qualname__", "__annotations__", "__classcell__"):
                continue
            if key in ("__new__", "__init__", "__slots__", "__getnewargs__", "_fields",
                       "_field_defaults", "_make", "_replace", "_asdict"):
                raise AttributeError(f"cannot overwrite NamedTuple attribute {key}")
            if key not in names:
                extra[key] = value
        return _tuple_class(name, names, defaults, namespace.get("__module__", "workflow"), extra)


class _Marker:
    """A base that is no class: NamedTuple and TypedDict."""

    __slots__ = ("_name", "_bases")

    def __init__(self, name, bases):
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_bases", bases)

    def __setattr__(self, name, value):
        raise AttributeError(f"{self._name} does not change")

    def __mro_entries__(self, bases):
        return self._bases

    def __call__(self, *args, **kwargs):
        raise TypeError(f"write a class that derives from {self._name}")

    def __or__(self, other):
        return _typing.Union[dict, other]

    def __repr__(self):
        return self._name


_NamedTupleBase = type.__new__(_NamedTupleMeta, "NamedTuple", (), {})
own_collections = {"namedtuple": namedtuple}
own_typing = {
    "NamedTuple": _Marker("NamedTuple", (_NamedTupleBase,)),
    "TypedDict": _Marker("TypedDict", (_typing._TypedDict,)),
}

# --- enums: no functional form -----------------------------------------------------------------


def _enum_call(cls, value):
    return cls.__new__(cls, value)


_enum.EnumType.__call__ = _enum_call

# --- functions that would take more than is wanted ---------------------------------------------


def copy(x):
    return _copy.copy(x)


def deepcopy(x):
    return _copy.deepcopy(x)


own_copy = {"copy": copy, "deepcopy": deepcopy}


def split(s, comments=False, posix=True):
    if not isinstance(s, str):
        raise TypeError("shlex.split takes text")
    return _shlex.split(s, comments, posix)


own_shlex = {"split": split}

_function = type(split)


def wraps(wrapped):
    def decorate(wrapper):
        if isinstance(wrapped, _function) and isinstance(wrapper, _function):
            wrapper.__name__ = wrapped.__name__
            wrapper.__qualname__ = wrapped.__qualname__
            wrapper.__doc__ = wrapped.__doc__
        return wrapper
    return decorate


own_functools = {"wraps": wraps}
