//! The programs under test.
//!
//! `plue` starts `plue-runner` and `plue-evaluator`, from its own folder. Cargo gives a test only the
//! binaries of its own package, so these are built here if they are missing; if they are there they
//! are taken as they are, because `make test` builds the whole workspace first.

use std::{path::Path, process::Command, sync::Once};

/// The path of `plue`, with its two companions in the same folder.
pub(crate) fn plue() -> &'static Path {
    static BUILT: Once = Once::new();
    let plue = Path::new(env!("CARGO_BIN_EXE_plue"));
    BUILT.call_once(|| {
        let folder = plue.parent().unwrap();
        let packages = ["plue-runner", "plue-evaluator"];
        if packages.iter().all(|name| folder.join(name).exists()) {
            return;
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "-p", packages[0], "-p", packages[1]]);
        command.arg("--target-dir").arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            command.arg("--release");
        }
        let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.unwrap().success(), "the runner and the evaluator do not build");
    });
    plue
}
