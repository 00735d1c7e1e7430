"""What the images promise to an engine, asked of running containers."""

from typing import Any

import pytest

from tests.containers.conftest import StackMaker
from tests.support.containers import are_compiled, build_images
from vecguard.testing import Images, VecguardStack
from vecguard.testing.filled_container import FilledContainer

PROBE = ["python", "-m", "vecguard.observability.probe"]


def ended(image: str, *command: str, **options: Any) -> tuple[int, str]:
    """Exit code and output of this command in a container of its own.

    Not in a running one: podman keeps a process for each such command for five minutes.
    """
    with FilledContainer(image).with_kwargs(entrypoint=list(command), **options) as container:
        code = container.wait()
        return code, b"".join(container.get_logs()).decode().strip()


def test_services_are_not_root_and_have_no_pip(images: Images):
    for image in (images.proxy, images.root_coord):
        assert ended(image, "id", "-u") == (0, "10001")
        assert ended(image, "python", "-m", "pip", "--version")[0] != 0


def test_proxy_runs_compiled_modules_where_the_build_made_them(stack: VecguardStack):
    (serving,) = [line for line in stack.proxies[0].logs(10_000).splitlines() if "serving" in line]
    assert f"compiled={are_compiled()}" in serving


def test_nothing_that_only_a_build_needs_is_in_the_images(images: Images):
    look = (
        "import importlib.util, shutil; "
        "print([name for name in ('cc', 'gcc', 'ld', 'make') if shutil.which(name)], "
        "[name for name in ('mypy', 'mypyc', 'setuptools', 'deploy') "
        "if importlib.util.find_spec(name)])"
    )
    for image in (images.proxy, images.root_coord):
        assert ended(image, "python", "-c", look) == (0, "[] []")


def test_health_check_of_the_images_says_ready(stack: VecguardStack, images: Images):
    for part, image, options in (
        (stack.proxies[0], images.proxy, ()),
        (
            stack.root_coords[0],
            images.root_coord,
            ("--port", "9092", "--path", "/readyz?exclude=role"),
        ),
    ):
        beside_it = f"container:{part.container.get_container_id()}"
        code, output = ended(image, *PROBE, *options, network_mode=beside_it)
        assert code == 0, output


@pytest.mark.parametrize(("password", "code"), [("Milvus", 0), ("not it", 1)])
def test_command_line_image_logs_in_from_inside_the_network(
    stack: VecguardStack, password: str, code: int
):
    cli = FilledContainer(build_images().cli)
    cli.with_files({"/etc/vecguard/password": password.encode()})
    cli.with_network(stack.network).with_command(
        ["login", "--address", "proxy-1:19530", "--password-file", "/etc/vecguard/password"]
    )
    with cli:
        assert cli.wait() == code, cli.get_logs()


def test_every_service_ends_well_when_it_is_asked_to(make_stack: StackMaker):
    with make_stack() as stack:
        for part in (*stack.proxies, *stack.root_coords, stack.backend):
            part.stop()
            container = part.container.get_wrapped_container()
            container.reload()
            assert container.attrs["State"]["ExitCode"] == 0, part.logs()
