"""Defines `Permission`: whether the caller may make a call."""

from abc import ABC, abstractmethod

from mypy_extensions import mypyc_attr


# A class and no Protocol: compiled code calls the methods of a class faster.
@mypyc_attr(allow_interpreted_subclasses=True)
class Permission(ABC):
    """Decides about one call, and may have to read its request for that.

    Attributes:
        is_given: whether the call is allowed.
        reads_request: whether the decision needs the request. The call then gives it to `read` as
            it comes, and withholds its end from the upstream.
        filters_answer: whether the caller may get a part of the answer only. The call then goes to
            the upstream that filters answers.
    """

    is_given: bool
    reads_request: bool
    filters_answer: bool = False

    @abstractmethod
    def read(self, payload: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the request. Raises VecguardError if it cannot be judged."""

    @abstractmethod
    def passes_part(self) -> None:
        """Is called before a part of a request is passed on, which is not complete yet.

        Raises VecguardError if the call would be refused whatever follows.
        """

    @abstractmethod
    def decide(self) -> None:
        """Decides about the request, all of which was read, or about a call without reading it.

        Sets `is_given`, or leaves it False if `wait` must be awaited. Raises VecguardError to
        refuse.
        """

    @abstractmethod
    async def judge_again(self) -> None:
        """Decides again about an open call, by what is known now. Raises VecguardError to end it.

        Awaits nothing but the reading of what decides.
        """

    @abstractmethod
    async def wait(self) -> None:
        """Does `decide`, and waits for what the decision needs. Raises VecguardError to refuse."""

    def evidence(self) -> bytes:
        """Returns header fields that tell our own services which role gave the permission."""
        return b""

    def answered(self) -> None:  # noqa: B027 - few permissions need it
        """Is called when the answer has ended, before the caller gets its end, or is given up."""
