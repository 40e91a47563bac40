//! What the record says, as a person reads it with `lanyard audit tail`.
//!
//! An intent is written before the first byte goes to the service; an end is written after the last one
//! came back, so a client may have its answer before the end of its request is recorded.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{lab, lanyard::Lanyard, wait};

const PATIENCE: Duration = Duration::from_secs(20);

impl Lanyard {
    /// Every record so far.
    pub fn records(&self) -> Result<Vec<Value>> {
        let output = lab::run(&mut self.command(&["audit", "tail", "-o", "json", "-n", "10000"]))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).context("read a record"))
            .collect()
    }

    /// Waits for a record that is `it`.
    pub fn until_recorded(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(&format!("{what} is recorded"), PATIENCE, || {
            Ok(self.records()?.into_iter().find(&is_it))
        })
    }

    /// The ends of all requests that were begun, once each of them has one.
    pub fn until_all_ended(&self) -> Result<Vec<Value>> {
        wait::until("the end of every request is recorded", PATIENCE, || {
            let (begun, ended) = self.requests()?;
            let has_end = |intent: &Value| ended.iter().any(|end| end["intent"] == intent["id"]);
            Ok(begun.iter().all(has_end).then_some(ended))
        })
    }

    /// Waits for the end of the first request for `path`, which was begun: how it ended.
    pub fn until_ended(&self, path: &str) -> Result<String> {
        wait::until(&format!("the end of {path} is recorded"), PATIENCE, || {
            let (begun, ended) = self.requests()?;
            let mut begun = begun.iter();
            let intent = begun.find(|intent| intent["request"]["path"] == path);
            let intent = intent.with_context(|| format!("{path} was begun"))?;
            let end = ended.iter().find(|end| end["intent"] == intent["id"]);
            Ok(end.and_then(|end| end["outcome"].as_str().map(str::to_owned)))
        })
    }

    /// The intents and the ends that are recorded.
    fn requests(&self) -> Result<(Vec<Value>, Vec<Value>)> {
        let records = self.records()?.into_iter();
        let (begun, others): (Vec<Value>, Vec<Value>) =
            records.partition(|record| record["event"] == "RequestIntended");
        let ended = others.into_iter();
        let ended = ended.filter(|record| record["event"] == "RequestEnded");
        let ended: Vec<Value> = ended.collect();
        let intents: BTreeSet<&str> = ended
            .iter()
            .filter_map(|end| end["intent"].as_str())
            .collect();
        ensure!(
            intents.len() == ended.len(),
            "an end without an intent, or one written twice: {ended:?}"
        );
        Ok((begun, ended))
    }
}
