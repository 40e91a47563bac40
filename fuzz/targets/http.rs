//! Whatever an agent sends over HTTP/1.1: each request that is decided arrives as that one, framed in one way; and
//! what a strict reader understands is understood the same, or refused.
#![no_main]
#![expect(clippy::unwrap_used, reason = "a target fails by panicking")]

#[path = "../../broker/tests/walk/framing.rs"]
mod framing;

use framing::Framed;
use lanyard_access::host::DnsName;
use lanyard_broker::fuzzing::{Carried, NAME, carry};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    static HOST: DnsName = NAME.parse().unwrap();
}

fuzz_target!(|sent: &[u8]| {
    let host = HOST.with(DnsName::clone);
    let carried = RUNTIME.with(|runtime| runtime.block_on(carry(sent, &host, has_come)));
    for request in carried.iter().flatten() {
        arrived(request);
    }
    let strict = framing::read(sent);
    let (Framed::Whole { line, body, .. }, Some(first)) =
        (strict, carried.first().and_then(Option::as_ref))
    else {
        return;
    };
    // Of a URL in full, what stands behind the host arrives.
    if line.contains(" /")
        && let Framed::Whole {
            line: arrived,
            body: arrived_body,
            ..
        } = framing::read(&first.arrived)
    {
        let asked = line.split('#').next().unwrap_or_default();
        assert_eq!(arrived, asked, "another request than was sent");
        assert_eq!(arrived_body, body, "another body than was sent");
    }
});

fn has_come(bytes: &[u8]) -> bool {
    framing::read(bytes) != Framed::Incomplete
}

/// Nothing, the beginning of a request, or that request and nothing more.
fn arrived(request: &Carried) {
    let text = || request.arrived.escape_ascii().to_string();
    match framing::read(&request.arrived) {
        Framed::Incomplete => {}
        Framed::Malformed(why) => panic!("{why}: {}", text()),
        Framed::Whole {
            line,
            headers,
            length,
            ..
        } => {
            assert_eq!(
                length,
                request.arrived.len(),
                "more than a request: {}",
                text()
            );
            let (method, target) = line.split_once(' ').unwrap();
            let path = target.split('?').next().unwrap();
            assert_eq!(
                (method, path),
                (&*request.method, &*request.path),
                "not what was decided"
            );
            assert!(
                headers.contains(&format!("host: {NAME}\n")),
                "another host: {headers}"
            );
        }
    }
}
