//! Shared state of the front end: the source, its names and the problems found so far.

use std::collections::BTreeMap;

use plue_plan::{Value, validate::SourceMap};

use crate::workflow::value::value;
use crate::workflow::{
    fields::{Field, Fields},
    names::Names,
    problems::Problems,
    yaml::{Format, Node},
};

/// One workflow file on its way to a plan.
pub(crate) struct Lower<'s, 'f> {
    pub(super) source: &'s str,
    pub(super) format: Format,
    pub(super) problems: Problems<'f>,
    pub(super) names: Names,
    pub(super) places: SourceMap,
    /// Sources of the secrets of runs on one machine, by the secrets' names.
    pub(super) sources: BTreeMap<String, String>,
    /// Bytes that expressions became.
    pub(super) written_bytes: usize,
    pub(super) written_too_much: bool,
}

// === impl Lower ===

impl Lower<'_, '_> {
    /// A field that may hold references.
    pub(super) fn value_field(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> Option<Value> {
        fields.take(name).map(|field| value(self, field.node))
    }

    /// A text that may hold references.
    pub(super) fn text_value_field(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> Option<Value> {
        let field = fields.take(name)?;
        fields.text_of(field, &mut self.problems)?;
        Some(value(self, field.node))
    }

    /// A mapping from names to values that may hold references.
    pub(super) fn values_field(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
    ) -> BTreeMap<String, Value> {
        match fields.take(name) {
            Some(field) => self.values(fields, field),
            None => BTreeMap::new(),
        }
    }

    pub(super) fn values(
        &mut self,
        fields: &Fields<'_>,
        field: Field<'_>,
    ) -> BTreeMap<String, Value> {
        let Some(entries) = field.node.entries() else {
            fields.wrong(field, "a mapping", None, &mut self.problems);
            return BTreeMap::new();
        };
        entries.iter().map(|(key, node)| (key.text.clone(), value(self, node))).collect()
    }

    /// The fields of a mapping, or a problem.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str) -> Option<Fields<'n>> {
        Fields::of(node, what, &mut self.problems)
    }
}
