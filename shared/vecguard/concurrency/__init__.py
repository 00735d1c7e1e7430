"""Small tools for asyncio: sharing one attempt, owning a task, passing cancellation on.

They know no service and import nothing of Vecguard from outside this folder. Begin at
`single_flight.py`, which most callers want, and compare the others with it.
"""
