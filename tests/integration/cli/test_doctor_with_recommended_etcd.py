"""`vecguard doctor` and an etcd that shows its status only to a user with the role root."""

import pytest

from tests.support.etcd import recommended_etcd, running_etcd
from tests.support.etcd_administration import enable_authentication
from vecguard.cli.etcd_findings import examine_etcd
from vecguard.cli.finding import Severity
from vecguard.config import load_settings
from vecguard.etcd import EtcdClient, EtcdPermissionError

PASSWORD = "open sesame"


async def _examine(process, password=PASSWORD):
    environment = {
        "VECGUARD__ETCD__ENDPOINTS": process.endpoint,
        "VECGUARD__ETCD__AUTH__ENABLED": "true",
        "VECGUARD__ETCD__AUTH__USERNAME": "vecguard",
        "VECGUARD__ETCD__AUTH__PASSWORD": password,
    }
    return await examine_etcd(load_settings(None, environment))


async def _require_authentication(process):
    await enable_authentication(
        process.endpoint,
        root_password="root",
        user="vecguard",
        password=PASSWORD,
        user_prefix=b"by-dev/",
    )


async def test_an_etcd_that_hides_its_status_is_examined_all_the_same(tmp_path, monkeypatch):
    """The refusal is a fake: the etcd that every machine has shows its status."""

    async def refused(*_arguments, **_options):
        raise EtcdPermissionError("permission denied")

    with running_etcd(tmp_path) as process:
        await _require_authentication(process)
        monkeypatch.setattr(EtcdClient, "status", refused)
        found = await _examine(process)
    assert [each for each in found if each.severity is Severity.WRONG] == []
    (of_member,) = [each for each in found if each.part == f"etcd {process.endpoint}"]
    assert of_member.severity is Severity.WARNING
    assert "only to users with the role root" in of_member.cause
    # It continued: no root coord has created root yet.
    (of_root,) = [each for each in found if each.part.endswith("/users/root")]
    assert of_root.cause.startswith("there is no root")


async def test_a_recommended_etcd_is_examined_with_authentication(tmp_path):
    """Etcd 3.5.28 to 3.5.30 hide their status; later releases show it again."""
    program = recommended_etcd()
    if program is None:
        pytest.skip("etcd 3.5.30 or newer can be had only with Debian's apt")
    with running_etcd(tmp_path, program=program) as process:
        await _require_authentication(process)
        found = await _examine(process)
        assert [each for each in found if each.severity is Severity.WRONG] == []
        assert [each for each in found if each.part.endswith("/users/root")]
        found = await _examine(process, "another password")
        assert Severity.WRONG in {each.severity for each in found}
