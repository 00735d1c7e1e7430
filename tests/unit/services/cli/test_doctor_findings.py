from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from tests.support.certificates import Party, authority, issue, pem
from tests.unit.services.cli.reports import proxy, root_coord
from vecguard.cli.doctor import without_repetitions
from vecguard.cli.etcd_findings import judge_access, judge_members, judge_prefixes
from vecguard.cli.finding import Finding, Severity
from vecguard.cli.login import Verdict
from vecguard.cli.process_findings import judge_processes
from vecguard.cli.process_report import ProcessReport
from vecguard.cli.public_port import judge_default_login, judge_server
from vecguard.cli.settings_findings import judge_files, judge_settings
from vecguard.config import load_settings
from vecguard.etcd import MemberStatus
from vecguard.installations import Installation, Survey
from vecguard.observability.health import Check

NOW = 1_800_000_000.0
DAY = 86_400


def settings(**environment):
    return load_settings(None, environment)


def member(number, *, version="3.5.28", leader=1, errors=(), is_learner=False):
    return MemberStatus(
        endpoint=f"etcd-{number}:2379",
        version=version,
        member_id=number,
        leader=leader,
        is_learner=is_learner,
        errors=tuple(errors),
    )


def of(findings, severity):
    return [finding for finding in findings if finding.severity is severity]


def test_processes_that_are_well_are_good():
    found = list(judge_processes([proxy("p:1"), *pair()]))
    assert {finding.severity for finding in found} == {Severity.GOOD}
    assert len(found) == 3


def pair():
    return [
        root_coord("a:1", active=True, term=3, sessions=1, leases=1),
        root_coord("b:1", active=False),
    ]


def test_a_check_that_fails_comes_with_what_to_do():
    refusing = proxy("p:1", logins=(False, True, "no contact with root coord"))
    (wrong,) = of(judge_processes([refusing]), Severity.WRONG)
    assert wrong.part == "proxy p:1"
    assert "no contact with root coord" in wrong.cause
    assert "rootCoord.addresses" in wrong.remedy


def test_authorization_that_is_off_is_wrong_although_nothing_fails():
    checks = (Check("authorization", healthy=False, critical=False, message="off"),)
    (wrong,) = of(judge_processes([replace(proxy("p:1"), checks=checks)]), Severity.WRONG)
    assert "authorizationEnabled" in wrong.remedy


def test_a_certificate_that_ends_soon_is_a_warning():
    checks = (Check("tls_public", healthy=False, critical=False, message="expires in 3 days"),)
    (warning,) = of(judge_processes([replace(proxy("p:1"), checks=checks)]), Severity.WARNING)
    assert "renew" in warning.remedy


def test_a_certificate_that_has_ended_is_wrong_whichever_part_says_so():
    checks = (Check("tls_public", healthy=False, critical=False, message="expired 3 days ago"),)
    ended = proxy("p:1", expires_seconds=-3 * DAY)
    assert of(judge_processes([replace(ended, checks=checks)]), Severity.WRONG)


def test_a_process_that_does_not_answer_is_wrong():
    (wrong,) = judge_processes([ProcessReport("p:1", "Connection refused")])
    assert wrong.severity is Severity.WRONG
    assert "Connection refused" in wrong.cause


def test_clocks_are_compared_with_a_tolerance():
    for ahead, severity in ((4, None), (-20, Severity.WARNING), (400, Severity.WRONG)):
        found = list(judge_processes([replace(proxy("p:1"), clock_ahead_seconds=ahead)]))
        about = [finding for finding in found if "clock" in finding.cause]
        assert [finding.severity for finding in about] == ([severity] if severity else [])


def test_a_lone_root_coord_is_a_note_and_none_active_is_wrong():
    lone = root_coord("a:1", active=True, term=1)
    assert len(of(judge_processes([lone]), Severity.NOTE)) == 1
    (wrong,) = of(judge_processes([root_coord("a:1", active=False)]), Severity.WRONG)
    assert "none of those asked is active" in wrong.cause


def test_a_connected_proxy_without_a_lease_is_a_warning():
    first, second = pair()
    few = root_coord("a:1", active=True, term=3, sessions=2, leases=1)
    assert of(judge_processes([first, second]), Severity.WARNING) == []
    assert len(of(judge_processes([few, second]), Severity.WARNING)) == 1


def test_versions_that_differ_are_a_warning():
    (warning,) = of(
        judge_processes([proxy("p:1"), replace(proxy("q:1"), version="2.0")]), Severity.WARNING
    )
    assert "1.2.3, 2.0" in warning.cause


def test_a_majority_of_members_is_needed():
    assert of(judge_members([member(1), member(2)], asked=3), Severity.WRONG) == []
    assert len(of(judge_members([member(1)], asked=3), Severity.WRONG)) == 1
    assert len(of(judge_members([], asked=1), Severity.WRONG)) == 1
    assert of(judge_members([member(1)], hidden=1, asked=3), Severity.WRONG) == []
    assert len(of(judge_members([], hidden=1, asked=3), Severity.WRONG)) == 1


def test_alarms_a_missing_leader_and_learners_are_told():
    found = list(
        judge_members(
            [member(1, errors=["NOSPACE"]), member(2, leader=0), member(3, is_learner=True)],
            asked=3,
        )
    )
    assert len(of(found, Severity.WRONG)) == 2
    assert len(of(found, Severity.WARNING)) == 1


def test_an_etcd_that_anybody_can_write_is_a_warning():
    away = settings(VECGUARD__ETCD__ENDPOINTS="etcd:2379")
    assert len(list(judge_access(away))) == 1
    (note,) = judge_access(settings())
    assert (note.severity, "every process on this machine" in note.cause) == (Severity.NOTE, True)
    guarded = settings(
        VECGUARD__ETCD__ENDPOINTS="etcd:2379",
        VECGUARD__ETCD__AUTH__ENABLED="true",
        VECGUARD__ETCD__AUTH__USERNAME="u",
        VECGUARD__ETCD__AUTH__PASSWORD="p",
    )
    assert list(judge_access(guarded)) == []


def test_a_configuration_with_authorization_off_is_wrong():
    assert list(judge_settings(settings())) == []
    off = settings(VECGUARD__COMMON__SECURITY__AUTHORIZATIONENABLED="false")
    assert [finding.severity for finding in judge_settings(off)] == [Severity.WRONG]
    for weaker in (
        settings(VECGUARD__REVOCATION="bounded"),
        settings(VECGUARD__LEASE__ENDOPENCALLS="false"),
    ):
        assert [finding.severity for finding in judge_settings(weaker)] == [Severity.NOTE]


def test_roles_that_are_not_enforced_are_a_warning():
    free = {"VECGUARD__COMMON__SECURITY__RBAC__ENFORCED": "false"}
    (warning,) = judge_settings(settings(**free))
    assert warning.severity is Severity.WARNING
    assert "common.security.rbac.enforced" in warning.remedy
    off = {"VECGUARD__COMMON__SECURITY__AUTHORIZATIONENABLED": "false"}
    assert of(judge_settings(settings(**free, **off)), Severity.WARNING) == []


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "::ffff:0:0/96"])
@pytest.mark.parametrize("setting", ["proxyProtocol", "forwardedFor"])
def test_every_address_as_a_load_balancer_is_a_warning(setting, network):
    name = f"VECGUARD__PROXY__{setting.upper()}__TRUSTED"
    (warning,) = judge_settings(settings(**{name: f"10.0.0.0/8, {network}"}))
    assert warning.severity is Severity.WARNING
    assert f"proxy.{setting}.trusted has {network}, which is every address" in warning.cause
    assert list(judge_settings(settings(**{name: "10.0.0.0/8, 2001:db8::/32"}))) == []


def test_anonymous_changes_are_wrong_where_authorization_is_off():
    allowed = {"VECGUARD__COMMON__SECURITY__ALLOWANONYMOUSCHANGES": "true"}
    assert list(judge_settings(settings(**allowed))) == []
    off = {"VECGUARD__COMMON__SECURITY__AUTHORIZATIONENABLED": "false"}
    _, found = judge_settings(settings(**off, **allowed))
    assert found.severity is Severity.WRONG
    assert "allowAnonymousChanges" in found.remedy


def test_ports_open_without_tls_are_warnings_for_the_services_that_a_file_is_for():
    def causes(**more):
        found = list(judge_settings(settings(**more)))
        assert {finding.severity for finding in found} <= {Severity.WARNING}
        return [finding.cause.partition(" is open")[0] for finding in found]

    proxys = {"VECGUARD__BACKEND__ADDRESS": "milvus:19530"}
    root_coords = {"VECGUARD__ETCD__ENDPOINTS": "etcd:2379", "VECGUARD__ROOTCOORD__IP": "::"}
    assert causes(**proxys) == ["the proxy's port"]
    assert causes(**root_coords) == ["root coord's port"]
    assert causes(**proxys, VECGUARD__PROXY__IP="127.0.0.1") == []
    assert causes(**root_coords | {"VECGUARD__ROOTCOORD__IP": "::1"}) == []
    assert causes(**proxys, **root_coords) == ["the proxy's port", "root coord's port"]


def test_files_that_are_not_named_are_not_judged_and_missing_ones_are_wrong(tmp_path):
    assert list(judge_files(settings(), NOW)) == []
    missing = settings(
        VECGUARD__COMMON__SECURITY__TLSMODE="1",
        VECGUARD__TLS__SERVERPEMPATH=str(tmp_path / "no.pem"),
        VECGUARD__TLS__SERVERKEYPATH=str(tmp_path / "no.key"),
    )
    (wrong,) = judge_files(missing, NOW)
    assert wrong.severity is Severity.WRONG
    assert "no.pem" in wrong.cause


def public_link(tmp_path, leaf, *chain):
    (tmp_path / "own.pem").write_bytes(pem(*chain))
    (tmp_path / "own.key").write_bytes(leaf.key_pem)
    return settings(
        VECGUARD__COMMON__SECURITY__TLSMODE="1",
        VECGUARD__TLS__SERVERPEMPATH=str(tmp_path / "own.pem"),
        VECGUARD__TLS__SERVERKEYPATH=str(tmp_path / "own.key"),
    )


def test_files_are_judged_by_what_clients_check(tmp_path):
    old, root, inter, leaf = map(Party, ("old", "root", "inter", "leaf"))
    chain = (
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter, ends=60.0),
        old.certifies(root, begins=-900.0, ends=-300.0),
    )
    now = datetime.now(UTC).timestamp()
    files = public_link(tmp_path, leaf, *chain)
    for days, severity in ((0, Severity.GOOD), (40, Severity.WARNING), (61, Severity.WRONG)):
        dates, beside = judge_files(files, now + days * DAY)
        assert dates.severity is severity
        assert "inter expire" in dates.cause
        assert beside.severity is Severity.NOTE
        assert "1 certificate unused: root expired" in beside.cause


def test_a_client_s_certificate_at_the_public_port_is_wrong(tmp_path):
    root, leaf = Party("root"), Party("leaf")
    usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    files = public_link(tmp_path, leaf, root.certifies(leaf, is_ca=False, usages=usages))
    (wrong,) = judge_files(files, datetime.now(UTC).timestamp())
    assert wrong.severity is Severity.WRONG
    assert "own.pem is not for a server" in wrong.cause


def test_a_key_that_clients_cannot_use_is_a_warning_in_files_and_at_the_port(tmp_path):
    root, leaf = Party("root"), Party("leaf", ed25519.Ed25519PrivateKey.generate())
    path = (root.certifies(leaf, is_ca=False), root.certifies(root))
    now = datetime.now(UTC).timestamp()
    for found in (
        judge_files(public_link(tmp_path, leaf, path[0]), now),
        judge_server("port", path, now),
    ):
        (warning,) = of(found, Severity.WARNING)
        assert "Ed25519" in warning.cause


def test_files_are_judged_without_a_line_in_the_log_and_the_same_finding_comes_once(tmp_path):
    root, leaf = Party("root"), Party("leaf", ed25519.Ed25519PrivateKey.generate())
    path = (root.certifies(leaf, is_ca=False, ends=20.0), root.certifies(root))
    now = datetime.now(UTC).timestamp()
    with capture_logs() as logs:
        files = list(judge_files(public_link(tmp_path, leaf, path[0]), now))
    assert logs == []
    at_port = list(judge_server("port", path, now))
    elsewhere = Finding(Severity.WARNING, "etcd.ssl.*", at_port[0].cause)
    assert without_repetitions(at_port, [*files, elsewhere]) == [*at_port, elsewhere]
    assert without_repetitions([], files) == files
    assert [each.severity for each in files] == [Severity.WARNING] * 2


def test_what_a_server_proves_itself_with_is_judged_up_to_the_ca():
    ca = authority(days=200)
    path = (x509.load_pem_x509_certificate(issue(ca, days=100).certificate), ca.certificate)
    now = datetime.now(UTC).timestamp()
    for at, severity in (
        (now, Severity.GOOD),
        (now + 97 * DAY, Severity.WARNING),
        (now + 101 * DAY, Severity.WRONG),
    ):
        assert [finding.severity for finding in judge_server("port", path, at)] == [severity]
    (wrong,) = judge_server("port", path[1:], now + 201 * DAY)
    assert "Test CA expired" in wrong.cause
    assert list(judge_server("port", (), now)) == []


def test_the_default_password_is_wrong_when_it_is_accepted():
    (wrong,) = judge_default_login("port", Verdict(None))
    assert wrong.severity is Severity.WRONG
    assert wrong.remedy == "vecguard user passwd root"
    (good,) = judge_default_login("port", Verdict("refused"))
    assert good.severity is Severity.GOOD


def test_credentials_under_a_similar_prefix_are_wrong_while_the_configured_one_is_empty():
    similar = Survey((Installation("/by-dev/meta", 2),), ())
    (finding,) = judge_prefixes('etcd prefix "by-dev/meta"', similar, withheld=True)
    assert finding.severity is Severity.WRONG
    assert '"/by-dev/meta" (2 users)' in finding.cause
    (finding,) = judge_prefixes('etcd prefix "by-dev/meta"', similar, withheld=False)
    assert finding.severity is Severity.WARNING


def test_other_installations_are_notes_of_bounded_length():
    others = tuple(Installation(f"p{number}/meta", 1) for number in range(1000))
    found = list(judge_prefixes("etcd", Survey((), others, "too many"), withheld=True))
    assert {finding.severity for finding in found} == {Severity.NOTE}
    assert found[0].cause.endswith('"p9/meta" (1 user) and 990 more')
    assert len(found[0].cause) < 400
    assert "too many" in found[1].cause
    assert list(judge_prefixes("etcd", Survey((), ()), withheld=True)) == []
