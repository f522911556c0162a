//! The reader's keys are those of the published schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value as Json;

use super::{Format, read, schema};

/// Keys read so far, by the kind of mapping.
pub(crate) mod known {
    use std::{cell::RefCell, collections::BTreeMap};

    use super::BTreeSet;

    thread_local! {
        pub(super) static ASKED: RefCell<BTreeMap<String, BTreeSet<&'static str>>> =
            const { RefCell::new(BTreeMap::new()) };
    }

    pub(crate) fn note(what: &str, known: &[&'static str]) {
        // "`retry` of task `a`" is a `retry`, "task `a`" a task.
        let kind = what.split(" of ").next().unwrap_or(what);
        let kind = kind.split(" `").next().unwrap_or(kind).replace('`', "");
        ASKED.with_borrow_mut(|asked| asked.entry(kind).or_default().extend(known));
    }
}

fn keys(schema: &Json, pointer: &str) -> BTreeSet<String> {
    let found = schema.pointer(pointer).and_then(Json::as_object);
    found.unwrap_or_else(|| panic!("{pointer}")).keys().cloned().collect()
}

#[test]
fn the_schema_has_the_keys_of_the_reader() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/workflow/valid");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let format = match path.extension().and_then(|end| end.to_str()) {
            Some("yaml") => Format::Yaml,
            Some("json") => Format::Json,
            _ => continue,
        };
        read("x", &fs::read(&path).unwrap(), format).unwrap();
    }
    let asked: BTreeMap<String, BTreeSet<String>> = known::ASKED.with_borrow(|asked| {
        let owned = |known: &BTreeSet<&str>| known.iter().map(|key| (*key).to_owned()).collect();
        asked.iter().map(|(kind, known)| (kind.clone(), owned(known))).collect()
    });
    let schema = (schema::ALL[0].schema)();
    for (kind, pointer) in [
        ("the workflow", "/properties"),
        ("settings", "/properties/settings/properties"),
        ("metadata", "/properties/metadata/properties"),
        ("context", "/properties/context/properties"),
        ("hooks", "/properties/hooks/properties"),
        ("task", "/$defs/Task/properties"),
        ("input", "/$defs/Input/properties"),
        ("retry", "/$defs/Retry/properties"),
        ("on_failure", "/$defs/Goto/properties"),
        ("cache", "/$defs/Cache/properties"),
        ("checkout", "/$defs/Checkout/properties"),
        ("a service", "/$defs/Service/properties"),
        ("budget", "/$defs/Budget/properties"),
        ("prompt", "/$defs/PromptFile/properties"),
    ] {
        let asked = asked.get(kind).unwrap_or_else(|| panic!("no valid file has a {kind}"));
        assert_eq!(*asked, keys(&schema, pointer), "{kind}");
    }
}
