"""A service over HTTP/1.1 and TLS that holds its replies until it may give them.

    holding.py CERTIFICATE KEY LOG RELEASE PORT...

It writes down what arrives, a line each: the port of this end and that of the other, the target, the authorization. The
reply to a path that begins with `/held` waits until the file RELEASE is there; `/refused` is answered with 401.
"""

import http.server
import os
import ssl
import sys
import threading
import time

certificate, key, log, release = sys.argv[1:5]
log = open(log, "a", buffering=1)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        authorization = self.headers.get("authorization", "none")
        log.write(f"{self.server.server_port} {self.client_address[1]} {self.path} {authorization}\n")
        while self.path.startswith("/held") and not os.path.exists(release):
            time.sleep(0.01)
        self.send_response(401 if self.path.startswith("/refused") else 200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *arguments):
        pass


for port in sys.argv[5:]:
    server = http.server.ThreadingHTTPServer(("", int(port)), Service)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
