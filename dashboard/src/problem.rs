//! Error pages: what happened, its stable code, and the next step.

use maud::html;

use crate::{shell::Page, ui::text};

/// An error as a page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status of the answer.
    pub status: u16,
    /// Kind of problem in a few words.
    pub title: String,
    /// Sentence about this case.
    pub detail: String,
    /// Stable code, if the error has one.
    pub code: Option<String>,
    /// Further problems, each with its own sentence.
    pub errors: Vec<String>,
}

/// The page of an error.
#[must_use]
pub fn page(problem: &Problem) -> Page {
    let body = html! {
        div.problem {
            p.problem-status { (problem.status) }
            h1 { (text::line(&problem.title)) }
            (text::paragraph(&sentence(&problem.detail)))
            @if !problem.errors.is_empty() {
                ul { @for error in problem.errors.iter().take(20) { li { (text::line(error)) } } }
            }
            p { (next(problem.status)) }
            @if let Some(code) = &problem.code {
                p.muted { "Code " (text::code(code)) ". Explain it with: " code { "plue explain " (text::bounded(code, 20)) } }
            }
            p { a.button href="/runs" { "All runs" } }
        }
    };
    Page::new(problem.title.clone(), body)
}

fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    let mut text = first + chars.as_str();
    if !text.ends_with(['.', '!', '?', ':']) && !text.is_empty() {
        text.push('.');
    }
    text
}

fn next(status: u16) -> &'static str {
    match status {
        400 => "Check the address: a filter or a field has a value that is not understood.",
        401 => "Sign in, and come back to this page.",
        403 => "Ask a person with a higher role in this repository, or sign in as another person.",
        404 => "Check the address. It may also belong to a repository that you may not see.",
        409 => "Reload the page: the state has changed since you looked.",
        410 => {
            "Links work once. Start the command that printed it again for a new one (`plue serve --open`, \
             `plue run --web`), or sign in with a token: `plue token create --name me --role admin`."
        }
        413 => "Send less.",
        429 => "Wait a moment, then try again.",
        503 => {
            "Try again in a moment. If it goes on, an operator finds the reason in the server's log."
        }
        500..=599 => "This is a fault of the server; its log has the reason.",
        _ => "Go back, and try again.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::Shell;

    #[test]
    fn error_pages_name_code_and_next_step() {
        let problem = Problem {
            status: 409,
            title: "Conflict".to_owned(),
            detail: "the run has ended: <success>".to_owned(),
            code: Some("PLUE-R0001".to_owned()),
            errors: Vec::new(),
        };
        let page = page(&problem).render(&Shell::default());
        for part in ["The run has ended: &lt;success&gt;.", "PLUE-R0001", "Reload the page", "409"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
