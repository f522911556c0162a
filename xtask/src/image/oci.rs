//! An OCI image as one archive in the image layout: index, manifest, configuration, layers.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::layer::{Layer, compressed};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// All times of an image: those of its contents are in the list of parts.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Settings of an image besides its files.
pub(super) struct Settings {
    pub(super) name: &'static str,
    pub(super) entry: &'static str,
    pub(super) user: u64,
}

/// A manifest with the blobs that it names.
pub(super) struct Image {
    name: String,
    manifest: Value,
    blobs: BTreeMap<String, Vec<u8>>,
    layers: Vec<usize>,
}

// === impl Image ===

impl Image {
    pub(super) fn new(settings: &Settings, layers: &[Layer]) -> anyhow::Result<Self> {
        let mut blobs = BTreeMap::new();
        let (mut diff_ids, mut descriptors, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for layer in layers {
            let tar = layer.tar()?;
            diff_ids.push(format!("sha256:{}", digest(&tar)));
            let packed = compressed(&tar)?;
            sizes.push(packed.len());
            descriptors.push(descriptor(LAYER, &packed));
            blobs.insert(digest(&packed), packed);
        }
        let labels = labels(settings);
        let user = settings.user;
        let config = json!({
            "architecture": architecture(),
            "created": CREATED,
            "os": "linux",
            "config": {
                "User": format!("{user}:{user}"),
                "Entrypoint": [format!("/usr/bin/{}", settings.entry)],
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/tmp"],
                "WorkingDir": "/tmp",
                "Labels": labels,
                "StopSignal": "SIGTERM",
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": descriptors,
            "annotations": labels,
        });
        blobs.insert(digest(&config), config);
        let bytes = serde_json::to_vec(&manifest)?;
        blobs.insert(digest(&bytes), bytes);
        Ok(Self { name: settings.name.to_owned(), manifest, blobs, layers: sizes })
    }

    /// The digest by which a registry knows the image.
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", digest(&self.manifest_bytes()))
    }

    /// Compressed bytes of each layer.
    pub(super) fn sizes(&self) -> &[usize] {
        &self.layers
    }

    fn manifest_bytes(&self) -> Vec<u8> {
        self.manifest.to_string().into_bytes()
    }

    /// The image layout as a tar archive, with a name that containerd and skopeo take over.
    pub(super) fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let mut entry = descriptor(MANIFEST, &self.manifest_bytes());
        let version = env!("CARGO_PKG_VERSION");
        entry["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/plue/{}:{version}", self.name),
            "org.opencontainers.image.ref.name": version,
        });
        entry["platform"] = json!({"architecture": architecture(), "os": "linux"});
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes();
        let mut builder = Builder::new(Vec::new());
        put(&mut builder, "oci-layout", &layout)?;
        put(&mut builder, "index.json", &index.to_string().into_bytes())?;
        for (name, blob) in &self.blobs {
            put(&mut builder, &format!("blobs/sha256/{name}"), blob)?;
        }
        builder.into_inner().context("end the archive")
    }
}

fn put(builder: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes).with_context(|| format!("pack {path}"))
}

fn labels(settings: &Settings) -> Value {
    json!({
        "org.opencontainers.image.title": format!("plue {}", settings.name),
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": "debian:12",
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", digest(bytes)), "size": bytes.len()})
}

/// SHA-256 in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::{Image, Settings, digest};
    use crate::image::layer::Layer;

    fn archive(content: &str) -> Vec<u8> {
        let mut layer = Layer::default();
        layer.file("usr/bin/plue", 0o755, content.as_bytes().to_vec());
        let settings = Settings { name: "engine", entry: "plue", user: 10001 };
        Image::new(&settings, &[layer]).unwrap().archive().unwrap()
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        files
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        assert_eq!(archive("a"), archive("a"));
        assert_ne!(archive("a"), archive("b"));
    }

    #[test]
    fn descriptors_lead_from_index_to_layers() {
        let files = files(&archive("a"));
        let blob = |of: &serde_json::Value| {
            let name = of["digest"].as_str().unwrap().trim_start_matches("sha256:");
            let bytes = &files[&format!("blobs/sha256/{name}")];
            assert_eq!(
                (digest(bytes).as_str(), bytes.len() as u64),
                (name, of["size"].as_u64().unwrap())
            );
            bytes.clone()
        };
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: serde_json::Value =
            serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["User"], "10001:10001");
        let tar = zstd::decode_all(blob(&manifest["layers"][0]).as_slice()).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(&tar)));
    }
}
