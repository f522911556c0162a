//! Markdown of the manual as HTML: text escaped, links resolved by the caller, no raw HTML.

use pulldown_cmark::{Alignment, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// The text as HTML; a link that resolves to nothing keeps its text only.
pub(super) fn render(text: &str, resolve: impl Fn(&str) -> Option<String>) -> String {
    let mut out = Writer { out: String::with_capacity(text.len() * 2), ..Writer::default() };
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(tag) => out.start(&tag, &resolve),
            Event::End(tag) => out.end(tag),
            Event::Text(text) => out.text(&text),
            Event::Code(code) => out.element("code", &code),
            Event::SoftBreak => out.raw(" "),
            Event::HardBreak => out.raw("<br>"),
            Event::Rule => out.raw("<hr>"),
            Event::Html(html) | Event::InlineHtml(html) => out.text(&html),
            _ => {}
        }
    }
    out.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Whether each open link has an address.
    links: Vec<bool>,
    /// Start of the text of the open heading.
    heading: Option<usize>,
    columns: Vec<Alignment>,
    column: usize,
    is_head: bool,
}

// === impl Writer ===

impl Writer {
    fn raw(&mut self, html: &str) {
        self.out.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                other => self.out.push(other),
            }
        }
    }

    fn element(&mut self, name: &str, text: &str) {
        self.raw(&format!("<{name}>"));
        self.text(text);
        self.raw(&format!("</{name}>"));
    }

    fn start(&mut self, tag: &Tag<'_>, resolve: &impl Fn(&str) -> Option<String>) {
        match tag {
            Tag::Paragraph => self.raw("<p>"),
            Tag::Heading { .. } => self.heading = Some(self.out.len()),
            Tag::BlockQuote(_) => self.raw("<blockquote>"),
            Tag::CodeBlock(_) => self.raw("<pre class=\"log-end\" tabindex=\"0\"><code>"),
            Tag::List(Some(_)) => self.raw("<ol>"),
            Tag::List(None) => self.raw("<ul>"),
            Tag::Item => self.raw("<li>"),
            Tag::Emphasis => self.raw("<em>"),
            Tag::Strong => self.raw("<strong>"),
            Tag::Link { dest_url, .. } => self.link(resolve(dest_url).as_deref()),
            Tag::Table(columns) => {
                self.columns.clone_from(columns);
                self.raw("<div class=\"scroll\" tabindex=\"0\"><table>");
            }
            Tag::TableHead => {
                (self.is_head, self.column) = (true, 0);
                self.raw("<thead><tr>");
            }
            Tag::TableRow => {
                self.column = 0;
                self.raw("<tr>");
            }
            Tag::TableCell => self.cell(),
            _ => {}
        }
    }

    fn link(&mut self, address: Option<&str>) {
        self.links.push(address.is_some());
        if let Some(address) = address {
            self.raw("<a href=\"");
            self.text(address);
            self.raw("\">");
        }
    }

    fn cell(&mut self) {
        let is_right = self.columns.get(self.column) == Some(&Alignment::Right);
        self.column += 1;
        let name = if self.is_head { "th" } else { "td" };
        let class = if is_right { " class=\"right\"" } else { "" };
        self.raw(&format!("<{name}{class}>"));
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.raw("</p>\n"),
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::BlockQuote(_) => self.raw("</blockquote>\n"),
            TagEnd::CodeBlock => self.raw("</code></pre>\n"),
            TagEnd::List(true) => self.raw("</ol>\n"),
            TagEnd::List(false) => self.raw("</ul>\n"),
            TagEnd::Item => self.raw("</li>\n"),
            TagEnd::Emphasis => self.raw("</em>"),
            TagEnd::Strong => self.raw("</strong>"),
            TagEnd::Link if self.links.pop() == Some(true) => self.raw("</a>"),
            TagEnd::Table => self.raw("</tbody></table></div>\n"),
            TagEnd::TableHead => {
                self.is_head = false;
                self.raw("</tr></thead><tbody>");
            }
            TagEnd::TableRow => self.raw("</tr>\n"),
            TagEnd::TableCell => self.raw(if self.is_head { "</th>" } else { "</td>" }),
            _ => {}
        }
    }

    /// Puts the heading with an id made of its text, as the manual's book has it.
    fn heading(&mut self, level: HeadingLevel) {
        let at = self.heading.take().unwrap_or(self.out.len());
        let text = self.out.split_off(at);
        let number = level as usize;
        let id = anchor(&text);
        self.raw(&format!("<h{number} id=\"{id}\">{text}</h{number}>\n"));
    }
}

/// The anchor of a heading: words of lower-case letters and digits, with hyphens between.
fn anchor(html: &str) -> String {
    let mut plain = String::new();
    // The end of a tag or of an escaped character that is being skipped.
    let mut until = None;
    for c in html.chars() {
        match (until, c) {
            (Some(end), c) if c == end => until = None,
            (Some(_), _) => {}
            (None, '<') => until = Some('>'),
            (None, '&') => until = Some(';'),
            (None, ' ' | '-') => plain.push('-'),
            (None, c) if c.is_alphanumeric() => plain.extend(c.to_lowercase()),
            (None, _) => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html_without_markup_of_its_own() {
        let text = "# A `b` & <i>\n\nSee [x](a.md) and [y](b.md).\n\n| a | b |\n|---|---:|\n| 1 | <b> |\n\n\
                    ```\n<script>\n```\n\n- *one*\n";
        let html = render(text, |link| (link == "a.md").then(|| "/help/a".to_owned()));
        for part in [
            "<h1 id=\"a-b--i\">A <code>b</code> &amp; &lt;i&gt;</h1>",
            "<a href=\"/help/a\">x</a> and y.",
            "<td class=\"right\">&lt;b&gt;</td>",
            "&lt;script&gt;",
            "<li><em>one</em></li>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert_eq!(html.matches("<table>").count(), html.matches("</table>").count());
    }
}
