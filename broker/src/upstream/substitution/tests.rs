use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    runtime,
};

use super::*;

const SECRET: &[u8] = b"Bearer sk-0123456789";

/// A stream that takes so many bytes at a time, and every second time none.
struct Slow {
    written: Vec<u8>,
    at_a_time: usize,
    is_ready: bool,
    writes: usize,
}

impl Slow {
    fn new(at_a_time: usize) -> Self {
        Self {
            written: Vec::new(),
            at_a_time,
            is_ready: false,
            writes: 0,
        }
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = bytes.len().min(self.at_a_time);
        self.written.extend_from_slice(&bytes[..length]);
        self.writes += 1;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

struct Line {
    stream: Substituting<Slow>,
    substitutions: Substitutions,
}

impl Line {
    fn new(at_a_time: usize) -> Self {
        let substitutions = Substitutions::default();
        Self {
            stream: Substituting::new(Slow::new(at_a_time), substitutions.clone()),
            substitutions,
        }
    }

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut slices = slices.as_mut_slice();
        run(async {
            while !slices.is_empty() {
                let written = self.stream.write_vectored(slices).await?;
                IoSlice::advance_slices(&mut slices, written);
            }
            self.stream.flush().await
        })
    }

    fn written(&self) -> String {
        String::from_utf8(self.stream.stream.written.clone()).unwrap()
    }
}

fn text(error: &io::Error) -> String {
    error.to_string()
}

fn head(stand_in: &str) -> String {
    format!("GET / HTTP/1.1\r\nauthorization: {stand_in}\r\nhost: a\r\n\r\n")
}

fn with_secret() -> String {
    head(std::str::from_utf8(SECRET).unwrap())
}

#[test]
fn a_stand_in_is_new_each_time_and_is_not_printed() {
    let (one, other) = (Substitution::of(SECRET), Substitution::of(SECRET));
    assert_ne!(one.stand_in(), other.stand_in());
    assert_eq!(one.stand_in().len(), 32);
    assert!(
        one.stand_in()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
    );
    assert_eq!(format!("{one:?}"), "Substitution(..)");
}

#[test]
fn the_secret_is_written_in_its_place_however_little_the_stream_takes() {
    for at_a_time in [1, 7, 30, usize::MAX] {
        let mut line = Line::new(at_a_time);
        let substitution = Substitution::of(SECRET);
        let head = head(substitution.stand_in());
        let substitutions = line.substitutions.clone();
        let announced = substitutions.announce(substitution);
        line.write(&[b"", head.as_bytes(), b"body", b"", b" and more"])
            .unwrap();
        drop(announced);
        assert_eq!(line.written(), with_secret() + "body and more");
        assert!(line.stream.head.is_empty() && line.stream.head.capacity() == 0);
    }
}

/// Bytes of the request before it may be waiting still.
#[test]
fn what_stands_before_the_head_in_the_same_buffer_stays() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let all = format!("0\r\n\r\n{}", head(substitution.stand_in()));
    let substitutions = line.substitutions.clone();
    let _announced = substitutions.announce(substitution);
    line.write(&[all.as_bytes()]).unwrap();
    assert_eq!(line.written(), format!("0\r\n\r\n{}", with_secret()));
}

#[test]
fn head_and_body_are_one_write_as_long_as_a_record() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let head = head(substitution.stand_in());
    let body = vec![b'x'; 3 * RECORD];
    let substitutions = line.substitutions.clone();
    let _announced = substitutions.announce(substitution);
    let slices = [IoSlice::new(head.as_bytes()), IoSlice::new(&body)];
    let taken = run(line.stream.write_vectored(&slices)).unwrap();
    run(line.stream.flush()).unwrap();
    assert_eq!(line.stream.stream.writes, 1);
    assert_eq!(line.written().len(), RECORD);
    let rest = head.len() + body.len() - taken;
    line.write(&[&body[body.len() - rest..]]).unwrap();
    let all = with_secret() + std::str::from_utf8(&body).unwrap();
    assert_eq!(line.written(), all);
}

#[test]
fn a_head_longer_than_a_record_is_written_whole() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(2 * RECORD));
    let head = format!("{long}authorization: {}\r\n\r\n", substitution.stand_in());
    let substitutions = line.substitutions.clone();
    let _announced = substitutions.announce(substitution);
    line.write(&[head.as_bytes()]).unwrap();
    let secret = std::str::from_utf8(SECRET).unwrap();
    assert_eq!(
        line.written(),
        format!("{long}authorization: {secret}\r\n\r\n")
    );
}

#[test]
fn it_is_written_once_and_never_for_a_later_request() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let head = head(substitution.stand_in());
    let substitutions = line.substitutions.clone();
    let announced = substitutions.announce(substitution);
    line.write(&[head.as_bytes()]).unwrap();
    // Not even within the time it was announced for.
    line.write(&[head.as_bytes()]).unwrap();
    drop(announced);
    line.write(&[head.as_bytes()]).unwrap();
    assert_eq!(line.written(), with_secret() + &head + &head);
}

#[test]
fn a_head_without_a_place_for_it_is_not_written_and_nothing_after_it() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let right = head(substitution.stand_in());
    let substitutions = line.substitutions.clone();
    let announced = substitutions.announce(substitution);
    let other = Substitution::of(SECRET);
    for bytes in [head(other.stand_in()), right.clone()] {
        let error = line.write(&[bytes.as_bytes()]).unwrap_err();
        assert_eq!(text(&error), SubstitutionError::NoPlace.to_string());
    }
    drop(announced);
    // Nor with a secret that is announced later.
    let _announced = substitutions.announce(other);
    line.write(&[right.as_bytes()]).unwrap_err();
    assert_eq!(line.written(), "");
}

/// A stand-in that was cut in two is none, and neither is one behind the head's own buffer.
#[test]
fn a_stand_in_that_is_not_in_the_first_bytes_is_not_taken_for_one() {
    for cut in [20, 40, 55] {
        let mut line = Line::new(usize::MAX);
        let substitution = Substitution::of(SECRET);
        let head = head(substitution.stand_in());
        let (one, other) = head.as_bytes().split_at(cut);
        let substitutions = line.substitutions.clone();
        let _announced = substitutions.announce(substitution);
        line.write(&[one, other]).unwrap_err();
        assert_eq!(line.written(), "", "{cut}");
    }
}

#[test]
fn a_request_that_was_given_up_before_its_head_was_written_does_not_go_out() {
    let mut line = Line::new(usize::MAX);
    let substitution = Substitution::of(SECRET);
    let head = head(substitution.stand_in());
    drop(line.substitutions.announce(substitution));
    let error = line.write(&[head.as_bytes()]).unwrap_err();
    assert_eq!(text(&error), SubstitutionError::TakenBack.to_string());
    assert_eq!(line.written(), "");
    assert!(matches!(*line.substitutions.next(), Next::Nothing(_)));
}

#[test]
fn what_needs_no_credential_is_written_as_it_is() {
    let mut line = Line::new(3);
    line.write(&[b"GET / HTTP/1.1\r\n", b"\r\n"]).unwrap();
    assert_eq!(line.written(), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn hyper_hands_each_head_over_whole_in_its_first_write() {
    const BODY: usize = 100_000;
    for room in [1 << 10, 1 << 16, 1 << 20] {
        run(async {
            let (stream, mut service) = duplex(room);
            let substitutions = Substitutions::default();
            let stream = Substituting::new(stream, substitutions.clone());
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            let connection = tokio::spawn(connection);
            let serving = tokio::spawn(async move {
                let mut all = Vec::new();
                for end in [vec![b'x'; BODY], b"\r\n\r\n".to_vec()] {
                    while !all.ends_with(&end) {
                        assert!(service.read_buf(&mut all).await.unwrap() > 0);
                    }
                    let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    service.write_all(reply).await.unwrap();
                }
                String::from_utf8(all).unwrap()
            });
            for body in [vec![b'x'; BODY], Vec::new()] {
                let substitution = Substitution::of(SECRET);
                let request = Request::post("/").header("authorization", substitution.stand_in());
                let request = request.body(Full::new(Bytes::from(body))).unwrap();
                sender.ready().await.unwrap();
                let _announced = substitutions.announce(substitution);
                sender.send_request(request).await.unwrap();
            }
            let read = serving.await.unwrap();
            let secret = std::str::from_utf8(SECRET).unwrap();
            let line = format!("authorization: {secret}\r\n");
            assert_eq!(read.matches(&line).count(), 2, "{room}");
            drop(sender);
            connection.await.unwrap().unwrap();
        });
    }
}
