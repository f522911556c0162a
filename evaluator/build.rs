//! Reads the location of the standard library from the interpreter named by `PYO3_PYTHON` and links
//! that interpreter.
//!
//! Must not fall back to a `python3` from PATH: a build against one Python that later loads another
//! one is a silent mix.

use std::process::Command;

const QUESTION: &str = "import sys, sysconfig; p = sysconfig.get_paths(); \
    print(p['stdlib']); print(sysconfig.get_config_var('DESTSHARED') or ''); \
    print('%d.%d.%d' % sys.version_info[:3])";

const PRELUDE: &str = "src/language/facade/prelude.py";

const COMPILE: &str = "import marshal, sys; text = open(sys.argv[1], encoding='utf-8').read(); \
    code = compile(text, '<string>', 'exec', dont_inherit=True); \
    open(sys.argv[2] + '/prelude.code', 'wb').write(marshal.dumps(code))";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PYO3_PYTHON");
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo hands the interpreter over in the environment"
    )]
    let python = std::env::var("PYO3_PYTHON")
        .map_err(|_| "PYO3_PYTHON is not set; it names the interpreter to embed")?;
    let output = Command::new(&python).args(["-I", "-S", "-c", QUESTION]).output()?;
    if !output.status.success() {
        return Err(format!("{python} does not answer: {}", output.status).into());
    }
    let answer = String::from_utf8(output.stdout)?;
    let mut lines = answer.lines();
    for name in ["PLUE_PYTHON_STDLIB", "PLUE_PYTHON_DYNLOAD", "PLUE_PYTHON_VERSION"] {
        let value = lines.next().ok_or("the interpreter's answer is too short")?;
        println!("cargo::rustc-env={name}={value}");
    }
    println!("cargo::rustc-env=PLUE_PYTHON_EXECUTABLE={python}");
    compile_prelude(&python)?;
    #[cfg(feature = "static-python")]
    freeze(&python)?;
    Ok(())
}

/// Compiles the prelude, which would cost every start 5 ms. The code belongs to exactly this version
/// of Python, which the evaluator compares when it starts.
fn compile_prelude(python: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={PRELUDE}");
    let folder = out_dir()?;
    let status =
        Command::new(python).args(["-I", "-S", "-c", COMPILE, PRELUDE]).arg(folder).status()?;
    if status.success() { Ok(()) } else { Err(format!("{PRELUDE} does not compile").into()) }
}

#[expect(clippy::disallowed_methods, reason = "cargo's interface to build scripts")]
fn out_dir() -> Result<std::ffi::OsString, &'static str> {
    std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")
}

/// Compiles the standard library for the build that needs no Python where it runs.
#[cfg(feature = "static-python")]
#[expect(clippy::disallowed_methods, reason = "cargo's interface to build scripts")]
fn freeze(python: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=freeze.py");
    println!("cargo::rerun-if-env-changed=PYO3_CONFIG_FILE");
    if std::env::var_os("PYO3_CONFIG_FILE").is_none() {
        return Err(
            "static-python links what PYO3_CONFIG_FILE says; use scripts/dist-evaluator.sh".into(),
        );
    }
    let status = Command::new(python).args(["-I", "-S", "freeze.py"]).arg(out_dir()?).status()?;
    if status.success() { Ok(()) } else { Err(format!("freeze.py failed: {status}").into()) }
}
