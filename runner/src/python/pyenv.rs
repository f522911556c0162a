//! The interpreter behind a shim of pyenv.
//!
//! A shim is a shell script that searches for the interpreter at each call, for longer than the
//! interpreter takes to start. The result follows from a variable and two files, by the rules of
//! pyenv's manual. Other cases are left to the shim.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{attempt::launch::Environment, files};

/// Bytes of a file with a version at most.
const MAX_VERSION_BYTES: usize = 256;
/// Bytes of a shim at most.
const MAX_SHIM_BYTES: usize = 4_096;

/// The interpreter that a shim would start in this directory, if `program` is a shim and the answer
/// is plain: one version, which is installed.
pub(crate) fn behind(program: &Path, environment: &Environment, cwd: &Path) -> Option<PathBuf> {
    let shims = program.parent().filter(|folder| folder.ends_with("shims"))?;
    let root = shims.parent()?;
    let text = files::read_followed(program, MAX_SHIM_BYTES).ok()?;
    let is_shim = text.starts_with(b"#!") && text.len() < MAX_SHIM_BYTES && {
        let call: Vec<u8> = [root.as_os_str().as_bytes(), b"/libexec/pyenv\" exec"].concat();
        text.windows(call.len()).any(|window| window == call)
    };
    if !is_shim {
        return None;
    }
    let version = match environment.get(OsStr::new("PYENV_VERSION")) {
        Some(version) => version.to_str()?.to_owned(),
        None => local(cwd).or_else(|| version_in(&root.join("version")))?,
    };
    let version = version.trim();
    let is_plain = !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !version.starts_with('.');
    if !is_plain {
        return None;
    }
    let found = root.join("versions").join(version).join("bin").join(program.file_name()?);
    found.is_file().then_some(found)
}

/// The version of the nearest `.python-version` upwards.
fn local(cwd: &Path) -> Option<String> {
    cwd.ancestors().find_map(|folder| version_in(&folder.join(".python-version")))
}

/// The only line of a file; a file with several has no plain answer and gives a text that is none.
fn version_in(path: &Path) -> Option<String> {
    let text = files::read_followed(path, MAX_VERSION_BYTES).ok()?;
    let text = String::from_utf8(text).ok()?;
    let is_short = text.len() <= MAX_VERSION_BYTES;
    Some(if is_short { text.trim().to_owned() } else { String::new() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            let root = home.0.path();
            for folder in ["shims", "versions/3.1/bin", "versions/3.2/bin", "work/deep"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            for version in ["3.1", "3.2"] {
                fs::write(root.join(format!("versions/{version}/bin/python3")), "").unwrap();
            }
            let shim = format!("#!/bin/sh\nexec \"{}/libexec/pyenv\" exec x", root.display());
            fs::write(root.join("shims/python3"), shim).unwrap();
            home
        }

        fn write(&self, path: &str, text: &str) {
            fs::write(self.0.path().join(path), text).unwrap();
        }

        fn found(&self, variable: Option<&str>) -> Option<String> {
            let root = self.0.path();
            let pairs = variable.into_iter().map(|value| ("PYENV_VERSION".into(), value.into()));
            let found =
                behind(&root.join("shims/python3"), &pairs.collect(), &root.join("work/deep"));
            let found = found?.strip_prefix(root.join("versions")).unwrap().to_owned();
            Some(found.to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn pyenv_versions_have_an_order_of_sources() {
        let home = Home::new();
        assert_eq!(home.found(None), None, "no version is set");
        home.write("version", "3.1\n");
        assert_eq!(home.found(None).as_deref(), Some("3.1/bin/python3"));
        home.write("work/.python-version", "3.2\n");
        assert_eq!(home.found(None).as_deref(), Some("3.2/bin/python3"));
        assert_eq!(home.found(Some("3.1")).as_deref(), Some("3.1/bin/python3"));
    }

    #[test]
    fn unusual_versions_are_left_to_the_shim() {
        let home = Home::new();
        for version in ["system", "3.9", "3.1\n3.2\n", "3.1:3.2", "../3.1", "", "3.1 3.2"] {
            home.write("version", version);
            assert_eq!(home.found(None), None, "{version:?}");
        }
        home.write("version", "3.1");
        home.write("shims/python3", "#!/bin/sh\nexec something else");
        assert_eq!(home.found(None), None, "no shim");
    }
}
