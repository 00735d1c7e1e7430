"""`make run`: etcd, root coord, Milvus Lite and a proxy as processes of one machine.

Begin at `__main__.py` and `stack.py`. Several test suites start their processes with it, too.
"""
