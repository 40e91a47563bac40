"""Speaks one protocol with the servers of server.py, as their clients do, and prints what came.

    speak.py grpc|websocket|events HOST

Then it stays until its standard input ends, so that its memory can be looked at.
"""

import os
import sys
import time

protocol, host = sys.argv[1:3]


def speak_grpc():
    import grpc

    with open(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"], "rb") as file:
        roots = file.read()
    with grpc.secure_channel(f"{host}:8443", grpc.ssl_channel_credentials(roots)) as channel:
        one = channel.unary_unary("/lab.Echo/One")
        reply, call = one.with_call(b"hello", timeout=20)
        print("one", reply.decode(), dict(call.trailing_metadata()).get("x-seen"))
        many = list(channel.unary_stream("/lab.Echo/Many")(b"1000", timeout=20))
        print("many", len(many), many[-1].decode())
        total = channel.stream_unary("/lab.Echo/Sum")
        print("sum", total(iter([b"x" * 1000] * 300), timeout=20).decode())
        talk = channel.stream_stream("/lab.Echo/Talk")
        print("talk", b",".join(talk(iter([b"a", b"b", b"c"]), timeout=20)).decode())
        try:
            channel.unary_unary("/lab.Other/One")(b"", timeout=20)
        except grpc.RpcError as error:
            print("refused", error.code().name, error.details())


def speak_websocket():
    import ssl

    from websockets.sync.client import connect

    context = ssl.create_default_context()
    with connect(f"wss://{host}:8444/chat", ssl=context) as connection:
        for message in ["hello", "x" * 100_000, "token"]:
            connection.send(message)
            reply = connection.recv(timeout=20)
            print("heard", len(reply), reply[:200])
    try:
        connect(f"wss://{host}:8444/other", ssl=context)
    except Exception as error:
        print("refused", error)


def speak_events():
    import urllib.request

    begun = time.monotonic()
    with urllib.request.urlopen(f"https://{host}:8445/events", timeout=20) as reply:
        for line in reply:
            if line.startswith(b"data"):
                print(f"{time.monotonic() - begun:.2f}", line.decode().strip(), flush=True)


{"grpc": speak_grpc, "websocket": speak_websocket, "events": speak_events}[protocol]()
print("done", flush=True)
sys.stdin.read()
