//! Every file becomes its `.expected` file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::rendered::rendered;

/// The workflow files of a folder of the tests.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workflow").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"))
        .collect();
    files.sort();
    files
}

fn compare(folder: &str, least: usize, is_plan: bool) {
    let files = files(folder);
    assert!(files.len() >= least, "{folder} has {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let expected = PathBuf::from(format!("{}.expected", path.display()));
        let expected = fs::read_to_string(expected).unwrap();
        assert_eq!(
            expected.lines().last().unwrap().starts_with('{'),
            is_plan,
            "{}",
            path.display()
        );
        let found = rendered(&path).unwrap();
        if found != expected {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_valid_file_becomes_its_plan() {
    compare("valid", 20, true);
}

#[test]
fn invalid_files_are_refused_with_all_problems() {
    compare("invalid", 50, false);
}

#[test]
fn the_valid_samples_become_their_plans() {
    let mut files = files("shared/valid");
    files.retain(|path| !path.ends_with("14_unicode_ids.yaml"));
    assert_eq!(files.len(), 5);
    for path in files {
        let expected = fs::read_to_string(format!("{}.expected", path.display())).unwrap();
        assert_eq!(rendered(&path).unwrap(), expected);
        assert!(expected.lines().last().unwrap().starts_with('{'), "{}", path.display());
    }
}

#[test]
fn non_ascii_ids_are_refused_with_allowed_characters() {
    let path = files("shared/valid").into_iter().find(|path| path.ends_with("14_unicode_ids.yaml"));
    let found = rendered(&path.unwrap()).unwrap();
    assert!(found.contains("5:10: PLUE-P0010"), "{found}");
    assert!(found.contains("an id has letters a-z and A-Z, digits, `_`, `.` and `-`"), "{found}");
}

#[test]
fn invalid_samples_are_refused_as_annotated() {
    compare("shared/invalid", 9, false);
    for (file, parts) in [
        ("01_cycle_two", &["PLUE-P0015", "a → b → a"][..]),
        ("04_unknown_dependency", &["step `b`", "`biuld`", "did you mean `build`?"]),
        ("05_duplicate_id", &["PLUE-P0011", "`test`"]),
        ("08_bad_enum", &["fixed, exponential", "`linear`"]),
        ("10_negative_numbers", &["`max_parallel` is 0", "is -5", "`retry.max_attempts` is 0"]),
        ("12_unknown_field", &["`dependancies`", "did you mean `dependencies`?"]),
        ("15_unknown_function", &["there is no function `shout`"]),
        ("17_duplicate_key", &["6:5", "`agent` stands twice"]),
        ("21_version", &["`9.0`", "\"1.0\""]),
    ] {
        let path = files("shared/invalid")
            .into_iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == file));
        let found = rendered(&path.unwrap()).unwrap();
        for part in parts {
            assert!(found.contains(part), "{file}: {part} is not in {found}");
        }
    }
}
