//! Tolerant reading of foreign JSON: a field of the wrong type is an absent field.
//!
//! Must not fail: callers check required fields.

use serde_json::{Map, Value as Json};

/// A place in a payload that may be there or not. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loose<'j>(Option<&'j Json>);

// === impl Loose ===

impl<'j> Loose<'j> {
    pub(crate) const fn new(json: &'j Json) -> Self {
        Self(Some(json))
    }

    /// The field of an object.
    pub(crate) fn get(self, key: &str) -> Self {
        Self(self.0.and_then(|json| json.get(key)))
    }

    /// The field at a path of keys.
    pub(crate) fn at(self, path: &[&str]) -> Self {
        path.iter().fold(self, |place, key| place.get(key))
    }

    /// Text that is not empty.
    pub(crate) fn text(self) -> Option<String> {
        let text = self.0?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Text, empty or not.
    pub(crate) fn str(self) -> Option<&'j str> {
        self.0?.as_str()
    }

    pub(crate) fn bool(self) -> Option<bool> {
        self.0?.as_bool()
    }

    /// A natural number, also one written as text.
    pub(crate) fn number(self) -> Option<u64> {
        let json = self.0?;
        json.as_u64().or_else(|| json.as_str()?.parse().ok())
    }

    pub(crate) fn items(self) -> impl Iterator<Item = Self> + Clone {
        let items = self.0.and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().map(Self::new)
    }

    pub(crate) fn object(self) -> Option<&'j Map<String, Json>> {
        self.0?.as_object()
    }

    /// True if the key is present, `null` included.
    pub(crate) const fn is_written(self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_some_and(Json::is_null)
    }

    /// The first of these places that holds an object.
    pub(crate) fn or_object(self, other: Self) -> Self {
        if self.object().is_some() { self } else { other }
    }
}
