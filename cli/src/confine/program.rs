//! What the kernel will make of a file: its interpreter, and whether it is 32-bit.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// As many bytes as the kernel looks at (`BINPRM_BUF_SIZE`).
const HEAD: u64 = 256;

/// A program of the other word size; the filter would end it at its first system call.
#[derive(Debug, Error)]
#[error("{path} is a 32-bit program, and such programs cannot be confined", path = .path.display())]
pub(crate) struct ThirtyTwoBitError {
    path: PathBuf,
}

/// A file that will be executed.
#[derive(Debug)]
pub(crate) struct Program {
    /// The file and, for a script, its interpreter; links resolved.
    pub(crate) files: Vec<PathBuf>,
}

impl Program {
    /// Looks at a command. One that cannot be read can still be executed, and is not known.
    pub(crate) fn look(path: &Path) -> Result<Self, ThirtyTwoBitError> {
        let head = head(path).unwrap_or_default();
        let interpreter = interpreter(&head);
        let executed = interpreter
            .as_deref()
            .map_or(head, |path| self::head(path).unwrap_or_default());
        if is_32_bit(&executed) {
            let path = interpreter.unwrap_or_else(|| path.to_owned());
            return Err(ThirtyTwoBitError { path });
        }
        let files = [Some(path.to_owned()), interpreter];
        Ok(Self {
            files: files
                .into_iter()
                .flatten()
                .filter_map(|path| path.canonicalize().ok())
                .collect(),
        })
    }
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEAD).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The path in the first line of a script.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    let word = words.find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(word)))
}

/// Whether the kernel itself runs it in a 32-bit mode. A program of another machine that an
/// emulator runs is none: the emulator is what speaks to the kernel.
fn is_32_bit(head: &[u8]) -> bool {
    const CLASS_32: u8 = 1;
    // e_machine: EM_386, EM_X86_64 (x32) and EM_ARM.
    let native: &[u16] = if cfg!(target_arch = "aarch64") {
        &[40]
    } else {
        &[3, 62]
    };
    let machine = head
        .get(18..20)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    head.starts_with(b"\x7fELF")
        && head.get(4) == Some(&CLASS_32)
        && machine.is_some_and(|machine| native.contains(&machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF".to_vec();
        head.push(class);
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn a_program_of_the_other_word_size_is_known_by_its_header() {
        let (own, short, foreign) = if cfg!(target_arch = "aarch64") {
            (183, 40, 3)
        } else {
            (62, 3, 40)
        };
        assert!(is_32_bit(&elf(1, short)));
        assert!(!is_32_bit(&elf(2, own)));
        assert!(!is_32_bit(&elf(1, foreign)), "an emulator runs it");
        assert!(!is_32_bit(b"\x7fELF\x01"));
        assert!(!is_32_bit(b"#!/bin/sh\n"));
    }

    #[test]
    fn the_interpreter_is_the_first_word_of_the_first_line() {
        let found = |text: &str| interpreter(text.as_bytes());
        assert_eq!(found("#!/bin/sh\nx"), Some("/bin/sh".into()));
        assert_eq!(
            found("#! \t/usr/bin/env node\n"),
            Some("/usr/bin/env".into())
        );
        assert_eq!(found("#!\n/bin/sh"), None);
        assert_eq!(found("\x7fELF"), None);
    }
}
