//! Problems: code, message, place with the source line and a caret, advice.

use std::{fmt::Write as _, path::Path};

use plue_plan::{Diagnostic, Severity, Span};

use crate::{
    app::App,
    output,
    terminal::{Style, Terminal, sanitize},
};

/// Columns of a source line that are shown; the caret's surroundings of a longer one.
const MAX_LINE: usize = 160;

/// Prints problems to standard error.
pub fn print_all(diagnostics: &[Diagnostic], app: &App) {
    for diagnostic in diagnostics {
        output::report(render(diagnostic, &app.stderr, None).trim_end());
    }
}

/// Prints problems of files of a repository, with their source lines.
pub fn print_in(diagnostics: &[Diagnostic], app: &App, root: &Path) {
    for diagnostic in diagnostics {
        output::report(render(diagnostic, &app.stderr, Some(root)).trim_end());
    }
}

/// One problem as text. With `root`, source lines are read from there.
#[must_use]
pub fn render(diagnostic: &Diagnostic, terminal: &Terminal, root: Option<&Path>) -> String {
    let (word, style) = match diagnostic.severity {
        Severity::Error => ("error", Style::Red),
        Severity::Warning => ("warning", Style::Yellow),
    };
    let mut text = String::new();
    let message = sanitize(&diagnostic.message, false);
    let label = format!("{word}[{}]", diagnostic.code);
    let _infallible = writeln!(text, "{}: {message}", terminal.paint(style, &label));
    if let Some(span) = &diagnostic.span {
        place(&mut text, span, style, terminal, root);
    }
    for related in &diagnostic.related {
        let message = sanitize(&related.message, false);
        let _infallible = writeln!(text, "  {} {message}", terminal.paint(Style::Cyan, "note:"));
        place(&mut text, &related.span, Style::Cyan, terminal, root);
    }
    if let Some(hint) = &diagnostic.hint {
        let hint = sanitize(hint, false);
        let _infallible = writeln!(text, "  {} {hint}", terminal.paint(Style::Cyan, "help:"));
    }
    text
}

fn place(text: &mut String, span: &Span, style: Style, terminal: &Terminal, root: Option<&Path>) {
    let shown = span.to_string();
    let _infallible =
        writeln!(text, "  {} {}", terminal.paint(Style::Blue, "-->"), sanitize(&shown, false));
    let Some(line) = root.and_then(|root| source_line(&root.join(&span.file), span.line)) else {
        return;
    };
    let start = usize::try_from(span.column.saturating_sub(1)).unwrap_or(0);
    let skipped = start.saturating_sub(MAX_LINE / 2);
    let visible: String = line.chars().skip(skipped).take(MAX_LINE).collect();
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let width = |count: usize| {
        let part: String = visible.chars().take(count).collect();
        unicode_width::UnicodeWidthStr::width(sanitize(&part, false).as_ref())
    };
    let indent = width(start - skipped);
    let end = match (span.end_line, span.end_column) {
        (None, Some(end)) => usize::try_from(end.saturating_sub(1)).unwrap_or(start + 1),
        (Some(last), Some(end)) if last == span.line => {
            usize::try_from(end.saturating_sub(1)).unwrap_or(start + 1)
        }
        (Some(_), _) => skipped + visible.chars().count(),
        (None, None) => start + 1,
    };
    let carets = width(end.saturating_sub(skipped)).saturating_sub(indent).max(1);
    let bar = terminal.paint(Style::Blue, "|");
    let _infallible = writeln!(text, "  {margin} {bar}");
    let _infallible = writeln!(
        text,
        "  {} {bar} {}",
        terminal.paint(Style::Blue, &number),
        sanitize(&visible, false)
    );
    let marks = "^".repeat(carets);
    let _infallible =
        writeln!(text, "  {margin} {bar} {}{}", " ".repeat(indent), terminal.paint(style, &marks));
}

fn source_line(path: &Path, line: u32) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    text.lines().nth(index).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use plue_plan::Code;

    use super::*;
    use crate::{args::ColorChoice, config::Environment};

    #[test]
    fn carets_count_wide_characters_as_two_columns() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("f.plue.py"), "x = 1\ny = \"日本\" + foo\n").unwrap();
        let span = Span { end_column: Some(15), ..Span::at("f.plue.py", 2, 12) };
        let diagnostic =
            Diagnostic::error(Code::new("PLUE-E0001"), "no such name").at(span).hint("x?");
        let terminal = Terminal::stdout(ColorChoice::Never, &Environment::default());
        let text = render(&diagnostic, &terminal, Some(root.path()));
        assert_eq!(
            text,
            "error[PLUE-E0001]: no such name\n  --> f.plue.py:2:12\n    |\n  2 | y = \"日本\" + foo\n    |              ^^^\n  help: x?\n"
        );
    }
}
