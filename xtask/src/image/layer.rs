//! A layer: a tree of files in memory, written as a tar archive whose bytes depend on the tree alone.
//!
//! Must not take over times, owners or an order from the machine that packs.

use std::{collections::BTreeMap, io::Write as _};

use anyhow::Context as _;
use tar::{Builder, EntryType, Header};

/// The level of Zstandard; its output is the same for the same library.
const LEVEL: i32 = 3;

/// A tree of files by path, without a leading slash.
#[derive(Debug, Default)]
pub(super) struct Layer {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
enum Node {
    Directory { mode: u32, owner: u64 },
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
}

// === impl Layer ===

impl Layer {
    pub(super) fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.put(path, Node::Directory { mode, owner });
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        // Nothing here runs with more rights than its caller.
        self.put(path, Node::File { mode: mode & 0o777, bytes });
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link { target: target.to_owned() });
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// The contents of all files below `folder` whose names end in `end`, in the order of their paths.
    pub(super) fn concatenated(&self, folder: &str, end: &str) -> Vec<u8> {
        let mut all = Vec::new();
        for (path, node) in self.nodes.range(folder.to_owned()..) {
            if !path.starts_with(folder) {
                break;
            }
            if let Node::File { bytes, .. } = node
                && path.ends_with(end)
            {
                all.extend_from_slice(bytes);
            }
        }
        all
    }

    /// Adds a node, and the folders on the way to it.
    fn put(&mut self, path: &str, node: Node) {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            let folder = Node::Directory { mode: 0o755, owner: 0 };
            self.nodes.entry(parent.to_owned()).or_insert(folder);
            above = parent;
        }
        // A folder of a later package replaces neither a file nor a link.
        if matches!(node, Node::Directory { .. }) && self.nodes.contains_key(path) {
            if let Some(Node::Directory { .. }) = self.nodes.get(path) {
                self.nodes.insert(path.to_owned(), node);
            }
            return;
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// The archive before compression; its hash is the `diff_id` of the layer.
    pub(super) fn tar(&self) -> anyhow::Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, node) in &self.nodes {
            let mut header = Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let added = match node {
                Node::Directory { mode, owner } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_uid(*owner);
                    header.set_gid(*owner);
                    header.set_size(0);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())
                }
                Node::File { mode, bytes } => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())
                }
                Node::Link { target } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)
                }
            };
            added.with_context(|| format!("pack {path}"))?;
        }
        builder.into_inner().context("end the archive of a layer")
    }
}

/// Compressed with one thread, since more make the bytes depend on their number.
pub(super) fn compressed(tar: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(tar)?;
    encoder.finish().context("compress a layer")
}

#[cfg(test)]
mod tests {
    use super::{Layer, compressed};

    fn tree(names: &[&str]) -> Layer {
        let mut layer = Layer::default();
        for name in names {
            layer.file(name, 0o4755, name.as_bytes().to_vec());
        }
        layer.directory("var/lib", 0o700, 7);
        layer.link("bin", "usr/bin");
        layer
    }

    #[test]
    fn bytes_depend_on_the_tree_alone() {
        let (one, two) = (tree(&["usr/bin/b", "usr/a"]), tree(&["usr/a", "usr/bin/b"]));
        assert_eq!(one.tar().unwrap(), two.tar().unwrap());
        let packed = compressed(&one.tar().unwrap()).unwrap();
        assert_eq!(packed, compressed(&two.tar().unwrap()).unwrap());
        assert_ne!(one.tar().unwrap(), tree(&["usr/a", "usr/bin/c"]).tar().unwrap());
    }

    #[test]
    fn entries_have_no_time_and_no_setuid() {
        let tar = tree(&["usr/bin/su"]).tar().unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            let mode = header.mode().unwrap();
            seen.push((entry.path().unwrap().display().to_string(), mode, header.uid().unwrap()));
        }
        let expected = [
            ("bin", 0o777, 0),
            ("usr/", 0o755, 0),
            ("usr/bin/", 0o755, 0),
            ("usr/bin/su", 0o755, 0),
        ];
        let expected = expected.into_iter().chain([("var/", 0o755, 0), ("var/lib/", 0o700, 7)]);
        let expected: Vec<_> =
            expected.map(|(path, mode, uid)| (path.to_owned(), mode, uid)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn long_paths_survive() {
        let name =
            format!("usr/{}/file", "long-name-of-a-folder/".repeat(12).trim_end_matches('/'));
        let tar = tree(&[&name]).tar().unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert!(paths.into_iter().any(|path| path == name));
    }
}
