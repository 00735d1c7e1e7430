"""Vecguard in containers, for tests of programs that use it.

    with VecguardStack() as stack:
        alice = stack.user("alice")
        client = MilvusClient(**stack.client_options(alice))

Needs the extra `testing` and a container engine. docs/testing-with-containers.md has more.
No service imports this package. Begin at `stack.py`.
"""

from vecguard.config.security import TlsMode
from vecguard.testing.accounts import Account
from vecguard.testing.errors import StackError
from vecguard.testing.images import Images
from vecguard.testing.parts import Part, Proxy, RootCoord
from vecguard.testing.stack import VecguardStack

__all__ = [
    "Account",
    "Images",
    "Part",
    "Proxy",
    "RootCoord",
    "StackError",
    "TlsMode",
    "VecguardStack",
]
