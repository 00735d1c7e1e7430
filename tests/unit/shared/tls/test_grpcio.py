"""What is said of keys that grpcio cannot use. tests/integration/tls/test_keys.py connects."""

import pytest

from tests.support.certificates import Party
from vecguard.tls.certificates import read_certificates
from vecguard.tls.grpcio import key_kind, unusable_key

#: openssl genpkey -algorithm RSA-PSS, and openssl req -new -x509: a self-signed certificate.
RSA_PSS = b"""\
-----BEGIN CERTIFICATE-----
MIIDaTCCAhygAwIBAgIUTl0A6DPIaLnQR/QTVd0FJOTp8VwwQgYJKoZIhvcNAQEK
MDWgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEF
AKIEAgIA3jAPMQ0wCwYDVQQDDARsZWFmMCAXDTI2MTEyOTIyMTMxMloYDzIxMjYx
MTA1MjIxMzEyWjAPMQ0wCwYDVQQDDARsZWFmMIIBIDALBgkqhkiG9w0BAQoDggEP
ADCCAQoCggEBAKaZkC5ald6qUVLcsG3r1Ujo9gzf9f8p2OCq4XyHYyL4FLKZdPJ4
1ss7SAxXra2M4HX41Amnb6DpsPmnOCOQXpgIwTzdeX/ll3bfuu+zbkTMDS7S+TFv
a/85cVCSF3/jJ2bXHL/qBe17FKRP7HOChVDi9jJgy3xikwxCCJJm/n8wSgGA3MTj
Q/wRWbgPgCcmmem+ycpUDkUyfJdCzaZM/qqS8sEm7luxMZp0nY88v3gKDBH5aR/1
ugmvx5fgy7twwruABRDLhkCuomkAzlhEPHQclNuhDAiEiy8BdIlzxmWgo5IxAd2R
Ac/fJTaRKFfnqET9grHnvnrRHUysi8isaUECAwEAAaNTMFEwHQYDVR0OBBYEFFGl
GQ8sBpn4PPZonyUeTZwv258kMB8GA1UdIwQYMBaAFFGlGQ8sBpn4PPZonyUeTZwv
258kMA8GA1UdEwEB/wQFMAMBAf8wQgYJKoZIhvcNAQEKMDWgDzANBglghkgBZQME
AgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIEAgIA3gOCAQEANQYH
jeCexjfyFZTft16D0FDF3ZgSMMlyy7Wf+ERX5zUjZxMZKa8nouwIYs/aK3QtPMXJ
SB2ftmHRA3J7eX5KlhYd/Nm94MZZ3+umvCGz8sPekssascGCbQHExysyph42+fEh
u38kex8e9GMOxSp3SqBBmkajk1C1TiryEtW9DgZs3OgCsXRdfLh+trpymUTRx0XT
GjVR1akdaPyLqiT+Syt/lIcPdC2LyeVgxVn/mH9p3RSMdDfkMlEcInsCplHA2Lo/
jKX5TjqBNg7+hYnUQZYrt5PQoZrNUJ6d7ripXoAGd1ktmIrE/W9fHmenLqoPaTKr
TEQNINW3a2R/RfloVg==
-----END CERTIFICATE-----
"""


@pytest.mark.parametrize("is_server", [True, False])
def test_an_rsa_key_that_is_for_pss_alone_is_told_apart(is_server):
    (certificate,) = read_certificates(RSA_PSS)
    assert key_kind(certificate) == "RSA-PSS"
    assert "leaf uses an RSA-PSS key" in unusable_key((certificate,), is_server=is_server)
    root, leaf = Party("root"), Party("leaf")
    good = root.certifies(leaf, is_ca=False)
    assert unusable_key((good,), is_server=is_server) is None
    assert "RSA-PSS" in unusable_key((good, certificate), is_server=is_server)
