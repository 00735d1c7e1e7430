"""Joins the parts of a key as Milvus does, which uses Go's `path.Join` for every key.

Milvus makes the root of its keys by `path.Join(etcd.rootPath, etcd.metaSubPath)`, and each key
by `path.Join(root, key)`. The rules (Go, package path, Join and Clean):

1. `Join` leaves out empty elements and puts a slash between the others. Without any element
   left, the result is empty.
2. `Clean` then makes one slash of several, drops each `.` element, and drops each `..` together
   with the element before it.
3. A path that begins with a slash keeps it, and cannot be left: `/..` is `/`. In one without a
   leading slash, `..` elements that have nothing before them stay.
4. A trailing slash is removed, except in `/` itself. An empty path becomes `.`.
"""

import posixpath


def join(*elements: str) -> str:
    """Returns the result of Go's `path.Join` for these elements."""
    joined = "/".join(element for element in elements if element)
    return _clean(joined) if joined else ""


def _clean(path: str) -> str:
    # normpath has the same rules, except that it keeps exactly two leading slashes (POSIX).
    return posixpath.normpath("/" + path.lstrip("/") if path.startswith("/") else path)
