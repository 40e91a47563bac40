//! A stream that the broker carries ends with its grant, to the moment.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::{Evidence, Stage, TOKEN, on_time};
use crate::{agent, dialogue::Dialogue, grant::NamedGrant, service::NAME};

const PORT: u16 = 8456;
const GRANT: &str = "default/ten-seconds-of-a-stream";

/// An event every few milliseconds to whoever has the token, for longer than any grant here.
const TICKING: &str = r#"
import ssl, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
certificate, key, port, token = sys.argv[1:5]

class Ticks(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.headers["Authorization"] != f"Bearer {token}":
            return self.send_error(401)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        end = time.monotonic() + 60
        try:
            while time.monotonic() < end:
                self.wfile.write(b"c\r\ndata: tick\n\n\r\n")
                time.sleep(0.003)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = ThreadingHTTPServer(("", int(port)), Ticks)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"#;

/// Asks for the events, and says when the last of them came: as the kernel stamped it where it came in
/// (`SO_TIMESTAMPNS`), for when a program gets to run says nothing of that.
const LISTENING: &str = r#"
import json, socket, ssl, struct, sys
SO_TIMESTAMPNS = 35
host, port = sys.argv[1], int(sys.argv[2])
connection = socket.create_connection((host, port), timeout=40)
connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context().wrap_bio(coming, going, server_hostname=host)
stamp = 0

def receive():
    global stamp
    data, control, _, _ = connection.recvmsg(65536, 128)
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanos = struct.unpack("@qq", value[:16])
            stamp = seconds * 1_000_000_000 + nanos
    if not data:
        raise OSError("closed")
    coming.write(data)

def done(step, *arguments):
    while True:
        try:
            return step(*arguments)
        except ssl.SSLWantReadError:
            pass
        finally:
            if going.pending:
                connection.sendall(going.read())
        receive()

done(tls.do_handshake)
done(tls.write, f"GET /ticks HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
events, last, end = 0, 0, None
while end is None:
    try:
        data = done(tls.read, 65536)
    except OSError as error:
        end = str(error)
        break
    if b"data: tick" in data:
        if not events:
            print("begun", flush=True)
        events, last = events + data.count(b"data: tick"), stamp
    elif not events and b"\r\n\r\n" in data and b" 200 " not in data:
        end = data.decode()
    if data.endswith(b"0\r\n\r\n") or not data:
        end = "whole"
print(json.dumps({"events": events, "last": last, "end": end}), flush=True)
"#;

/// A stream that is open, and what sends it.
pub struct OpenStream {
    listening: Dialogue,
    _ticking: Dialogue,
    ends_at: Timestamp,
}

/// Opens a stream under a grant of ten seconds.
pub fn open(stage: &Stage) -> Result<OpenStream> {
    let (port, folder) = (PORT.to_string(), stage.lab.path("service"));
    let mut ticking = stage.lab.on_host(agent::python()?);
    ticking.args(["-c", TICKING]);
    ticking.args([folder.join("server.pem"), folder.join("server.key")]);
    let mut ticking = Dialogue::start(ticking.args([&port, TOKEN]))?;
    ensure!(ticking.hear()? == "ready", "the service listens");
    let grant = NamedGrant {
        agent: "bot",
        port: PORT,
        ..stage.grant("ten-seconds-of-a-stream")
    };
    let grant = grant.yaml().replace("duration: 1h", "duration: 10s");
    stage.lab.write("manifests/stream.yaml", grant)?;
    stage.lanyard.until_live(GRANT)?;
    let ends_at = on_time::ends_at(stage, GRANT)?;
    let mut python = stage.python(&["-c", LISTENING, NAME, &port]);
    let mut listening = Dialogue::start(python.stdin(Stdio::piped()))?;
    let begun = listening.hear()?;
    ensure!(begun == "begun", "the stream did not begin: {begun}");
    Ok(OpenStream {
        listening,
        _ticking: ticking,
        ends_at,
    })
}

/// What is open ends when its grant does, and by nothing else: everything of Lanyard is alive, and nobody
/// revoked it.
pub fn ends_on_time(stage: &Stage, mut stream: OpenStream) -> Result<Evidence> {
    let heard = stream.listening.hear()?;
    let heard: Value = serde_json::from_str(&heard).with_context(|| format!("read {heard:?}"))?;
    let (events, cut) = (&heard["events"], &heard["end"]);
    let last = heard["last"]
        .as_i64()
        .context("the last event has a time")?;
    let (last, end) = (i128::from(last), stream.ends_at.as_nanosecond());
    ensure!(*cut != "whole", "the stream came to its own end: {heard}");
    on_time::check_last(last, end)?;
    stage.lanyard.until_standing(GRANT, "Expired")?;
    let outcome = stage.lanyard.until_ended("/ticks")?;
    ensure!(outcome == "CutByGrantEnd", "it ended otherwise: {outcome}");
    Ok(vec![
        format!(
            "the grant ends at {}, with everything alive",
            stream.ends_at
        ),
        format!(
            "{events} events arrived at the agent, the last one {} us before the end",
            (end - last) / 1000
        ),
        format!("the agent was told: {cut}; the record says {outcome}"),
    ])
}
