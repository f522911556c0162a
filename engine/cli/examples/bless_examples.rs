//! Rewrites the `expected/` folders of `examples/`: `cargo run -p plue-cli --example bless_examples
//! [NAME…]`. Read the difference before you commit it.
//!
//! Must compute exactly what `tests/examples` compares, so it uses the same code.
#![expect(clippy::unwrap_used, reason = "a tool of the tests: it stops at any failure")]

use std::{path::Path, process::Command};

#[path = "../tests/examples/golden.rs"]
mod golden;

fn main() {
    // target/debug/examples/bless_examples; plue is built into target/debug.
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().and_then(Path::parent).unwrap();
    build(folder);
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let names = if asked.is_empty() { golden::names() } else { asked };
    for name in names {
        let texts = golden::take(&folder.join("plue"), &name);
        let target = golden::root().join(&name).join("expected");
        std::fs::create_dir_all(&target).unwrap();
        for (file, text) in golden::FILES.iter().zip(texts) {
            std::fs::write(target.join(file), text).unwrap();
        }
        println!("examples/{name}/expected");
    }
}

fn build(folder: &Path) {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "build",
        "--quiet",
        "-p",
        "plue-cli",
        "-p",
        "plue-runner",
        "-p",
        "plue-evaluator",
    ]);
    command.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.unwrap().success(), "plue does not build");
}
