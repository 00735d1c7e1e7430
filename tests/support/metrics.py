"""Reads the metrics and the health report of a process."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 20.0


@dataclass(frozen=True)
class Exposition:
    """The result of one scrape.

    Attributes:
        text: as it came.
        samples: (name, labels) to value.
    """

    text: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parsed(cls, text: str) -> "Exposition":
        return cls(
            text,
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            },
        )

    def value(self, name: str, **labels: str) -> float:
        """Returns the sample with exactly these labels; 0 without one."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """Returns the sums of the samples of this name by one label."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == name:
                key = dict(labels)[label]
                found[key] = found.get(key, 0.0) + value
        return found

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self.samples}

    @property
    def families(self) -> set[str]:
        """The names of all announced metrics, with or without a sample."""
        return {line.split()[2] for line in self.text.splitlines() if line.startswith("# TYPE ")}


async def scrape(operations_address: str) -> Exposition:
    status, text = await ask(operations_address, "/metrics")
    assert status == 200, text
    return Exposition.parsed(text)


async def health(operations_address: str) -> tuple[int, dict[str, Any]]:
    """Returns the status of /readyz and its report."""
    status, text = await ask(operations_address, "/readyz")
    return status, json.loads(text)


async def ask(operations_address: str, path: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"http://{operations_address}{path}") as answer,
    ):
        return answer.status, await answer.text()
