//! Missing values that blocks take as empty: parts of inputs that the schema declares and does not
//! require.
//!
//! Must not cover what the schema does not name: a slip in a path stays an error.

use std::sync::Arc;

use handlebars::{BlockParamHolder, PathAndJson, RenderContext, RenderError};
use serde_json::Value as Json;

use super::present;

/// Steps through `$ref`s at one place of a schema; compiled schemas have no circles.
const MAX_REFERENCES: usize = 64;

/// The schema of a prompt's inputs, if it has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Optional(Option<Arc<Json>>);

/// The place from which a path of a template is resolved.
enum Start {
    /// One place of the inputs.
    At(Vec<String>),
    /// A block around this one: one of the prefixes of its place.
    Above(Vec<String>),
}

// === impl Optional ===

impl Optional {
    pub(crate) fn of(schema: Option<&Json>) -> Self {
        Self(schema.map(|schema| Arc::new(schema.clone())))
    }

    /// The argument; null in the place of an optional part of the inputs that was not given.
    pub(super) fn value<'a>(
        &self,
        rc: &RenderContext<'_, '_>,
        argument: Option<&'a PathAndJson<'a>>,
    ) -> Result<&'a Json, RenderError> {
        match argument {
            Some(missing) if missing.is_value_missing() && self.covers(rc, missing) => {
                Ok(&Json::Null)
            }
            argument => present(argument),
        }
    }

    fn covers(&self, rc: &RenderContext<'_, '_>, argument: &PathAndJson<'_>) -> bool {
        let (Some(schema), Some(path)) = (&self.0, argument.relative_path()) else {
            return false;
        };
        let Some((start, names)) = resolved(rc, path) else { return false };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match start {
            Start::At(base) => may_be_missing(schema, &base, &names),
            Start::Above(base) => {
                let shorter = (0..base.len()).filter_map(|end| base.get(..end));
                shorter.into_iter().any(|base| may_be_missing(schema, base, &names))
            }
        }
    }
}

/// The place that a path of a template starts from, and the names behind it. `None`: it starts at a
/// value that is no part of the inputs.
fn resolved(rc: &RenderContext<'_, '_>, path: &str) -> Option<(Start, Vec<String>)> {
    let split = |path: &str| -> Vec<String> {
        let names = path.split(['.', '/']).filter(|name| !name.is_empty() && *name != "this");
        names.map(|name| name.trim_matches(['[', ']']).to_owned()).collect()
    };
    if let Some(rest) = path.strip_prefix("@root") {
        return Some((Start::At(Vec::new()), split(rest)));
    }
    let block = rc.block()?;
    if block.base_value().is_some() {
        return None;
    }
    let mut base = block.base_path().clone();
    let above = path.trim_start_matches("../");
    if above.len() < path.len() {
        return Some((Start::Above(base), split(above)));
    }
    let mut names = split(path);
    match names.first().and_then(|first| block.get_block_param(first)) {
        Some(BlockParamHolder::Path(more)) => {
            base.extend(more.iter().cloned());
            names.remove(0);
        }
        Some(BlockParamHolder::Value(_)) => return None,
        None => {}
    }
    Some((Start::At(base), names))
}

/// True if the schema declares every name of the path, and does not require one of them.
fn may_be_missing(root: &Json, base: &[String], names: &[&str]) -> bool {
    let mut place = Some(referred(root, root));
    for step in base {
        place = place.and_then(|place| inside(root, place, step));
    }
    let mut is_optional = false;
    for name in names {
        let Some(parent) = place else { return false };
        let required = parent.get("required").and_then(Json::as_array);
        is_optional |= !required.is_some_and(|names| names.iter().any(|known| known == name));
        place = inside(root, parent, name);
    }
    is_optional && place.is_some()
}

/// The schema of a property, or of the items of a list.
fn inside<'s>(root: &'s Json, schema: &'s Json, step: &str) -> Option<&'s Json> {
    let property = schema.get("properties").and_then(|all| all.get(step));
    let is_index = step.bytes().all(|byte| byte.is_ascii_digit());
    let item = || schema.get("items").filter(|_| is_index);
    property.or_else(item).map(|found| referred(root, found))
}

/// The schema that `$ref`s lead to.
fn referred<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    let mut found = schema;
    for _ in 0..MAX_REFERENCES {
        let target = found.get("$ref").and_then(Json::as_str);
        match target.and_then(|target| root.pointer(target.strip_prefix('#')?)) {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_declared_and_optional_parts_may_be_missing() {
        let schema = json!({
            "type": "object", "required": ["user"],
            "properties": {
                "title": {"type": "string"},
                "user": {"type": "object", "required": ["id"],
                         "properties": {"id": {}, "nick": {"type": "string"}}},
                "files": {"type": "array", "items": {"$ref": "#/$defs/file"}},
            },
            "$defs": {"file": {"type": "object", "required": ["path"],
                               "properties": {"path": {}, "note": {}}}},
        });
        let base = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>();
        for (place, names, covered) in [
            (&[][..], &["title"][..], true),
            (&[], &["tilte"], false),
            (&[], &["user"], false),
            (&[], &["user", "nick"], true),
            (&[], &["user", "id"], false),
            (&["files", "0"], &["note"], true),
            (&["files", "0"], &["path"], false),
            (&["files", "0"], &["title"], false),
            (&[], &[], false),
        ] {
            let found = may_be_missing(&schema, &base(place), names);
            assert_eq!(found, covered, "{place:?} {names:?}");
        }
    }
}
