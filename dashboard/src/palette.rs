//! Search over runs, workflows, repositories and pages: a page of its own, whose list `palette.js` shows in
//! a dialog.

use maud::{Markup, html};

use crate::{
    shell::{Page, Section},
    state::State,
    ui::text,
};

/// Path of the search.
pub const PATH: &str = "/palette";
/// Characters of a search.
pub const MAX_QUERY: usize = 100;

/// View model of the search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// Text that is searched for.
    pub query: String,
    /// Hits, those of one kind together.
    pub hits: Vec<Hit>,
}

/// A place to go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// `Run`, `Workflow`, `Repository` or `Page`.
    pub kind: &'static str,
    /// Name of the place.
    pub title: String,
    /// More about it: branch, id.
    pub sub: String,
    /// State of a run.
    pub state: Option<State>,
    /// Address of its page.
    pub href: String,
}

/// The pages of the navigation whose name has the text.
#[must_use]
pub fn pages(query: &str) -> Vec<Hit> {
    let query = query.to_lowercase();
    let found = Section::ALL.iter().filter(|one| one.title().to_lowercase().contains(&query));
    let hits = found.map(|section| Hit {
        kind: "Page",
        title: section.title().to_owned(),
        sub: String::new(),
        state: None,
        href: section.path().to_owned(),
    });
    hits.collect()
}

/// The page of the view model.
#[must_use]
pub fn page(model: &Palette) -> Page {
    let body = html! {
        div.head { h1 { "Go to" } }
        form.row.filters method="get" action=(PATH) role="search" {
            input type="search" name="q" value=(text::bounded(&model.query, MAX_QUERY))
                maxlength=(MAX_QUERY) aria-label="Run, workflow, repository or page" data-filter
                placeholder="Run, workflow, repository or page";
            button.primary { "Search" }
        }
        div.card.flush.palette {
            @if model.hits.is_empty() { p { "Nothing has this name." } }
            ul { @for hit in &model.hits { (item(hit)) } }
        }
    };
    Page::new("Go to", body)
}

fn item(hit: &Hit) -> Markup {
    html! {
        li {
            a href=(hit.href) {
                @if let Some(state) = hit.state { (state.icon()) }
                span { (text::name(&hit.title)) }
                @if !hit.sub.is_empty() { span.muted { (text::name(&hit.sub)) } }
                span { (hit.kind) }
            }
        }
    }
}

/// The link to the search; where scripts run, `palette.js` opens the dialog.
#[must_use]
pub fn link() -> Markup {
    html! {
        a.button.palette-open href=(PATH) data-palette { span { "Go to…" } kbd { "Ctrl K" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    #[test]
    fn hits_are_links_with_plain_text() {
        let hit = Hit {
            kind: "Run",
            title: "<b>CI</b>".to_owned(),
            sub: "main".to_owned(),
            state: Some(State::Failed),
            href: "/runs/r1".to_owned(),
        };
        let model = Palette { query: "\"><script>".to_owned(), hits: vec![hit] };
        let page = page(&model).render(&Shell::default());
        assert!(page.contains("&lt;b&gt;CI") && page.contains(r#"href="/runs/r1""#), "{page}");
        assert!(!page.contains("<script>"), "{page}");
    }

    #[test]
    fn pages_are_found_by_name() {
        let found = pages("APPR");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].href, "/approvals");
    }
}
