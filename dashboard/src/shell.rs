//! The frame of all pages: head, navigation, content, and the policy of what a page may load.

use maud::{DOCTYPE, Markup, html};

use crate::{
    assets, palette,
    state::State,
    ui::{form, text},
};

/// `Content-Security-Policy` of every page: files of this server only, nothing inline, no frames.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types plue";
/// Cookie with the theme that the reader chose: `light` or `dark`.
pub const THEME_COOKIE: &str = "plue-theme";

/// Entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The list of runs.
    Runs,
    /// Decisions that runs wait for.
    Approvals,
    /// Workflows of watched repositories.
    Workflows,
    /// Pull requests with their plans.
    Pulls,
    /// Runners, use, schedules and settings of the server.
    Operations,
}

/// Theme of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// The theme that the browser prefers.
    #[default]
    System,
    /// Light, whatever the browser prefers.
    Light,
    /// Dark, whatever the browser prefers.
    Dark,
}

/// The signed-in reader of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Name without its kind.
    pub name: String,
    /// Highest of the roles of the reader.
    pub role: String,
    /// The session's word, which every form carries.
    pub csrf: String,
}

/// Context of a page that does not depend on its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shell {
    /// The reader; none: not signed in.
    pub viewer: Option<Viewer>,
    /// Theme by the reader's cookie.
    pub theme: Theme,
    /// Decisions that wait, at most [`MAX_COUNT`] + 1.
    pub approvals: usize,
    /// Path with query of this page, to come back to.
    pub path: String,
    /// Whether only the content is asked for, by `live.js`.
    pub fragment: bool,
}

/// Largest number that a badge shows.
pub const MAX_COUNT: usize = 99;

/// A page without its frame.
#[derive(Debug)]
pub struct Page {
    title: String,
    section: Option<Section>,
    state: Option<State>,
    modules: Vec<&'static str>,
    styles: Vec<&'static str>,
    topics: Vec<(String, u64)>,
    refresh: Option<(u32, String)>,
    body: Markup,
}

// === impl Section ===

impl Section {
    /// All entries, in order.
    pub const ALL: &'static [Self] =
        &[Self::Runs, Self::Approvals, Self::Workflows, Self::Pulls, Self::Operations];

    /// Name in the navigation.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Runs => "Runs",
            Self::Approvals => "Approvals",
            Self::Workflows => "Workflows",
            Self::Pulls => "Pull requests",
            Self::Operations => "Operations",
        }
    }

    /// Name where the window is narrow, if it differs.
    const fn short_title(self) -> Option<&'static str> {
        match self {
            Self::Pulls => Some("Pulls"),
            Self::Runs | Self::Approvals | Self::Workflows | Self::Operations => None,
        }
    }

    /// Address of its page.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Runs => "/runs",
            Self::Approvals => "/approvals",
            Self::Workflows => "/workflows",
            Self::Pulls => "/pulls",
            Self::Operations => "/operations",
        }
    }
}

// === impl Theme ===

impl Theme {
    /// The theme of a cookie's value.
    #[must_use]
    pub fn of(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    /// Value of the cookie and of `data-theme`; none: the browser's choice.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }
}

// === impl Page ===

impl Page {
    /// A page of this title and content.
    #[must_use]
    pub fn new(title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            section: None,
            state: None,
            modules: Vec::new(),
            styles: Vec::new(),
            topics: Vec::new(),
            refresh: None,
            body,
        }
    }

    /// Marks an entry of the navigation as the present one.
    #[must_use]
    pub fn section(self, section: Section) -> Self {
        Self { section: Some(section), ..self }
    }

    /// Shows a state in the icon and the title of the tab.
    #[must_use]
    pub fn state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Loads a module of [`assets::ALL`].
    #[must_use]
    pub fn module(mut self, name: &'static str) -> Self {
        self.modules.push(name);
        self
    }

    /// Loads a style sheet of [`assets::ALL`] besides that of all pages.
    #[must_use]
    pub fn style(mut self, name: &'static str) -> Self {
        self.styles.push(name);
        self
    }

    /// Follows a topic of `/api/v1/stream` behind the number that the page was rendered at.
    #[must_use]
    pub fn follow(mut self, topic: impl Into<String>, after: u64) -> Self {
        self.topics.push((topic.into(), after));
        self
    }

    /// Goes to a path of this server after so many seconds.
    #[must_use]
    pub fn refresh(self, seconds: u32, path: impl Into<String>) -> Self {
        Self { refresh: Some((seconds, path.into())), ..self }
    }

    /// The document; for a fragment, only what `live.js` replaces.
    #[must_use]
    pub fn render(&self, shell: &Shell) -> String {
        let head = html! {
            title { (self.full_title()) }
            link rel="icon" href=(assets::url(self.icon())) type="image/svg+xml";
        };
        if shell.fragment {
            return html! { (DOCTYPE) (head) (self.main()) }.into_string();
        }
        let page = html! {
            (DOCTYPE)
            html lang="en" data-theme=[shell.theme.as_str()] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    @if let Some((seconds, path)) = &self.refresh {
                        meta http-equiv="refresh" content={ (seconds) ";url=" (path) };
                    }
                    (head)
                    @for name in ["app.css"].iter().chain(&self.styles) {
                        link rel="stylesheet" href=(assets::url(name));
                    }
                    @for name in ["app.js"].iter().chain(&self.modules) {
                        script type="module" src=(assets::url(name)) {}
                    }
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    (self.header(shell))
                    p #connection .connection role="status" hidden {}
                    (self.main())
                    footer.foot {
                        span { "plue" }
                        @if shell.viewer.is_some() {
                            span.foot-links {
                                a href="/help" { "Help" }
                                span.keys-hint { kbd { "?" } " keys" }
                            }
                        }
                    }
                }
            }
        };
        page.into_string()
    }

    fn full_title(&self) -> String {
        let title = text::bounded(&self.title, text::LINE);
        match self.state {
            Some(state) => format!("{}: {title} · plue", state.word()),
            None => format!("{title} · plue"),
        }
    }

    fn icon(&self) -> &'static str {
        match self.state.map(State::tone) {
            Some("good") => "state-good.svg",
            Some("bad") => "state-bad.svg",
            Some("busy") => "state-busy.svg",
            Some("wait") => "state-wait.svg",
            Some(_) | None => "state-idle.svg",
        }
    }

    fn main(&self) -> Markup {
        let topics: Vec<String> =
            self.topics.iter().map(|(topic, after)| format!("{topic}@{after}")).collect();
        let topics = (!topics.is_empty()).then(|| topics.join(" "));
        html! { main #main tabindex="-1" data-topics=[topics] { (self.body) } }
    }

    fn header(&self, shell: &Shell) -> Markup {
        html! {
            header.top {
                a.brand href="/" { (logo()) "plue" }
                @if let Some(viewer) = &shell.viewer {
                    nav aria-label="Main" {
                        @for section in Section::ALL {
                            (self.entry(*section, shell))
                        }
                    }
                    div.tools {
                        (palette::link())
                        (theme_form(shell, &viewer.csrf))
                        (viewer_menu(viewer))
                    }
                }
            }
        }
    }

    fn entry(&self, section: Section, shell: &Shell) -> Markup {
        let current = (self.section == Some(section)).then_some("page");
        let count = match section {
            Section::Approvals => shell.approvals,
            Section::Runs | Section::Workflows | Section::Pulls | Section::Operations => 0,
        };
        html! {
            a href=(section.path()) aria-current=[current] {
                @match section.short_title() {
                    Some(short) => { span.long { (section.title()) } span.short { (short) } }
                    None => (section.title()),
                }
                @if count > 0 {
                    " "
                    span.count {
                        @if count > MAX_COUNT { (MAX_COUNT) "+" } @else { (count) }
                        span.hidden { " waiting" }
                    }
                }
            }
        }
    }
}

fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path.logo-edge d="M6 6h5a3 3 0 0 1 3 3v0M6 18h5a3 3 0 0 0 3-3v0M14 12h4" {}
            circle cx="5" cy="6" r="2.6" {}
            circle cx="5" cy="18" r="2.6" {}
            circle.logo-head cx="18.5" cy="12" r="3.4" {}
        }
    }
}

fn theme_form(shell: &Shell, csrf: &str) -> Markup {
    let next = if shell.theme == Theme::Dark { "light" } else { "dark" };
    html! {
        form.theme method="post" action="/theme" data-theme-form {
            (form::hidden("csrf", csrf))
            (form::hidden("to", &shell.path))
            button.plain name="theme" value=(next) title="Light or dark" {
                svg.glyph viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                    path d="M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 0 1 0-11z" {}
                    path.solid d="M8 2.5a5.5 5.5 0 0 1 0 11z" {}
                }
                span.hidden { "Light or dark" }
            }
        }
    }
}

fn viewer_menu(viewer: &Viewer) -> Markup {
    html! {
        details.menu {
            summary { span.who { (text::name(&viewer.name)) } }
            div.menu-body {
                p.muted { (text::name(&viewer.name)) br; "Role: " (viewer.role) }
                form method="post" action="/logout" {
                    (form::hidden("csrf", &viewer.csrf))
                    button { "Sign out" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Shell {
        let viewer = Viewer {
            name: "ada<b>".to_owned(),
            role: "writer".to_owned(),
            csrf: "word".to_owned(),
        };
        Shell { viewer: Some(viewer), approvals: 120, path: "/runs".to_owned(), ..Shell::default() }
    }

    #[test]
    fn a_page_holds_nothing_that_the_policy_refuses() {
        let body = html! { h1 { "<script>" } };
        let page = Page::new("</title><script>", body).section(Section::Runs).module("live.js");
        let page = page.render(&shell());
        assert!(!page.contains("style=") && !page.contains("<style"), "{page}");
        assert!(!page.contains(" onclick") && !page.contains("<script>"), "{page}");
        assert!(page.contains("ada&lt;b&gt;") && page.contains("99+"), "{page}");
        assert!(page.contains(r#"aria-current="page""#), "{page}");
    }

    #[test]
    fn fragments_have_no_frame() {
        let shell = Shell { fragment: true, ..shell() };
        let page = Page::new("Run", html! { "content" }).follow("run:1", 7).state(State::Failed);
        let page = page.render(&shell);
        assert!(page.contains("<title>Failed: Run · plue</title>"), "{page}");
        assert!(page.contains(r#"data-topics="run:1@7""#), "{page}");
        assert!(page.contains("state-bad.svg") && !page.contains("<header"), "{page}");
    }

    #[test]
    fn visitors_without_a_session_see_no_navigation() {
        let page = Page::new("Sign in", html! {}).render(&Shell::default());
        assert!(!page.contains("<nav") && !page.contains("/logout"), "{page}");
    }
}
