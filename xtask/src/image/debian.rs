//! Debian packages as parts of an image: fetched by apt, unpacked without being installed.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use super::{layer::Layer, oci::digest};

/// Dependencies that only installation, documentation or Perl scripts of others need.
const LEFT_OUT: &[&str] = &[
    "debconf",
    "debianutils",
    "dpkg",
    "gcc-12-base",
    "git-man",
    "libcrypt1",
    "libdb5.3",
    "liberror-perl",
    "libgdbm-compat4",
    "libgdbm6",
    "libperl5.36",
    "mawk",
    "openssl",
    "perl",
    "perl-base",
    "perl-modules-5.36",
    "readline-common",
];
/// Folders that no program reads.
const UNREAD: &[&str] = &[
    "usr/share/bash-completion/",
    "usr/share/doc-base/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/man/",
    "usr/share/perl5/",
    "var/lib/dpkg/",
];

/// A package at hand.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) sha256: String,
    file: PathBuf,
}

/// The packages and all that they depend on, in the versions that apt knows, sorted by name.
pub(super) fn fetch(names: &[&str], cache: &Path) -> anyhow::Result<Vec<Package>> {
    fs::create_dir_all(cache).with_context(|| format!("make {}", cache.display()))?;
    let status = cache.join("no-package-is-installed");
    fs::write(&status, "").context("write the empty list of packages")?;
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--no-install-recommends", "--print-uris", "-qq"]);
    command.arg("-o").arg(format!("Dir::State::status={}", status.display())).args(names);
    let listed = output(command)?;
    // 'http://…' NAME_VERSION_ARCH.deb SIZE HASH
    let files = listed.lines().filter_map(|line| line.split_whitespace().nth(1));
    let mut packages = Vec::new();
    for file in files {
        let name = file.split('_').next().unwrap_or_default();
        if !LEFT_OUT.contains(&name) {
            packages.push(package(file, cache)?);
        }
    }
    if packages.is_empty() {
        bail!("apt knows none of {}; `apt-get update` fetches its lists", names.join(", "));
    }
    packages.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(packages)
}

fn package(file: &str, cache: &Path) -> anyhow::Result<Package> {
    let path = cache.join(file);
    let mut parts = file.split('_');
    let (Some(name), Some(version)) = (parts.next(), parts.next()) else {
        bail!("{file} is no name of a package")
    };
    // A colon of an epoch is written in hexadecimal in names of files.
    let version = version.replace("%3a", ":");
    if !path.exists() {
        let mut command = Command::new("apt-get");
        command.current_dir(cache).args(["download", "-qq", "-o", "APT::Sandbox::User=root"]);
        output({
            command.arg(format!("{name}={version}"));
            command
        })?;
    }
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(Package { name: name.to_owned(), version, sha256: digest(&bytes), file: path })
}

/// Puts the files of a package into a layer. Copyright files stay; manuals and translations do not.
pub(super) fn unpack(package: &Package, layer: &mut Layer) -> anyhow::Result<()> {
    let mut fields = Command::new("dpkg-deb");
    fields.arg("--field").arg(&package.file);
    // Scanners of images look for packages here when there is no dpkg.
    let control = output(fields)?.into_bytes();
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(&package.file);
    let done = command.output().context("start dpkg-deb")?;
    if !done.status.success() {
        bail!("dpkg-deb: {}", String::from_utf8_lossy(&done.stderr));
    }
    for entry in tar::Archive::new(done.stdout.as_slice()).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let path = merged(path.trim_start_matches("./").trim_end_matches('/'));
        if path.is_empty() || is_unread(&path) {
            continue;
        }
        let header = entry.header();
        let (kind, mode) = (header.entry_type(), header.mode()?);
        let target = entry.link_name()?.map(|target| target.display().to_string());
        match (kind, target) {
            (tar::EntryType::Directory, _) => layer.directory(&path, mode, 0),
            (tar::EntryType::Symlink, Some(target)) => layer.link(&path, &target),
            (tar::EntryType::Link, Some(target)) => {
                layer.link(&path, &format!("/{}", merged(target.trim_start_matches("./"))));
            }
            (tar::EntryType::Regular, _) => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                layer.file(&path, mode, bytes);
            }
            (kind, _) => bail!("{}: {path} is {kind:?}", package.name),
        }
    }
    layer.file(&format!("var/lib/dpkg/status.d/{}", package.name), 0o644, control);
    Ok(())
}

/// The path in a system whose `/bin`, `/sbin` and `/lib` are links into `/usr`.
fn merged(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    match first {
        "bin" | "sbin" | "lib" | "lib64" => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

fn is_unread(path: &str) -> bool {
    let is_manual = path.starts_with("usr/share/doc/") && !path.ends_with("/copyright");
    is_manual || UNREAD.iter().any(|folder| path.starts_with(folder))
}

fn output(mut command: Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("start {:?}", command.get_program()))?;
    if !done.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{is_unread, merged};

    #[test]
    fn paths_are_those_of_a_merged_system() {
        assert_eq!(merged("bin/bash"), "usr/bin/bash");
        assert_eq!(merged("lib"), "usr/lib");
        assert_eq!(merged("library/x"), "library/x");
    }

    #[test]
    fn copyright_files_stay_and_manuals_go() {
        assert!(!is_unread("usr/share/doc/bash/copyright"));
        assert!(is_unread("usr/share/doc/bash/changelog.gz"));
        assert!(is_unread("usr/share/man/man1/bash.1.gz"));
        assert!(!is_unread("usr/bin/bash"));
    }
}
