"""What all tests have in common."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.support.etcd import recommended_etcd
from tests.support.logs import restored_logging
from vecguard.proxy.cpus import usable_cpus

# grpcio's handlers of forks may abort a child of this process before it starts its program:
# seen in 6 of 200 children with `preexec_fn` while another thread made calls.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

# The same examples in every run, so that a red one can be repeated and a green one stays
# green; HYPOTHESIS_PROFILE=explore looks for new ones. How long an example takes depends on what
# else the machine does.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

_UNIT = Path(__file__).parent / "unit"
_MOST_WORKERS = 16
#: The file that takes longest begins first, or the others would wait for it at the end.
_FIRST = Path(__file__).parent / "model" / "test_revocation_model.py"
#: Files whose tests share one stack for the session. Different workers would each start it.
_SHARING_A_STACK = (
    (
        "tests/e2e/test_account_replies.py",
        "tests/e2e/test_authorization_off.py",
        "tests/e2e/test_node_sdk.py",
        "tests/e2e/test_pymilvus_accounts.py",
        "tests/e2e/test_pymilvus_connections.py",
        "tests/e2e/test_pymilvus_data.py",
        "tests/e2e/test_pymilvus_lists.py",
        "tests/e2e/test_pymilvus_refusals.py",
        "tests/e2e/test_pymilvus_roles.py",
        "tests/e2e/test_three_proxies.py",
    ),
    (
        "tests/e2e/test_tls_backend.py",
        "tests/e2e/test_tls_handshakes.py",
        "tests/e2e/test_tls_inside.py",
        "tests/e2e/test_tls_pymilvus.py",
    ),
    (
        "tests/integration/cli/test_doctor.py",
        "tests/integration/cli/test_status.py",
        "tests/integration/cli/test_users.py",
    ),
)
#: The files here share images, and a stack.
_WITH_CONTAINERS = "tests/containers/"
_FIRST_OF_ITS_STACK = {file: files[0] for files in _SHARING_A_STACK for file in files}


def pytest_configure(config: pytest.Config) -> None:
    """Starts the etcd that we recommend, where it can be had, in place of PyPI's 3.5.1.

    That one crashes when a client gives up a read at the wrong moment (etcd issue 14110), which
    happens on a busy machine. Workers inherit the variable.
    """
    if not hasattr(config, "workerinput") and not _are_unit_tests(config):
        program = recommended_etcd()
        if program is not None:
            os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def _are_unit_tests(config: pytest.Config) -> bool:
    places = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return all(place.is_relative_to(_UNIT) for place in places)


@pytest.fixture(autouse=True)
def logging_of_other_tests():
    """A command or a service that runs in this process sets up the logging of all of it."""
    with restored_logging():
        yield


# Optional, so that `-p no:xdist` works.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many `--numprocesses auto` means: none for single files, whose tests begin at once.

    Most tests wait for servers, so that a CPU serves two workers; unit tests do not wait.
    """
    places = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if not any(place.is_dir() for place in places):
        return 0
    for_each_cpu = 1 if _are_unit_tests(config) else 2
    return min(for_each_cpu * usable_cpus(), _MOST_WORKERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path != _FIRST)


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints what tests say of themselves by `record_property("summary", text)`."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "summary":
                terminalreporter.write_line(text)


class _ByStack(LoadFileScheduling):
    """One worker runs all tests of a file, and all files that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file.startswith(_WITH_CONTAINERS):
            return _WITH_CONTAINERS
        return _FIRST_OF_ITS_STACK.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> LoadFileScheduling | None:
    return _ByStack(config, log) if config.getvalue("dist") == "loadfile" else None
