//! Revoking cuts what is open, and nothing new is accepted.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Evidence, Stage};
use crate::wait;

/// A download that the broker carries.
pub fn download_through_the_broker_is_cut(stage: &Stage) -> Result<Evidence> {
    let url = stage.url("/large");
    cut_by_revoke(stage, "default/api", &url)
}

/// A download that the kernel lets pass to an address.
pub fn direct_flow_is_cut(stage: &Stage) -> Result<Evidence> {
    let url = stage.plain_url("/large");
    cut_by_revoke(stage, "default/plain", &url)
}

fn cut_by_revoke(stage: &Stage, grant: &str, url: &str) -> Result<Evidence> {
    let target = stage.lab.path("download");
    let _ = fs::remove_file(&target);
    let received = || fs::metadata(&target).map_or(0, |file| file.len());
    let file = fs::File::create(&target)?;
    let mut download = stage
        .curl(&["--no-buffer", url])
        .stdout(file)
        .stderr(Stdio::piped())
        .spawn()?;
    wait::until("the download is under way", Duration::from_secs(20), || {
        ensure!(
            download.try_wait()?.is_none(),
            "the download ended before it was revoked: {}",
            said(&mut download)
        );
        Ok((received() > 200_000).then_some(()))
    })?;
    let before = received();
    stage.lanyard.revoke(grant)?;
    let revoked = Instant::now();
    let at_revoke = received();
    let status = wait::until("curl ends", Duration::from_secs(30), || {
        Ok(download.try_wait()?)
    })?;
    let took = revoked.elapsed();
    ensure!(!status.success(), "the download was completed");
    let after = received();
    let again = stage.curl(&["--max-time", "15", url]).output()?;
    ensure!(
        !again.status.success() && again.stdout.is_empty(),
        "a new connection was accepted: {again:?}"
    );
    Ok(vec![
        format!("curl had {before} bytes of {url} when {grant} was revoked"),
        format!(
            "it ended {} ms after `lanyard revoke` returned, with {after} bytes ({} of them after): {}",
            took.as_millis(),
            after - at_revoke,
            said(&mut download)
        ),
        format!(
            "a new try: {}",
            String::from_utf8_lossy(&again.stderr).trim()
        ),
    ])
}

fn said(process: &mut Child) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    let read = process
        .stderr
        .take()
        .context("no stderr")
        .and_then(|mut err| Ok(err.read_to_string(&mut text)?));
    read.map_or_else(|error| error.to_string(), |_| text.trim().to_owned())
}
