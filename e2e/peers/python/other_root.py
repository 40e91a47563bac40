"""A service whose certificate is of another authority than all others: it says its name to whoever asks.

    other_root.py CERTIFICATE KEY PORT
"""

import http.server
import ssl
import sys

certificate, key, port = sys.argv[1:4]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # As git reads it, a list of what a repository has.
        body = b"0123456789abcdef0123456789abcdef01234567\trefs/heads/of-the-users-root\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def finish_request(self, request, address):
        # In the thread of the connection, for a client that says nothing holds nobody else up.
        super().finish_request(context.wrap_socket(request, server_side=True), address)

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
Server(("0.0.0.0", int(port)), Handler).serve_forever()
