"""Servers of well-kept packages on the lab's host, each on a port of its own, over TLS, demanding the token.

    server.py CERTIFICATE KEY TOKEN

8443: gRPC, with calls of all four kinds. 8444: WebSocket. 8445: server-sent events, and bodies as large as one
asks for. Each sends back what it was sent, the token too; events only where the request has nothing that they `say`.
"""

import asyncio
import base64
import resource
import ssl
import sys
import urllib.parse

import grpc
from aiohttp import web
from websockets.asyncio.server import serve
from websockets.http11 import Response

certificate, key, token = sys.argv[1:4]
demanded = f"Bearer {token}"


def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Echo(grpc.GenericRpcHandler):
    """Methods by name, with bytes for messages."""

    def service(self, call):
        methods = {
            "/lab.Echo/One": grpc.unary_unary_rpc_method_handler(one),
            "/lab.Echo/Many": grpc.unary_stream_rpc_method_handler(many),
            "/lab.Echo/Sum": grpc.stream_unary_rpc_method_handler(total),
            "/lab.Echo/Talk": grpc.stream_stream_rpc_method_handler(talk),
        }
        return methods.get(call.method)


def check(context):
    if dict(context.invocation_metadata()).get("authorization") != demanded:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
    context.set_trailing_metadata((("x-seen", demanded),))


def one(message, context):
    check(context)
    return b"one " + message + b" " + demanded.encode()


def many(message, context):
    check(context)
    for number in range(int(message)):
        yield b"many %d" % number


def total(messages, context):
    check(context)
    return b"%d" % sum(len(message) for message in messages)


def talk(messages, context):
    check(context)
    for message in messages:
        yield b"heard " + message


def start_grpc():
    from concurrent.futures import ThreadPoolExecutor

    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((Echo(),))
    with open(key, "rb") as file:
        private = file.read()
    with open(certificate, "rb") as file:
        chain = file.read()
    server.add_secure_port("0.0.0.0:8443", grpc.ssl_server_credentials([(private, chain)]))
    server.start()
    return server


def admit(connection, request):
    if request.headers.get("Authorization") != demanded:
        return connection.respond(401, "no token\n")


async def echo(connection):
    async for message in connection:
        if message == "token":
            message = f"raw {demanded} base64 {base64.b64encode(demanded.encode()).decode()}"
        await connection.send(message)


async def events(request):
    if request.headers.get("Authorization") != demanded:
        return web.Response(status=401, text="no token\n")
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await reply.prepare(request)
    said = request.query.get("say", demanded)
    for number in range(int(request.query.get("count", "5"))):
        await reply.write(f"id: {number}\ndata: {said}\n\n".encode())
        await asyncio.sleep(float(request.query.get("pause", "0.3")))
    return reply


async def queried(request):
    """Takes the token as the parameter `key`, and sends back the whole query."""
    if request.query.get("key") != token:
        return web.Response(status=401, text="no token\n")
    return web.Response(text=f"you asked {request.query_string}\n")


async def forms(request):
    """The token in every form that a service may write it in."""
    text = " ".join(
        [
            token,
            demanded,
            base64.b64encode(token.encode()).decode(),
            base64.b64encode(b"a" + token.encode()).decode(),
            base64.b64encode(b"ab" + token.encode()).decode(),
            base64.urlsafe_b64encode(demanded.encode()).decode(),
            urllib.parse.quote(token, safe=""),
            urllib.parse.quote_plus(token),
        ]
    )
    reply = web.StreamResponse(headers={"X-Echo": demanded, "Content-Type": "text/plain"})
    await reply.prepare(request)
    # A piece at a time, so that every form lies across the borders of pieces.
    for byte in text.encode():
        await reply.write(bytes([byte]))
    return reply


async def large(request):
    reply = web.StreamResponse()
    await reply.prepare(request)
    piece = b"x" * 65536
    for _ in range(int(request.query["pieces"])):
        await reply.write(piece)
    return reply


async def swallow(request):
    length = 0
    async for chunk in request.content.iter_any():
        length += len(chunk)
        if "slow" in request.query:
            await asyncio.sleep(0.01)
    return web.Response(text=f"{length}\n")


async def ignore(request):
    """Takes nothing of what it is sent, for as long as somebody sends it."""
    await asyncio.sleep(3600)


async def together(request):
    """Answers nobody before `count` have asked."""
    waiting = request.app["waiting"]
    everybody = request.app["everybody"]
    waiting.append(request)
    if len(waiting) >= int(request.query["count"]):
        everybody.set()
    await everybody.wait()
    return web.Response(text="together\n")


async def main():
    # Each connection is a file.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = start_grpc()
    application = web.Application(client_max_size=1 << 40)
    application.router.add_get("/events", events)
    application.router.add_get("/forms", forms)
    application.router.add_get("/queried", queried)
    application.router.add_get("/large", large)
    application.router.add_post("/swallow", swallow)
    application.router.add_post("/ignore", ignore)
    application.router.add_get("/together", together)
    application["waiting"] = []
    application["everybody"] = asyncio.Event()
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 8445, ssl_context=tls(), backlog=4096).start()
    async with serve(echo, "0.0.0.0", 8444, ssl=tls(), process_request=admit):
        print("ready", flush=True)
        await asyncio.Future()
        del kept


asyncio.run(main())
