import tarfile
from collections.abc import Mapping
from typing import Final

from testcontainers.core.container import DockerContainer
from testcontainers.core.transferable import Transferable

# For all users: the image's user is not the user as which the engine copies files.
_READABLE: Final = 0o444
_TAR_BLOCK: Final = 512
_TAR_END: Final = bytes(2 * _TAR_BLOCK)


class FilledContainer(DockerContainer):
    """A container that gets files before it starts, with podman too.

    podman 4 stops reading an archive at its end mark and sometimes fails to write the
    padding that Python's tarfile puts behind the mark. So the archives here have none.
    """

    def with_files(self, files: Mapping[str, bytes]) -> None:
        """Adds files by path; every user in the container may read them."""
        for path, content in files.items():
            self.with_copy_into_container(content, path, _READABLE)

    def _transfer_into_container(
        self, transferable: Transferable, destination_in_container: str, mode: int
    ) -> None:
        if not isinstance(transferable, bytes):
            super()._transfer_into_container(transferable, destination_in_container, mode)
            return
        archive = archive_of(destination_in_container, transferable, mode)
        if not self.get_wrapped_container().put_archive(path="/", data=archive):
            raise OSError(f"{destination_in_container} could not be copied")


def archive_of(path: str, content: bytes, mode: int) -> bytes:
    """Returns a tar archive with this one file, without padding after its end mark."""
    header = tarfile.TarInfo(path.lstrip("/"))
    header.size, header.mode = len(content), mode
    return header.tobuf() + content + bytes(-len(content) % _TAR_BLOCK) + _TAR_END
