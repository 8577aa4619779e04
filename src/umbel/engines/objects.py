"""Objects behind obstore: Amazon S3 and its likes, Google's and Azure's; files are in `objects_folder`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from umbel.engines.address import masked
from umbel.engines.patience import Patience
from umbel.engines.unfit import Unfit
from umbel.exceptions import BackendError, BrokerUnavailable, ImproperlyConfigured, OperationalError
from umbel.model.finding import Finding

T = TypeVar("T")

_STORES: Final[dict[str, Any]] = {"s3": S3Store, "gs": GCSStore, "gcs": GCSStore, "azure": AzureStore, "az": AzureStore}
_REFUSED: Final = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError)
_LINK_LOCAL: Final = "169.254.169.254"


class Found(msgspec.Struct, frozen=True, gc=False):
    """An object; *version* is handed back to `Objects.replace`."""

    body: bytes
    version: dict[str, str]


class Objects:
    """The objects below *url*, whose query holds options of obstore; *setting* names where the URL comes from.

    *deadline* is how many seconds a call is tried. Raises `ImproperlyConfigured`; connects at the first use. A call
    raises `BrokerUnavailable` after the deadline, `BackendError` for what the store refuses.
    """

    def __init__(self, url: str, setting: str, deadline: float, connect_timeout: float) -> None:
        self.name = masked(url)
        self.deadline = deadline
        self._store = _store(url, setting, deadline, connect_timeout)

    def create(self, key: str, body: bytes) -> bool:
        """Write an object unless there is one; False if there is. Trying again after a lost answer says False."""
        try:
            self._do(lambda: obstore.put(self._store, key, body, mode="create"))
        except exceptions.AlreadyExistsError:
            return False
        return True

    def read(self, key: str) -> Found | None:
        """The object, or None."""
        try:
            return self._do(lambda: _found(obstore.get(self._store, key)))
        except FileNotFoundError:
            return None

    def replace(self, key: str, body: bytes, version: dict[str, str]) -> bool:
        """Write over an object if it is still the one with *version*; False if not."""
        mode = cast("Any", version)
        try:
            self._do(lambda: obstore.put(self._store, key, body, mode=mode))
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError, FileNotFoundError):
            return False
        return True

    def overwrite(self, key: str, body: bytes) -> None:
        """Write an object whatever there is."""
        self._do(lambda: obstore.put(self._store, key, body, mode="overwrite"))

    def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        try:
            self._do(lambda: obstore.delete(self._store, key))
        except FileNotFoundError:
            return

    def about(self) -> list[Finding]:
        """What there is to say about the store without asking it."""
        return [Finding("kind", type(self._store).__name__.removesuffix("Store"))]

    def stamped(self, key: str) -> float:
        """When the store says that an object was written that we write now, in unix seconds; it is deleted again."""
        self.overwrite(key, b"")
        try:
            return float(self._do(lambda: obstore.head(self._store, key))["last_modified"].timestamp())
        finally:
            self.delete(key)

    def _do(self, call: Callable[[], T]) -> T:
        _refuse_after_fork()
        patience = Patience(self.name, self.deadline)
        while True:
            try:
                return call()
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                raise
            except (exceptions.BaseError, OSError, NotImplementedError) as error:
                problem = self._explain(error)
                if problem is None:
                    raise
                if not isinstance(problem, BrokerUnavailable):
                    raise problem from error
                pause = patience.pause(problem)
            time.sleep(pause)

    def _explain(self, error: Exception) -> OperationalError | None:
        """The error of Umbel that says what *error* means; None for an object that is not there."""
        text = str(error)
        reason = text.partition("\n")[0]
        if "NoSuchBucket" in text or "ContainerNotFound" in text:
            return Unfit(f"{self.name}: there is no such bucket: make it, or correct the URL")
        if isinstance(error, FileNotFoundError):
            return None
        if isinstance(error, _REFUSED):
            return Unfit(f"{self.name}: {reason}: correct the credentials or the rights that go with them")
        if _LINK_LOCAL in text:
            return Unfit(f"{self.name}: no credentials: put them into the URL's query or into the environment")
        if isinstance(error, exceptions.GenericError) and not isinstance(self._store, LocalStore):
            return BrokerUnavailable(reason)
        return BackendError(f"{self.name}: {reason}")


def _store(url: str, setting: str, deadline: float, connect_timeout: float) -> Any:
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.strip("/"):
            raise ImproperlyConfigured(f"{setting}: {masked(url)!r} names no folder: write file:///absolute/folder")
        return _folder(unquote(parts.path), setting)
    options = dict(parse_qsl(parts.query))
    lines = {
        "timeout": timedelta(seconds=deadline),
        "connect_timeout": timedelta(seconds=connect_timeout),
        "allow_http": options.get("endpoint", "").startswith("http://"),
    }
    if not parts.netloc:
        raise ImproperlyConfigured(f"{setting}: {masked(url)!r} names no bucket: write {parts.scheme}://bucket/prefix")
    try:
        return _STORES[parts.scheme](
            parts.netloc,
            prefix=unquote(parts.path).strip("/") or None,
            config=options,
            client_options=lines,
            retry_config={"max_retries": 0},  # `Objects` repeats whatever failed, not only what obstore thinks safe
        )
    except (exceptions.BaseError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ImproperlyConfigured(f"{setting}: {masked(url)}: {reason}") from error


def _folder(path: str, setting: str) -> LocalStore:
    try:
        return LocalStore(path, mkdir=True)
    except (exceptions.BaseError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ImproperlyConfigured(f"{setting}: cannot use the folder {path}: {reason}") from error


def _found(result: obstore.GetResult) -> Found:
    meta = result.meta
    version = {"e_tag": meta["e_tag"], "version": meta["version"]}
    return Found(bytes(result.bytes()), {name: value for name, value in version.items() if value is not None})


_used_by: int | None = None


def _refuse_after_fork() -> None:
    """Threads of obstore do not survive a fork, and it ends a process that goes on without them."""
    global _used_by  # noqa: PLW0603 - it is the state of the process, not of an object
    if _used_by is None:
        _used_by = os.getpid()
    elif _used_by != os.getpid():
        raise Unfit("objects were used before this process was forked: fork first, or use the start method 'spawn'")
