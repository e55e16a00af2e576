"""Registries: what there is of a kind by name, and where other packages add to it.

A row is "module:Class" and is imported when it is asked for. Rows come from three places: those of mrcnn-cv, those that
a program registers, and entry points of installed packages. The last are looked up only where the others know no
answer, so that they cost nothing at the start and cannot take the place of a built-in row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from mrcnn_cv.errors import MrcnnCvError, PluginError, UsageError

if TYPE_CHECKING:
    # importlib.metadata takes 20 ms to import, and most runs need no plug-in.
    from importlib.metadata import EntryPoint

Plugin = TypeVar("Plugin")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TARGET = re.compile(r"[\w.]+:\w+")

_outside: dict[str, str] = {}
"""Module of a plug-in → what it is, in words."""


class Registry(Generic[Plugin]):
    """Classes of one kind by name. Iterating gives the names of built-in and registered rows, in their order.

    noun     what a row is, as part of a sentence
    group    of the entry points
    rows     name → "module:Class"
    problem  what is wrong with a plug-in, as the end of "it ..."; None where nothing is
    """

    def __init__(
        self, noun: str, group: str, rows: Mapping[str, str], problem: Callable[[Any], str | None] = lambda plugin: None
    ) -> None:
        self.noun, self.group = noun, group
        self._rows: dict[str, str | Plugin] = dict(rows)
        self._built_in = frozenset(rows)
        self._problem = problem
        self._loaded: dict[str, Plugin] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Plugin:
        """The class of a name, also of an installed package.

        Raises UsageError for a name that nobody has, and PluginError for a plug-in that cannot be used.
        """
        row = self._rows.get(name)
        if name in self._built_in:
            return cast(Plugin, load_object(cast(str, row)))
        if name not in self._loaded:
            if row is None:
                self._loaded[name] = self._checked(name, self._entry_point(name).load)
            else:
                self._loaded[name] = self._checked(name, lambda: load_object(row) if isinstance(row, str) else row)
        return self._loaded[name]

    def create(self, name: str, *arguments: Any) -> Any:
        """An object of the class of that name, made with `arguments`. Raises what indexing raises."""
        made: Any = self[name]
        with self.blame(name):
            return made(*arguments)

    def register(self, name: str, plugin: Plugin | str, *, before: str | None = None) -> None:
        """Add a row: a class, or "module:Class", which is imported when it is asked for.

        before: the row that it is put in front of; None: behind all. Raises UsageError for a name that is taken or that
        no option could hold, and for a `before` that is no row.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' cannot name {self._a()}: take lower-case letters, digits, '.', '_' and '-'")
        if name in self._rows:
            raise UsageError(f"there is {self._a()} '{name}' already: take another name")
        if before is not None and before not in self._rows:
            raise UsageError(f"there is no {self.noun} '{before}' to put '{name}' before: {', '.join(self._rows)}")
        if isinstance(plugin, str) and not _TARGET.fullmatch(plugin):
            raise UsageError(f"'{plugin}' is not of the form module:Class")
        rows = list(self._rows.items())
        at = len(rows) if before is None else list(self._rows).index(before)
        self._rows = dict([*rows[:at], (name, plugin), *rows[at:]])
        self._loaded.pop(name, None)

    def unregister(self, name: str) -> None:
        """Take a registered row out again; UsageError for another."""
        if name in self._built_in or name not in self._rows:
            raise UsageError(f"no {self.noun} '{name}' was registered")
        del self._rows[name]
        self._loaded.pop(name, None)

    def knows(self, name: str) -> bool:
        """Whether there is such a row, or an installed package that has one. Imports no plug-in."""
        return name in self._rows or any(point.name == name for point in self._entry_points())

    def installed(self) -> list[str]:
        """Names that only installed packages have."""
        return sorted({point.name for point in self._entry_points()} - self._rows.keys())

    @contextmanager
    def blame(self, name: str) -> Iterator[None]:
        """Inside, what a plug-in raises that it should not becomes a PluginError; errors of ours stay what they are."""
        try:
            yield
        except MrcnnCvError:
            raise
        except (Exception, SystemExit) as error:
            if name in self._built_in:
                raise
            raise PluginError(f"{self._words(name)} failed: {_told(error)}") from error

    def _checked(self, name: str, load: Callable[[], Any]) -> Plugin:
        words = self._words(name)
        try:
            plugin = load()
        # A module may do anything when it is imported.
        except (Exception, SystemExit) as error:
            raise PluginError(f"{words} cannot be loaded: {_told(error)}") from error
        if not isinstance(plugin, type):
            raise PluginError(f"{words} cannot be used: it is not a class")
        problem = self._problem(plugin)
        if problem is not None:
            raise PluginError(f"{words} cannot be used: it {problem}")
        _outside[plugin.__module__] = words
        return cast(Plugin, plugin)

    def _entry_points(self) -> list[EntryPoint]:
        from importlib.metadata import entry_points

        try:
            return list(entry_points(group=self.group))
        except Exception as error:
            # One damaged package is enough.
            raise PluginError(f"the entry points of the installed packages cannot be read: {_told(error)}") from error

    def _entry_point(self, name: str) -> EntryPoint:
        points = [point for point in self._entry_points() if point.name == name]
        if not points:
            raise UsageError(f"there is no {self.noun} '{name}': choose one of {', '.join(self._rows)}")
        if len({point.value for point in points}) > 1:
            raise PluginError(
                f"several packages bring {self._a()} '{name}' ({', '.join(sorted(map(_package, points)))}): uninstall"
                " all but one"
            )
        return points[0]

    def _words(self, name: str) -> str:
        """What a plug-in is, and of which package."""
        points = [] if name in self._rows else [each for each in self._entry_points() if each.name == name]
        packages = {_package(point) for point in points}
        return f"the {self.noun} '{name}'" + (f" of the package {' or '.join(sorted(packages))}" if packages else "")

    def _a(self) -> str:
        return f"a{'n' if self.noun[0] in 'aeiou' else ''} {self.noun}"


def lacks(*names: str) -> Callable[[Any], str | None]:
    """A `problem` for Registry: a class that has not all of these."""

    def problem(plugin: Any) -> str | None:
        missing = [name for name in names if not hasattr(plugin, name)]
        return f"has no {' and no '.join(missing)}" if missing else None

    return problem


def culprit(error: BaseException) -> str | None:
    """The plug-in out of whose code an error came, in words; None where it came from elsewhere."""
    found, trace = None, error.__traceback__
    while trace is not None:
        found = _outside.get(str(trace.tb_frame.f_globals.get("__name__")), found)
        trace = trace.tb_next
    return found


def load_object(target: str) -> Any:
    """What a row "module:name" names, imported now."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _package(point: EntryPoint) -> str:
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
