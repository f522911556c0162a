//! Operations: pages for those who look after a server, each a tab of one section.
//!
//! A tab is listed only for readers who may open it.

use maud::{Markup, html};

use crate::{
    shell::{Page, Section},
    ui::{self, Tone, notice},
};

pub mod audit;
pub mod health;
pub mod runners;
pub mod schedules;
pub mod secrets;
pub mod tokens;
pub mod usage;
pub mod webhooks;

/// A tab of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// Pools, runners and the queue.
    Runners,
    /// Use by repository, workflow and day.
    Usage,
    /// Schedules and their next ticks.
    Schedules,
    /// Deliveries of forges, and messages to others.
    Webhooks,
    /// Secrets by name, without their values.
    Secrets,
    /// Tokens of the API.
    Tokens,
    /// Changes by people and tokens, in order.
    Audit,
    /// Engines, loops and backlogs.
    Health,
}

/// Context that the tabs share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Tabs that the reader may open.
    pub tabs: Vec<Tab>,
    /// The session's word, for the forms of the page.
    pub csrf: String,
    /// Message about the last action.
    pub done: Option<(Tone, String)>,
}

// === impl Tab ===

impl Tab {
    /// All tabs, in order.
    pub const ALL: &'static [Self] = &[
        Self::Runners,
        Self::Usage,
        Self::Schedules,
        Self::Webhooks,
        Self::Secrets,
        Self::Tokens,
        Self::Audit,
        Self::Health,
    ];

    /// Name of the tab.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Runners => "Runners",
            Self::Usage => "Usage",
            Self::Schedules => "Schedules",
            Self::Webhooks => "Webhooks",
            Self::Secrets => "Secrets",
            Self::Tokens => "Tokens",
            Self::Audit => "Audit",
            Self::Health => "Health",
        }
    }

    /// Address of its page.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Runners => "/runners",
            Self::Usage => "/usage",
            Self::Schedules => "/schedules",
            Self::Webhooks => "/webhooks",
            Self::Secrets => "/secrets",
            Self::Tokens => "/tokens",
            Self::Audit => "/audit",
            Self::Health => "/health",
        }
    }

    /// Topic of the help.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Runners | Self::Audit | Self::Health => "server",
            Self::Usage => "dashboard",
            Self::Schedules | Self::Webhooks => "triggers",
            Self::Secrets => "secrets",
            Self::Tokens => "login",
        }
    }

    /// The page of this tab.
    #[must_use]
    pub fn page(self, frame: &Frame, content: &Markup) -> Page {
        let body = html! {
            div.head { h1 { (self.title()) } (ui::help(self.help())) }
            nav.tabs aria-label="Operations" {
                @for tab in &frame.tabs {
                    a href=(tab.path()) aria-current=[(*tab == self).then_some("page")] { (tab.title()) }
                }
            }
            @if let Some((tone, message)) = &frame.done {
                (notice(*tone, &html! { p { (message) } }))
            }
            (content)
        };
        Page::new(self.title(), body).section(Section::Operations)
    }
}

/// A number with its name.
#[must_use]
pub fn tile(name: &str, value: &Markup) -> Markup {
    html! { div.tile { span.tile-name { (name) } span.tile-value { (value) } } }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::shell::Shell;

    /// Markup that must never survive, and a name that is far too long.
    pub(crate) fn evil() -> String {
        "\"><script>x</script><img src=x>\u{202e}".repeat(20_000)
    }

    /// The page as HTML; fails if a hostile text in it is more than text, or long.
    pub(crate) fn harmless(page: &Page) -> String {
        let page = page.render(&Shell::default());
        assert!(!page.contains("<script>x") && !page.contains("<img src=x"), "{page:.3000}");
        // An attribute that is not shown may hold anything; maud escapes its `>`.
        let shown = page.split('<').filter_map(|tag| Some(tag.split_once('>')?.1));
        assert!(shown.into_iter().all(|text| !text.contains('\u{202e}')));
        assert!(page.len() < 200_000, "{}", page.len());
        page
    }

    #[test]
    fn tabs_are_those_that_the_reader_may_open() {
        let frame = Frame { tabs: vec![Tab::Usage, Tab::Health], ..Frame::default() };
        let page = Tab::Usage.page(&frame, &html! { "content" }).render(&Shell::default());
        assert!(page.contains("href=\"/health\"") && !page.contains("href=\"/tokens\""), "{page}");
        assert!(page.contains(r#"href="/usage" aria-current="page""#), "{page}");
    }

    #[test]
    fn each_tab_has_its_own_address() {
        let paths: std::collections::HashSet<_> = Tab::ALL.iter().map(|tab| tab.path()).collect();
        assert_eq!(paths.len(), Tab::ALL.len());
        assert!(Tab::ALL.iter().all(|tab| crate::help::find(tab.help()).is_some()));
    }
}
