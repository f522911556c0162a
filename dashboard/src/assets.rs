//! Files that pages load, embedded in the program.
//!
//! All files are served below one folder named by the hash of their contents, so that a relative import
//! of a module finds the other module of the same version, and a browser may keep a file for ever.

use std::{fmt::Write as _, sync::LazyLock};

use sha2::{Digest as _, Sha256};

/// Path that all assets are served below.
pub const PREFIX: &str = "/assets";
/// `Cache-Control` of an asset: its address changes with its content.
pub const CACHE: &str = "public, max-age=31536000, immutable";
/// Hex digits of the folder's name.
const HASH_LEN: usize = 16;

/// A file embedded in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// File name in the folder.
    pub name: &'static str,
    /// Content of the file, in UTF-8.
    pub text: &'static str,
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(Asset { name: $name, text: include_str!(concat!("../assets/", $name)) }),*]
    };
}

/// Every asset that pages load.
pub const ALL: &[Asset] = embedded![
    "agent.js",
    "ansi.js",
    "app.css",
    "app.js",
    "graph.js",
    "state-good.svg",
    "state-bad.svg",
    "state-busy.svg",
    "state-idle.svg",
    "state-wait.svg",
    "keys.js",
    "live.js",
    "log.css",
    "log.js",
    "log-find.js",
    "log-folds.js",
    "log-lines.js",
    "log-whole.js",
    "log-window.js",
    "morph.js",
    "palette.js",
    "run.css",
    "theme.js",
    "times.js",
];

static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ALL {
        hash.update(asset.name);
        hash.update([0]);
        hash.update(asset.text);
        hash.update([0]);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(HASH_LEN);
    text
});

// === impl Asset ===

impl Asset {
    /// Content type by the name's ending.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            Some(_) | None => "text/plain; charset=utf-8",
        }
    }
}

/// Address of an asset in this version.
#[must_use]
pub fn url(name: &str) -> String {
    let mut url = String::with_capacity(PREFIX.len() + HASH_LEN + name.len() + 2);
    let _ = write!(url, "{PREFIX}/{}/{name}", *HASH);
    url
}

/// The asset at an address; none for a file or a version that this program does not have.
#[must_use]
pub fn find(hash: &str, name: &str) -> Option<Asset> {
    let found = ALL.iter().find(|asset| asset.name == name)?;
    (hash == HASH.as_str()).then_some(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_by_their_version_only() {
        let url = url("app.css");
        let (hash, name) = url.strip_prefix("/assets/").unwrap().split_once('/').unwrap();
        assert_eq!(hash.len(), HASH_LEN);
        let found = find(hash, name).unwrap();
        assert_eq!(found.content_type(), "text/css; charset=utf-8");
        assert_eq!(find("0123456789abcdef", name), None);
        assert_eq!(find(hash, "../Cargo.toml"), None);
    }

    #[test]
    fn modules_import_only_embedded_files() {
        let mut imports = 0;
        for asset in ALL.iter().filter(|asset| asset.name.ends_with(".js")) {
            assert!(asset.text.starts_with("// @ts-check\n"), "{}", asset.name);
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split('"').nth(1).unwrap();
                let name = from.strip_prefix("./").unwrap_or_else(|| panic!("{line}"));
                assert!(ALL.iter().any(|other| other.name == name), "{}: {line}", asset.name);
                imports += 1;
            }
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!asset.text.contains(sink), "{}: {sink}", asset.name);
            }
        }
        assert!(imports > 3);
    }
}
