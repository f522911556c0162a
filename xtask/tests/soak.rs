//! The hostile soak in small: the programs of this build under every attack for some seconds, killed,
//! and attacked again. `cargo xtask bench soak` is the same for ten minutes and with figures.

use std::{path::Path, process::Command};

use serde_json::Value as Json;

/// Resident memory of an engine under attack, in MiB.
const MAX_RESIDENT_MIB: f64 = 512.0;
/// Of its state directory, in MiB: what a few attackers' runs may keep.
const MAX_DISK_MIB: f64 = 8_192.0;

#[test]
fn honest_pushes_survive_every_attack_and_a_kill() {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let mut bench = Command::new(xtask);
    bench.args(["bench", "soak", "--json", "--seconds", "15", "--programs"]);
    let output = bench.arg(xtask.parent().unwrap()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let largest = |what: &str| {
        let of = lines.iter().filter(|line| line["config"].as_str().unwrap().starts_with(what));
        let found: Vec<f64> = of.map(|line| line["p99"].as_f64().unwrap()).collect();
        assert_eq!(found.len(), 2, "{what}: {lines:?}");
        found.into_iter().fold(0.0, f64::max)
    };
    assert!(largest("engine resident") < MAX_RESIDENT_MIB, "{lines:?}");
    assert!(largest("state directory") < MAX_DISK_MIB, "{lines:?}");
}
