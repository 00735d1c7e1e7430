"""`vecguard doctor` and an etcd of the releases for production, with authentication."""

import pytest

from tests.support.etcd import recommended_etcd, running_etcd
from tests.support.etcd_administration import enable_authentication
from vecguard.cli.etcd_findings import examine_etcd
from vecguard.cli.finding import Severity
from vecguard.config import load_settings

PASSWORD = "open sesame"


async def test_an_etcd_that_hides_its_status_is_examined_all_the_same(tmp_path):
    """Etcd 3.5.28 to 3.5.30 show their status only to a user with the role root."""
    program = recommended_etcd()
    if program is None:
        pytest.skip("etcd 3.5.30 can be had only with Debian's apt")
    with running_etcd(tmp_path, program=program) as process:
        await enable_authentication(
            process.endpoint,
            root_password="root",
            user="vecguard",
            password=PASSWORD,
            user_prefix=b"by-dev/",
        )
        environment = {
            "VECGUARD__ETCD__ENDPOINTS": process.endpoint,
            "VECGUARD__ETCD__AUTH__ENABLED": "true",
            "VECGUARD__ETCD__AUTH__USERNAME": "vecguard",
            "VECGUARD__ETCD__AUTH__PASSWORD": PASSWORD,
        }
        found = await examine_etcd(load_settings(None, environment))
        assert [each for each in found if each.severity is Severity.WRONG] == []
        (of_member,) = [each for each in found if each.part == f"etcd {process.endpoint}"]
        assert of_member.severity in {Severity.NOTE, Severity.GOOD}
        # It went on: no root coord has made root yet.
        (of_root,) = [each for each in found if each.part.endswith("/users/root")]
        assert of_root.cause.startswith("there is no root")

        wrong = environment | {"VECGUARD__ETCD__AUTH__PASSWORD": "other"}
        found = await examine_etcd(load_settings(None, wrong))
        assert {each.severity for each in found} >= {Severity.WRONG, Severity.WARNING}
