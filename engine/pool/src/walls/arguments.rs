//! The words that bubblewrap is told. Pure but for looking at what the system has.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{Cell, Untrusted};

/// Where the runner's program is inside.
const RUNNER: &str = "/run/plue/plue-runner";
/// Where the folders of the cell are gathered for a user who may not go where they are.
const GATHERED: &str = "/tmp/plue";
/// Folders of the system that are links to `/usr` on most machines.
const SYSTEM: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What programs read of `/etc` and everybody may know.
const ETC: [&str; 21] = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "ca-certificates.conf",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
    "nsswitch.conf",
    "host.conf",
    "gai.conf",
    "localtime",
    "timezone",
    "mime.types",
    "protocols",
    "services",
    "debian_version",
    "os-release",
    "profile",
];
/// Bytes of shared memory.
const SHM_BYTES: &str = "268435456";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the words are about.
pub(super) struct Place<'a> {
    pub(super) bwrap: &'a Path,
    /// The state directory of which nothing else is seen.
    pub(super) state: &'a Path,
    pub(super) binary: &'a Path,
    pub(super) cell: &'a Cell,
}

/// Where bubblewrap finds what it shows.
pub(super) struct Sources {
    workspace: PathBuf,
    inner: PathBuf,
    tmp: PathBuf,
    etc: PathBuf,
    binary: PathBuf,
}

/// Words, one after the other.
struct Words(Vec<OsString>);

// === impl Words ===

impl Words {
    fn add<const N: usize>(&mut self, words: [&dyn AsRef<std::ffi::OsStr>; N]) -> &mut Self {
        self.0.extend(words.iter().map(|word| word.as_ref().to_owned()));
        self
    }
}

// === impl Sources ===

impl Sources {
    /// Where they are.
    pub(super) fn of(place: &Place<'_>) -> Self {
        let cell = place.cell;
        Self {
            workspace: cell.workspace.clone(),
            inner: cell.inner.clone(),
            tmp: cell.tmp.clone(),
            etc: cell.etc.clone(),
            binary: place.binary.to_owned(),
        }
    }

    /// Where [`Place::unprivileged`] has put them.
    pub(super) fn gathered() -> Self {
        let at = |name: &str| Path::new(GATHERED).join(name);
        Self {
            workspace: at("work"),
            inner: at("box"),
            tmp: at("tmp"),
            etc: at("etc"),
            binary: at("plue-runner"),
        }
    }
}

// === impl Place ===

impl Place<'_> {
    /// For root: what follows is done by a user that is nobody else. Root's own id, even without any
    /// capability, may write to much of `/proc`, and no limit on processes holds for it. That user may
    /// not go into root's folders; so what it needs is put where it may, in a view of its own.
    pub(super) fn unprivileged(&self, owner: u32, setpriv: &Path) -> Vec<OsString> {
        let (to, cell, owner) = (Sources::gathered(), self.cell, owner.to_string());
        let mut words = Words(Vec::new());
        words
            .add([&self.bwrap, &"--die-with-parent", &"--dev-bind", &"/", &"/"])
            .add([&"--tmpfs", &"/tmp", &"--perms", &"0755", &"--dir", &GATHERED])
            .add([&"--bind", &cell.workspace, &to.workspace])
            .add([&"--bind", &cell.inner, &to.inner, &"--bind", &cell.tmp, &to.tmp])
            .add([&"--perms", &"0755", &"--dir", &to.etc]);
        for name in ["passwd", "group", "hosts"] {
            words.add([&"--ro-bind", &cell.etc.join(name), &to.etc.join(name)]);
        }
        words
            .add([&"--ro-bind", &self.binary, &to.binary])
            .add([&"--cap-drop", &"ALL", &"--cap-add", &"CAP_SETUID", &"--cap-add", &"CAP_SETGID"])
            .add([
                &"--",
                &setpriv,
                &"--reuid",
                &owner,
                &"--regid",
                &owner,
                &"--clear-groups",
                &"--",
            ]);
        words.0
    }

    /// The walls themselves, up to the runner's program.
    pub(super) fn inside(&self, options: &Untrusted, from: &Sources) -> Vec<OsString> {
        let (cell, mut words) = (self.cell, Words(Vec::new()));
        words.add([&self.bwrap]);
        namespaces(options, &mut words);
        system(options, &mut words);
        for name in ["passwd", "group"] {
            words.add([&"--ro-bind", &from.etc.join(name), &Path::new("/etc").join(name)]);
        }
        if !options.network {
            words.add([&"--ro-bind", &from.etc.join("hosts"), &"/etc/hosts"]);
        }
        words
            .add([&"--proc", &"/proc", &"--dev", &"/dev"])
            .add([&"--size", &SHM_BYTES, &"--tmpfs", &"/dev/shm", &"--remount-ro", &"/dev"])
            .add([&"--bind", &from.tmp, &"/tmp"])
            .add([&"--tmpfs", &"/run", &"--ro-bind", &from.binary, &RUNNER])
            .add([&"--remount-ro", &"/run"]);
        for path in &options.read {
            words.add([&"--ro-bind", path, path]);
        }
        // Whatever was shown above: of the state directory only this.
        words
            .add([&"--tmpfs", &self.state])
            .add([&"--bind", &from.workspace, &cell.workspace])
            .add([&"--bind", &from.inner, &cell.inner])
            .add([&"--remount-ro", &self.state, &"--remount-ro", &"/"])
            .add([&"--chdir", &cell.workspace, &"--", &RUNNER]);
        words.0
    }
}

fn namespaces(options: &Untrusted, words: &mut Words) {
    words
        .add([&"--unshare-user", &"--unshare-ipc", &"--unshare-pid", &"--unshare-uts"])
        .add([&"--unshare-cgroup", &"--disable-userns", &"--hostname", &"plue"])
        // The runner is the first process inside: its steps cannot kill it.
        .add([&"--die-with-parent", &"--new-session", &"--as-pid-1", &"--cap-drop", &"ALL"])
        .add([&"--uid", &"1000", &"--gid", &"1000", &"--clearenv"]);
    if !options.network {
        words.add([&"--unshare-net"]);
    }
    for (name, value) in [
        ("PATH", PATH),
        ("HOME", "/tmp"),
        ("USER", "plue"),
        ("LOGNAME", "plue"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
    ] {
        words.add([&"--setenv", &name, &value]);
    }
}

/// The machine's programs and libraries, to be read.
fn system(options: &Untrusted, words: &mut Words) {
    words.add([&"--ro-bind", &"/usr", &"/usr"]);
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        match fs::read_link(&path) {
            Ok(target) => drop(words.add([&"--symlink", &target, &path])),
            Err(_) if path.is_dir() => drop(words.add([&"--ro-bind", &path, &path])),
            Err(_) => {}
        }
    }
    words.add([&"--perms", &"0755", &"--dir", &"/etc"]);
    let network: &[&str] = if options.network { &["resolv.conf", "hosts"] } else { &[] };
    for name in ETC.iter().chain(network) {
        let path = Path::new("/etc").join(name);
        words.add([&"--ro-bind-try", &path, &path]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(options: &Untrusted) -> String {
        let cell = Cell {
            workspace: "/s/workspaces/w".into(),
            inner: "/s/runners/r/box".into(),
            tmp: "/s/runners/r/tmp".into(),
            etc: "/s/runners/r/etc".into(),
            owner: None,
        };
        let place = Place {
            bwrap: Path::new("/usr/bin/bwrap"),
            state: Path::new("/s"),
            binary: Path::new("/opt/plue-runner"),
            cell: &cell,
        };
        let words = place.inside(options, &Sources::of(&place));
        words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn of_the_state_directory_only_the_workspace_and_the_buffer_are_shown() {
        let words = words(&Untrusted { read: vec!["/s".into()], ..Untrusted::default() });
        let (before, after) = words.split_once("--tmpfs /s ").unwrap();
        assert!(
            before.contains("--ro-bind /s /s"),
            "what is shown by mistake is covered: {before}"
        );
        let shown = "--bind /s/workspaces/w /s/workspaces/w --bind /s/runners/r/box /s/runners/r/box \
                     --remount-ro /s --remount-ro / --chdir /s/workspaces/w -- /run/plue/plue-runner";
        assert_eq!(after, shown);
    }

    /// A step could put a link in its place, which the next start would follow to anywhere.
    #[test]
    fn nothing_is_shown_from_within_what_the_steps_may_write() {
        let words = words(&Untrusted::default());
        let words: Vec<_> = words.split(' ').collect();
        let binds = words.windows(2).filter(|pair| pair[0].contains("bind"));
        let within = ["/s/workspaces/w/", "/s/runners/r/box/", "/s/runners/r/tmp/"];
        for pair in binds {
            assert!(!within.iter().any(|folder| pair[1].starts_with(folder)), "{pair:?}");
        }
    }

    #[test]
    fn the_network_is_only_there_when_the_operator_says_so() {
        assert!(words(&Untrusted::default()).contains("--unshare-net"));
        let open = words(&Untrusted { network: true, ..Untrusted::default() });
        assert!(!open.contains("--unshare-net"));
        for wall in ["--unshare-user", "--unshare-pid", "--disable-userns", "--clearenv"] {
            assert!(open.contains(wall), "{open}");
        }
    }
}
