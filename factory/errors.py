"""Everything the factory raises on purpose, as one small tree.

    FactoryError
    ├── ConfigError      (ValueError)  a key, type, range or combination in the config is wrong
    ├── SourceError      (ValueError)  a source of faces is missing, empty or unreadable
    ├── CheckpointError  (ValueError)  weights are missing, altered or made for another space
    ├── PlanError        (ValueError)  the release cannot be planned, or differs from the one there
    ├── StoreError       (OSError)     the store cannot be written or read
    │   ├── Conflict                   a create-only put lost a race
    │   └── Unavailable                the store does not answer now; it may later
    ├── IntegrityError   (RuntimeError) bytes are not what was promised; nothing may go on
    │   └── OtherMachine               this machine would make other bytes; others may go on
    ├── LeakError        (RuntimeError) real people show in a release; it is not published
    ├── YieldError       (RuntimeError) too few faces of a release were kept; it is not published
    ├── DeviceError      (RuntimeError) a process's GPU or memory failed; another process may go on
    ├── ClusterError     (ConnectionError) the Ray cluster does not answer now; it may later
    └── Interrupted      SIGTERM ended the work half way; the same command goes on

Messages are one line: dotted name or path, what was found, what is wanted, what to do. `exit_code`
is what a job ends with: REFUSED for what the same command would meet again, MAY_GO_AGAIN for what
may have passed by then.
"""

from __future__ import annotations

REFUSED = 1
"""Exit code of a job that the same command would end again."""
MAY_GO_AGAIN = 75
"""Exit code of a job that may fare better when it is run again (EX_TEMPFAIL of sysexits.h)."""


class FactoryError(Exception):
    """Base of all errors whose message is meant for the person who runs the factory."""

    exit_code = REFUSED


class ConfigError(FactoryError, ValueError):
    """A configuration value cannot be used."""


class SourceError(FactoryError, ValueError):
    """A source of faces cannot be used."""


class CheckpointError(FactoryError, ValueError):
    """A checkpoint cannot be used."""


class PlanError(FactoryError, ValueError):
    """A release cannot be planned or continued."""


class StoreError(FactoryError, OSError):
    """The store refused or failed."""


class Conflict(StoreError):
    """A create-only put found the name taken by other bytes."""


class Unavailable(StoreError):
    """The store does not answer, or asks to be left alone for a while."""

    exit_code = MAY_GO_AGAIN


class IntegrityError(FactoryError, RuntimeError):
    """Stored bytes contradict their digest, their commit record or the plan."""


class OtherMachine(IntegrityError):
    """This machine would not make the planned bytes; another one may."""


class LeakError(FactoryError, RuntimeError):
    """Too many made faces are nearer to a real person than strangers are."""


class YieldError(FactoryError, RuntimeError):
    """Fewer of a release's faces were kept than filters.min_kept_fraction asks for."""


class DeviceError(FactoryError, RuntimeError):
    """This process's device is unusable, whatever it draws."""

    exit_code = MAY_GO_AGAIN


class Interrupted(FactoryError):
    """Work was stopped half way on purpose, by SIGTERM; the same command goes on."""

    exit_code = MAY_GO_AGAIN


class ClusterError(FactoryError, ConnectionError):
    """The Ray cluster, or its job server, does not answer."""

    exit_code = MAY_GO_AGAIN
