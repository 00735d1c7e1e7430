"""The status page in a browser, of real processes; screenshots go to build/screenshots/."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Page

from deploy.local.ports import LOOPBACK, Ports
from deploy.local.process import Process, Program
from deploy.local.readiness import http_ok
from deploy.local.stack import CHECKOUT, LocalStack, ServiceProcess
from tests.e2e.stacks import clean_environment, running_stack
from tests.support.browser import headless_browser
from tests.support.credentials import encoded, header_of
from tests.support.waiting import eventually
from vecguard.config.security import TlsMode
from vecguard.generated.milvus.proto import milvus
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.tls.certificate_set import ROOT_COORD_NAME

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCREENSHOTS = CHECKOUT / "build" / "screenshots"
WIDTHS = {"desktop": 1280, "phone": 390}
MILVUS = "/milvus.proto.milvus.MilvusService"
HEALTH = "/grpc.health.v1.Health/Check"
#: Each would do something if it were not escaped where it stands.
MARKUP = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "'><svg/onload=document.title='pwned'>&lt;b&gt;",
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """Two proxies and two root coords; every connection but the backend's has certificates."""
    async with running_stack(
        tmp_path_factory.mktemp("page"), proxies=2, root_coords=2, tls=TlsMode.SERVER
    ) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with headless_browser() as browser:
        yield browser


@dataclass
class Watched:
    """A page, and what went wrong in it: errors, refusals of its policy, requests that failed."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))

    async def open(self, process: ServiceProcess, query: str = "?refresh=off") -> None:
        await self.page.goto(f"http://{process.operations_address}/{query}")

    async def text(self) -> str:
        return await self.page.inner_text("body")


@asynccontextmanager
async def opened(
    browser: Browser, process: ServiceProcess, *, width: int = 1280
) -> AsyncIterator[Watched]:
    context = await browser.new_context(viewport={"width": width, "height": 900})
    try:
        watched = Watched(await context.new_page())
        await watched.open(process)
        yield watched
        assert watched.complaints == []
    finally:
        await context.close()


async def photographed(browser: Browser, process: ServiceProcess, name: str) -> str:
    """Looks at a page at both widths, in light and in dark. Returns its text."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for device, width in WIDTHS.items():
        async with opened(browser, process, width=width) as watched:
            page, grounds = watched.page, set()
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width
                grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
                path = SCREENSHOTS / f"status-page-{name}-{device}-{scheme}.png"
                await page.screenshot(path=path, full_page=True)
            assert len(grounds) == 2
            text = await watched.text()
    return text


def certificates(stack: LocalStack) -> Path:
    assert stack.certificates is not None
    return stack.certificates.directory


@asynccontextmanager
async def client_of(stack: LocalStack, proxy: ServiceProcess) -> AsyncIterator[grpc.aio.Channel]:
    trusted = grpc.ssl_channel_credentials((certificates(stack) / "ca.pem").read_bytes())
    options = (("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.secure_channel(proxy.address, trusted, options) as channel:
        yield channel


async def called(
    channel: grpc.aio.Channel, method: str, request: bytes, login: tuple[str, str]
) -> grpc.StatusCode:
    metadata = (("authorization", header_of(*login).decode()),)
    try:
        await channel.unary_unary(method)(request, metadata=metadata, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


class FakeProxy:
    """Holds a session with root coord and never acknowledges anything."""

    def __init__(self, stack: LocalStack, root_coord: ServiceProcess, proxy_id: str) -> None:
        folder = certificates(stack)
        self._open = internal.Open(proxy_id=proxy_id, version=MARKUP[1], revocation_mode="strict")
        self._channel = grpc.aio.secure_channel(
            root_coord.address,
            grpc.ssl_channel_credentials(
                (folder / "internal-ca.pem").read_bytes(),
                (folder / "internal-client.key").read_bytes(),
                (folder / "internal-client.pem").read_bytes(),
            ),
            (
                ("grpc.ssl_target_name_override", ROOT_COORD_NAME),
                ("grpc.enable_http_proxy", 0),
            ),
        )
        self._stream = self._channel.stream_stream("/vecguard.internal.v1.RootCoord/Session")()

    async def __aenter__(self) -> None:
        """Returns when it has a lease."""
        await self._stream.write(bytes(internal.SessionRequest(open=self._open)))
        await self._stream.read()
        renew = internal.SessionRequest(renew=internal.Renew(number=1))
        await self._stream.write(bytes(renew))
        await self._stream.read()

    async def __aexit__(self, *_: object) -> None:
        await self._stream.write(bytes(internal.SessionRequest(release=internal.Release())))
        await self._channel.close()


async def test_the_page_of_each_process_fits_both_widths_in_light_and_dark(
    stack: LocalStack, browser: Browser
):
    active = await stack.active_root_coord()
    (standby,) = (each for each in stack.root_coords if each is not active)
    async with client_of(stack, stack.proxies[0]) as client:
        assert await called(client, HEALTH, b"", ("root", "Milvus")) is grpc.StatusCode.OK

    texts = {
        name: await photographed(browser, process, name)
        for name, process in (
            ("root-coord", active),
            ("standby", standby),
            ("proxy", stack.proxies[0]),
        )
    }

    for words in ("root coord ready, with warnings", "active", "Term", "well-known default"):
        assert words in texts["root-coord"]
    assert texts["root-coord"].count("connected") >= 2, "both proxies"
    assert "standby" in texts["standby"]
    for words in ("the proxy shows a certificate", "enforced", "strict", "root coord", "public"):
        assert words in texts["proxy"]


async def test_a_storm_of_refused_logins_is_drawn_and_plants_no_markup(
    stack: LocalStack, browser: Browser
):
    proxy = stack.proxies[0]
    async with client_of(stack, proxy) as client:
        for number in range(24):
            name = MARKUP[number % len(MARKUP)]
            assert await called(client, HEALTH, b"", (f"{name}{number}", "x")) in {
                grpc.StatusCode.UNAUTHENTICATED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            }
        with pytest.raises(grpc.aio.AioRpcError):
            await client.unary_unary(HEALTH)(b"", timeout=20)
        metadata = (("authorization", base64.b64encode(MARKUP[0].encode()).decode()),)
        with pytest.raises(grpc.aio.AioRpcError):
            await client.unary_unary(HEALTH)(b"", metadata=metadata, timeout=20)

    async with opened(browser, proxy) as watched:

        async def is_drawn() -> bool:
            await watched.open(proxy)
            text = await watched.text()
            reasons = ("wrong_credentials", "missing_header", "api_key")
            return all(reason in text for reason in reasons)

        await eventually(is_drawn)
        assert await watched.page.locator("figure:nth-of-type(2) path").count() == 3
        assert await planted(watched.page) == 0
        text = await watched.text()
    assert "pwned" not in text, "user names are in the audit log only"
    await photographed(browser, proxy, "storm")


async def planted(page: Page) -> int:
    """How many elements a page has that only markup from outside can have made."""
    assert await page.title() != "pwned"
    return await page.locator("script, img, b, body style, [onerror], [onload], svg svg").count()


async def test_markup_in_a_proxy_s_name_and_version_is_text(stack: LocalStack, browser: Browser):
    active = await stack.active_root_coord()
    async with FakeProxy(stack, active, MARKUP[0]), opened(browser, active) as watched:

        async def is_shown() -> bool:
            await watched.open(active)
            text = await watched.text()
            return MARKUP[0] in text and MARKUP[1] in text

        await eventually(is_shown)
        assert await planted(watched.page) == 0


async def test_the_page_says_for_which_proxy_a_change_waits(stack: LocalStack, browser: Browser):
    active = await stack.active_root_coord()
    request = bytes(milvus.CreateCredentialRequest(username="alice", password=encoded("Password1")))
    async with client_of(stack, stack.proxies[1]) as client, opened(browser, active) as watched:
        async with FakeProxy(stack, active, "deaf" * 16):
            change = asyncio.create_task(
                called(client, f"{MILVUS}/CreateCredential", request, ("root", "Milvus"))
            )

            async def waits() -> bool:
                await watched.open(active)
                rows = await watched.page.locator("tr", has_text="deaf" * 16).all_inner_texts()
                return any("1 change, for" in row for row in rows)

            await eventually(waits)
            await photographed(browser, active, "change-waits")
        assert await change is grpc.StatusCode.OK


async def test_an_open_page_renews_itself_without_a_script(stack: LocalStack, browser: Browser):
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"http://{stack.proxies[0].operations_address}/")
    await page.wait_for_event("load", timeout=20_000)
    await context.close()


@pytest.fixture
def proxy_without_authentication(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A proxy alone: with authentication off it needs neither root coord nor backend."""
    ports = Ports.free().proxies[0]
    settings = {
        "common": {"security": {"authorizationEnabled": False}},
        "proxy": {"ip": LOOPBACK, "port": ports.public},
        "rootCoord": {"addresses": [f"{LOOPBACK}:{ports.public}"]},
    }
    settings["proxy"]["operations"] = {"ip": LOOPBACK, "port": ports.operations}
    file = tmp_path / "proxy.yaml"
    file.write_text(yaml.safe_dump(settings))
    program = Program(
        name="open-proxy",
        argv=(sys.executable, "-m", "vecguard.proxy", "--config", str(file)),
        environment=clean_environment(),
        directory=CHECKOUT,
        ready=http_ok(ports.operations, "/livez"),
    )
    process = ServiceProcess(program, lambda _name, _line: None, ports.public, ports.operations)
    yield process
    if process.running:
        process.kill()


async def test_a_proxy_without_authentication_says_so_first(
    proxy_without_authentication: Process, browser: Browser
):
    process = proxy_without_authentication
    await process.start()
    await process.wait_ready()
    text = await photographed(browser, process, "authentication-off")
    await process.stop()
    assert "off: every request passes" in text.partition("Security")[0]
    assert "no login is checked" in text


async def test_a_proxy_that_lost_root_coord_says_what_it_cannot_do(
    stack: LocalStack, browser: Browser
):
    await asyncio.gather(*(each.stop() for each in stack.root_coords))
    proxy = stack.proxies[0]
    try:
        async with opened(browser, proxy) as watched:

            async def lease_is_over() -> bool:
                await watched.open(proxy)
                return "no lease" in await watched.text()

            await eventually(lease_is_over)
        text = await photographed(browser, proxy, "root-coord-down")
        assert "not ready" in text
        assert "no session" in text
    finally:
        await asyncio.gather(*(each.restart() for each in stack.root_coords))
