"""API keys and login cookies. Keys are random, shown once, and stored as salted hashes; none is ever logged."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoploom.data.atomic import replacing
from shoploom.data.workspace import Workspace
from shoploom.errors import WorkspaceError

FILE = "keys.json"
PREFIX = "shoploom_"
COOKIE = "shoploom_login"
COOKIE_SECONDS = 7 * 86_400


def create_key(workspace: Workspace, *, name: str = "default") -> str:
    """Make an API key for a workspace.

    Returns:
        The key. It cannot be shown again: only its hash is stored.
    """
    return Keys(workspace.path / FILE).create(name)


class Keys:
    """The keys of one workspace, read anew when the file changes.

    Args:
        path: The file, readable by its owner only; without it no key is needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = 0
        self._content: dict[str, Any] = {"secret": "", "keys": []}

    def create(self, name: str) -> str:
        """Add a key and return it."""
        content, key, salt = self._read(), PREFIX + secrets.token_urlsafe(32), secrets.token_hex(16)
        entry = {"name": name, "salt": salt, "hash": _hash(salt, key), "created_at": _now()}
        fresh = {
            "format": 1,
            "secret": content["secret"] or secrets.token_hex(32),
            "keys": [*content["keys"], entry],
        }
        with replacing(self.path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(fresh, indent=2) + "\n", encoding="utf-8")
        return key

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return bool(self._read()["keys"])

    def find(self, key: str) -> str | None:
        """The stored hash that a key belongs to; None if it is wrong. Takes equally long either way."""
        found = None
        for entry in self._read()["keys"]:
            if hmac.compare_digest(_hash(entry["salt"], key), entry["hash"]):
                found = str(entry["hash"])
        return found

    def cookie(self, key: str) -> str | None:
        """A signed login for a browser, without the key in it; None if the key is wrong."""
        found = self.find(key)
        if found is None:
            return None
        text = f"{int(time.time()) + COOKIE_SECONDS}.{found[:16]}"
        return f"{text}.{self._sign(text)}"

    def accepts_cookie(self, value: str) -> bool:
        """Whether a cookie is ours, not expired, and its key still exists."""
        text, _, signature = value.rpartition(".")
        expires, _, owner = text.partition(".")
        if not hmac.compare_digest(self._sign(text), signature) or not expires.isdigit():
            return False
        return int(expires) > time.time() and any(one["hash"][:16] == owner for one in self._read()["keys"])

    def _sign(self, text: str) -> str:
        return hmac.new(self._read()["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()

    def _read(self) -> dict[str, Any]:
        try:
            stamp = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return {"secret": "", "keys": []}
        if stamp != self._stamp:
            try:
                content = json.loads(self.path.read_text(encoding="utf-8"))
                self._content = {"secret": str(content["secret"]), "keys": list(content["keys"])}
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise WorkspaceError(
                    f"{self.path} should hold API keys, but cannot be read ({error}); restore it, or remove it and "
                    "make new keys with `shoploom serve --create-key`"
                ) from error
            self._stamp = stamp
        return self._content


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _hash(salt: str, key: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + key.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
