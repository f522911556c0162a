//! Forms made from a JSON Schema or from declared inputs, and what people entered into them.
//!
//! A schema may be untrusted: only the first [`MAX_FIELDS`] properties become fields, each one of
//! a few kinds, and a property that no kind fits is a text in JSON. Must not validate: the engine does.

use std::collections::BTreeMap;

use maud::{Markup, html};
use plue_plan::plan::{Input, InputType};
use serde_json::{Map, Value as Json};

use super::text;

/// Fields of one form.
pub const MAX_FIELDS: usize = 50;
/// Options of one choice.
const MAX_OPTIONS: usize = 200;
/// Characters of a value that a form is filled with.
const MAX_VALUE: usize = 10_000;
/// Prefix of the names of these fields in a form, so that none is mistaken for another one of the page.
const PREFIX: &str = "field.";

/// A field of a form.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name of the property.
    pub name: String,
    /// Title for people; none: the name.
    pub title: Option<String>,
    /// Sentence about the value.
    pub help: Option<String>,
    /// Kind of its control in the form.
    pub kind: Kind,
    /// Whether it must not be empty.
    pub required: bool,
    /// Text that it is filled with.
    pub value: String,
}

/// Kind of a control.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A text of one line.
    Line,
    /// Several lines.
    Lines,
    /// A whole number, of any sign.
    Integer,
    /// A number, whole or not.
    Number,
    /// A box that is set or not.
    Flag,
    /// One of these values.
    Choice(Vec<Json>),
    /// Any JSON.
    Document,
}

// === impl Field ===

impl Field {
    /// The fields of an object's schema, the required ones first.
    #[must_use]
    pub fn of_schema(schema: &Json) -> Vec<Self> {
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
            return Vec::new();
        };
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .map(|names| names.iter().filter_map(Json::as_str).collect())
            .unwrap_or_default();
        let mut fields: Vec<Self> = properties
            .iter()
            .take(MAX_FIELDS)
            .map(|(name, schema)| {
                Self::of_property(name, schema, required.contains(&name.as_str()))
            })
            .collect();
        fields.sort_by_key(|field| !field.required);
        fields
    }

    fn of_property(name: &str, schema: &Json, required: bool) -> Self {
        let text = |key: &str| schema.get(key).and_then(Json::as_str).map(str::to_owned);
        let options = schema.get("enum").and_then(Json::as_array);
        let is_long = schema.get("maxLength").and_then(Json::as_u64).is_some_and(|max| max > 200)
            || text("format").is_some_and(|format| format == "multiline");
        let kind = match (options, schema.get("type").and_then(Json::as_str)) {
            (Some(options), _) => Kind::Choice(options.iter().take(MAX_OPTIONS).cloned().collect()),
            (None, Some("string")) if is_long => Kind::Lines,
            (None, Some("string")) => Kind::Line,
            (None, Some("integer")) => Kind::Integer,
            (None, Some("number")) => Kind::Number,
            (None, Some("boolean")) => Kind::Flag,
            (None, Some(_) | None) => Kind::Document,
        };
        Self {
            name: name.to_owned(),
            title: text("title"),
            help: text("description"),
            kind,
            required,
            value: schema.get("default").map(shown).unwrap_or_default(),
        }
    }

    /// The fields of declared inputs, the required ones first.
    #[must_use]
    pub fn of_inputs(inputs: &BTreeMap<&str, &Input>) -> Vec<Self> {
        let field = |(name, input): (&&str, &&Input)| Self {
            name: (*name).to_owned(),
            title: None,
            help: input.description.clone(),
            kind: match input.kind {
                _ if !input.choices.is_empty() => {
                    Kind::Choice(input.choices.iter().take(MAX_OPTIONS).cloned().collect())
                }
                InputType::String => Kind::Line,
                InputType::Integer => Kind::Integer,
                InputType::Number => Kind::Number,
                InputType::Boolean => Kind::Flag,
                InputType::List | InputType::Object => Kind::Document,
            },
            required: input.required && input.default.is_none(),
            value: input.default.as_ref().map(shown).unwrap_or_default(),
        };
        let mut fields: Vec<Self> = inputs.iter().take(MAX_FIELDS).map(field).collect();
        fields.sort_by_key(|field| !field.required);
        fields
    }

    /// The values that were entered into a posted form; empty fields that may be empty are left out.
    #[must_use]
    pub fn read(fields: &[Self], form: &[u8]) -> Map<String, Json> {
        let mut values = Map::new();
        for field in fields {
            let name = format!("{PREFIX}{}", field.name);
            let mut found = form_urlencoded::parse(form).filter(|(key, _)| *key == name);
            let entered = found.next().map(|(_, value)| value.into_owned());
            if let Some(value) = field.value_of(entered) {
                values.insert(field.name.clone(), value);
            }
        }
        values
    }

    /// The same fields, filled with what was entered into a posted form.
    #[must_use]
    pub fn refilled(fields: Vec<Self>, form: &[u8]) -> Vec<Self> {
        let entered = |name: &str| {
            let name = format!("{PREFIX}{name}");
            let mut found = form_urlencoded::parse(form).filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| value.chars().take(MAX_VALUE).collect::<String>())
        };
        let refill = |field: Self| match (entered(&field.name), &field.kind) {
            (Some(value), Kind::Flag) => Self { value: (value == "on").to_string(), ..field },
            (Some(value), _) => Self { value, ..field },
            (None, Kind::Flag) => Self { value: "false".to_owned(), ..field },
            (None, _) => field,
        };
        fields.into_iter().map(refill).collect()
    }

    fn value_of(&self, entered: Option<String>) -> Option<Json> {
        // Browsers send a checkbox only if it is set.
        if self.kind == Kind::Flag {
            return Some(Json::Bool(entered.as_deref() == Some("on")));
        }
        let entered = entered?;
        match &self.kind {
            _ if entered.is_empty() && !self.required => None,
            Kind::Choice(options) => {
                let found = options.iter().find(|option| shown(option) == entered);
                Some(found.cloned().unwrap_or(Json::String(entered)))
            }
            Kind::Integer | Kind::Number | Kind::Document => {
                let read = serde_json::from_str(entered.trim());
                Some(read.unwrap_or(Json::String(entered)))
            }
            // Forms send line ends of two characters.
            Kind::Lines => Some(Json::String(entered.replace("\r\n", "\n"))),
            Kind::Line | Kind::Flag => Some(Json::String(entered)),
        }
    }

    /// The fields with their labels; `scope` makes their ids unique in the page.
    #[must_use]
    pub fn draw(fields: &[Self], scope: &str) -> Markup {
        html! { @for (at, field) in fields.iter().enumerate() { (field.markup(&format!("{scope}-{at}"))) } }
    }

    fn markup(&self, id: &str) -> Markup {
        let name = format!("{PREFIX}{}", self.name);
        let help = self.help.as_ref().map(|_| format!("{id}-help"));
        let label = html! {
            (text::name(self.title.as_deref().unwrap_or(&self.name)))
            @if !self.required && self.kind != Kind::Flag { span.optional { "optional" } }
        };
        html! {
            div.field {
                @if self.kind == Kind::Flag {
                    label.flag {
                        input type="checkbox" name=(name) checked[self.value == "true"] aria-describedby=[help.as_ref()];
                        (label)
                    }
                } @else {
                    label for=(id) { (label) }
                    (self.control(id, &name, help.as_deref()))
                }
                @if let (Some(text), Some(id)) = (&self.help, &help) {
                    p.help id=(id) { (text::line(text)) }
                }
            }
        }
    }

    fn control(&self, id: &str, name: &str, help: Option<&str>) -> Markup {
        let value: String = self.value.chars().take(MAX_VALUE).collect();
        let (kind, step) = match self.kind {
            Kind::Integer => ("number", Some("1")),
            Kind::Number => ("number", Some("any")),
            _ => ("text", None),
        };
        html! {
            @match &self.kind {
                Kind::Choice(options) => {
                    select id=(id) name=(name) required[self.required] aria-describedby=[help] {
                        @if !self.required || self.value.is_empty() { option value="" { "Choose…" } }
                        @for option in options {
                            @let option = shown(option);
                            option value=(option) selected[option == self.value] { (text::bounded(&option, text::NAME)) }
                        }
                    }
                }
                Kind::Lines | Kind::Document => {
                    textarea.mono[self.kind == Kind::Document] id=(id) name=(name) required[self.required]
                        aria-describedby=[help] rows="4" spellcheck=(self.kind == Kind::Lines) { (value) }
                }
                Kind::Line | Kind::Integer | Kind::Number | Kind::Flag => {
                    input id=(id) type=(kind) step=[step] name=(name) value=(value) required[self.required]
                        autocomplete="off" aria-describedby=[help];
                }
            }
        }
    }
}

/// A JSON value as a form has it: a text without its quotes.
fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Vec<Field> {
        Field::of_schema(&json!({
            "type": "object",
            "required": ["ticket", "size"],
            "properties": {
                "note": {"type": "string", "maxLength": 2000},
                "dry": {"type": "boolean", "default": true},
                "size": {"enum": [1, 2, "all"], "title": "Size"},
                "ticket": {"type": "string", "description": "Of the change"},
                "count": {"type": "integer"},
                "extra": {"type": "object"},
            },
        }))
    }

    #[test]
    fn schemas_become_fields_with_the_required_first() {
        let drawn = Field::draw(&fields(), "f").into_string();
        let at = |part: &str| drawn.find(part).unwrap_or_else(|| panic!("{part}: {drawn}"));
        assert!(at("field.ticket") < at("field.count"), "{drawn}");
        for part in [
            "<select",
            "<textarea",
            r#"type="checkbox" name="field.dry" checked"#,
            r#"type="number" step="1""#,
            "Of the change",
            r#"<option value="all""#,
        ] {
            at(part);
        }
    }

    #[test]
    fn entered_values_get_their_types() {
        let form = b"field.ticket=T-1&field.size=2&field.count=&field.note=a%0D%0Ab\
                     &field.extra=%7B%22a%22%3A1%7D&field.unknown=x";
        let values = Field::read(&fields(), form);
        let wanted = json!({
            "ticket": "T-1", "size": 2, "note": "a\nb", "extra": {"a": 1}, "dry": false,
        });
        assert_eq!(Json::Object(values), wanted);
        // A value that is none of its type stays a text, which the engine refuses with a reason.
        let values = Field::read(&fields(), b"field.count=many&field.dry=on");
        assert_eq!((&values["count"], &values["dry"]), (&json!("many"), &json!(true)));
    }

    #[test]
    fn refused_forms_come_back_as_they_were_entered() {
        let again = Field::refilled(fields(), b"field.ticket=T%221&field.size=all");
        let drawn = Field::draw(&again, "f").into_string();
        assert!(drawn.contains("value=\"T&quot;1\""), "{drawn}");
        assert!(drawn.contains("<option value=\"all\" selected>"), "{drawn}");
        assert!(!drawn.contains("checked"), "{drawn}");
    }

    #[test]
    fn hostile_schemas_stay_text_and_bounded() {
        let evil = "\"><script>x</script>\u{202e}".repeat(10_000);
        let property =
            json!({"type": "string", "title": evil, "description": evil, "default": evil});
        let properties: Map<String, Json> =
            (0..500).map(|at| (format!("<b>{at}"), property.clone())).collect();
        let fields = Field::of_schema(&json!({"properties": properties, "required": "x"}));
        let drawn = Field::draw(&fields, "f").into_string();
        assert_eq!(fields.len(), MAX_FIELDS);
        assert!(!drawn.contains("<script") && !drawn.contains("<b>"));
        assert!(drawn.len() < 50 * 60_000, "{}", drawn.len());
        assert!(Field::of_schema(&json!([1])).is_empty());
    }
}
