//! A model that coding agents ask.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Running;
use crate::{agent, lab::Lab, peers};

/// The model, while it runs.
pub struct Model {
    arrived: PathBuf,
    release: PathBuf,
    _server: Running,
}

/// Its port.
pub const MODEL: u16 = 8449;

/// The server of `peers/node/model.mjs`.
pub fn model(lab: &Lab, token: &str) -> Result<Model> {
    let script = lab.write("service/model.mjs", peers::file("node/model.mjs")?)?;
    let arrived = lab.write("service/model.arrived", "")?;
    let release = lab.path("service/model.release");
    let server = lab
        .on_host(agent::node()?)
        .arg(script)
        .arg(lab.path("service/server.pem"))
        .arg(lab.path("service/server.key"))
        .args([token, &MODEL.to_string()])
        .args([&arrived, &release])
        .stderr(fs::File::create(lab.path("service/model.log"))?)
        .spawn()
        .context("start the model")?;
    let server = Running(server);
    lab.until_listens(MODEL)?;
    Ok(Model {
        arrived,
        release,
        _server: server,
    })
}

impl Model {
    /// Every request that arrived, whole.
    pub fn arrived(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.arrived).context("read what the model was sent")?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("read a request to the model"))
            .collect()
    }

    /// Lets its last answer end.
    pub fn release(&self) -> Result<()> {
        fs::write(&self.release, "").context("release the model's answer")
    }
}
