"""WebSocket connections, each told what to do, and what becomes of them.

    tunnels.py HOST

Each line of its standard input is a command, answered with a line:

    open PATH   `open`, or why not
    send PATH   what is heard back, or how it ended
    wait PATH   how it ends: `closed` as the protocol has it, or `cut`
"""

import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

context = ssl.create_default_context()
tunnels = {}

for line in sys.stdin:
    command, path = line.split()
    if command == "open":
        try:
            # No pings: what stands still stays open.
            url = f"wss://{sys.argv[1]}:8444{path}"
            tunnels[path] = connect(url, ssl=context, ping_interval=None, legacy=True)
            print("open", flush=True)
        except Exception as error:
            print("refused", error, flush=True)
    elif command == "send":
        try:
            tunnels[path].send("hello")
            print("heard", tunnels[path].recv(timeout=20), flush=True)
        except ConnectionClosed as error:
            print("closed" if error.rcvd else "cut", flush=True)
    elif command == "wait":
        try:
            print("heard", tunnels[path].recv(timeout=30), flush=True)
        except ConnectionClosed as error:
            print("closed" if error.rcvd else "cut", flush=True)
        except TimeoutError:
            print("open", flush=True)
