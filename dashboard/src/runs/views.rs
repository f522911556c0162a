//! Saved views: filters of the list of runs that a reader keeps under a name.

use maud::{Markup, html};

use super::Filter;
use crate::ui::{form, text};

/// Characters of a view's name.
pub const MAX_NAME: usize = 60;

/// The saved views of a reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Views {
    /// Ordered by name; at most fifty.
    pub saved: Vec<View>,
    /// The session's word, for the forms that save and remove.
    pub csrf: String,
}

/// A filter with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Unique among the views of the reader.
    pub name: String,
    /// Conditions that a click sets.
    pub filter: Filter,
}

// === impl Views ===

impl Views {
    /// Links to the views; nothing if there are none.
    pub(super) fn draw(&self, filter: &Filter) -> Markup {
        html! {
            @if !self.saved.is_empty() {
                nav.views aria-label="Saved views" {
                    @for view in &self.saved {
                        a href=(view.filter.href()) aria-current=[(view.filter == *filter).then_some("true")] {
                            (text::name(&view.name))
                        }
                    }
                }
            }
        }
    }

    /// The button of the present filter: it removes the view, or saves one.
    pub(super) fn action(&self, filter: &Filter) -> Markup {
        if *filter == Filter::default() {
            return html! {};
        }
        if let Some(view) = self.saved.iter().find(|view| view.filter == *filter) {
            let fields = [("name", view.name.as_str())];
            let (path, label) = ("/runs/views/remove", "Remove this view");
            return form::Action { path, label, class: "", fields: &fields, confirm: "" }
                .render(&self.csrf);
        }
        html! {
            details.menu.save-view {
                summary { "Save this view" }
                form.menu-body.stack method="post" action="/runs/views" {
                    (form::hidden("csrf", &self.csrf))
                    (form::hidden("query", &filter.query()))
                    label for="view-name" { "Name" }
                    input #view-name name="name" required maxlength=(MAX_NAME) autocomplete="off";
                    button.primary { "Save" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(branch: &str) -> Filter {
        Filter { branch: branch.to_owned(), ..Filter::default() }
    }

    fn views(name: &str) -> Views {
        let saved = vec![View { name: name.to_owned(), filter: filter("main") }];
        Views { saved, csrf: "word".to_owned() }
    }

    #[test]
    fn new_filters_can_be_saved() {
        let views = views("mine");
        let form = views.action(&filter("a&b")).into_string();
        assert!(
            form.contains(r#"action="/runs/views""#) && form.contains("branch=a%26b"),
            "{form}"
        );
        assert!(form.contains(r#"value="word""#), "{form}");
        assert_eq!(views.action(&Filter::default()).into_string(), "");
    }

    #[test]
    fn present_views_are_marked_and_removable() {
        let views = views("<b>\u{202e}mine");
        let links = views.draw(&filter("main")).into_string();
        assert!(links.contains(r#"href="/runs?branch=main" aria-current="true""#), "{links}");
        assert!(!links.contains("<b>") && !links.contains('\u{202e}'), "{links}");
        assert!(!views.draw(&filter("x")).into_string().contains("aria-current"));
        let form = views.action(&filter("main")).into_string();
        assert!(form.contains("/runs/views/remove") && !form.contains("Save"), "{form}");
    }
}
