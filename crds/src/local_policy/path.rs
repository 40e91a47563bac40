//! Paths of a machine that its policy names.

use std::{path::Path, str::FromStr};

use thiserror::Error;

/// Why text is not a path that a policy can name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParsePathError {
    /// Relative, or with parts that lead elsewhere than it seems.
    #[error("`{0}` is not an absolute path; begin with / and leave out ., .., // and a final /")]
    NotAbsolute(String),
    /// The root folder.
    #[error("`/` is the whole machine; write the folders that the agent needs")]
    Root,
    /// Below `/proc`, where a process can be changed through its memory.
    #[error("`{0}` is in /proc, where processes can be changed; it is never written by an agent")]
    Proc(String),
    /// A socket's path of more bytes than the kernel takes.
    #[error("`{0}` is longer than the 107 bytes that the path of a unix socket can have")]
    TooLong(String),
}

/// A file or folder that an agent may read and write, with all below it: an absolute path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedPath(String);

/// A unix socket that an agent may connect to: an absolute path, exactly as the agent has to write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketPath(String);

impl AllowedPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SocketPath {
    /// The most bytes: `sun_path` has 108, the last of which is zero (unix(7)).
    const LONGEST: usize = 107;

    /// The path as text, of at most 107 bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AllowedPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "/" {
            return Err(ParsePathError::Root);
        }
        let path = absolute(text)?;
        if Path::new(path).starts_with("/proc") {
            return Err(ParsePathError::Proc(path.to_owned()));
        }
        Ok(Self(path.to_owned()))
    }
}

impl FromStr for SocketPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = absolute(text)?;
        if path.len() > Self::LONGEST {
            return Err(ParsePathError::TooLong(path.to_owned()));
        }
        Ok(Self(path.to_owned()))
    }
}

/// Whether each part of a path is the name of something in the part before it.
fn absolute(text: &str) -> Result<&str, ParsePathError> {
    let is_absolute = text.strip_prefix('/').is_some_and(|rest| {
        let mut parts = rest.split('/');
        !rest.contains('\0') && parts.all(|part| !matches!(part, "" | "." | ".."))
    });
    is_absolute
        .then_some(text)
        .ok_or_else(|| ParsePathError::NotAbsolute(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_without_detours_are_accepted() {
        for bad in [
            "",
            "srv",
            "./srv",
            "/srv/",
            "/srv//data",
            "/srv/./data",
            "/srv/../data",
            "/srv\0",
            "~/data",
        ] {
            assert!(bad.parse::<AllowedPath>().is_err(), "{bad:?}");
            assert!(bad.parse::<SocketPath>().is_err(), "{bad:?}");
        }
        let path: AllowedPath = "/srv/data.d".parse().unwrap();
        assert_eq!(path.as_str(), "/srv/data.d");
    }

    #[test]
    fn neither_everything_nor_processes_can_be_allowed() {
        assert_eq!("/".parse::<AllowedPath>(), Err(ParsePathError::Root));
        for bad in ["/proc", "/proc/self/mem"] {
            assert!(bad.parse::<AllowedPath>().is_err(), "{bad}");
        }
        assert!("/process".parse::<AllowedPath>().is_ok());
    }

    #[test]
    fn a_socket_has_a_path_that_the_kernel_takes() {
        let longest = format!("/{}", "s".repeat(106));
        assert_eq!(longest.parse::<SocketPath>().unwrap().as_str(), longest);
        assert!(format!("{longest}s").parse::<SocketPath>().is_err());
    }
}
