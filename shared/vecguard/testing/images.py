"""Chooses the images of a stack."""

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

#: The names that `make image` gives; podman adds a host to a name without one.
_PREFIX = "vecguard-"
_PODMAN_HOST = "localhost/"
#: Earlier releases can serve a stale read after a pause, or lose writes.
_ETCD = "quay.io/coreos/etcd:v3.5.28"


@dataclass(frozen=True, slots=True)
class Images:
    """The image names with tags, as the engine knows them.

    Attributes:
        proxy: the proxy.
        root_coord: root coord.
        milvus_lite: the backend, unless another one is given.
        etcd: an image that has the program `etcd` on its path and no entry point.
    """

    proxy: str
    root_coord: str
    milvus_lite: str
    etcd: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Returns the names in the environment, otherwise those of `make image` for this version.

        Args:
            environment: this process's own by default. It reads:
                VECGUARD_TESTING_IMAGE_PREFIX (default `vecguard-`), VECGUARD_TESTING_IMAGE_TAG
                (default: the version of the installed package), VECGUARD_TESTING_ETCD_IMAGE.
        """
        variables = os.environ if environment is None else environment
        prefix = variables.get("VECGUARD_TESTING_IMAGE_PREFIX") or _PREFIX
        tag = variables.get("VECGUARD_TESTING_IMAGE_TAG") or importlib.metadata.version("vecguard")
        return cls(
            proxy=f"{prefix}proxy:{tag}",
            root_coord=f"{prefix}root-coord:{tag}",
            milvus_lite=f"{prefix}milvus-lite:{tag}",
            etcd=variables.get("VECGUARD_TESTING_ETCD_IMAGE") or _ETCD,
        )


def names_of(image: str) -> tuple[str, ...]:
    """Returns the names under which an engine may have this image; its own name first."""
    first, slash, _ = image.partition("/")
    has_host = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    return (image,) if has_host else (image, _PODMAN_HOST + image)
