//! Help: pages of the manual, embedded in the program, one for each concept that pages link to.

use maud::{Markup, PreEscaped, html};

use crate::shell::Page;

mod markdown;

/// A page of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Name in the address.
    pub name: &'static str,
    /// Title in the list.
    pub title: &'static str,
    /// Path below `docs/`, for links between pages.
    path: &'static str,
    /// Text of the page in Markdown.
    text: &'static str,
}

macro_rules! topics {
    ($($name:literal $title:literal $path:literal;)*) => {
        &[$(Topic {
            name: $name,
            title: $title,
            path: $path,
            text: include_str!(concat!("../../docs/", $path)),
        }),*]
    };
}

/// All topics, in the order of the list.
pub const ALL: &[Topic] = topics! {
    "dashboard" "The dashboard" "how-to/dashboard.md";
    "concepts" "Concepts" "explanation/concepts.md";
    "language" "Workflow files" "reference/language.md";
    "triggers" "Webhooks and triggers" "reference/webhooks.md";
    "runs" "Runs: states and semantics" "reference/semantics.md";
    "logs" "Logs" "reference/log-viewer.md";
    "tests" "Test results" "how-to/test-results.md";
    "artifacts" "Artifacts and caches" "reference/artifacts-and-cache.md";
    "agents" "Claude steps" "reference/claude-steps.md";
    "prompts" "Prompts and roles" "reference/prompts.md";
    "secrets" "Secrets" "how-to/secrets.md";
    "forks" "Pull requests from forks" "explanation/security/forks.md";
    "events" "Runs without a push" "how-to/events.md";
    "outgoing" "Outgoing webhooks" "how-to/outgoing-webhooks.md";
    "server" "Running a server" "how-to/server.md";
    "login" "Sign-in" "how-to/login.md";
    "limits" "Limits" "reference/limits.md";
};

/// The topic of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Topic> {
    ALL.iter().find(|topic| topic.name == name)
}

/// The list of topics.
#[must_use]
pub fn list() -> Page {
    let body = html! {
        div.head { h1 { "Help" } }
        ul.card.topics { @for topic in ALL { li { a href=(address(topic)) { (topic.title) } } } }
        p.muted {
            "Keys of a page are shown with " kbd { "?" } ". An error has a code; its page is printed by "
            code { "plue explain CODE" } "."
        }
    };
    Page::new("Help", body)
}

/// The page of a topic.
#[must_use]
pub fn page(topic: &Topic) -> Page {
    let body = html! {
        div.two.help {
            article.card.two-main { (text(topic)) }
            nav.two-side aria-label="Help" {
                ul.card.topics {
                    @for other in ALL {
                        li { a href=(address(other)) aria-current=[(other == topic).then_some("page")] { (other.title) } }
                    }
                }
            }
        }
    };
    Page::new(topic.title, body)
}

fn address(topic: &Topic) -> String {
    format!("/help/{}", topic.name)
}

fn text(topic: &Topic) -> Markup {
    // The manual is part of the program, and the renderer escapes all of its text.
    PreEscaped(markdown::render(topic.text, |link| resolve(topic, link)))
}

/// The address in the help of a link of a page; none: the manual has it elsewhere.
fn resolve(topic: &Topic, link: &str) -> Option<String> {
    if link.starts_with('#') || link.starts_with("https://") {
        return Some(link.to_owned());
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let mut path: Vec<&str> = topic.path.split('/').collect();
    path.pop();
    for part in file.split('/') {
        match part {
            ".." => drop(path.pop()),
            "." => {}
            part => path.push(part),
        }
    }
    let path = path.join("/");
    let found = ALL.iter().find(|other| other.path == path)?;
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    Some(format!("{}{anchor}", address(found)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::shell::Shell;

    #[test]
    fn topics_have_their_own_names_and_titles() {
        let names: HashSet<_> = ALL.iter().map(|topic| topic.name).collect();
        assert_eq!(names.len(), ALL.len());
        for topic in ALL {
            assert_eq!(find(topic.name), Some(topic));
            let page = page(topic).render(&Shell::default());
            assert!(page.contains("<h1"), "{}", topic.name);
            assert!(!page.contains("style=") && !page.contains("<script>"), "{}", topic.name);
        }
        assert_eq!(find("../secrets"), None);
        for linked in ["dashboard", "language", "forks"] {
            assert!(find(linked).is_some(), "{linked}");
        }
    }

    #[test]
    fn links_lead_to_help_or_nowhere() {
        let concepts = find("concepts").unwrap();
        for (link, wanted) in [
            ("../how-to/secrets.md", Some("/help/secrets")),
            ("security/forks.md#x", Some("/help/forks#x")),
            ("#plan", Some("#plan")),
            ("../decisions/README.md", None),
            ("javascript:alert(1)", None),
        ] {
            assert_eq!(resolve(concepts, link).as_deref(), wanted, "{link}");
        }
    }

    #[test]
    fn lists_have_every_topic() {
        let page = list().render(&Shell::default());
        assert_eq!(page.matches("href=\"/help/").count(), ALL.len());
    }
}
