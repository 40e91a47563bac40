"""Requests over HTTP/1.1, one after another on a connection that stays open.

    kept.py HOST

Each line of its standard input is a port and a path; it is answered with the status and the body. A connection to
each port stays open for the next. Where a line has the word `leave` behind them, it is answered with `asked`, and the
line after it with `left`: the connection is closed before its reply.
"""

import http.client
import ssl
import sys

host = sys.argv[1]
trust = ssl.create_default_context()
connections = {}

for line in sys.stdin:
    port, path, *leave = line.split()
    if leave:
        leaving = http.client.HTTPSConnection(host, int(port), context=trust, timeout=60)
        leaving.request("GET", path)
        print("asked", flush=True)
        sys.stdin.readline()
        leaving.close()
        print("left", flush=True)
        continue
    if port not in connections:
        connections[port] = http.client.HTTPSConnection(host, int(port), context=trust, timeout=60)
    connections[port].request("GET", path)
    reply = connections[port].getresponse()
    print(reply.status, reply.read().decode(), flush=True)
