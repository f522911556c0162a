//! The list of parts of an image (SPDX 2.3): crates of `Cargo.lock` and Debian packages.

use anyhow::Context as _;
use serde_json::{Value, json};
use toml::Table;

use super::{debian::Package, oci::digest};

/// The document as JSON. Its namespace follows from its contents, its time is fixed.
pub(super) fn spdx(name: &str, lock: &str, debian: &[Package]) -> anyhow::Result<Vec<u8>> {
    let lock: Table = toml::from_str(lock).context("read Cargo.lock")?;
    let crates = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock lists no crates")?;
    let mut packages: Vec<Value> = Vec::new();
    for one in crates {
        let field = |key| one.get(key).and_then(toml::Value::as_str);
        let (Some(name), Some(version)) = (field("name"), field("version")) else { continue };
        let mut part = part("crate", name, version, &format!("pkg:cargo/{name}@{version}"));
        if let Some(sum) = field("checksum") {
            part["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": sum}]);
        }
        packages.push(part);
    }
    for one in debian {
        let url = format!("pkg:deb/debian/{}@{}", one.name, one.version.replace('+', "%2B"));
        let mut part = part("deb", &one.name, &one.version, &url);
        part["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": one.sha256}]);
        packages.push(part);
    }
    let identity = digest(serde_json::to_string(&packages)?.as_bytes());
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("plue-{name}"),
        "documentNamespace": format!("https://example.invalid/plue/spdx/{name}/{identity}"),
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: cargo xtask image"]},
        "packages": packages,
    });
    Ok(serde_json::to_vec_pretty(&document)?)
}

fn part(kind: &str, name: &str, version: &str, url: &str) -> Value {
    let spelled =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' };
    let id: String = format!("SPDXRef-{kind}-{name}-{version}").chars().map(spelled).collect();
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": url,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::spdx;

    #[test]
    fn crates_stand_with_version_and_hash() {
        let lock = "[[package]]\nname = \"a_b\"\nversion = \"1.0.0+x\"\nchecksum = \"ff\"\n";
        let document: serde_json::Value =
            serde_json::from_slice(&spdx("engine", lock, &[]).unwrap()).unwrap();
        let part = &document["packages"][0];
        assert_eq!(part["SPDXID"], "SPDXRef-crate-a-b-1.0.0-x");
        assert_eq!(part["checksums"][0]["checksumValue"], "ff");
        assert_eq!(spdx("engine", lock, &[]).unwrap(), spdx("engine", lock, &[]).unwrap());
    }
}
