//! Locked dependencies against an offline copy of `RustSec`'s advisory database.
//!
//! The database is a git repository that is fetched from elsewhere; a build machine may have no way to it.
//! So a copy is read where there is one; where there is none, one line of output reports that. An
//! advisory that cannot be read fails: it may be about a dependency.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use semver::{Version, VersionReq};
use toml::{Table, Value};

/// Opens the head of an advisory.
const HEAD: &str = "```toml";
/// Advisories of these kinds are printed and do not fail: they name no fault of the code.
const NOTES: &[&str] = &["notice", "unmaintained"];

/// An advisory, as far as it is looked at.
#[derive(Debug)]
struct Advisory {
    id: String,
    title: String,
    /// The kind, such as `unmaintained`; `None` for a vulnerability.
    informational: Option<String>,
    /// Versions that are not affected: patched ones and others.
    safe: Vec<VersionReq>,
}

/// A locked version and an advisory that is about it.
#[derive(Debug, PartialEq, Eq)]
struct Hit {
    package: String,
    version: Version,
    id: String,
    title: String,
    fails: bool,
}

/// Checks `Cargo.lock`, if there is a copy at `database`.
pub(crate) fn run(root: &Path, database: &Path) -> anyhow::Result<ExitCode> {
    let crates = root.join(database).join("crates");
    let mut out = std::io::stdout().lock();
    if !crates.is_dir() {
        writeln!(
            out,
            "deny: advisories of dependencies were NOT checked: there is no copy of RustSec's \
             advisory-db at {} (CONTRIBUTING.md)",
            database.display()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let locked = locked(&fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?)?;
    let ignored = ignored(&fs::read_to_string(root.join("deny.toml")).context("deny.toml")?)?;
    let mut hits = Vec::new();
    for (package, versions) in &locked {
        for path in advisories_of(&crates, package)? {
            let text = fs::read_to_string(&path)?;
            let advisory = Advisory::parse(&text).with_context(|| path.display().to_string())?;
            hits.extend(advisory.into_iter().flat_map(|one| one.hits(package, versions)));
        }
    }
    hits.retain(|hit| !ignored.contains(&hit.id));
    for hit in &hits {
        let word = if hit.fails { "error" } else { "note" };
        let Hit { package, version, id, title, .. } = hit;
        writeln!(out, "{word}: {package} {version}: {id}: {title}")?;
    }
    let failed = hits.iter().filter(|hit| hit.fails).count();
    writeln!(out, "deny: {} packages checked for advisories, {failed} affected", locked.len())?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Versions of packages from registries, by name.
fn locked(text: &str) -> anyhow::Result<BTreeMap<String, Vec<Version>>> {
    let table: Table = text.parse().context("Cargo.lock cannot be read")?;
    let packages = table.get("package").and_then(Value::as_array).context("no packages")?;
    let mut all: BTreeMap<String, Vec<Version>> = BTreeMap::new();
    for package in packages.iter().filter(|package| package.get("source").is_some()) {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let (Some(name), Some(version)) = (text("name"), text("version")) else {
            bail!("a package without a name or a version");
        };
        all.entry(name.to_owned()).or_default().push(version.parse()?);
    }
    Ok(all)
}

/// Ids of the advisories that deny.toml ignores, listed as ids or as tables with one.
fn ignored(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let table: Table = text.parse().context("deny.toml cannot be read")?;
    let list = table.get("advisories").and_then(|part| part.get("ignore")?.as_array());
    let id =
        |entry: &Value| entry.as_str().or_else(|| entry.get("id")?.as_str()).map(str::to_owned);
    Ok(list.into_iter().flatten().filter_map(id).collect())
}

fn advisories_of(crates: &Path, package: &str) -> anyhow::Result<Vec<PathBuf>> {
    let folder = crates.join(package);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

// === impl Advisory ===

impl Advisory {
    /// `None`: it was withdrawn.
    fn parse(text: &str) -> anyhow::Result<Option<Self>> {
        let text = text.trim_start().strip_prefix(HEAD).context("it does not begin with TOML")?;
        let (head, body) = text.split_once("```").context("its head does not end")?;
        let table: Table = head.parse().context("its head cannot be read")?;
        let advisory = table.get("advisory").context("it has no [advisory]")?;
        let word = |key: &str| advisory.get(key).and_then(Value::as_str).map(str::to_owned);
        if advisory.get("withdrawn").is_some() {
            return Ok(None);
        }
        let versions = table.get("versions").context("it has no [versions]")?;
        let mut safe = Vec::new();
        for key in ["patched", "unaffected"] {
            let list = versions.get(key).and_then(Value::as_array);
            for requirement in list.into_iter().flatten() {
                let text = requirement.as_str().context("a version that is no text")?;
                safe.push(text.parse().with_context(|| text.to_owned())?);
            }
        }
        let title = body.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
        Ok(Some(Self {
            id: word("id").context("it has no id")?,
            title: title.trim().to_owned(),
            informational: word("informational"),
            safe,
        }))
    }

    fn hits(&self, package: &str, versions: &[Version]) -> Vec<Hit> {
        let is_note = |kind: &String| NOTES.contains(&kind.as_str());
        let affected =
            versions.iter().filter(|version| !self.safe.iter().any(|safe| safe.matches(version)));
        let hit = |version: &Version| Hit {
            package: package.to_owned(),
            version: version.clone(),
            id: self.id.clone(),
            title: self.title.clone(),
            fails: !self.informational.as_ref().is_some_and(is_note),
        };
        affected.map(hit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n[[package]]\nname = \"time\"\nversion = \"0.1.40\"\nsource = \"r\"\n\
                        [[package]]\nname = \"time\"\nversion = \"0.3.40\"\nsource = \"r\"\n\
                        [[package]]\nname = \"ours\"\nversion = \"0.0.1\"\n";

    fn advisory(extra: &str) -> String {
        format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2020-0071\"\npackage = \"time\"\n{extra}\n\
             [versions]\npatched = [\">= 0.2.23\"]\nunaffected = [\"= 0.2.0\"]\n```\n\n\
             # Segfault in time\n\nText.\n"
        )
    }

    /// A repository with this lock file, and a database with this advisory about `time`.
    fn place(advisory: &str, ignore: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let crates = folder.path().join("advisory-db/crates/time");
        fs::create_dir_all(&crates).unwrap();
        fs::write(crates.join("RUSTSEC-2020-0071.md"), advisory).unwrap();
        fs::write(folder.path().join("Cargo.lock"), LOCK).unwrap();
        let deny = format!("[advisories]\nignore = [{ignore}]\n");
        fs::write(folder.path().join("deny.toml"), deny).unwrap();
        folder
    }

    fn passes(advisory: &str, ignore: &str) -> bool {
        let folder = place(advisory, ignore);
        run(folder.path(), Path::new("advisory-db")).unwrap() == ExitCode::SUCCESS
    }

    #[test]
    fn affected_versions_fail_unless_ignored_or_withdrawn() {
        assert!(!passes(&advisory(""), ""));
        assert!(!passes(&advisory("informational = \"unsound\""), ""));
        assert!(passes(&advisory("informational = \"unmaintained\""), ""));
        assert!(passes(&advisory("withdrawn = \"2021-01-01\""), ""));
        assert!(passes(&advisory(""), "\"RUSTSEC-2020-0071\""));
        assert!(passes(&advisory(""), "{ id = \"RUSTSEC-2020-0071\", reason = \"x\" }"));
    }

    #[test]
    fn only_versions_that_are_not_safe_are_named() {
        let versions = &locked(LOCK).unwrap()["time"];
        let hits = Advisory::parse(&advisory("")).unwrap().unwrap().hits("time", versions);
        assert_eq!(hits.len(), 1);
        assert_eq!((hits[0].version.to_string().as_str(), hits[0].fails), ("0.1.40", true));
        assert_eq!(hits[0].title, "Segfault in time");
        assert!(!locked(LOCK).unwrap().contains_key("ours"));
    }

    #[test]
    fn unreadable_advisories_are_errors() {
        for text in ["", "# no head", "```toml\n[advisory]\n```", "```toml\nid = 1"] {
            let folder = place(text, "");
            assert!(run(folder.path(), Path::new("advisory-db")).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_database_nothing_fails() {
        let folder = place("", "");
        let code = run(folder.path(), Path::new("elsewhere")).unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
    }
}
