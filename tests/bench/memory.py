"""What the decision itself costs: a known login answered from memory, in this process."""

import time

from tests.bench.load import login
from tests.bench.report import Report
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.passwords import hash_password
from vecguard.proxy.authentication.authenticator import Authenticator
from vecguard.proxy.authentication.configured import open_authentication, open_verifier
from vecguard.proxy.authentication.credentials import Credential
from vecguard.proxy.root_coord.configured import open_root_coord
from vecguard.secret import Secret

ROUNDS = 100_000
VALUES = [login("root", "Milvus")[0][1]]


class _OneUser:
    """Stands for root coord, which is asked once: what is timed never reaches it."""

    def __init__(self) -> None:
        self._password = hash_password(Secret("Milvus"), 4)

    async def fetch(self, username: str) -> Credential:
        return Credential(username, self._password, revision=1, read_revision=1)

    async def rehash(self, username, revision, password):
        return None


def authenticator_of_one_user() -> Authenticator:
    """The proxy's authenticator with a lease for an hour, of which only `root` is known."""
    settings = Settings(authentication={"bcrypt_cost": 4}, cache={"ttl": 3600.0})
    root_coord = open_root_coord(settings, tls=None, clock=boot_clock)
    root_coord.lease.granted_for(3600)
    root_coord.lease.renewed(root_coord.lease.sending(boot_clock()))
    source = _OneUser()
    return open_authentication(
        settings,
        source=source,
        rehasher=source,
        trust=root_coord.trust,
        under_lease=root_coord.is_under_lease,
        verifier=open_verifier(settings, clock=boot_clock),
        clock=boot_clock,
    ).authenticator


async def known_login() -> Authenticator:
    """The same when it has judged `root:Milvus` before."""
    authenticator = authenticator_of_one_user()
    await authenticator.authenticate(VALUES)
    return authenticator


async def run(report: Report) -> None:
    authenticator = await known_login()
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        await authenticator.authenticate(VALUES)
    report.add("auth.memory_us", (time.perf_counter() - begin) / ROUNDS * 1e6)
