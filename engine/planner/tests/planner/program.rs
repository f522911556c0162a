//! The real evaluator, for tests.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The evaluator in the folder of the tests; built if missing.
pub(crate) fn evaluator() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let debug = test.parent().and_then(Path::parent).unwrap();
    let program = debug.join("plue-evaluator");
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "plue-evaluator", "--target-dir"])
            .arg(debug.parent().unwrap())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .status();
        assert!(built.unwrap().success(), "cannot build plue-evaluator");
    }
    program
}
