//! One shell for the commands of a page, and the comparison of output.
//!
//! Ids, hashes, durations and times of day differ from run to run and are compared by form only.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command as Process, Stdio},
};

use super::page::{Command, Page, Part};

/// Stands between the output of two commands, with the status of the first.
const MARK: char = '\u{1}';

/// Runs the commands of `page` and returns each that failed or printed something else.
pub(crate) fn run(page: &Page) -> Vec<String> {
    let commands: Vec<&Command> = page.parts.iter().filter_map(as_command).collect();
    if commands.is_empty() {
        return Vec::new();
    }
    build_programs();
    let folder = tempfile::tempdir().unwrap();
    let mut shell = shell(folder.path());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script(page, folder.path()).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut answers = text.split(MARK);
    let judge = |command: &&Command| {
        let printed = answers.next().unwrap_or_default();
        let status = answers.next().unwrap_or_default();
        judge(command, printed, status)
    };
    commands.iter().filter_map(judge).collect()
}

fn as_command(part: &Part) -> Option<&Command> {
    match part {
        Part::Command(command) => Some(command),
        Part::File(..) => None,
    }
}

/// The text for the shell: each command, then a mark with its status, which it hands on.
fn script(page: &Page, folder: &Path) -> String {
    let mut script = String::from("exec 2>&1\nunset HISTFILE\n");
    for (at, part) in page.parts.iter().enumerate() {
        match part {
            Part::File(name, text) => {
                let kept = folder.join(format!("part-{at}"));
                std::fs::write(&kept, text).unwrap();
                script.push_str(&format!("cp {} {name}\n", kept.display()));
            }
            Part::Command(command) => {
                script.push_str(&command.text);
                script.push_str("\nstatus=$?; printf '\\1%s\\1' $status; (exit $status)\n");
            }
        }
    }
    script
}

#[expect(clippy::disallowed_methods, reason = "the shell finds the programs of this machine")]
fn shell(folder: &Path) -> Process {
    let (home, work) = (folder.join("home"), folder.join("work"));
    for made in [&home, &work] {
        std::fs::create_dir_all(made).unwrap();
    }
    let mut shell = Process::new("bash");
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["--norc", "--noprofile"]).current_dir(work).env_clear();
    shell.env("PATH", format!("{}:{path}", programs().display())).env("HOME", home);
    shell.env("LANG", "C.UTF-8").env("USER", "ada").env("GIT_CONFIG_NOSYSTEM", "1");
    for (key, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.invalid")] {
        shell.env(format!("GIT_AUTHOR_{key}"), value).env(format!("GIT_COMMITTER_{key}"), value);
    }
    shell
}

fn judge(command: &Command, printed: &str, status: &str) -> Option<String> {
    let expected: Vec<String> = command.output.iter().map(|line| by_form(line)).collect();
    let printed: Vec<String> = printed.trim_end().lines().map(by_form).collect();
    let fits = if expected.is_empty() { status == "0" } else { matches(&expected, &printed) };
    (!fits).then(|| {
        let (expected, printed) = (expected.join("\n"), printed.join("\n"));
        let (line, text) = (command.line, &command.text);
        format!(":{line}: $ {text}\nstatus {status}, printed:\n{printed}\nshown:\n{expected}")
    })
}

/// Whether lines are as shown; `…` alone stands for any lines, inside a line for any text.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected {
        [] => printed.is_empty(),
        [any, rest @ ..] if any.trim() == "…" => {
            (0..=printed.len()).any(|skip| matches(rest, printed.get(skip..).unwrap_or_default()))
        }
        [line, rest @ ..] => {
            let fits = printed.first().is_some_and(|printed| fits(line, printed));
            fits && matches(rest, printed.get(1..).unwrap_or_default())
        }
    }
}

fn fits(expected: &str, printed: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut tail) = pieces.next().and_then(|first| printed.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    for (at, piece) in pieces.iter().enumerate() {
        if at + 1 == pieces.len() {
            return tail.ends_with(piece);
        }
        let Some((_, after)) = tail.split_once(piece) else { return false };
        tail = after;
    }
    tail.is_empty()
}

/// A line without what differs from run to run: words that are ids, hashes, durations and times.
fn by_form(line: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for c in line.trim_end().chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_') && !word.is_empty() {
            word.push(c);
            continue;
        }
        let plain = word.trim_end_matches([':', '.']);
        text.push_str(&form(plain));
        text.push_str(&word[plain.len()..]);
        word.clear();
        text.push(c);
    }
    text.trim_end().to_owned()
}

fn form(word: &str) -> String {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let digits =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let units = ["ms", "s", "m", "h"];
    let is_duration = units.iter().any(|unit| word.strip_suffix(unit).is_some_and(digits));
    let hash = word.strip_prefix("sha256:").unwrap_or(word);
    if matches!(hash.len(), 12 | 64) && hex(hash) {
        "HASH".to_owned()
    } else if word.len() == 26 && word.starts_with("01") {
        "ID".to_owned()
    } else if is_duration {
        "DURATION".to_owned()
    } else if word.split(':').count() == 3 && word.split(':').all(digits) {
        "TIME".to_owned()
    } else {
        word.to_owned()
    }
}

/// Looks up each command that is shown and not run in the help, and returns each that is not there.
pub(crate) fn look_up(page: &Page) -> Vec<String> {
    let commands = page.shown.iter().flat_map(|(line, text)| {
        let plain = text.split(" # ").next().unwrap_or_default();
        plain.split([';', '|']).map(|one| (*line, one.trim().to_owned())).collect::<Vec<_>>()
    });
    let commands = commands.filter(|(_, text)| text.starts_with("plue "));
    commands.filter_map(|(line, text)| Some(format!(":{line}: {}", unknown(&text)?))).collect()
}

/// The subcommand or option that the help lacks.
fn unknown(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let names: Vec<&str> = words
        .iter()
        .copied()
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    let names: Vec<&str> = names.into_iter().take_while(|word| !word.starts_with('-')).collect();
    let help = (1..=names.len().min(3)).rev().find_map(|count| help(names.get(..count)?));
    let Some(help) = help else { return Some(format!("no such command: {command}")) };
    let options = words.iter().filter(|word| word.starts_with("--"));
    let options = options.map(|word| word.split('=').next().unwrap_or(word).trim_end_matches(']'));
    options
        .filter(|option| !help.contains(option))
        .map(|option| format!("`{command}`: no option {option}"))
        .next()
}

fn help(names: &[&str]) -> Option<String> {
    let mut command = Process::new(programs().join("plue"));
    let output = command.args(names).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success() && text.contains(&format!("plue {}", names.join(" ")))).then_some(text)
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_plue")).parent().unwrap().to_owned()
}

/// The runner and the evaluator stand next to the program under test.
fn build_programs() {
    let packages = ["plue-runner", "plue-evaluator"];
    if packages.iter().all(|name| programs().join(name).exists()) {
        return;
    }
    let mut command = Process::new(env!("CARGO"));
    command.args(["build", "--quiet", "-p", packages[0], "-p", packages[1]]);
    command.arg("--target-dir").arg(programs().parent().unwrap());
    if programs().ends_with("release") {
        command.arg("--release");
    }
    let built = command.current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.unwrap().success(), "the runner and the evaluator do not build");
}

#[cfg(test)]
mod tests {
    use super::{by_form, fits, matches};

    #[test]
    fn ids_hashes_and_times_are_compared_by_form() {
        let line = "run 01m7yvajk9zenndjs7nb540t0n · plan 16d50fe92a79 in 2.7ms at 10:44:39.481";
        assert_eq!(by_form(line), "run ID · plan HASH in DURATION at TIME");
        assert_eq!(by_form("test success in 902ms:"), "test success in DURATION:");
    }

    #[test]
    fn ellipses_stand_for_any_lines_and_text() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(matches(&lines("a\n…\nd"), &lines("a\nb\nc\nd")));
        assert!(!matches(&lines("a\n…\nd"), &lines("a\nb")));
        assert!(fits("a…c", "abbc") && fits("…c", "c") && !fits("a…c", "abbd") && !fits("a", "ab"));
    }
}
