"""What a scenario hands back: one JSON document, with every value and every error as it came.

Scenarios are plain scripts. They run under the Python of the pymilvus that they try, import
nothing but pymilvus and this module, and decide nothing: the tests judge.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from pymilvus import MilvusException


def arguments(*names: str) -> argparse.Namespace:
    """The command line: one required `--name` for each of these names."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


class Report:
    """Named results, in the order in which they were had."""

    def __init__(self) -> None:
        self._results: dict[str, Any] = {}

    def value(self, name: str, value: Any) -> Any:
        """Note a value and hand it on."""
        if name in self._results:
            raise ValueError(f"two results are named {name}")
        self._results[name] = plain(value)
        return value

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call, note what came back, and hand it on. An error ends the scenario."""
        return self.value(name, function(*args, **kwargs))

    def attempt(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call, and note what came back or how it failed."""
        try:
            result = {"value": plain(function(*args, **kwargs))}
        except Exception as error:  # noqa: BLE001  whatever a user would see is the result
            result = {"error": described(error)}
        self.value(name, result)

    def print(self) -> None:
        """End the scenario by printing the document."""
        json.dump(self._results, sys.stdout)
        sys.stdout.flush()


def described(error: BaseException) -> dict[str, Any]:
    """An error as a user of pymilvus sees it, with the gRPC answer wherever it is hidden."""
    cause = error.__cause__
    result: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, MilvusException):
        result |= {"code": int(_number(error.code)), "message": error.message}
    elif isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        result |= {"grpc": error.code().name, "details": error.details()}
    else:
        result["message"] = str(error)
    if cause is not None and cause is not error:
        result["cause"] = described(cause)
    return result


def plain(value: Any) -> Any:
    """The value in JSON's types; other values are shown with their types."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    # Not `__iter__`: protobuf's repeated fields can be walked through without having it.
    if hasattr(value, "__getitem__") or hasattr(value, "__iter__"):
        return [plain(each) for each in value]
    return {type(value).__name__: str(value)}


def _number(code: Any) -> Any:
    # A retried call gives up with a grpc.StatusCode, whose value is (number, words).
    return code.value[0] if isinstance(code, grpc.StatusCode) else code
