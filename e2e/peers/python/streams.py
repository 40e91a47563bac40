"""Requests over one connection of HTTP/2, each told to begin, and what becomes of them.

    streams.py HOST PORT

Each line of its standard input is a command, answered with a line:

    open PATH        begins a request and waits for the first of its body: its number and status
    stall PATH       the same, and takes no more of it than may be sent at once: how much that is, instead
    more NUMBER      waits for more of that body: how much came, or how it ended
    end NUMBER       waits for the end of that body: `whole`, `reset` or `cut`
    late NUMBER      lets more of that body come, and says how much did until the connection was silent
    get PATH         a whole request: status and body

A body that is not stalled is taken as it comes.
"""

import socket
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

host, port = sys.argv[1], int(sys.argv[2])
PATIENCE = 20


class Stream:
    def __init__(self, stalls):
        self.stalls = stalls
        self.status = None
        self.body = b""
        self.length = 0
        self.end = None


class Connection:
    def __init__(self):
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        # Only the streams have windows that fill up.
        self.h2.increment_flow_control_window(1 << 30)
        self.streams = {}
        self.is_cut = False
        self.flush()

    def flush(self):
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            self.lose()

    def begin(self, path, stalls):
        number = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", f"{host}:{port}"),
            (":path", path),
        ]
        self.h2.send_headers(number, headers, end_stream=True)
        self.streams[number] = Stream(stalls)
        self.flush()
        return number

    def lose(self):
        self.is_cut = True
        for stream in self.streams.values():
            stream.end = stream.end or "cut"

    def read(self, patience):
        """Takes what comes next; false if nothing does."""
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.lose()
            return False
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()
        return True

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.is_cut = self.is_cut or event.error_code != h2.errors.ErrorCodes.NO_ERROR
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.status = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            stream.length += len(event.data)
            stream.body = (stream.body + event.data)[:10000]
            if not stream.stalls and event.flow_controlled_length and stream.end is None:
                self.widen(event.stream_id, event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            stream.end = stream.end or "whole"
        elif isinstance(event, h2.events.StreamReset):
            stream.end = stream.end or "reset"

    def widen(self, number, length):
        try:
            self.h2.increment_flow_control_window(length, number)
        except h2.exceptions.StreamClosedError:
            pass

    def until(self, number, is_so):
        stream, limit = self.streams[number], time.monotonic() + PATIENCE
        while not is_so(stream) and stream.end is None and time.monotonic() < limit:
            self.read(1)
        return stream


def main():
    connection = Connection()
    for line in sys.stdin:
        command, argument = line.split()
        if command in ("open", "stall"):
            number = connection.begin(argument, command == "stall")
            # Of a stalled one, all that may come.
            least = 65535 if command == "stall" else 1
            stream = connection.until(number, lambda stream: stream.length >= least)
            print(number, stream.length if stream.stalls else stream.status, flush=True)
        elif command == "get":
            stream = connection.until(connection.begin(argument, False), lambda stream: False)
            print(stream.status, stream.body.decode().strip() or stream.end, flush=True)
        elif command == "more":
            before = connection.streams[int(argument)].length
            stream = connection.until(int(argument), lambda stream: stream.length > before)
            print(stream.length - before or stream.end, flush=True)
        elif command == "end":
            stream = connection.until(int(argument), lambda stream: False)
            print(stream.end or "open", flush=True)
        elif command == "late":
            stream = connection.streams[int(argument)]
            before = stream.length
            connection.widen(int(argument), 1 << 20)
            connection.flush()
            limit = time.monotonic() + 2
            while time.monotonic() < limit and not connection.is_cut:
                connection.read(0.2)
            print(stream.length - before, flush=True)


main()
