//! The build that carries its Python inside needs none where it runs.
#![expect(clippy::unwrap_used, reason = "the functions that the tests share are not seen as tests")]

use std::process::Command;

use crate::harness::binary;

#[test]
fn nothing_but_the_c_library_and_its_own_parts_is_loaded() {
    let output = Command::new("ldd").arg(binary()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let known = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "ld-linux"];
    for line in said.lines() {
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn modules_that_no_evaluation_needs_are_not_inside() {
    let bytes = std::fs::read(binary()).unwrap();
    let holds = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    assert!(holds(b"unicodedata"));
    for name in ["inet_aton", "fork_exec", "XML_ParserCreate", "zlibVersion"] {
        assert!(!holds(name.as_bytes()), "{name}");
    }
}
