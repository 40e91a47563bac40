//! The files of the record: the one that is written, and the full ones before it, by their number.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// How many full files are kept.
pub(super) const KEPT: usize = 8;

/// The full file of that number; the last that was filled is 1, and 0 the next before it is written.
pub(super) fn earlier(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Makes room for another file at `path`: each full one gets the next number, and the last of them is forgotten. Cut
/// short it leaves a gap between the numbers, and no record is lost.
pub(super) fn shift(path: &Path) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        let (from, to) = (earlier(path, number), earlier(path, number + 1));
        match fs::metadata(&from) {
            Ok(metadata) if metadata.is_file() => fs::rename(from, to)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    fs::rename(path, earlier(path, 1))
}

/// Every file, open. In this order a file that is moved on meanwhile may be met again, and none is missed.
pub(super) fn newest_first(path: &Path) -> io::Result<Vec<File>> {
    let mut met = BTreeSet::new();
    let mut files = Vec::new();
    let all = (1..=KEPT).map(|number| earlier(path, number));
    for path in std::iter::once(path.to_owned()).chain(all) {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if metadata.is_file() && met.insert((metadata.dev(), metadata.ino())) {
            files.push(file);
        }
    }
    Ok(files)
}
