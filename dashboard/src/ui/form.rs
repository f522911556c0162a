//! Actions: each is a form with POST, so that it works without scripts and asks for the session's word.

use maud::{Markup, html};

/// A button that posts.
#[derive(Debug, Clone, Copy)]
pub struct Action<'a> {
    /// Path that is posted to.
    pub path: &'a str,
    /// Text of the button.
    pub label: &'a str,
    /// Class of the button: empty, `primary` or `danger`.
    pub class: &'a str,
    /// Further fields, hidden from the reader.
    pub fields: &'a [(&'a str, &'a str)],
    /// Question that `app.js` asks first; empty: none.
    pub confirm: &'a str,
}

// === impl Action ===

impl Action<'_> {
    /// The form, with the session's word.
    #[must_use]
    pub fn render(&self, csrf: &str) -> Markup {
        let confirm = (!self.confirm.is_empty()).then_some(self.confirm);
        html! {
            form.action method="post" action=(self.path) data-confirm=[confirm] {
                (hidden("csrf", csrf))
                @for (name, value) in self.fields { (hidden(name, value)) }
                button class=[(!self.class.is_empty()).then_some(self.class)] { (self.label) }
            }
        }
    }
}

/// A field that is not shown.
#[must_use]
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_carry_the_word_of_the_session() {
        let fields = [("step", "a\"b")];
        let action = Action {
            path: "/runs/r/cancel",
            label: "Cancel",
            class: "danger",
            fields: &fields,
            confirm: "Cancel the run?",
        };
        let form = action.render("word").into_string();
        for part in [
            r#"method="post" action="/runs/r/cancel""#,
            r#"name="csrf" value="word""#,
            r#"value="a&quot;b""#,
            r#"data-confirm="Cancel the run?""#,
            r#"<button class="danger">"#,
        ] {
            assert!(form.contains(part), "{part}: {form}");
        }
    }
}
