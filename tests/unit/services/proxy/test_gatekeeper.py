import asyncio
import base64

import pytest

from tests.support.credentials import hashed, header_of
from vecguard.errors import OverloadedError
from vecguard.proxy.audit.event_aggregation import Refusal
from vecguard.proxy.authentication.credentials import Credential, Held
from vecguard.proxy.authentication.errors import LoginLimitedError, MissingHeaderError
from vecguard.proxy.authentication.known_login import KnownLogin
from vecguard.proxy.authentication.login_counts import LoginCounts
from vecguard.proxy.authentication.tarpit import Tarpit
from vecguard.proxy.gatekeeper import LoginGatekeeper, OpenGatekeeper
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.tls.peer import UserPattern


class ScriptedAuthenticator:
    """Stands for the authenticator, which has tests of its own; records how it was asked."""

    def __init__(self):
        self.asked = []
        self.refuses = False

    async def authenticate(self, values, origin):
        self.origin = origin
        self.asked.append("password")
        if self.refuses or not values:
            raise MissingHeaderError
        return Principal("from-password", 1)

    async def vouch_for(self, username, origin):
        self.asked.append("certificate")
        if self.refuses:
            raise MissingHeaderError
        return Principal(username, 2)

    def recognise(self, values, earlier):
        raise MissingHeaderError


class Client:
    def __init__(self, certificate=None, host="192.0.2.7"):
        self._certificate = certificate
        self._host = host

    def certificate(self):
        return self._certificate

    def host(self):
        return self._host


class RecordedAudit:
    def __init__(self):
        self.refusals = []

    def login_refused(self, refusal):
        self.refusals.append(refusal)


alice = Client({"subject": ((("commonName", "alice"),),)})
nobody = Client()


@pytest.fixture
def authenticator():
    return ScriptedAuthenticator()


async def test_a_certificate_stands_for_its_user_where_the_setting_says_so(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    assert await gatekeeper.admit([], alice) == Principal("alice", 2)
    assert authenticator.asked == ["certificate"]


async def test_without_the_setting_a_certificate_is_no_login(authenticator):
    with pytest.raises(MissingHeaderError):
        await LoginGatekeeper(authenticator).admit([], alice)


async def test_a_login_that_is_shown_is_the_one_that_is_judged(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    assert await gatekeeper.admit([b"x"], alice) == Principal("from-password", 1)
    assert authenticator.asked == ["password"]


async def test_a_certificate_is_never_judged_at_once(authenticator):
    """A call without a header would be refused at once; only `admit` looks at the certificate."""
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    assert gatekeeper.admit_now([], alice) is None
    with pytest.raises(MissingHeaderError):
        gatekeeper.admit_now([b"x"], alice)
    with pytest.raises(MissingHeaderError):
        LoginGatekeeper(authenticator).admit_now([], alice)


@pytest.mark.parametrize("is_known", [True, False])
async def test_only_a_known_login_is_compared_with_the_next_one(
    monkeypatch, authenticator, is_known
):
    earlier = Principal("bob", 3)
    if is_known:
        held = Held(Credential("bob", hashed("first1"), 3, read_revision=3), 10.0)
        earlier = KnownLogin(header_of("bob", "first1"), held)
    monkeypatch.setattr(authenticator, "recognise", lambda values, known: known)
    gatekeeper = LoginGatekeeper(authenticator)
    assert gatekeeper.admit_now([b"x"], nobody, earlier) is (earlier if is_known else None)


async def test_a_client_without_a_certificate_needs_a_login(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], nobody)


async def test_a_certificate_that_does_not_fit_the_pattern_needs_a_login(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("DNS:{user}.example.com"))
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], alice)


async def test_the_open_gatekeeper_admits_everybody_as_nobody():
    assert await OpenGatekeeper().admit([], nobody) == ANONYMOUS


async def test_logins_are_judged_by_where_they_come_from(authenticator):
    await LoginGatekeeper(authenticator).admit([b"x"], Client(host="2001:db8:1:2:3:4:5:6"))
    assert authenticator.origin == "2001:db8:1:2::/64"
    await LoginGatekeeper(authenticator).admit([b"x"], Client(host=None))
    assert authenticator.origin == "local"


@pytest.mark.parametrize(
    ("values", "user"),
    [
        ([header_of("bob", "no matter")], "bob"),
        ([header_of("no name at all", "no matter")], "no name at all"),
        ([base64.b64encode(b"perhaps a password")], None),
        ([b"bob:perhaps a password"], None),
        ([header_of("bob", "one"), header_of("bob", "two")], None),
        ([], None),
    ],
)
async def test_a_refusal_is_audited_with_the_name_that_was_claimed(authenticator, values, user):
    audit = RecordedAudit()
    authenticator.refuses = True
    gatekeeper = LoginGatekeeper(authenticator, audit=audit)
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit(values, nobody)
    with pytest.raises(MissingHeaderError):
        gatekeeper.admit_now(values, nobody)
    assert audit.refusals == [Refusal(user, "192.0.2.7", "missing_header")] * 2


@pytest.mark.parametrize(
    "refusal", [LoginLimitedError(5.0), OverloadedError("too many logins are being checked")]
)
async def test_a_login_over_a_limit_or_without_a_place_is_refused_after_a_while(
    authenticator, refusal
):
    class Pit:
        held = 0

        async def hold(self):
            self.held += 1

    async def limited(values, origin):
        raise refusal

    authenticator.authenticate = limited
    pit = Pit()
    with pytest.raises(type(refusal)):
        await LoginGatekeeper(authenticator, tarpit=pit).admit([b"x"], nobody)
    assert pit.held == 1


async def test_a_full_tarpit_holds_nobody_else():
    pit = Tarpit(3600.0, places=1)
    held = asyncio.create_task(pit.hold())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await pit.hold()
    assert pit.held == 1
    held.cancel()
    await asyncio.wait([held])
    assert pit.held == 0


async def test_a_refused_certificate_is_audited_with_its_user(authenticator):
    audit = RecordedAudit()
    authenticator.refuses = True
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"), audit)
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], alice)
    assert audit.refusals == [Refusal("alice", "192.0.2.7", "missing_header")]


async def test_a_login_that_its_client_gives_up_is_counted_as_abandoned():
    class Undecided(ScriptedAuthenticator):
        async def authenticate(self, values, origin):
            await asyncio.Event().wait()

    counts = LoginCounts()
    gatekeeper = LoginGatekeeper(Undecided(), counts=counts)
    waiting = asyncio.create_task(gatekeeper.admit([header_of("bob", "password")], nobody))
    await asyncio.sleep(0)  # it has begun
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    endings = {key: count for key, count in counts.endings().items() if count}
    assert endings == {("abandoned", "cancelled"): 1}


async def test_a_certificate_s_user_and_a_refusal_are_counted(authenticator):
    counts = LoginCounts()
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"), counts=counts)
    await gatekeeper.admit([], alice)
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], nobody)
    endings = {key: count for key, count in counts.endings().items() if count}
    assert endings == {("accepted", "certificate"): 1, ("refused", "missing_header"): 1}
