//! Without a layer the evaluator refuses to work, and every ordinary environment has all of them.
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "the places are made between fork and exec, by functions the tests share"
)]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use plue_evaluator::{exit, kernel};
use plue_wire::eval::LayerState;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::harness::{Evaluator, binary};

/// A kernel without Landlock, as far as the evaluator can see.
fn without_landlock(command: &mut Command) {
    let call = (libc::SYS_landlock_create_ruleset, Vec::new());
    let absent = SeccompAction::Errno(38);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let calls = BTreeMap::from([call]);
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, absent, arch).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(move || apply_filter(&filter).map_err(io::Error::other));
    }
}

fn without_capabilities(command: &mut Command) {
    // SAFETY: as above.
    unsafe {
        command.pre_exec(|| {
            for capability in 0..=63 {
                // Past the kernel's last one it answers an error, which is as good.
                drop(kernel::prctl(libc::PR_CAPBSET_DROP, capability, 0));
            }
            Ok(())
        });
    }
}

fn state(evaluator: &Evaluator, name: &str) -> LayerState {
    let mut layers = evaluator.hello().layers.iter();
    layers.find(|layer| layer.name == name).unwrap().state.clone()
}

#[track_caller]
fn assert_all_on(evaluator: &Evaluator) {
    for layer in &evaluator.hello().layers {
        assert!(matches!(layer.state, LayerState::On(_)), "{layer:?}");
    }
}

#[test]
fn a_missing_layer_is_told_and_then_the_evaluator_ends() {
    let mut command = Evaluator::command();
    without_landlock(&mut command);
    let mut evaluator = Evaluator::spawn(command);
    assert!(matches!(state(&evaluator, "landlock"), LayerState::Missing(_)));
    assert!(evaluator.has_ended());
    assert_eq!(evaluator.wait().code(), Some(exit::LAYER_MISSING));
}

#[test]
fn the_permission_for_one_layer_is_none_for_another() {
    let mut command = Evaluator::command();
    command.args(["--allow-missing", "seccomp", "--allow-missing", "uid"]);
    without_landlock(&mut command);
    let mut evaluator = Evaluator::spawn(command);
    assert!(evaluator.has_ended());
    assert_eq!(evaluator.wait().code(), Some(exit::LAYER_MISSING));
}

#[test]
fn a_missing_layer_that_is_allowed_by_name_is_told_and_the_others_hold() {
    let mut command = Evaluator::command();
    command.args(["--allow-missing", "landlock"]);
    without_landlock(&mut command);
    let mut evaluator = Evaluator::spawn(command);
    assert!(matches!(state(&evaluator, "landlock"), LayerState::Allowed(_)));
    assert!(matches!(state(&evaluator, "seccomp"), LayerState::On(_)));
    evaluator.assert_healthy();
}

#[test]
fn all_layers_hold_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: every other test is this test");
        return;
    }
    let mut command = Evaluator::command();
    command.uid(54_321).gid(54_321);
    let mut evaluator = Evaluator::spawn(command);
    assert_all_on(&evaluator);
    evaluator.assert_healthy();
}

#[test]
fn all_layers_hold_for_a_user_without_capabilities_as_in_a_container() {
    let mut command = Evaluator::command();
    without_capabilities(&mut command);
    if rustix::process::geteuid().is_root() {
        command.uid(10_001).gid(10_001);
    }
    let mut evaluator = Evaluator::spawn(command);
    assert_all_on(&evaluator);
    evaluator.assert_healthy();
}

#[test]
fn root_without_the_right_to_leave_root_is_refused_unless_allowed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: there is nothing to leave");
        return;
    }
    let mut command = Evaluator::command();
    without_capabilities(&mut command);
    let evaluator = Evaluator::spawn(command);
    assert!(matches!(state(&evaluator, "uid"), LayerState::Missing(_)));
    let mut command = Evaluator::command();
    command.args(["--allow-missing", "uid"]);
    without_capabilities(&mut command);
    let mut evaluator = Evaluator::spawn(command);
    assert!(matches!(state(&evaluator, "uid"), LayerState::Allowed(_)));
    evaluator.assert_healthy();
}

#[test]
fn check_prints_every_layer_and_how_it_was_tried() {
    let output = Command::new(binary()).arg("--check").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 12);
    for layer in layers {
        assert_eq!(layer["state"], "on", "{layer}");
        assert_ne!(layer["detail"], "", "{layer}");
    }
}

#[test]
fn check_fails_where_the_evaluator_would() {
    let mut command = Command::new(binary());
    command.arg("--check").env_clear();
    without_landlock(&mut command);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(exit::LAYER_MISSING));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"missing\""));
}
