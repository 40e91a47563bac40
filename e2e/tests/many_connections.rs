//! Many connections at a time through one scope, all under way at once.

use lanyard_e2e::{
    counterparts,
    dialogue::Dialogue,
    grant::NamedGrant,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
};

/// How many.
const COUNT: usize = 2000;

/// Opens one connection after the other, asks on each, and reads the answers when all have asked.
const ASKING: &str = r#"
import asyncio, collections, resource, ssl, sys
host, count = sys.argv[1], int(sys.argv[2])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
context = ssl.create_default_context()
request = f"GET /together?count={count} HTTP/1.1\r\nHost: {host}:8445\r\n\r\n".encode()
async def ask(turn):
    async with turn:
        reader, writer = await asyncio.open_connection(host, 8445, ssl=context, ssl_handshake_timeout=60)
        writer.write(request)
        await writer.drain()
    return reader, writer
async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readline()
    writer.transport.abort()
    return head.split(b"\r\n")[0].decode() + " " + body.decode().strip()
async def main():
    turn = asyncio.Semaphore(32)
    open = await asyncio.gather(*(ask(turn) for _ in range(count - 1)))
    print("all but one asked", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    open.append(await ask(turn))
    answers = await asyncio.gather(*(answer(*one) for one in open))
    for said, times in collections.Counter(answers).items():
        print(times, said, flush=True)
asyncio.run(main())
"#;

#[test]
fn two_thousand_connections_of_one_scope_are_carried_at_once() {
    let stage = Stage::with_tools().unwrap();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let grant = NamedGrant {
        port: 8445,
        ..stage.grant("many")
    };
    stage.give(&grant).unwrap();
    let python = stage.python.display().to_string();
    let count = COUNT.to_string();
    let command = [&python, "-c", ASKING, NAME, &count].map(|word| word as &str);
    let mut run = stage.lanyard.run_as(TOOLS, Some(USER), &command);
    let mut asking = Dialogue::start(&mut run).unwrap();
    assert_eq!(
        asking.hear().unwrap(),
        "all but one asked",
        "{}",
        stage.lanyard.daemon_log()
    );
    // Another scope has its own broker and its own share.
    let other = stage.curl(&[&stage.url("/")]).output().unwrap();
    assert!(other.status.success(), "{other:?}");
    assert_eq!(
        asking.ask("the last").unwrap(),
        format!("{COUNT} HTTP/1.1 200 OK together"),
        "{}",
        stage.lanyard.daemon_log()
    );
    let records = stage.lanyard.records().unwrap();
    let begun = records
        .iter()
        .filter(|record| record["request"]["path"] == "/together")
        .filter(|record| record["event"] == "RequestIntended");
    assert_eq!(begun.count(), COUNT);
    assert!(asking.end().unwrap().success());
}
