//! Secrets by name. No page ever holds a value.

use jiff::Timestamp;
use maud::html;

use super::{Frame, Tab};
use crate::{
    shell::Page,
    ui::{self, text, time},
};

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Name by which steps ask for it.
    pub name: String,
    /// Repository whose steps may name it; none: all.
    pub repo: Option<String>,
    /// Master key that it depends on.
    pub key: String,
    /// Times of the first and the last change.
    pub times: (Timestamp, Timestamp),
}

/// The page of these secrets.
#[must_use]
pub fn page(secrets: &[Secret], frame: &Frame) -> Page {
    let content = html! {
        @if secrets.is_empty() {
            div.card { (nothing()) }
        } @else {
            p.muted {
                "Names only: a value is sealed when it is set, and goes to the steps that name it, never to a page. Change one with "
                code { "plue secret set NAME --repo OWNER/NAME" } "."
            }
            div.card.flush.scroll {
                table.lines {
                    thead { tr { th { "Name" } th { "For" } th { "Master key" } th { "Set" } th { "Changed" } } }
                    tbody {
                        @for secret in secrets {
                            @let (created, changed) = secret.times;
                            tr {
                                td data-name="Name" { (text::code(&secret.name)) }
                                td data-name="For" {
                                    @match &secret.repo {
                                        Some(repo) => { (text::name(repo)) }
                                        None => { span.muted { "all repositories" } }
                                    }
                                }
                                td data-name="Master key" { (text::hash(&secret.key)) }
                                td data-name="Set" { (time::when(created)) }
                                td data-name="Changed" { (time::when(changed)) }
                            }
                        }
                    }
                }
            }
        }
    };
    Tab::Secrets.page(frame, &content)
}

fn nothing() -> maud::Markup {
    ui::empty(
        "No secret is set",
        "A step names the secrets that it needs; the server seals their values and masks them in logs. Set one:",
        &["plue secret set DEPLOY_KEY --repo owner/name"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn secret(name: &str, repo: Option<&str>) -> Secret {
        let zero = Timestamp::UNIX_EPOCH;
        let repo = repo.map(str::to_owned);
        Secret { name: name.to_owned(), repo, key: "k1".to_owned(), times: (zero, zero) }
    }

    #[test]
    fn secrets_show_their_owner() {
        let secrets = [secret("DEPLOY_KEY", Some("acme/app")), secret("SHARED", None)];
        let page = harmless(&page(&secrets, &Frame::default()));
        assert!(page.contains("acme/app") && page.contains("all repositories"), "{page}");
    }

    #[test]
    fn hostile_names_stay_text() {
        harmless(&page(&[secret(&evil(), Some(&evil()))], &Frame::default()));
        assert!(harmless(&page(&[], &Frame::default())).contains("plue secret set"));
    }
}
