//! Images of containers, made on this machine from its own programs: an archive in the layout of the Open Container
//! Initiative (image-spec 1.0), which `ctr images import` reads.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::lab;

/// A shell and the small programs of a system; what tests run.
pub const BUSYBOX: &str = "localhost/busybox:1";
/// What keeps the namespaces of a pod.
pub const PAUSE: &str = "localhost/pause:1";

/// The user that is nobody in particular.
const NOBODY: u32 = 65532;

/// An image as it should be.
pub struct Image {
    reference: String,
    command: Vec<String>,
    /// Below `/bin`.
    programs: Vec<(String, PathBuf)>,
    /// Of this machine, at the same places.
    files: Vec<PathBuf>,
}

/// An image as it is imported.
pub struct Archive {
    /// What pods name it by.
    pub reference: String,
    /// Of its manifest, as containerd shows it.
    pub digest: String,
    /// The file's content.
    pub content: Vec<u8>,
}

impl Image {
    /// One with a shell and what belongs to it.
    pub fn busybox(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            command: vec!["/bin/sh".into()],
            programs: Vec::new(),
            files: Vec::new(),
        }
    }

    /// What keeps the namespaces of a pod. It reaps nothing: pods share no pid namespace unless they ask for it.
    pub fn pause() -> Self {
        Self::busybox(PAUSE).command(&["/bin/sleep", "2147483647"])
    }

    /// What runs when a pod says nothing else.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A program of this machine, in `/bin`. It is all there is: one that is not static needs more.
    #[must_use]
    pub fn program(mut self, name: &str, path: &Path) -> Self {
        self.programs.push((name.to_owned(), path.to_owned()));
        self
    }

    /// A program of this machine that is not static, in `/bin`, with the libraries that it needs.
    pub fn dynamic_program(self, name: &str, path: &Path) -> Result<Self> {
        let listed = lab::run(Command::new("ldd").arg(path)).context("find its libraries")?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut this = self.program(name, path);
        // `NAME => PATH (ADDRESS)`, and the loader by its path alone; what the kernel brings has none.
        let paths = listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        this.files.extend(paths.map(PathBuf::from));
        ensure!(!this.files.is_empty(), "ldd names no library: {listed}");
        Ok(this)
    }

    /// Makes the archive. The same programs give the same bytes.
    pub fn archive(&self) -> Result<Archive> {
        let busybox = Path::new("/bin/busybox");
        let applets = lab::run(Command::new(busybox).arg("--list"))
            .context("busybox is needed: Debian's package busybox-static")?;
        let applets = String::from_utf8(applets.stdout).context("read what busybox can")?;
        ensure!(
            is_static(&fs::read(busybox)?),
            "busybox is not static: Debian's package busybox-static is needed"
        );
        let mut layer = Tar::new();
        layer.system()?;
        layer.program("bin/busybox", busybox)?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            layer.link(&format!("bin/{applet}"), "busybox")?;
        }
        for (name, path) in &self.programs {
            layer.program(&format!("bin/{name}"), path)?;
        }
        for path in &self.files {
            let name = path.strip_prefix("/").unwrap_or(path);
            layer.program(&name.display().to_string(), path)?;
        }
        self.pack(&layer.finish()?)
    }

    fn pack(&self, layer: &[u8]) -> Result<Archive> {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Cmd": self.command, "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("config", config.as_bytes()),
            "layers": [described("layer", layer)],
        })
        .to_string();
        let mut entry = described("manifest", manifest.as_bytes());
        // The name that containerd gives it; without, it has none.
        entry["annotations"] = json!({ "io.containerd.image.name": self.reference });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();

        let mut archive = Tar::new();
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        archive.file("index.json", index.as_bytes(), 0o644)?;
        for blob in [layer, config.as_bytes(), manifest.as_bytes()] {
            let name = digest(blob).replace(':', "/");
            archive.file(&format!("blobs/{name}"), blob, 0o644)?;
        }
        Ok(Archive {
            reference: self.reference.clone(),
            digest: digest(manifest.as_bytes()),
            content: archive.finish()?,
        })
    }
}

/// A tar archive of files that are all of one moment and of root.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// What a program expects of any system.
    fn system(&mut self) -> Result<()> {
        for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "var"] {
            self.folder(folder, 0o755)?;
        }
        self.folder("tmp", 0o1777)?;
        let users = format!("root:x:0:0::/root:/bin/sh\nnobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\n");
        self.file("etc/passwd", users.as_bytes(), 0o644)?;
        let groups = format!("root:x:0:\nnobody:x:{NOBODY}:\n");
        self.file("etc/group", groups.as_bytes(), 0o644)
    }

    fn program(&mut self, name: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o777 | 0o555;
        self.file(name, &content, mode)
    }

    fn file(&mut self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.append(header, name, content)
    }

    fn folder(&mut self, name: &str, mode: u32) -> Result<()> {
        self.append(header(EntryType::Directory, mode), &format!("{name}/"), &[])
    }

    fn link(&mut self, name: &str, to: &str) -> Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        header.set_link_name(to)?;
        self.append(header, name, &[])
    }

    fn append(&mut self, mut header: Header, name: &str, content: &[u8]) -> Result<()> {
        let appended = self.0.append_data(&mut header, name, content);
        appended.with_context(|| format!("add {name} to an archive"))
    }

    fn finish(self) -> Result<Vec<u8>> {
        self.0.into_inner().context("finish an archive")
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn described(kind: &str, content: &[u8]) -> Value {
    let media_type = match kind {
        "layer" => "application/vnd.oci.image.layer.v1.tar".to_owned(),
        kind => format!("application/vnd.oci.image.{kind}.v1+json"),
    };
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

/// Whether a program needs no loader, of which there is none in an image: its path would be in it.
fn is_static(program: &[u8]) -> bool {
    ["/ld-linux", "/ld-musl"]
        .iter()
        .all(|loader| memmem::find(program, loader.as_bytes()).is_none())
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (name, content)
            })
            .collect()
    }

    fn json_of(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
        serde_json::from_slice(&files[name]).unwrap()
    }

    /// Follows a descriptor, as containerd does.
    fn blob(files: &BTreeMap<String, Vec<u8>>, of: &Value) -> String {
        let name = of["digest"].as_str().unwrap().replace(':', "/");
        let name = format!("blobs/{name}");
        let content = &files[&name];
        assert_eq!(of["size"], content.len());
        assert_eq!(of["digest"], digest(content));
        name
    }

    #[test]
    fn every_part_is_found_from_the_index() {
        let image = Image::busybox("localhost/a:1").command(&["/bin/true"]);
        let archive = image.pack(b"layer").unwrap();
        let files = files(&archive.content);
        let index = json_of(&files, "index.json");
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            "localhost/a:1"
        );
        assert_eq!(entry["digest"], archive.digest);
        let manifest = json_of(&files, &blob(&files, entry));
        let config = json_of(&files, &blob(&files, &manifest["config"]));
        assert_eq!(config["config"]["Cmd"], json!(["/bin/true"]));
        let layer = blob(&files, &manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&files[&layer]));
        assert_eq!(files.len(), 5);
    }

    #[test]
    fn a_program_that_needs_a_loader_is_told() {
        assert!(is_static(b"\x7fELF\0nothing"));
        assert!(!is_static(b"\x7fELF\0/lib64/ld-linux-x86-64.so.2\0"));
    }

    #[test]
    fn the_same_content_is_the_same_image() {
        let make = || Image::busybox("localhost/a:1").pack(b"layer").unwrap();
        assert!(make().content == make().content);
        let other = Image::busybox("localhost/a:1").pack(b"other").unwrap();
        assert_ne!(make().digest, other.digest);
    }

    #[test]
    fn a_layer_has_a_temporary_folder_for_everybody() {
        let mut layer = Tar::new();
        layer.system().unwrap();
        layer.link("bin/sh", "busybox").unwrap();
        let layer = layer.finish().unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let modes: BTreeMap<String, u32> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                (name, entry.header().mode().unwrap())
            })
            .collect();
        assert_eq!(modes["tmp/"], 0o1777);
        assert_eq!(modes["bin/sh"], 0o777);
    }
}
