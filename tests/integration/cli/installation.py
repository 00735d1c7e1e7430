"""A running stack as an operator sees it from the command line."""

import base64
import uuid
from dataclasses import dataclass
from pathlib import Path

from deploy.local.stack import LocalStack
from tests.integration.cli.command import vecguard, written
from tests.support.program_here import Ended

ROOT_PASSWORD = "Milvus"


@dataclass(frozen=True)
class Installation:
    stack: LocalStack
    directory: Path

    @property
    def address(self) -> str:
        return self.stack.proxies[0].address

    @property
    def root_coord_config(self) -> Path:
        return self.stack.data_dir / "config" / f"{self.stack.root_coord.name}.yaml"

    @property
    def proxy_config(self) -> Path:
        return self.stack.data_dir / "config" / f"{self.stack.proxies[0].name}.yaml"

    @property
    def tls(self) -> tuple[object, ...]:
        """The options with which the stack lets clients in."""
        if self.stack.certificates is None:
            return ()
        certs = self.stack.certificates.directory
        return (
            *("--ca", certs / "ca.pem", "--server-name", "localhost"),
            *("--cert", certs / "client.pem", "--key", certs / "client.key"),
        )

    @property
    def operations(self) -> tuple[str, ...]:
        """The options that name every operations port."""
        every = (*self.stack.root_coords, *self.stack.proxies)
        return tuple(word for each in every for word in ("-O", each.operations_address))

    def as_user(self, user: str, password: str, address: str = "") -> tuple[object, ...]:
        """The options of a connection with this login."""
        file = written(self.directory, f"{user}-{uuid.uuid4().hex}", password)
        return (
            *("--address", address or self.address),
            *self.tls,
            *("--user", user, "--password-file", file),
        )

    def as_root(self) -> tuple[object, ...]:
        return self.as_user("root", ROOT_PASSWORD)

    async def user(self, password: str) -> str:
        """A new user with this password."""
        name = f"u{uuid.uuid4().hex[:12]}"
        file = written(self.directory, name, password)
        made = await vecguard("user", "create", name, "--new-password-file", file, *self.as_root())
        assert made.code == 0, made.all
        return name

    async def logs_in(self, user: str, password: str, proxy: int = 0) -> bool:
        address = self.stack.proxies[proxy].address
        return (await vecguard("login", *self.as_user(user, password, address))).code == 0

    def require_hidden(self, ended: Ended, *passwords: str) -> None:
        """Neither the command nor any process of the stack has shown a password."""
        logs = "\n".join(line for each in self.stack.processes for line in each.recent_lines)
        for password in passwords:
            for form in (password, base64.b64encode(password.encode()).decode()):
                assert form not in ended.all
                assert form not in logs
