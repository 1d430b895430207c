"""An LMDB that is open for reading, shared by all that reads it in a process.

LMDB (Howard Chu, OpenLDAP) wants an environment opened once a process and never used in a child.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from factory.errors import ConfigError, SourceError

DATA = "data.mdb"
NUM_METAS = 2
"""Pages at the head of every LMDB."""


class Environment:
    """An LMDB that is open for reading, once a process however many sources are of it.

    A forked process opens it anew. No lock is taken, so a folder that cannot be written will do;
    nobody may write to it meanwhile.
    """

    _open: ClassVar[WeakValueDictionary[str, Environment]] = WeakValueDictionary()
    _one_at_a_time = Lock()

    def __init__(self, path: Path) -> None:
        self._path, self.is_closed = path, False
        self._lmdb = library("lmdb")
        try:
            self._env = self._lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, create=False, lock=False,
                readahead=False, meminit=False, max_spare_txns=32,
            )  # fmt: skip
        except self._lmdb.Error as error:
            raise SourceError(
                f"source.path: {path} is not an LMDB that can be read ({type(error).__name__}); "
                "want a file .lmdb or a folder with data.mdb"
            ) from None
        file = path / DATA if path.is_dir() else path
        stat = self._env.stat()
        used = NUM_METAS + sum(stat[f"{kind}_pages"] for kind in ("branch", "leaf", "overflow"))
        if used * stat["psize"] > file.stat().st_size:  # free pages at the end may be unwritten
            raise SourceError(f"source.path: {path} is cut off; copy it again")

    @classmethod
    def of(cls, path: Path) -> Environment:
        """The environment of a path that this process has open, or a new one."""
        name = os.path.realpath(path)
        with cls._one_at_a_time:
            found = cls._open.get(name)
            if found is None:
                found = cls._open[name] = cls(path)
        return found

    @classmethod
    def forget_after_fork(cls) -> None:
        """Close what the parent had open, as LMDB demands of a child."""
        cls._one_at_a_time = Lock()
        inherited, cls._open = list(cls._open.values()), WeakValueDictionary()
        for environment in inherited:
            environment.is_closed = True
            environment._env.close()

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """A transaction whose values are views that end with it; raises SourceError."""
        try:
            with self._env.begin(buffers=True) as transaction:
                yield transaction
        except self._lmdb.Error as error:
            raise SourceError(
                f"source.path: {self._path} cannot be read ({type(error).__name__}: {error}); copy "
                "it again"
            ) from None


os.register_at_fork(after_in_child=Environment.forget_after_fork)


def library(name: str) -> Any:
    """A module of the extra `formats`; raises ConfigError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"source.kind: lmdb needs {name}, which is not installed ({error}); pip install "
            "'face-factory[formats]'"
        ) from None
