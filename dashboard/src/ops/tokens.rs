//! Tokens of the API: listed, made and revoked. A fresh token is shown once.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Frame, Tab};
use crate::{
    shell::Page,
    ui::{
        Tone,
        form::{self, Action},
        notice, text, time,
    },
};

/// The page of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokensPage {
    /// Tokens by their creation.
    pub tokens: Vec<Token>,
    /// Roles that a token may have, the lowest first.
    pub roles: Vec<&'static str>,
    /// A token that was just made.
    pub fresh: Option<String>,
    /// Time of the page.
    pub now: Timestamp,
}

/// A token without its secret part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Public id, by which it is revoked.
    pub id: String,
    /// Purpose in the words of its author.
    pub name: String,
    /// Highest role that its holder has.
    pub role: String,
    /// Repository that it is good for; none: all.
    pub repo: Option<String>,
    /// Its author and the time of its creation.
    pub created: (String, Timestamp),
    /// Time from which it is refused.
    pub expires: Option<Timestamp>,
    /// Time of its last use.
    pub used: Option<Timestamp>,
}

/// The page of the view model.
#[must_use]
pub fn page(model: &TokensPage, frame: &Frame) -> Page {
    let content = html! {
        @if let Some(fresh) = &model.fresh {
            (notice(Tone::Good, &html! {
                p { "Copy the token now: it is not kept, and no page shows it again." }
                pre.command tabindex="0" { code { (fresh) } }
            }))
        }
        (create(model, &frame.csrf))
        @if !model.tokens.is_empty() { (table(model, &frame.csrf)) }
    };
    Tab::Tokens.page(frame, &content)
}

fn create(model: &TokensPage, csrf: &str) -> Markup {
    html! {
        details.card.fold {
            summary { "New token" }
            form.stack method="post" action="/tokens/create" {
                (form::hidden("csrf", csrf))
                div.field {
                    label for="token-name" { "Purpose" }
                    input #token-name name="name" required maxlength="128" autocomplete="off";
                }
                div.field {
                    label for="token-role" { "Role" }
                    select #token-role name="role" { @for role in &model.roles { option value=(role) { (role) } } }
                }
                div.field {
                    label for="token-repo" { "Only for the repository" span.optional { "optional" } }
                    input #token-repo name="repository" placeholder="owner/name" autocomplete="off";
                }
                div.field {
                    label for="token-days" { "Days until it expires" span.optional { "optional" } }
                    input #token-days name="days" type="number" min="1" max="3650" value="90";
                }
                button.primary { "Make the token" }
            }
        }
    }
}

fn table(model: &TokensPage, csrf: &str) -> Markup {
    html! {
        div.card.flush.scroll {
            table.lines {
                thead { tr { th { "Token" } th { "Role" } th { "For" } th { "Made" } th { "Last used" } th { "Expires" } th { span.hidden { "Actions" } } } }
                tbody {
                    @for token in &model.tokens {
                        @let (author, made) = &token.created;
                        tr {
                            td data-name="Token" { (text::name(&token.name)) span.sub { (text::code(&token.id)) } }
                            td data-name="Role" { (text::name(&token.role)) }
                            td data-name="For" {
                                @match &token.repo {
                                    Some(repo) => { (text::name(repo)) }
                                    None => { span.muted { "all repositories" } }
                                }
                            }
                            td data-name="Made" { (time::when(*made)) span.sub { "by " (text::name(author)) } }
                            td data-name="Last used" {
                                @match token.used { Some(at) => { (time::when(at)) } None => { span.muted { "never" } } }
                            }
                            td data-name="Expires" { (expiry(token, model.now)) }
                            td.right { (revoke(token, csrf)) }
                        }
                    }
                }
            }
        }
    }
}

fn expiry(token: &Token, now: Timestamp) -> Markup {
    html! {
        @match token.expires {
            Some(at) if at <= now => { span.mark.bad { "expired" } }
            Some(at) => { (time::when(at)) }
            None => { span.muted { "never" } }
        }
    }
}

fn revoke(token: &Token, csrf: &str) -> Markup {
    let action = Action {
        path: "/tokens/remove",
        label: "Revoke",
        class: "danger",
        fields: &[("token", &token.id)],
        confirm: "Revoke this token? Its holder is refused from then on.",
    };
    action.render(csrf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{evil, harmless};

    fn token(name: &str) -> Token {
        let zero = Timestamp::UNIX_EPOCH;
        Token {
            id: "t1".to_owned(),
            name: name.to_owned(),
            role: "writer".to_owned(),
            repo: None,
            created: (name.to_owned(), zero),
            expires: Some(zero),
            used: None,
        }
    }

    fn drawn(tokens: Vec<Token>, fresh: Option<&str>) -> String {
        let fresh = fresh.map(str::to_owned);
        let model = TokensPage { tokens, fresh, roles: vec!["reader"], ..TokensPage::default() };
        let frame = Frame { csrf: "word".to_owned(), ..Frame::default() };
        harmless(&page(&model, &frame))
    }

    #[test]
    fn tokens_are_revoked_by_a_form() {
        let page = drawn(vec![token("ci")], None);
        for part in ["/tokens/remove", r#"name="token" value="t1""#, "expired", "never"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("Copy the token"));
    }

    #[test]
    fn fresh_tokens_are_shown_once() {
        assert!(drawn(Vec::new(), Some("plue_abc")).contains("plue_abc"));
    }

    #[test]
    fn hostile_names_stay_text() {
        drawn(vec![token(&evil())], None);
    }
}
