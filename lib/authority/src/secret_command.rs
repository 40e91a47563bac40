//! A static secret that a program prints, for example that of a password manager.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::fs::stat;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Secret,
    secret_file::{LONGEST, without_line_ends},
};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a program finds in place of the daemon's own variables.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that prints a secret to its standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretCommand {
    program: PathBuf,
    arguments: Vec<String>,
    owner: u32,
}

/// Why a program gave no secret. What it printed is in none of these.
#[derive(Debug, Error)]
pub enum SecretCommandError {
    /// It could not be looked at, started, or waited for.
    #[error("{attempt} {program}: {source}", program = .program.display())]
    Run {
        /// What was attempted.
        attempt: &'static str,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner can change it, or a folder above it.
    #[error("the program {program} could be replaced by others than root: {part} has mode {mode:o} and owner {owner}; chown root {part} && chmod go-w {part}", program = .program.display(), part = .part.display())]
    NotOwned {
        /// The program.
        program: PathBuf,
        /// It, or a folder above it.
        part: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It said that it failed.
    #[error("{program} ended with {status}", program = .program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long, and was ended.
    #[error("{program} did not end within 10 seconds", program = .0.display())]
    TooSlow(PathBuf),
    /// It printed nothing, or more than any secret has.
    #[error("{program} printed nothing, or more than 64 KiB", program = .0.display())]
    Length(PathBuf),
}

impl SecretCommand {
    /// A program that root must own, with all the folders above it.
    pub fn of_root(program: PathBuf, arguments: Vec<String>) -> Self {
        Self {
            program,
            arguments,
            owner: 0,
        }
    }

    /// Runs it, with an empty environment but for `PATH`, in `/`, and takes what it prints.
    pub(crate) fn run(&self) -> Result<Secret, SecretCommandError> {
        self.check()?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| self.failed("start", source))?;
        let printed = self.printed(&mut child);
        // One that printed too much, or too late, is ended; one that ended is only waited for.
        if printed.is_err() {
            let _ = child.kill();
        }
        let status = child
            .wait()
            .map_err(|source| self.failed("wait for", source))?;
        let printed = printed?;
        if !status.success() {
            return Err(SecretCommandError::Failed {
                program: self.program.clone(),
                status,
            });
        }
        let secret = without_line_ends(printed);
        if secret.is_empty() {
            return Err(SecretCommandError::Length(self.program.clone()));
        }
        Ok(Secret::new(secret))
    }

    fn printed(&self, child: &mut Child) -> Result<Zeroizing<Vec<u8>>, SecretCommandError> {
        let output = child.stdout.take();
        let mut output = output.ok_or_else(|| SecretCommandError::Length(self.program.clone()))?;
        let (sender, printed) = mpsc::sync_channel(1);
        // A read cannot be given up; the thread ends with the program.
        thread::spawn(move || {
            // Room for all of it at once: a growing vector would leave copies behind.
            let room = usize::try_from(LONGEST).unwrap_or(0) + 1;
            let mut bytes = Zeroizing::new(Vec::with_capacity(room));
            let read = output.by_ref().take(LONGEST + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
        let printed = printed
            .recv_timeout(PATIENCE)
            .map_err(|_| SecretCommandError::TooSlow(self.program.clone()))?;
        let printed = printed.map_err(|source| self.failed("read from", source))?;
        if printed.len() as u64 > LONGEST {
            return Err(SecretCommandError::Length(self.program.clone()));
        }
        Ok(printed)
    }

    fn check(&self) -> Result<(), SecretCommandError> {
        // Links are followed to what will run; each folder on the way decides what that is.
        let real = std::fs::canonicalize(&self.program);
        let real = real.map_err(|source| self.failed("look at", source))?;
        for path in [&self.program, &real] {
            for part in path.ancestors() {
                self.check_part(part)?;
            }
        }
        Ok(())
    }

    fn check_part(&self, part: &Path) -> Result<(), SecretCommandError> {
        let stat = stat(part).map_err(|errno| self.failed("look at", errno.into()))?;
        let mode = stat.st_mode & 0o7777;
        // In a folder with the sticky bit, nobody moves what is another's.
        let is_shared = mode & 0o022 != 0 && mode & 0o1000 == 0;
        if is_shared || (stat.st_uid != self.owner && stat.st_uid != 0) {
            return Err(SecretCommandError::NotOwned {
                program: self.program.clone(),
                part: part.to_owned(),
                mode,
                owner: stat.st_uid,
            });
        }
        Ok(())
    }

    fn failed(&self, attempt: &'static str, source: io::Error) -> SecretCommandError {
        SecretCommandError::Run {
            attempt,
            program: self.program.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn command(program: &str, arguments: &[&str]) -> SecretCommand {
        SecretCommand {
            program: program.into(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            owner: rustix::process::geteuid().as_raw(),
        }
    }

    #[test]
    fn what_a_program_prints_is_the_secret_without_the_line_end() {
        let secret = command("/bin/echo", &["s3cret"]).run().unwrap();
        assert_eq!(secret.reveal(), b"s3cret");
    }

    #[test]
    fn a_program_that_fails_or_prints_nothing_or_too_much_gives_none() {
        let failed = command("/bin/sh", &["-c", "echo s3cret; exit 3"]).run();
        let error = failed.unwrap_err();
        assert!(matches!(error, SecretCommandError::Failed { .. }));
        assert!(!error.to_string().contains("s3cret"), "{error}");
        for script in ["true", "head -c 70000 /dev/zero"] {
            let result = command("/bin/sh", &["-c", script]).run();
            assert!(
                matches!(result, Err(SecretCommandError::Length(_))),
                "{script}"
            );
        }
        let missing = command("/no/such/program", &[]).run();
        assert!(matches!(missing, Err(SecretCommandError::Run { .. })));
    }

    #[test]
    fn its_environment_is_not_the_daemons() {
        let secret = command("/usr/bin/env", &[]).run().unwrap();
        assert_eq!(secret.reveal(), format!("PATH={PATH}").as_bytes());
    }

    #[test]
    fn a_program_that_others_can_change_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!/bin/sh\necho s3cret\n").unwrap();
        for (mode, runs) in [(0o755, true), (0o775, false), (0o757, false)] {
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
            let result = command(program.to_str().unwrap(), &[]).run();
            assert_eq!(result.is_ok(), runs, "{mode:o}");
        }
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = command(program.to_str().unwrap(), &[]).run().unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
}
