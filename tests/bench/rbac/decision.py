"""What the decision about a Search of a known user costs, without a network.

`python -m tests.bench.rbac.decision [--profile]`; the last line has the microseconds.
"""

import argparse
import asyncio
import cProfile
import pstats
import time

from tests.bench.rbac.requests import SEARCH_PATH, search_request
from tests.bench.rbac.store import READER, ROLES_OF_READER, grants_of, role_name
from tests.bench.wire import frames
from tests.bench.wire.blocks import RequestBlocks
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.lifecycle import settle_memory
from vecguard.passwords import hash_password
from vecguard.proxy.authentication.configured import open_authentication, open_verifier
from vecguard.proxy.authentication.credentials import Credential
from vecguard.proxy.authorization.policy import RolePolicy
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.permissions.role_cache import RoleCache, RolesRead
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.root_coord.configured import open_root_coord
from vecguard.secret import Secret

ROUNDS, CALLS = 200, 256
_PRINCIPAL = Principal(READER, 1)


class _Client:
    def __init__(self):
        self.precedents = {}

    def host(self):
        return None

    def certificate(self):
        return None


class _Call:
    """Comes without its request, so that nothing is taken from the call before."""

    def request_in_one_piece(self):
        return None


class _RootCoord:
    """Has one user with roles. What is timed never asks it."""

    async def fetch(self, username):
        roles = tuple(role_name(number) for number in range(ROLES_OF_READER))
        password = hash_password(Secret("password"), 4)
        return Credential(username, password, revision=1, read_revision=1, roles=roles)

    async def rehash(self, username, revision, password):
        return None

    async def fetch_roles(self, names):
        roles = [
            RolePolicy(role_name(number), grants_of(number), {})
            for number in range(ROLES_OF_READER)
        ]
        return RolesRead(1, [*roles, RolePolicy("public", (), {})], 0)

    async def collection_of(self, database, name, authorization):
        return ""


async def authorizer() -> RoleAuthorizer:
    """The proxy's authorizer with a lease for an hour, which knows one user."""
    settings = Settings(authentication={"bcrypt_cost": 4})
    root_coord = open_root_coord(settings, tls=None, clock=boot_clock)
    root_coord.lease.granted_for(3600)
    root_coord.lease.renewed(root_coord.lease.sending(boot_clock()))
    source = _RootCoord()
    authentication = open_authentication(
        settings,
        source=source,
        rehasher=source,
        trust=root_coord.trust,
        under_lease=root_coord.is_under_lease,
        verifier=open_verifier(settings, clock=boot_clock),
        clock=boot_clock,
    )
    roles = RoleCache(
        source, ttl_seconds=3600, clock=boot_clock, under_lease=root_coord.is_under_lease
    )
    made = RoleAuthorizer(
        authentication.credentials,
        roles,
        root_coord.trust,
        boot_clock,
        root_is_bound=False,
        enforced=True,
        strict=True,
        max_request_bytes=2**26,
        aliases=Aliases(source, clock=boot_clock),
    )
    await made.rights_after_wait(READER)
    return made


async def measure(profile: cProfile.Profile | None = None) -> float:
    """Microseconds of a decision, of the fastest tenth of all rounds."""
    decides = await authorizer()
    blocks = RequestBlocks(SEARCH_PATH.encode(), b"127.0.0.1:19530", b"x" * 24, encrypted=False)
    decoder = HeaderDecoder(configured.limits(Settings().proxy.http2))
    decoder.decode(blocks.first)
    decoder.decode(blocks.later % (0, 0))
    request, client, call = frames.message(search_request()), _Client(), _Call()
    settle_memory()
    costs = []
    for number in range(ROUNDS):
        # New ones each time, as in real calls.
        heads = [
            RequestHead(decoder.decode(blocks.later % (number, each))) for each in range(CALLS)
        ]
        if profile:
            profile.enable()
        begin = time.process_time()
        for head in heads:
            permission = decides.permission(_PRINCIPAL, head, client, call)
            permission.read(request)
            permission.decide()
        costs.append((time.process_time() - begin) / CALLS * 1e6)
        if profile:
            profile.disable()
        if not permission.is_given:
            raise AssertionError("the call is not decided")
    if decides.allowed != ROUNDS * CALLS:
        raise AssertionError("not every call was allowed")
    return sorted(costs)[ROUNDS // 10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    profile = cProfile.Profile() if parser.parse_args().profile else None
    cost = asyncio.run(measure(profile))
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    print("compiled:" if is_compiled() else "from the sources:", f"{cost:.3f}")


if __name__ == "__main__":
    main()
