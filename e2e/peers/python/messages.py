"""Messages of MCP over HTTP/2, many of which never end.

    messages.py HOST PORT COUNT LENGTH

Each line of its standard input is a command, answered with a line:

    begin      begins COUNT messages, each on a stream of its own, and sends LENGTH bytes of each, or less where it is
               answered before: how many were answered with which status, and how many were not
    leave      ends the connections of those
    call       sends one message of that length, to its end, again while the answer is 503: its status
"""

import collections
import socket
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

host, port, count, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
PATIENCE = 60
STREAMS = 50
BEGIN = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_issue","arguments":{"n":"'
END = b'"}}}'


class Connection:
    def __init__(self):
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=host)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.status = {}
        self.left = {}
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def begin(self):
        number = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", f"{host}:{port}"),
            (":path", "/mcp"),
            ("content-type", "application/json"),
        ]
        self.h2.send_headers(number, headers)
        self.h2.send_data(number, BEGIN)
        self.left[number] = length
        self.flush()
        return number

    def send(self, number):
        """Sends of that message what may be sent: whether that is anything."""
        try:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            part = min(room, self.left[number])
            if part == 0:
                return False
            self.h2.send_data(number, b"x" * part)
        except h2.exceptions.ProtocolError:
            # It was answered and is closed.
            self.left[number] = 0
            return False
        self.left[number] -= part
        self.flush()
        return True

    def read(self, patience):
        self.socket.settimeout(patience)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        finally:
            self.socket.settimeout(PATIENCE)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.status[event.stream_id] = dict(event.headers)[":status"]
            if isinstance(event, (h2.events.ResponseReceived, h2.events.StreamReset)):
                self.left[event.stream_id] = 0
        self.flush()

    def send_all(self):
        """Sends all there is of each message, those of all streams side by side."""
        while any(self.left.values()):
            if not any([self.send(number) for number in self.left if self.left[number]]):
                self.read(1)

    def until_answered(self, number):
        limit = time.monotonic() + PATIENCE
        while number not in self.status and time.monotonic() < limit:
            self.read(1)
        return self.status.get(number)


def begin():
    connections = [Connection() for _ in range(count // STREAMS)]
    for connection in connections:
        for _ in range(STREAMS):
            connection.begin()
        connection.send_all()
    for connection in connections:
        connection.read(1)
    answered = collections.Counter(
        connection.status.get(number, "none") for connection in connections for number in connection.left
    )
    print(" ".join(f"{status}:{times}" for status, times in sorted(answered.items())), flush=True)
    return connections


def call():
    limit = time.monotonic() + PATIENCE
    while True:
        connection = Connection()
        number = connection.begin()
        connection.send_all()
        if number not in connection.status:
            connection.h2.send_data(number, END, end_stream=True)
            connection.flush()
        status = connection.until_answered(number)
        connection.socket.close()
        if status != "503" or time.monotonic() > limit:
            print(status, flush=True)
            return


open_connections = []
for line in sys.stdin:
    command = line.strip()
    if command == "begin":
        open_connections = begin()
    elif command == "leave":
        for connection in open_connections:
            connection.socket.close()
        print("left", flush=True)
    elif command == "call":
        call()
