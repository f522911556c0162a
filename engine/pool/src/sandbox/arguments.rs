//! The arguments of bubblewrap. Reads which system folders exist, and nothing else.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{Rules, SandboxDirs, Trust};

/// Path of the runner's program in the sandbox.
const RUNNER: &str = "/run/plue/plue-runner";
/// Mount point of the sandbox's folders for a user without access to their real paths.
const GATHERED: &str = "/tmp/plue";
/// Folders of the system that are links to `/usr` on most machines.
const SYSTEM: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Files of `/etc` that programs need and that hold no secrets.
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
/// The same for own commits: settings of tools, as their people have them on this machine.
const OWN_ETC: [&str; 22] = [
    "bash.bashrc",
    "bashrc",
    "crypto-policies",
    "environment",
    "fonts",
    "gitconfig",
    "gradle",
    "inputrc",
    "lsb-release",
    "magic",
    "mailcap",
    "maven",
    "networks",
    "npmrc",
    "perl",
    "pip.conf",
    "profile.d",
    "python3",
    "redhat-release",
    "rpc",
    "shells",
    "terminfo",
];
/// Prefix of folders of `/etc` that Java needs to start, such as `java-17-openjdk`.
const JAVA: &str = "java-";
/// Mount point of the POSIX message queues: they outlive their processes, and are emptied like a folder.
pub(super) const QUEUES: &str = "/dev/mqueue";
/// Bytes of `/dev/shm`.
const SHM_BYTES: &str = "268435456";
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs and paths of one sandbox.
pub(super) struct Bubblewrap<'a> {
    pub(super) program: &'a Path,
    /// The state directory of which nothing else is seen.
    pub(super) state: &'a Path,
    pub(super) binary: &'a Path,
    pub(super) dirs: &'a SandboxDirs,
}

/// Sources of bubblewrap's mounts.
pub(super) struct Sources {
    workspace: PathBuf,
    inner: PathBuf,
    tmp: PathBuf,
    home: PathBuf,
    etc: PathBuf,
    binary: PathBuf,
    /// Paths that the operator shows, in the order of [`Rules::shown`].
    shown: Vec<PathBuf>,
}

/// Arguments of bubblewrap, in order.
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
    /// Resolves the paths of the rules.
    pub(super) fn of(bwrap: &Bubblewrap<'_>, rules: &Rules) -> Self {
        let dirs = bwrap.dirs;
        Self {
            workspace: dirs.mounted().0.to_owned(),
            inner: dirs.inner.clone(),
            tmp: dirs.tmp.clone(),
            home: dirs.home.clone(),
            etc: dirs.etc.clone(),
            binary: bwrap.binary.to_owned(),
            shown: rules.shown().map(|(path, _)| path.to_owned()).collect(),
        }
    }

    /// The paths at which [`Bubblewrap::unprivileged`] mounts them.
    pub(super) fn gathered(rules: &Rules) -> Self {
        let at = |name: &str| Path::new(GATHERED).join(name);
        let numbered = rules.shown().enumerate();
        Self {
            workspace: at("work"),
            inner: at("box"),
            tmp: at("tmp"),
            home: at("home"),
            etc: at("etc"),
            binary: at("plue-runner"),
            shown: numbered.map(|(number, _)| at(&format!("shown-{number}"))).collect(),
        }
    }
}

// === impl Bubblewrap ===

impl Bubblewrap<'_> {
    /// For root: runs the rest as a user that owns nothing else. Root's own id, even without any
    /// capability, may write to much of `/proc`, and has no limit on processes. The user has no
    /// access to root's folders, so its files are mounted elsewhere, in a mount namespace of its
    /// own.
    pub(super) fn unprivileged(&self, owner: u32, setpriv: &Path, rules: &Rules) -> Vec<OsString> {
        let (to, dirs, owner) = (Sources::gathered(rules), self.dirs, owner.to_string());
        let mut words = Words(Vec::new());
        words
            .add([&self.program, &"--die-with-parent", &"--dev-bind", &"/", &"/"])
            .add([&"--tmpfs", &"/tmp", &"--perms", &"0755", &"--dir", &GATHERED])
            .add([&"--bind", &dirs.mounted().0, &to.workspace])
            .add([&"--bind", &dirs.inner, &to.inner, &"--bind", &dirs.tmp, &to.tmp])
            .add([&"--bind", &dirs.home, &to.home])
            .add([&"--perms", &"0755", &"--dir", &to.etc]);
        for ((path, is_writable), to) in rules.shown().zip(&to.shown) {
            words.add([&bind(is_writable), &path, to]);
        }
        for name in ["passwd", "group", "hosts"] {
            words.add([&"--ro-bind", &dirs.etc.join(name), &to.etc.join(name)]);
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

    /// The sandbox itself, up to the runner's program.
    pub(super) fn inside(&self, rules: &Rules, from: &Sources) -> Vec<OsString> {
        let (dirs, mut words) = (self.dirs, Words(Vec::new()));
        words.add([&self.program]);
        namespaces(rules, &mut words);
        environment(rules, &mut words);
        system(rules, &mut words);
        for name in ["passwd", "group"] {
            words.add([&"--ro-bind", &from.etc.join(name), &Path::new("/etc").join(name)]);
        }
        if !rules.network {
            words.add([&"--ro-bind", &from.etc.join("hosts"), &"/etc/hosts"]);
        }
        words.add([&"--proc", &"/proc", &"--dev", &"/dev"]);
        if rules.trust == Trust::Own && has_queues() {
            words.add([&"--mqueue", &QUEUES]);
        }
        words
            .add([&"--size", &SHM_BYTES, &"--tmpfs", &"/dev/shm", &"--remount-ro", &"/dev"])
            .add([&"--bind", &from.tmp, &"/tmp"])
            .add([&"--tmpfs", &"/run", &"--ro-bind", &from.binary, &RUNNER]);
        if rules.trust == Trust::Own {
            words.add([&"--bind", &from.tmp, &"/var/tmp"]);
        }
        if rules.has_own_home() {
            words.add([&"--bind", &from.home, &rules.home_inside()]);
        }
        for ((path, is_writable), from) in rules.shown().zip(&from.shown) {
            words.add([&bind(is_writable), from, &path]);
        }
        // Covers mounts above: of the state directory only these are visible.
        words
            .add([&"--remount-ro", &"/run", &"--tmpfs", &self.state])
            .add([&"--bind", &from.workspace, &dirs.mounted().1])
            .add([&"--bind", &from.inner, &dirs.inner])
            .add([&"--remount-ro", &self.state, &"--remount-ro", &"/"])
            .add([&"--chdir", &dirs.workspace, &"--", &RUNNER]);
        words.0
    }
}

/// Whether this kernel has POSIX message queues.
pub(super) fn has_queues() -> bool {
    Path::new("/proc/sys/fs/mqueue").is_dir()
}

fn bind(is_writable: bool) -> &'static str {
    if is_writable { "--bind" } else { "--ro-bind" }
}

fn namespaces(rules: &Rules, words: &mut Words) {
    words
        .add([&"--unshare-user", &"--unshare-ipc", &"--unshare-pid", &"--unshare-uts"])
        .add([&"--unshare-cgroup", &"--disable-userns", &"--hostname", &"plue"])
        // The runner is the first process inside: its steps cannot kill it.
        .add([&"--die-with-parent", &"--new-session", &"--as-pid-1", &"--cap-drop", &"ALL"])
        .add([&"--uid", &"1000", &"--gid", &"1000"]);
    if !rules.network {
        words.add([&"--unshare-net"]);
    }
}

/// Variables that describe the user inside. For own steps they override variables of the machine,
/// which are not arguments: every user may read a command line.
fn environment(rules: &Rules, words: &mut Words) {
    if rules.trust == Trust::Untrusted {
        words.add([&"--clearenv", &"--setenv", &"PATH", &PATH, &"--setenv", &"LANG", &"C.UTF-8"]);
    }
    for (name, value) in
        [("USER", "plue"), ("LOGNAME", "plue"), ("SHELL", "/bin/bash"), ("TMPDIR", "/tmp")]
    {
        words.add([&"--setenv", &name, &value]);
    }
    words.add([&"--setenv", &"HOME", &rules.home_inside()]);
}

/// The machine's programs and libraries, to be read.
fn system(rules: &Rules, words: &mut Words) {
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
    let network: &[&str] = if rules.network { &["resolv.conf", "hosts"] } else { &[] };
    for name in ETC.iter().chain(network) {
        let path = Path::new("/etc").join(name);
        words.add([&"--ro-bind-try", &path, &path]);
    }
    if rules.trust == Trust::Own {
        let names = OWN_ETC.iter().map(|name| (*name).to_owned());
        for name in names.chain(javas()) {
            let path = Path::new("/etc").join(name);
            words.add([&"--ro-bind-try", &path, &path]);
        }
    }
}

fn javas() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/etc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(JAVA))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Local, Untrusted},
        *,
    };

    fn words(options: &Untrusted) -> String {
        of(&Rules::of_untrusted(options.clone()))
    }

    fn of(rules: &Rules) -> String {
        let dirs = SandboxDirs {
            workspace: "/s/workspaces/w".into(),
            files: "/s/workspaces/w".into(),
            places: None,
            inner: "/s/runners/r/box".into(),
            tmp: "/s/runners/r/tmp".into(),
            home: "/s/runners/r/home".into(),
            etc: "/s/runners/r/etc".into(),
            owner: None,
        };
        let bwrap = Bubblewrap {
            program: Path::new("/usr/bin/bwrap"),
            state: Path::new("/s"),
            binary: Path::new("/opt/plue-runner"),
            dirs: &dirs,
        };
        let words = bwrap.inside(rules, &Sources::of(&bwrap, rules));
        words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn the_state_directory_is_hidden() {
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

    /// A step could put a link in its bwrap, which the next start would follow to anywhere.
    #[test]
    fn no_mount_comes_from_writable_folders() {
        let words = words(&Untrusted::default());
        let words: Vec<_> = words.split(' ').collect();
        let binds = words.windows(2).filter(|pair| pair[0].contains("bind"));
        let within = ["/s/workspaces/w/", "/s/runners/r/box/", "/s/runners/r/tmp/"];
        for pair in binds {
            assert!(!within.iter().any(|folder| pair[1].starts_with(folder)), "{pair:?}");
        }
    }

    #[test]
    fn own_steps_have_a_home_and_hidden_variables() {
        let environment = vec![("AWS_REGION".to_owned(), "moon".to_owned())];
        let local = Local { write: vec!["/srv/cache".into()], ..Local::default() };
        let words = of(&Rules::of_own(local.clone(), environment));
        for shown in [
            "--setenv USER plue",
            "--setenv HOME /home/plue",
            "--bind /s/runners/r/home /home/plue",
            "--bind /srv/cache /srv/cache",
        ] {
            assert!(words.contains(shown), "{shown}: {words}");
        }
        for hidden in ["--unshare-net", "--clearenv", "moon"] {
            assert!(!words.contains(hidden), "{hidden}: {words}");
        }
        let named = Local { home: Some("/srv/home".into()), ..local };
        let words = of(&Rules::of_own(named, Vec::new()));
        assert!(words.contains("--bind /srv/home /srv/home"), "{words}");
        assert!(!words.contains("/home/plue"), "{words}");
    }

    #[test]
    fn the_network_is_off_by_default() {
        assert!(words(&Untrusted::default()).contains("--unshare-net"));
        let open = words(&Untrusted { network: true, ..Untrusted::default() });
        assert!(!open.contains("--unshare-net"));
        for wall in ["--unshare-user", "--unshare-pid", "--disable-userns", "--clearenv"] {
            assert!(open.contains(wall), "{open}");
        }
    }
}
