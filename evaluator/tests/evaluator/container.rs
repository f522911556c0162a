//! All layers hold in a container as Docker makes one by default, minus everything that can be
//! taken away: no capabilities, no new privileges, read-only root, no network, an ordinary user.
//!
//! Docker's engine is not needed: `runc` is what it starts containers with, and its default seccomp
//! profile is a file, which `scripts/setup.sh test` takes from Debian's package of Docker's source.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the functions that the tests share are not seen as tests"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use plue_wire::eval::LayerState;
use serde_json::{Value as Json, json};

use crate::harness::{Evaluator, binary};

const USER: u32 = 10_001;
const INSIDE: &str = "/plue-evaluator";

/// A folder with a container in it; the container goes with the folder.
struct Bundle {
    folder: tempfile::TempDir,
    id: String,
}

impl Bundle {
    /// `arguments` is what runs inside, and `seccomp` the resolved profile.
    fn new(arguments: &[&str], seccomp: Option<&Json>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("rootfs");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
            read_only(&binary(), INSIDE),
        ];
        for place in ["/usr", "/lib", "/lib64", "/bin"] {
            let inside = root.join(&place[1..]);
            match fs::read_link(place) {
                Ok(target) => symlink(target, inside).unwrap(),
                Err(_) if Path::new(place).is_dir() => {
                    mounts.push(read_only(Path::new(place), place));
                }
                Err(_) => {}
            }
        }
        let namespaces =
            ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
        let mut linux = json!({
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        });
        if let Some(seccomp) = seccomp {
            linux["seccomp"] = seccomp.clone();
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "cwd": "/", "args": arguments, "noNewPrivileges": true,
                "user": { "uid": USER, "gid": USER }, "capabilities": {},
                "env": ["PATH=/usr/bin:/bin"],
            },
            "root": { "path": "rootfs", "readonly": true },
            "mounts": mounts,
            "linux": linux,
        });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let name = folder.path().file_name().unwrap().to_string_lossy().replace('.', "");
        Self { folder, id: format!("plue-{}-{name}", std::process::id()) }
    }

    /// Runs it to its end.
    fn run(&self) -> std::io::Result<Output> {
        self.runc(&["run"]).arg(&self.id).output()
    }

    fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.folder.path().join("state")).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        drop(self.runc(&["delete", "--force"]).arg(&self.id).output());
    }
}

fn read_only(source: &Path, destination: &str) -> Json {
    json!({ "destination": destination, "type": "bind", "source": source,
        "options": ["rbind", "ro", "nosuid", "nodev"] })
}

/// Docker's default profile, which is a template, as it comes out for a container without
/// capabilities on this architecture and a kernel that has Landlock.
fn profile(template: &Json) -> Json {
    let go = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let name = if go == "arm64" { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    let names = |list: &Json| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let applies = |rule: &&Json| {
        let arches = names(&rule["includes"]["arches"]);
        names(&rule["includes"]["caps"]).is_empty()
            && (arches.is_empty() || arches.iter().any(|arch| arch == go))
            && !names(&rule["excludes"]["arches"]).iter().any(|arch| arch == go)
    };
    let rules: Vec<Json> = template["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(applies)
        .map(|rule| {
            let mut rule = rule.clone();
            let fields = rule.as_object_mut().unwrap();
            fields.retain(|key, value| {
                matches!(key.as_str(), "names" | "action" | "args" | "errnoRet") && !value.is_null()
            });
            rule
        })
        .collect();
    let maps = template["archMap"].as_array().unwrap();
    let map = maps.iter().find(|map| map["architecture"] == name).unwrap();
    let mut architectures = names(&map["subArchitectures"]);
    architectures.push(name.to_owned());
    let mut profile = json!({
        "defaultAction": template["defaultAction"], "architectures": architectures, "syscalls": rules,
    });
    if !template["defaultErrnoRet"].is_null() {
        profile["defaultErrnoRet"] = template["defaultErrnoRet"].clone();
    }
    profile
}

/// Docker's profile. Without it or without a container, the tests that need them have failed: they
/// would prove nothing.
fn docker() -> Json {
    let tried = Bundle::new(&["/bin/true"], None).run();
    let tried = tried.expect("runc must be there: scripts/setup.sh test installs it");
    assert!(
        tried.status.success(),
        "runc must be able to start a container: {}",
        String::from_utf8_lossy(&tried.stderr)
    );
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/docker-seccomp.json");
    let installed = "/usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json";
    let text = [here.as_path(), Path::new(installed)].iter().find_map(|at| fs::read(at).ok());
    let text = text.unwrap_or_else(|| {
        panic!("{} must be there: scripts/setup.sh test brings it", here.display())
    });
    profile(&serde_json::from_slice(&text).unwrap())
}

#[test]
fn the_container_of_these_tests_is_as_strict_as_it_says() {
    let profile = docker();
    let script = "cat /proc/self/status; ls /sys/class/net 2>&1; \
        touch /written && echo WRITTEN; unshare -U true && echo UNSHARED; id -u";
    let output = Bundle::new(&["/bin/sh", "-c", script], Some(&profile)).run().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = said.lines().map(|line| line.replace('\t', " ")).collect();
    let user = USER.to_string();
    for expected in [
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        user.as_str(),
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {said}");
    }
    assert!(!said.contains("WRITTEN") && !said.contains("UNSHARED"), "{said}");
}

#[test]
fn every_layer_is_on_in_a_docker_container_without_capabilities() {
    let profile = docker();
    let output = Bundle::new(&[INSIDE, "--check"], Some(&profile)).run().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 12);
    for layer in layers {
        assert_eq!(layer["state"], "on", "{layer}");
    }
}

#[test]
fn files_are_evaluated_and_contained_in_a_docker_container_without_capabilities() {
    let profile = docker();
    let bundle = Bundle::new(&[INSIDE], Some(&profile));
    // Detached: otherwise runc stands between, with pipes.
    let mut command = bundle.runc(&["run", "--detach"]);
    command.arg(&bundle.id).stdout(Stdio::null()).stderr(Stdio::null());
    let mut evaluator = Evaluator::spawn(command);
    for layer in &evaluator.hello().layers {
        assert!(matches!(layer.state, LayerState::On(_)), "{layer:?}");
    }
    evaluator.assert_healthy();
    evaluator.assert_time_runs_out("def workflow():\n    while True:\n        pass\n");
    evaluator.assert_healthy();
}
