//! Installing a server's package without starting the server.
//!
//! Debian's packages start what they bring. Two things stop them, and neither changes a file of
//! the machine for good:
//! - `RUNLEVEL=1`: `invoke-rc.d` believes the machine is in single-user mode, where its rc links
//!   start nothing (`runlevel(8)`, environment).
//! - under systemd, the units are masked in `/run` while apt works, and disabled afterwards.
//!
//! Should a server run all the same, it is ended by the pid in its own pid file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{capture, quietly};

/// What our packages would start: its unit, and its pid file.
const NGINX: (&str, &str) = ("nginx.service", "/run/nginx.pid");

/// What else they would start, each with the program by which one knows that it was there before.
const OTHERS: [(&str, &str); 8] = [
    ("postgresql.service", "/usr/bin/psql"),
    ("redis-server.service", "/usr/bin/redis-server"),
    ("fcgiwrap.service", "/usr/sbin/fcgiwrap"),
    ("fcgiwrap.socket", "/usr/sbin/fcgiwrap"),
    ("ssh.service", "/usr/sbin/sshd"),
    ("haproxy.service", "/usr/sbin/haproxy"),
    ("squid.service", "/usr/sbin/squid"),
    ("containerd.service", "/usr/bin/containerd"),
];

/// Held while apt works.
pub(crate) struct NoServices {
    was_installed: bool,
    ran_before: Option<u32>,
    systemd: bool,
    /// Units that are not there yet, and shall not run.
    others: Vec<&'static str>,
}

impl NoServices {
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let this = Self {
            was_installed: Path::new("/usr/sbin/nginx").exists(),
            ran_before: running(NGINX.1),
            systemd: Path::new("/run/systemd/system").exists(),
            others: OTHERS
                .iter()
                .filter(|(_, program)| !Path::new(program).exists())
                .map(|(unit, _)| *unit)
                .collect(),
        };
        if this.systemd {
            for unit in &this.others {
                quietly(Command::new("systemctl").args(["mask", "--runtime", unit]))?;
            }
        }
        if this.masks() {
            quietly(Command::new("systemctl").args(["mask", "--runtime", NGINX.0]))?;
        }
        Ok(this)
    }

    /// Adds to apt's command what keeps init scripts from starting anything.
    pub(crate) fn guard(apt: &mut Command) -> &mut Command {
        apt.env("RUNLEVEL", "1").env("PREVLEVEL", "N")
    }

    /// Takes the masks away, and ends what started in spite of them. Says what it ended.
    pub(crate) fn end(self) -> anyhow::Result<String> {
        if self.systemd {
            for unit in &self.others {
                quietly(Command::new("systemctl").args(["unmask", "--runtime", unit]))?;
                capture(Command::new("systemctl").args(["disable", unit]))?;
            }
        }
        if self.masks() {
            quietly(Command::new("systemctl").args(["unmask", "--runtime", NGINX.0]))?;
            // Fails when the package did not come; then there is nothing to disable.
            capture(Command::new("systemctl").args(["disable", NGINX.0]))?;
        }
        let Some(pid) = started(self.ran_before, running(NGINX.1)) else {
            return Ok(String::new());
        };
        quietly(Command::new("sh").args(["-c", &format!("kill {pid}")]))?;
        Ok(format!(
            "stopped the nginx that its package started (pid {pid})"
        ))
    }

    /// A server that was here before is its owner's business.
    fn masks(&self) -> bool {
        self.systemd && !self.was_installed
    }
}

/// The process of a pid file, if it is one that runs.
fn running(pid_file: &str) -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "nginx").then_some(pid)
}

fn started(before: Option<u32>, after: Option<u32>) -> Option<u32> {
    after.filter(|pid| before != Some(*pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_apt_started_is_ended() {
        assert_eq!(started(None, Some(7)), Some(7));
        assert_eq!(started(Some(7), Some(7)), None);
        assert_eq!(started(Some(7), None), None);
    }

    #[test]
    fn a_pid_file_of_another_program_names_no_server() {
        let file = std::env::temp_dir().join(format!("lanyard-pid-{}", std::process::id()));
        fs::write(&file, std::process::id().to_string()).unwrap();
        let found = running(file.to_str().unwrap());
        fs::remove_file(&file).unwrap();
        assert_eq!(found, None);
    }
}
