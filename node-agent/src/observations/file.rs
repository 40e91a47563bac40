//! What was observed outlives the node agent.

use std::{collections::BTreeMap, fs, io, path::Path};

use lanyard_access::object::ObjectKey;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Observations, Observed};
use crate::kept::{KeptError, write_private};

/// The form of the file. Of another one nothing is read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    agents: BTreeMap<ObjectKey, Observed>,
}

impl Observations {
    /// What was kept. Nothing is enforced by it, so that a damaged file keeps nothing from starting.
    pub fn read(path: &Path) -> Self {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(%error, path = %path.display(), "what was observed before cannot be read");
                }
                return Self::default();
            }
        };
        match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) if kept.format == FORMAT => Self {
                agents: kept.agents,
                ..Self::default()
            },
            Ok(Kept { format, .. }) => {
                warn!(format, "what was observed before is of another format");
                Self::default()
            }
            Err(error) => {
                warn!(%error, path = %path.display(), "what was observed before is damaged");
                Self::default()
            }
        }
    }

    /// Writes what changed since the last call, if anything did.
    pub fn keep(&mut self, path: &Path) -> Result<(), KeptError> {
        if !self.is_changed {
            return Ok(());
        }
        let kept = Kept {
            format: FORMAT,
            agents: self.agents.clone(),
        };
        let text = serde_json::to_vec(&kept).map_err(|error| KeptError::System {
            attempt: "write",
            path: path.to_owned(),
            source: error.into(),
        })?;
        write_private(path, &text)?;
        self.is_changed = false;
        Ok(())
    }
}
