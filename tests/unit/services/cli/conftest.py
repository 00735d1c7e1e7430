import pytest


@pytest.fixture(autouse=True)
def plain_output(monkeypatch):
    """A terminal with room for every line, and without colours."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
