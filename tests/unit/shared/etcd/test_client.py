import pytest

from vecguard.errors import ConfigurationError
from vecguard.etcd import EtcdClient
from vecguard.secret import Secret


def test_endpoints_are_deduplicated_and_not_none():
    client = EtcdClient(["a:1", "b:1", "a:1"])
    assert [str(endpoint.address) for endpoint in client._cluster._endpoints] == ["a:1", "b:1"]
    with pytest.raises(ConfigurationError, match="no etcd endpoint"):
        EtcdClient([])


@pytest.mark.parametrize("endpoint", ["host", "http://host:2379", "host:0"])
def test_a_malformed_endpoint_is_a_configuration_error(endpoint):
    with pytest.raises(ConfigurationError, match="is not an address"):
        EtcdClient([endpoint])


def test_a_user_without_a_password_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="both"):
        EtcdClient(["a:1"], username="user")
    with pytest.raises(ConfigurationError, match="both"):
        EtcdClient(["a:1"], password=Secret("password"))
