"""Reads from Linux's /proc which process serves which connection."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ESTABLISHED = "01"
_LISTENING = "0A"


def children(parent: int) -> list[int]:
    """Returns the children of a process, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                # The name may hold anything, parentheses too; what follows the last is plain.
                state, parent_id = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent_id) == parent and state != "Z":
                    found.append(int(entry.name))
    return sorted(found)


def listening(parent: int, port: int) -> list[int]:
    """Returns the children that listen on a TCP port of IPv4."""
    inodes = {inode for _, state, inode in _rows(port) if state == _LISTENING}
    return [pid for pid in children(parent) if inodes & _sockets(pid)]


def served_by(pid: int, port: int) -> set[int]:
    """Returns the client ports of a process's accepted connections to `port`."""
    own = _sockets(pid)
    return {
        client for client, state, inode in _rows(port) if state == _ESTABLISHED and inode in own
    }


def alive(pid: int) -> bool:
    """Returns whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _rows(port: int) -> Iterator[tuple[int, str, str]]:
    """Yields (remote port, state, inode) of the sockets with this local port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            yield int(fields[2].rpartition(":")[2], 16), fields[3], fields[9]


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found
