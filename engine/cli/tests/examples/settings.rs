//! Places and circumstances that must not change a plan: time zones, locales, users, directories,
//! hash seeds. Used by a test with a part of them, and by the example `thousand_hashes` with all.
//!
//! Must not compare plans with each other but with the hash in `expected/levels.txt`, so that two
//! machines and two build profiles are compared as well.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::golden;

// The lengths have no common divisor, so that walking through all at once meets every pair.
const ZONES: [&str; 5] =
    ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Europe/Berlin"];
const LOCALES: [&str; 7] =
    ["C", "tr_TR.UTF-8", "de_DE", "ja_JP.eucJP", "POSIX", "ar_EG.UTF-8", "C.UTF-8"];
const FOLDERS: [&str; 3] = ["plain", "with a space", "größe-☃"];
const USERS: [&str; 2] = ["ada", "nobody"];
const SEEDS: [&str; 11] =
    ["0", "1", "2", "3", "42", "1000", "65535", "99999", "123456", "4294967295", "random"];
/// The user that owns nothing, on every Linux.
const UNPRIVILEGED: u32 = 65_534;

/// Copies of every example in directories of different names, readable for everyone.
pub(crate) struct Places {
    folder: TempDir,
    names: Vec<String>,
}

// === impl Places ===

impl Places {
    pub(crate) fn new() -> Self {
        let places = Self { folder: tempfile::tempdir().unwrap(), names: golden::names() };
        open_to_all(places.folder.path());
        for folder in FOLDERS {
            for name in &places.names {
                let to = places.folder.path().join(folder).join(name);
                golden::copy_folder(&golden::root().join(name), &to);
                let init = Command::new("git").args(["init", "--quiet"]).current_dir(&to).status();
                assert!(init.unwrap().success());
            }
        }
        places
    }

    /// A copy of the programs that every user may start.
    pub(crate) fn programs(&self, plue: &Path, number: usize) -> PathBuf {
        let to = self.folder.path().join(format!("bin{number}"));
        std::fs::create_dir(&to).unwrap();
        for name in ["plue", "plue-runner", "plue-evaluator"] {
            std::fs::copy(plue.with_file_name(name), to.join(name)).unwrap();
        }
        to.join("plue")
    }

    /// Plans one example under the circumstances of this number; two evaluations, because every plan
    /// is made twice with different hash seeds. An error names the difference.
    pub(crate) fn plan(&self, plue: &Path, number: usize) -> Result<(), String> {
        let name = &self.names[number % self.names.len()];
        // Another walk through the settings for each round through the examples.
        let turn = number / self.names.len() + number;
        let repo = self.folder.path().join(FOLDERS[turn % FOLDERS.len()]).join(name);
        let home = tempfile::tempdir_in(self.folder.path()).unwrap();
        let mut command = Command::new(plue);
        command.args(["plan", "--output", "json", "--repo"]).arg(&repo);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home.path());
        command.env("TZ", ZONES[turn % ZONES.len()]);
        command
            .env("LANG", LOCALES[turn % LOCALES.len()])
            .env("LC_ALL", LOCALES[turn % LOCALES.len()]);
        command.env("PYTHONHASHSEED", SEEDS[turn % SEEDS.len()]);
        let user = USERS[turn % USERS.len()];
        command.env("USER", user);
        if user == "nobody" && rustix::process::geteuid().is_root() {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
            std::os::unix::fs::chown(home.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        command.current_dir(if turn.is_multiple_of(2) { Path::new("/") } else { &repo });
        let output = command.stdin(Stdio::null()).output().unwrap();
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&output.stdout)));
        let expected = golden::root().join(name).join("expected/levels.txt");
        let expected = std::fs::read_to_string(expected).unwrap_or_default();
        if output.status.success() && expected.lines().next() == Some(&found) {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("{name} is {found}, not as expected, with {command:?}\n{stderr}"))
    }
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
