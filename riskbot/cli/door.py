"""Asking the running daemon: the client side of the local door, in plain blocking sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from riskbot.errors import RiskbotError
from riskbot.frontends._socket import short_path

CONNECT_TIMEOUT_S = 5.0
# The door answers within what was asked for; beyond this it hangs.
GRACE_S = 10.0
WAIT_MAX_S = 3_600.0


class DoorError(RiskbotError):
    """The daemon cannot be asked: none runs, or it does not answer."""


def ask(path: Path, name: str, args: dict[str, Any], *, wait_s: float) -> Iterator[dict[str, Any]]:
    """Yield the daemon's replies to one request; the last has `final` true.

    Args:
        path: of the socket.
        name: of the command.
        args: its arguments.
        wait_s: how long the last reply may take.

    Raises:
        DoorError: no daemon listens, or it stopped answering.
    """
    request = {"name": name, "args": args, "wait_s": wait_s}
    with closing(_connect(path)) as connection:
        connection.settimeout(wait_s + GRACE_S)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    reply = json.loads(line)
                    yield reply
                    if reply.get("final"):
                        return
        except TimeoutError:
            message = f"the daemon at {path} does not answer"
            raise DoorError(message) from None
        except (OSError, ValueError) as error:
            message = f"the daemon at {path} broke off: {error}"
            raise DoorError(message) from None
    message = f"the daemon at {path} broke off"
    raise DoorError(message)


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        with short_path(path) as address:
            connection.connect(address)
    except PermissionError:
        connection.close()
        message = f"not allowed to use {path}: run as the user of the daemon, or as root"
        raise DoorError(message) from None
    except OSError as error:
        connection.close()
        message = f"no daemon listens at {path} ({error.strerror or error})"
        raise DoorError(message) from None
    return connection
