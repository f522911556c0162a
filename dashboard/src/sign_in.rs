//! Sign-in: with a token here, or through the issuer of identities.

use maud::html;

use crate::{
    shell::Page,
    ui::{Tone, form, notice, text},
};

/// State of the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// Path to come back to.
    pub to: Option<String>,
    /// Reason for which the last token was refused.
    pub refused: Option<&'static str>,
}

/// The page with the form for a token.
#[must_use]
pub fn page(model: &SignIn) -> Page {
    let body = html! {
        div.narrow {
            h1 { "Sign in" }
            @if let Some(reason) = model.refused {
                (notice(Tone::Bad, &html! { (reason) }))
            }
            form.stack method="post" action="/login" {
                @if let Some(to) = &model.to { (form::hidden("to", to)) }
                label for="token" { "Token" }
                input #token type="password" name="token" autocomplete="current-password" required
                    autofocus aria-describedby="token-help";
                p #token-help .muted {
                    "Make one on the server: " code { "plue token create --name me --role writer" }
                }
                button.primary { "Sign in" }
            }
        }
    };
    Page::new("Sign in", body)
}

/// A page with one message and one way forward.
#[must_use]
pub fn message(title: &str, text: &str, next: Option<(&str, &str)>) -> Page {
    let body = html! {
        div.narrow {
            h1 { (title) }
            @if !text.is_empty() { (text::paragraph(text)) }
            @if let Some((path, label)) = next {
                p { a.button.primary href=(path) { (label) } }
            }
        }
    };
    Page::new(title, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    #[test]
    fn forms_keep_their_page_and_show_the_reason() {
        let model = SignIn {
            to: Some("/runs/1?a=\"".to_owned()),
            refused: Some("This token is not valid."),
        };
        let page = page(&model).render(&Shell::default());
        assert!(page.contains(r#"name="to" value="/runs/1?a=&quot;""#), "{page}");
        assert!(page.contains("This token is not valid.") && page.contains(r#"name="token""#));
    }
}
