"""Answers each request with the request itself: `python -m tests.bench.echo PORT`."""

import asyncio
import sys

import grpc

METHOD = "/bench.Echo/Call"


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details):
        async def answer(request, context):
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


async def _serve(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
