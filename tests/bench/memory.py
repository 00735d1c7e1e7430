"""What the decision itself costs: a known login answered from memory, in this process."""

import secrets
import time

from tests.bench.load import login
from tests.bench.report import Report
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.passwords import hash_password
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits
from vecguard.proxy.authentication.authenticator import Authenticator
from vecguard.proxy.authentication.credentials import Credential, CredentialCache
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.trust import StrictTrust
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
    """An authenticator with a lease for an hour that knows `root` and asks no root coord."""
    source = _OneUser()
    lease = Lease(ClockMargin(0.01, 0.1))
    lease.granted_for(3600)
    lease.renewed(lease.sending(boot_clock()))
    return Authenticator(
        logins=Logins(max_accepted=1000, max_refused=1000, key=secrets.token_bytes(32)),
        credentials=CredentialCache(
            source,
            ttl_seconds=3600,
            max_known=1000,
            max_unknown=1000,
            refresh_interval_seconds=1,
            clock=boot_clock,
        ),
        verifier=Verifier(threads=1, queue_limit=1, timeout_seconds=10, cost=4, clock=boot_clock),
        trust=StrictTrust(lease, boot_clock, grace_seconds=0),
        rehasher=source,
        clock=boot_clock,
        lookup_queue=AdmissionQueue(1, QueueLimits(1, 1, 10.0), pace=None, clock=boot_clock),
    )


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
