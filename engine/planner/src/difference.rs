//! The first field in which two JSON values differ.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Characters of a value that are shown.
const MAX_SHOWN: usize = 160;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Path in the plan: `steps[2].depends_on[0]`.
    pub path: String,
    /// The first value as JSON, shortened; `nothing` if it is not there.
    pub left: String,
    /// Value in the second plan.
    pub right: String,
}

/// The first difference, in the order of the first value; `None` if they are equal.
#[must_use]
pub fn first_difference(left: &Json, right: &Json) -> Option<Difference> {
    let mut path = String::new();
    differ(left, right, &mut path)
}

fn differ(left: &Json, right: &Json, path: &mut String) -> Option<Difference> {
    match (left, right) {
        (Json::Object(a), Json::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let dot = if path.is_empty() { "" } else { "." };
                inner(a.get(key), b.get(key), path, &format!("{dot}{key}"))
            })
        }
        (Json::Array(a), Json::Array(b)) => (0..a.len().max(b.len()))
            .find_map(|at| inner(a.get(at), b.get(at), path, &format!("[{at}]"))),
        _ if left == right => None,
        _ => Some(difference(Some(left), Some(right), path)),
    }
}

fn inner(
    left: Option<&Json>,
    right: Option<&Json>,
    path: &mut String,
    step: &str,
) -> Option<Difference> {
    let length = path.len();
    path.push_str(step);
    let found = match (left, right) {
        (Some(left), Some(right)) => differ(left, right, path),
        (left, right) => Some(difference(left, right, path)),
    };
    path.truncate(length);
    found
}

fn difference(left: Option<&Json>, right: Option<&Json>, path: &str) -> Difference {
    Difference {
        path: if path.is_empty() { "the whole".to_owned() } else { path.to_owned() },
        left: shown(left),
        right: shown(right),
    }
}

fn shown(value: Option<&Json>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let a = json!({"name": "x", "steps": [{"id": "a"}, {"id": "b", "run": "1"}]});
        let b = json!({"steps": [{"id": "a"}, {"id": "c", "run": "2"}], "name": "x"});
        let found = first_difference(&a, &b).unwrap();
        assert_eq!(found.path, "steps[1].id");
        assert_eq!((found.left.as_str(), found.right.as_str()), ("\"b\"", "\"c\""));
        assert_eq!(first_difference(&a, &a), None);
    }

    #[test]
    fn a_missing_field_or_element_is_a_difference() {
        let found = first_difference(&json!({"a": [1]}), &json!({"a": [1, 2], "b": 3})).unwrap();
        assert_eq!((found.path.as_str(), found.left.as_str()), ("a[1]", "nothing"));
        let found = first_difference(&json!({}), &json!({"b": "x".repeat(999)})).unwrap();
        assert_eq!(found.path, "b");
        assert!(found.right.ends_with('…'));
    }
}
