"""Alerts, dashboard and docs name what running processes really export."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.e2e.stacks import running_stack
from tests.support.debian_packages import program_of
from tests.support.metrics import Exposition, scrape

_ROOT = Path(__file__).parents[2]
ALERTS = _ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERT_TESTS = _ROOT / "deploy" / "prometheus" / "tests" / "alerts.yml"
DASHBOARDS = sorted((_ROOT / "deploy" / "grafana").glob("*.json"))
COMPOSE = _ROOT / "deploy" / "compose"
DOCS = _ROOT / "docs" / "metrics.md"
RUNBOOKS = _ROOT / "docs" / "runbooks.md"
_OF_A_HISTOGRAM = ("_bucket", "_count", "_sum")

Promtool = Callable[..., None]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Runs promtool, which has to agree. No package of PyPI or npm has it; Debian's has."""
    program = shutil.which("promtool") or program_of("prometheus", "usr/bin/promtool")
    if program is None:
        pytest.skip("promtool is not installed, and apt does not get it (Debian: prometheus)")

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[set[str]]:
    """The families of a proxy with two workers and of root coord."""
    # With workers every figure passes through their common exposition as well.
    workers = 2 if sys.platform == "linux" else 1
    settings = {
        "proxy": {"workers": workers},
        "audit": {"output": str(tmp_path_factory.mktemp("audit") / "audit.log")},
    }
    folder = tmp_path_factory.mktemp("stack")
    async with running_stack(folder, settings=settings) as stack:
        pages = [
            await scrape(process.operations_address)
            for process in (*stack.proxies, *stack.root_coords)
        ]
    yield set().union(*(_ours(page) for page in pages))


@pytest.fixture(scope="module")
def alerts() -> dict[str, dict]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _ours(page: Exposition) -> set[str]:
    return {
        name
        for name in page.families
        if name.startswith("vecguard_") and not name.endswith("_created")
    }


def _used(text: str) -> set[str]:
    """The families behind the names in a query or a text."""
    return {_family(name) for name in re.findall(r"\bvecguard_[a-z0-9_]+", text)}


def _family(name: str) -> str:
    for suffix in _OF_A_HISTOGRAM:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _queries(dashboard: dict) -> list[str]:
    variables = [
        each["definition"] for each in dashboard["templating"]["list"] if "definition" in each
    ]
    panels = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    return variables + panels


def test_alerts_ask_for_what_is_exported(exported, alerts) -> None:
    used = _used(" ".join(rule["expr"] for rule in alerts.values()))
    assert len(used) > 10
    assert used - exported == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_dashboards_ask_for_what_is_exported(exported, path: Path) -> None:
    used = _used(" ".join(_queries(json.loads(path.read_text()))))
    assert len(used) > 30
    assert used - exported == set()


def test_docs_list_just_what_is_exported(exported) -> None:
    listed = set(re.findall(r"^\| `(vecguard_[a-z0-9_]+)` \|", DOCS.read_text(), re.MULTILINE))
    of_workers = {"vecguard_worker_up"}
    assert "vecguard_worker_up" in DOCS.read_text()
    assert listed == exported - of_workers


def test_runbooks_name_what_is_exported(exported) -> None:
    assert _used(RUNBOOKS.read_text()) - exported == set()


def test_each_alert_has_a_runbook_of_its_own_and_a_test(alerts) -> None:
    headings = set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    tested = {test["name"] for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"]}
    assert set(alerts) == {name for name in headings if name.startswith("Vecguard")} == tested
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_alerts_fire_for_what_is_meant_and_for_nothing_else(promtool: Promtool) -> None:
    promtool("check", "rules", "--lint-fatal", str(ALERTS))
    promtool("test", "rules", str(ALERT_TESTS))


def test_the_laptop_s_prometheus_is_configured_well(promtool: Promtool) -> None:
    promtool("check", "config", "--syntax-only", str(COMPOSE / "prometheus.yaml"))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_queries_of_dashboards_can_be_parsed(
    promtool: Promtool, path: Path, tmp_path: Path
) -> None:
    queries = _queries(json.loads(path.read_text()))
    rules = [
        {"record": f"query:{number}", "expr": _filled_in(query)}
        for number, query in enumerate(queries)
        if not query.startswith("label_values(")
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", str(file))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_dashboards_show_one_installation_at_a_time(path: Path) -> None:
    for query in _queries(json.loads(path.read_text())):
        if query.startswith("label_values(vecguard_build_info,"):
            continue  # finds the namespaces
        selectors = re.findall(r"\b(?:vecguard|process)_[a-z0-9_]+(\{[^}]*\})?", query)
        assert selectors
        for selector in selectors:
            assert 'namespace=~"$namespace"' in selector, query


def test_alerts_that_count_or_add_up_keep_installations_apart(alerts) -> None:
    grouped = 0
    for rule in alerts.values():
        for aggregation, labels in re.findall(
            r"\b(sum|count|min|max)\b(?: by \(([^)]*)\))?", rule["expr"]
        ):
            assert "namespace" in labels.split(", "), (aggregation, rule["expr"])
            grouped += 1
    assert grouped > 10


def test_dashboards_are_where_grafana_looks_and_use_its_data_source() -> None:
    assert DASHBOARDS
    volumes = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["grafana"][
        "volumes"
    ]
    targets = dict(volume.split(":")[:2] for volume in volumes)
    provider = yaml.safe_load((COMPOSE / "grafana" / "dashboards" / "vecguard.yaml").read_text())
    assert targets["../grafana"] == provider["providers"][0]["options"]["path"]
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == "${datasource}"


def test_the_alerts_tests_are_no_rules_for_the_laptop_s_prometheus() -> None:
    # It loads every file of the folder, but not of folders within.
    patterns = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["rule_files"]
    loaded = {
        path
        for pattern in patterns
        for path in ALERTS.parent.glob(pattern.removeprefix("/etc/prometheus/rules/"))
    }
    assert loaded == {ALERTS}


def _filled_in(query: str) -> str:
    for variable, value in (("$namespace", ".*"), ("$instance", ".*"), ("$__rate_interval", "5m")):
        query = query.replace(variable, value)
    return query
