//! A service that holds its replies until it may give them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use super::Running;
use crate::{agent, lab::Lab, peers};

/// The service, while it runs.
pub struct Holding {
    log: PathBuf,
    release: PathBuf,
    _server: Running,
}

/// What arrived there.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The port of its connection at the other end: another connection has another.
    pub connection: u16,
    /// The path, with the query.
    pub target: String,
    /// The header, or `none`.
    pub authorization: String,
}

/// The service of `peers/python/holding.py`, at those ports.
pub fn holding(lab: &Lab, ports: &[u16]) -> Result<Holding> {
    let script = lab.write("service/holding.py", peers::file("python/holding.py")?)?;
    let log = lab.write("service/holding.log", "")?;
    let release = lab.path("service/release");
    let server = lab
        .on_host(agent::python()?)
        .arg(script)
        .arg(lab.path("service/server.pem"))
        .arg(lab.path("service/server.key"))
        .args([&log, &release])
        .args(ports.iter().map(u16::to_string))
        .spawn()
        .context("start a service that holds its replies")?;
    let holding = Holding {
        log,
        release,
        _server: Running(server),
    };
    for port in ports {
        lab.until_listens(*port)?;
    }
    Ok(holding)
}

impl Holding {
    /// Replies wait.
    pub fn hold(&self) -> Result<()> {
        fs::remove_file(&self.release).context("hold the replies")
    }

    /// Replies are given.
    pub fn release(&self) -> Result<()> {
        fs::write(&self.release, "").context("give the replies")
    }

    /// What arrived at a port so far.
    pub fn arrived(&self, port: u16) -> Result<Vec<Arrived>> {
        let text = fs::read_to_string(&self.log).context("read what arrived")?;
        let lines = text.lines().filter_map(|line| {
            let mut words = line.splitn(4, ' ');
            let at = words.next()?;
            let arrived = Arrived {
                connection: words.next()?.parse().ok()?,
                target: words.next()?.to_owned(),
                authorization: words.next()?.to_owned(),
            };
            (at == port.to_string()).then_some(arrived)
        });
        Ok(lines.collect())
    }
}
