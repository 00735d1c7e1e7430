"""Stacks of containers made from this checkout, or the reason why there are none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testcontainers.core.config import ConnectionMode, testcontainers_config

from deploy.local.stack import CHECKOUT
from tests.containers.compose_project import Project
from tests.e2e.scenario import Pymilvus
from tests.support.containers import (
    NoContainersError,
    build_images,
    find_engine,
    is_required,
    variables_for_testcontainers,
)
from vecguard.testing import Images, VecguardStack

#: Takes what VecguardStack takes, but for the images.
StackMaker = Callable[..., VecguardStack]

_TEST_SECONDS = 120


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    for item in _with_containers(items):
        item.add_marker(pytest.mark.long)
        # Of the test alone: a fixture may build images, and has bounds of its own.
        item.add_marker(pytest.mark.timeout(_TEST_SECONDS, func_only=True))
    yield
    # Only now is it known whether any of them is to run.
    ours = _with_containers(items)
    reason = _why_there_are_none() if ours else ""
    if reason:
        # One line for all of them, instead of one for each file that they come from.
        spokesman, others = ours[0], set(ours[1:])
        spokesman.add_marker(pytest.mark.skip(f"{len(ours)} tests with containers: {reason}"))
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=list(others))


def _with_containers(items: list[pytest.Item]) -> list[pytest.Item]:
    here = Path(__file__).parent
    return [
        item
        for item in items
        if item.path.is_relative_to(here) and "images" in getattr(item, "fixturenames", ())
    ]


def _why_there_are_none() -> str:
    try:
        find_engine()
    except NoContainersError as error:
        # Who has asked for an engine gets the error, from the fixture.
        return "" if is_required() else error.message
    return ""


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    """Built from this checkout, for an engine that testcontainers can reach meanwhile."""
    built = build_images()
    with variables_for_testcontainers() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        # It has read the environment when it was imported.
        if variables:
            host = variables["TESTCONTAINERS_HOST_OVERRIDE"]
            mode = ConnectionMode(variables["TESTCONTAINERS_CONNECTION_MODE"])
            patch.setattr(testcontainers_config, "tc_host_override", host)
            patch.setattr(testcontainers_config, "connection_mode_override", mode)
            patch.setattr(testcontainers_config, "ryuk_disabled", True)
        yield Images(
            proxy=built.proxy,
            root_coord=built.root_coord,
            milvus_lite=built.milvus_lite,
            etcd=built.etcd,
        )


@pytest.fixture(scope="session")
def pymilvus() -> Pymilvus:
    """One of its versions; tests/e2e runs the same with each of them."""
    return Pymilvus(3, CHECKOUT / ".venv" / "bin" / "python")


@pytest.fixture(scope="session")
def make_stack(images: Images) -> StackMaker:
    """Describes a stack of these images; the test starts it."""

    def make(**options: Any) -> VecguardStack:
        return VecguardStack(**{"images": images, **options})

    return make


@pytest.fixture(scope="session")
def stack(make_stack: StackMaker) -> Iterator[VecguardStack]:
    """One stack with three proxies for all tests that leave it as they found it."""
    with make_stack(proxies=3, root_password="Milvus") as stack:
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    for each in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(each, VecguardStack | Project):
            report.sections += [(f"log of {name}", log) for name, log in each.logs().items()]
    return report
