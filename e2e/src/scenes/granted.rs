//! The granted thing works, and the agent never holds the token.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use super::{Evidence, Stage, TOKEN};
use crate::{forms::Forms, memory, service};

/// The listed curl, run by an ordinary user, reaches the service by name.
pub fn curl_gets_through(stage: &Stage) -> Result<Evidence> {
    let before = stage.service.requests()?.len();
    let output = stage.curl(&["--include", &stage.url("/")]).output()?;
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && reply.contains(service::GREETING),
        "curl did not get through: {reply}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        stage.lanyard.daemon_log()
    );
    let arrived = stage
        .service
        .requests()?
        .into_iter()
        .nth(before)
        .context("the service logged the request")?;
    ensure!(
        arrived.contains(&format!("Bearer {TOKEN}")),
        "the service got no token: {arrived}"
    );
    ensure!(!reply.contains(TOKEN), "curl received the token: {reply}");
    let first = reply.lines().next().unwrap_or_default();
    Ok(vec![
        format!("{} asked for {}", stage.curl.display(), stage.url("/")),
        format!("it got: {first} ... {}", service::GREETING),
        "the service logged the right token with the request".to_owned(),
        "what curl received does not contain the token".to_owned(),
    ])
}

const HOLDING: &str = r#"
import sys, urllib.request
reply = urllib.request.urlopen(sys.argv[1]).read().decode()
echoed = urllib.request.urlopen(sys.argv[2]).read().decode()
marker = "-".join(["held", "by", "this", "process"])
print(reply.strip(), "|", echoed.strip(), flush=True)
sys.stdin.readline()
"#;

/// Python reaches the service too, also where the service sends back what it got; the token is nowhere in
/// its memory, environment or received bytes, while something it does hold is found by the same search.
pub fn python_never_holds_the_token(stage: &Stage) -> Result<Evidence> {
    let (url, echo) = (stage.url("/"), stage.url("/echo"));
    let mut command = stage.python(&["-c", HOLDING, &url, &echo]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("python has a stdout")?).read_line(&mut line)?;
    let found = memory::find(process.id(), &Forms::of(TOKEN));
    let control = memory::find(process.id(), &Forms::plain("held-by-this-process"));
    if let Some(mut stdin) = process.stdin.take() {
        // It may have failed and be gone; what it said tells more than this write.
        let _ = stdin.write_all(b"\n");
    }
    let output = process.wait_with_output()?;
    ensure!(
        output.status.success() && line.contains(service::GREETING),
        "python did not get through: {line}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        stage.lanyard.daemon_log()
    );
    let (found, control) = (found?, control?);
    ensure!(
        !control.is_empty(),
        "the search finds nothing at all, so that it proves nothing"
    );
    ensure!(found.is_empty(), "the token is in the agent: {found:?}");
    ensure!(
        line.contains("you sent") && !line.contains(TOKEN),
        "the echoed token reached the agent: {line}"
    );
    Ok(vec![
        format!("python asked for {url} and for {echo}, which sends back the token it got"),
        format!("python printed: {}", line.trim()),
        format!(
            "searched its memory, environment and arguments: the token is in none of them; a text it holds was found in {} places",
            control.len()
        ),
    ])
}
