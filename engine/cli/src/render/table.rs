//! Tables: columns as wide as their widest cell, nothing cut, no borders.

use unicode_width::UnicodeWidthStr as _;

use crate::terminal::{Style, Terminal, sanitize};

/// Text and style of a cell.
pub type Cell = (String, Style);

/// A cell without a style.
pub fn plain(text: impl Into<String>) -> Cell {
    (text.into(), Style::Plain)
}

/// A table as text.
#[must_use]
pub fn render(head: &[&str], rows: &[Vec<Cell>], terminal: &Terminal) -> String {
    let clean = |text: &str| sanitize(&text.replace('\n', " "), false).into_owned();
    let mut widths: Vec<usize> = head.iter().map(|text| text.width()).collect();
    for row in rows {
        for (width, (text, _)) in widths.iter_mut().zip(row) {
            *width = (*width).max(clean(text).width());
        }
    }
    let mut table = String::new();
    let mut line = |cells: Vec<(String, Style)>| {
        let last = cells.len().saturating_sub(1);
        for (index, ((text, style), width)) in cells.iter().zip(&widths).enumerate() {
            table.push_str(&terminal.paint(*style, text).to_string());
            if index < last {
                table.push_str(&" ".repeat(width - text.width() + 2));
            }
        }
        table.truncate(table.trim_end_matches(' ').len());
        table.push('\n');
    };
    line(head.iter().map(|text| ((*text).to_owned(), Style::Bold)).collect());
    for row in rows {
        line(row.iter().map(|(text, style)| (clean(text), *style)).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::ColorChoice, config::Environment};

    #[test]
    fn columns_align_by_width_not_by_bytes() {
        let terminal = Terminal::stdout(ColorChoice::Never, &Environment::default());
        let rows = vec![vec![plain("日本"), plain("1")], vec![plain("x"), plain("2")]];
        assert_eq!(render(&["NAME", "N"], &rows, &terminal), "NAME  N\n日本  1\nx     2\n");
    }
}
