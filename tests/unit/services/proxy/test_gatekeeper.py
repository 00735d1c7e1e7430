import pytest

from services.proxy.authentication.authenticator import Principal
from services.proxy.authentication.errors import MissingHeaderError
from services.proxy.gatekeeper import LoginGatekeeper, OpenGatekeeper
from services.proxy.relay.listener import Admission
from shared.tls.peer import UserPattern


class ScriptedAuthenticator:
    """Stands for the authenticator, which has tests of its own; records how it was asked."""

    def __init__(self):
        self.asked = []

    async def authenticate(self, values):
        self.asked.append("password")
        if not values:
            raise MissingHeaderError
        return Principal("from-password", 1)

    async def vouch_for(self, username):
        self.asked.append("certificate")
        return Principal(username, 2)


def alice():
    return {"subject": ((("commonName", "alice"),),)}


def nobody():
    return None


@pytest.fixture
def authenticator():
    return ScriptedAuthenticator()


async def test_a_certificate_stands_for_its_user_where_the_setting_says_so(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    assert await gatekeeper.admit([], alice) == Admission("alice", 2)
    assert authenticator.asked == ["certificate"]


async def test_without_the_setting_a_certificate_is_no_login(authenticator):
    with pytest.raises(MissingHeaderError):
        await LoginGatekeeper(authenticator).admit([], alice)


async def test_a_login_that_is_shown_is_the_one_that_is_judged(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    assert await gatekeeper.admit([b"x"], alice) == Admission("from-password", 1)
    assert authenticator.asked == ["password"]


async def test_a_client_without_a_certificate_needs_a_login(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("CN"))
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], nobody)


async def test_a_certificate_that_does_not_fit_the_pattern_needs_a_login(authenticator):
    gatekeeper = LoginGatekeeper(authenticator, UserPattern.parse("DNS:{user}.example.com"))
    with pytest.raises(MissingHeaderError):
        await gatekeeper.admit([], alice)


async def test_the_open_gatekeeper_admits_everybody_as_nobody():
    assert await OpenGatekeeper().admit([], nobody) == Admission(username=None)
