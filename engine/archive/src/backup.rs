//! A backup: the whole database and the larger blobs in one file, made while others go on.
//!
//! Entries: `backup.json`, then the database (`plue.db`, or `postgres.dump` of `pg_dump`), then
//! `blobs/…`. A blob that the database names is there, for blobs are copied after it and are never
//! changed. Must not hold the key that secrets are sealed with: both together give the secrets away.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub mod postgres;

/// The version of the format.
const FORMAT: u32 = 1;
/// Fast enough, and small.
const LEVEL: i32 = 3;
/// Name of the first entry.
const HEAD: &str = "backup.json";
/// The database, if it is SQLite.
pub const SQLITE: &str = "plue.db";
/// The database, if it is Postgres.
pub const POSTGRES: &str = "postgres.dump";
/// The folder of larger blobs.
const BLOBS: &str = "blobs";

/// Description of a backup, in its first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of the format.
    pub format: u32,
    /// `plue.db` or `postgres.dump`.
    pub database: String,
    /// The version of the tables.
    pub schema_version: i64,
    /// RFC 3339.
    pub made_at: String,
}

/// Writes a backup of a copied database and the blobs next to it.
///
/// # Errors
/// The files.
pub fn write(target: File, head: &Head, database: &Path, blobs: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(zstd::Encoder::new(target, LEVEL)?);
    let text = serde_json::to_vec(head)?;
    let mut entry = tar::Header::new_gnu();
    entry.set_size(text.len() as u64);
    entry.set_mode(0o600);
    tar.append_data(&mut entry, HEAD, text.as_slice())?;
    tar.append_path_with_name(database, &head.database)?;
    if blobs.is_dir() {
        tar.append_dir_all(BLOBS, blobs)?;
    }
    tar.into_inner()?.finish()?.sync_all()
}

/// Unpacks a backup into an empty folder; returns its description.
///
/// # Errors
/// The files; it is no backup, or of a newer plue.
pub fn unpack(source: &Path, folder: &Path) -> io::Result<Head> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(source)?)?);
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut head: Option<Head> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(head) = &head else {
            if path != Path::new(HEAD) {
                return Err(wrong("this is no backup of plue"));
            }
            let found: Head = serde_json::from_reader(entry)?;
            if found.format > FORMAT {
                return Err(wrong("this backup was made by a newer plue"));
            }
            head = Some(found);
            continue;
        };
        let is_ours = path == Path::new(&head.database) || path.starts_with(BLOBS);
        let kind = entry.header().entry_type();
        if !is_ours || !(kind.is_file() || kind.is_dir()) || !entry.unpack_in(folder)? {
            return Err(wrong("the backup holds something that does not belong there"));
        }
    }
    let head = head.ok_or_else(|| wrong("this is no backup of plue"))?;
    let known = matches!(head.database.as_str(), SQLITE | POSTGRES);
    if !known || !folder.join(&head.database).is_file() {
        return Err(wrong("the backup has no database"));
    }
    Ok(head)
}

/// Puts the unpacked blobs into their place.
///
/// # Errors
/// The files.
pub fn place_blobs(unpacked: &Path, place: &Path) -> io::Result<()> {
    let from = unpacked.join(BLOBS);
    if !from.is_dir() {
        return Ok(());
    }
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(place.join(&folder))?;
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                fs::copy(entry.path(), place.join(path))?;
            }
        }
    }
    Ok(())
}

/// The description of a new backup.
#[must_use]
pub fn head(database: &str, made_at: String) -> Head {
    let schema_version = plue_store::SCHEMA_VERSION;
    Head { format: FORMAT, database: database.to_owned(), schema_version, made_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_reach_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, into) = (folder.path().join("b"), folder.path().join("into"));
        fs::create_dir(&into).unwrap();
        fs::write(&file, "not a backup").unwrap();
        assert!(unpack(&file, &into).is_err());
        let made = |head: &Head, extra: &str| {
            let mut tar =
                tar::Builder::new(zstd::Encoder::new(File::create(&file).unwrap(), 1).unwrap());
            for (name, text) in
                [(HEAD, serde_json::to_string(head).unwrap()), (extra, "x".to_owned())]
            {
                let mut entry = tar::Header::new_gnu();
                entry.set_size(text.len() as u64);
                // Not `append_data`, which refuses such names itself.
                entry.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
                entry.set_cksum();
                tar.append(&entry, text.as_bytes()).unwrap();
            }
            tar.into_inner().unwrap().finish().unwrap();
        };
        let good = head(SQLITE, "now".to_owned());
        made(&good, SQLITE);
        assert_eq!(unpack(&file, &into).unwrap(), good);
        for (head, extra) in [
            (good.clone(), "../plue.db"),
            (good.clone(), "blobs/../../x"),
            (good.clone(), "secret.key"),
            (Head { format: FORMAT + 1, ..good.clone() }, SQLITE),
            (Head { database: "/etc/passwd".to_owned(), ..good }, SQLITE),
        ] {
            made(&head, extra);
            assert!(unpack(&file, &into).is_err(), "{head:?} {extra}");
        }
        assert!(!folder.path().join("plue.db").exists() && !folder.path().join("x").exists());
    }
}
