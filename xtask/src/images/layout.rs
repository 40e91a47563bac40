//! An image as a file: the layout of the Open Container Initiative (image-spec 1.1) in a tar archive, with the list
//! beside it that older `docker load` reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::layer::Layer;
use super::stamp::Stamp;

/// An image as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// What nodes know it by: `localhost/lanyard/broker:0.1.0`.
    pub(crate) reference: String,
    /// What it runs.
    pub(crate) program: String,
    /// `uid:gid`.
    pub(crate) user: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// What rarely changes first.
    pub(crate) layers: Vec<Layer>,
}

/// An image as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Of its manifest: what `image@sha256:...` names.
    pub(crate) digest: String,
    pub(crate) content: Vec<u8>,
}

/// A file that is known by its digest, which is computed once: layers are large.
struct Blob {
    media_type: String,
    digest: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: &str, content: Vec<u8>) -> Self {
        Self {
            media_type: media_type(kind),
            digest: digest(&content),
            content,
        }
    }

    /// What others know it by.
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.content.len() })
    }

    /// Where it is in the layout.
    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

impl Image {
    /// Makes the file. The same image and moment give the same bytes.
    pub(crate) fn archive(&self, stamp: &Stamp) -> anyhow::Result<Archive> {
        let layers: Vec<Blob> = self
            .layers
            .iter()
            .map(|layer| Ok(Blob::new("layer.v1.tar", layer.archive(stamp.moment)?)))
            .collect::<anyhow::Result<_>>()?;
        let config = Blob::new(
            "config.v1+json",
            self.config(&layers, stamp)?.to_string().into_bytes(),
        );
        let descriptors: Vec<Value> = layers.iter().map(Blob::descriptor).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type("manifest.v1+json"),
            "config": config.descriptor(),
            "layers": descriptors,
        });
        let manifest = Blob::new("manifest.v1+json", manifest.to_string().into_bytes());
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [self.reference],
            "Layers": layers.iter().map(Blob::path).collect::<Vec<_>>(),
        }]);
        let mut file = Layer::default()
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)
            .file("index.json", self.index(&manifest).to_string(), 0o644)
            .file("manifest.json", docker.to_string(), 0o644);
        let digest = manifest.digest.clone();
        for blob in layers.into_iter().chain([config, manifest]) {
            file = file.file(&blob.path(), blob.content, 0o644);
        }
        Ok(Archive {
            digest,
            content: file.archive(stamp.moment)?,
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let mut entry = manifest.descriptor();
        entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
        let tag = self.reference.rsplit_once(':').map(|(_, tag)| tag);
        // The first is read by containerd, which otherwise gives it no name; the second is the specification's.
        entry["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": tag,
        });
        json!({
            "schemaVersion": 2,
            "mediaType": media_type("index.v1+json"),
            "manifests": [entry],
        })
    }

    fn config(&self, layers: &[Blob], stamp: &Stamp) -> anyhow::Result<Value> {
        let created = stamp.created()?;
        let history: Vec<Value> = layers
            .iter()
            .map(|_| json!({ "created": created, "created_by": "cargo xtask images" }))
            .collect();
        let contents: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        Ok(json!({
            "created": created,
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": self.user,
                "Entrypoint": [self.program],
                "Env": ["PATH=/usr/bin"],
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": { "type": "layers", "diff_ids": contents },
            "history": history,
        }))
    }
}

/// As Go names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `sha256:` and hex.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn media_type(kind: &str) -> String {
    format!("application/vnd.oci.image.{kind}")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn image(content: &str) -> Image {
        Image {
            reference: "localhost/lanyard/a:1".into(),
            program: "/usr/bin/a".into(),
            user: "65532:65532".into(),
            labels: BTreeMap::from([("b".into(), "c".into())]),
            layers: vec![
                Layer::default().file("etc/passwd", "root", 0o644),
                Layer::default().file("usr/bin/a", content, 0o755),
            ],
        }
    }

    fn stamp(moment: u64) -> Stamp {
        Stamp {
            moment,
            revision: "abc".into(),
        }
    }

    fn files(archive: &Archive) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(archive.content.as_slice());
        let mut files = BTreeMap::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(name, content);
        }
        files
    }

    /// Follows a descriptor as a reader does.
    fn followed<'a>(files: &'a BTreeMap<String, Vec<u8>>, to: &Value) -> &'a [u8] {
        let name = format!("blobs/{}", to["digest"].as_str().unwrap().replace(':', "/"));
        let content = &files[&name];
        assert_eq!(to["size"], content.len());
        assert_eq!(to["digest"], digest(content));
        content
    }

    #[test]
    fn all_is_found_from_the_index() {
        let archive = image("x").archive(&stamp(0)).unwrap();
        let files = files(&archive);
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], archive.digest);
        let manifest: Value = serde_json::from_slice(followed(&files, entry)).unwrap();
        let config: Value = serde_json::from_slice(followed(&files, &manifest["config"])).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/a"]));
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
        for (number, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
            let layer = digest(followed(&files, layer));
            assert_eq!(config["rootfs"]["diff_ids"][number], layer);
        }
    }

    #[test]
    fn the_list_for_docker_names_the_same_files() {
        let files = files(&image("x").archive(&stamp(0)).unwrap());
        let list: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(list[0]["RepoTags"], json!(["localhost/lanyard/a:1"]));
        let layers = list[0]["Layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        for name in layers.iter().chain([&list[0]["Config"]]) {
            assert!(files.contains_key(name.as_str().unwrap()), "{name}");
        }
    }

    #[test]
    fn the_same_inputs_are_the_same_bytes_and_others_are_not() {
        let twice = [(); 2].map(|()| image("x").archive(&stamp(5)).unwrap());
        assert_eq!(twice[0], twice[1]);
        assert_ne!(
            image("y").archive(&stamp(5)).unwrap().digest,
            twice[0].digest
        );
        assert_ne!(
            image("x").archive(&stamp(6)).unwrap().digest,
            twice[0].digest
        );
    }
}
