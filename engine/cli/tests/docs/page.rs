//! A page of the manual as commands, their output and files.
//!
//! Must not run anything.

/// Parts of a page that a shell needs, in their order.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) parts: Vec<Part>,
    /// Line and text of each `plue …` that is shown and not run.
    pub(crate) shown: Vec<(usize, String)>,
}

#[derive(Debug)]
pub(crate) enum Part {
    /// A file, by its name and text.
    File(String, String),
    Command(Command),
}

/// A command with the output that the page shows.
#[derive(Debug)]
pub(crate) struct Command {
    /// Line in the page, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    /// Lines behind the command; without any, only its success counts.
    pub(crate) output: Vec<String>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut lines = text.lines().enumerate();
        while let Some((_, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            let body: Vec<(usize, &str)> =
                lines.by_ref().take_while(|(_, line)| line.trim() != "```").collect();
            page.block(info, &body);
        }
        page
    }

    fn block(&mut self, info: &str, body: &[(usize, &str)]) {
        let file = info.split([' ', ',']).find_map(|word| word.strip_prefix("file="));
        if let Some(file) = file {
            let text: String = body.iter().map(|(_, line)| format!("{line}\n")).collect();
            self.parts.push(Part::File(file.to_owned(), text));
        } else if info == "console" {
            self.console(body);
        } else if matches!(info, "sh" | "text") {
            let joined = joined(body);
            self.shown.extend(joined.into_iter().filter(|(_, line)| line.contains("plue ")));
        }
    }

    fn console(&mut self, body: &[(usize, &str)]) {
        let mut until: Option<String> = None;
        let mut last: Option<Command> = None;
        for (at, line) in body {
            match (&mut last, line.strip_prefix("$ "), until.take()) {
                (Some(command), _, Some(end)) => {
                    command.text.push('\n');
                    command.text.push_str(line);
                    until = (*line != end).then_some(end);
                }
                (_, Some(text), _) => {
                    self.parts.extend(last.take().map(Part::Command));
                    until = text
                        .split_once("<<'")
                        .and_then(|(_, end)| end.split('\'').next())
                        .map(str::to_owned);
                    last =
                        Some(Command { line: at + 1, text: text.to_owned(), output: Vec::new() });
                }
                (Some(command), None, None) => command.output.push((*line).to_owned()),
                (None, None, _) => {}
            }
        }
        self.parts.extend(last.map(Part::Command));
    }
}

/// Lines with those that a backslash continues.
fn joined(body: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (at, line) in body {
        let text = line.trim().trim_end_matches('\\').trim_end();
        match all.last_mut().filter(|_| continues) {
            Some((_, command)) => {
                command.push(' ');
                command.push_str(text);
            }
            None => all.push((at + 1, text.to_owned())),
        }
        continues = line.trim_end().ends_with('\\');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Page, Part};

    #[test]
    fn pages_are_read_as_files_commands_and_output() {
        let text = "```python file=a.py\nx\n```\n\n```console\n$ cat <<'END'\ny\nEND\ny\n$ ls\n```\n\
                    ```sh\nplue run \\\n  --step a\n```\n";
        let page = Page::parse(text);
        let [Part::File(name, body), Part::Command(cat), Part::Command(ls)] = page.parts.as_slice()
        else {
            panic!("{page:?}");
        };
        assert_eq!((name.as_str(), body.as_str()), ("a.py", "x\n"));
        assert_eq!((cat.text.as_str(), cat.output.len()), ("cat <<'END'\ny\nEND", 1));
        assert_eq!((ls.text.as_str(), ls.line), ("ls", 10));
        assert_eq!(page.shown, [(13, "plue run --step a".to_owned())]);
    }
}
