//! `plue run --todo FILE`: a checkbox for each step, kept in step with the run.
//!
//! The list stands between two comments; everything else in the file stays as it is. The file is
//! read again before each change and replaced whole, so that no reader sees half of it. Must not fail
//! a run: a list that cannot be written is worth a warning.

use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use plue_executor::Loaded;
use plue_flow::StepStatus;
use plue_plan::{Diagnostic, Plan, RunId, StepId};
use plue_store::{StepRow, Store};

use crate::{
    exit::Exit,
    failure::{Failure, codes},
    terminal::sanitize,
};

const BEGIN: &str = "<!-- plue:";
const END: &str = "<!-- plue end -->";
/// Without a wake-up the store is looked at this often.
const LOOK: Duration = Duration::from_millis(500);

/// A list in a file.
#[derive(Debug)]
pub struct Todo {
    path: PathBuf,
    workflow: String,
    /// Ids and names as they are written, in the order of the plan.
    steps: Vec<(StepId, String)>,
    /// Whether a name holds values of the run.
    has_values: bool,
}

// === impl Todo ===

impl Todo {
    /// A list for a plan. The file may be new; one that is there must be text.
    ///
    /// # Errors
    /// The file cannot be read or is no text.
    pub fn open(path: &Path, plan: &Plan) -> Result<Self, Failure> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        read(&path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
        })?;
        let named = plan.steps.iter().map(|step| {
            let shown = step.name().unwrap_or_default();
            (step.id.clone(), shown.into_owned())
        });
        let mut names = plan.steps.iter().filter_map(|step| step.options.name.as_ref());
        let has_values = names.any(|name| !name.is_constant());
        // A name must not be able to end the comment.
        let workflow = sanitize(&plan.name, false).replace("--", "-");
        Ok(Self { path, workflow, steps: named.collect(), has_values })
    }

    /// Keeps the list in step until the run has ended.
    pub async fn keep(&self, store: &Store, run: &RunId) {
        let mut changes = store.changes_of(run);
        loop {
            changes.borrow_and_update();
            self.update(store, run).await;
            let ended = store.runs().get(run).await;
            if !matches!(ended, Ok(Some(row)) if !row.view.status.is_terminal()) {
                return;
            }
            let _look_again = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    /// Writes the list as the run is now.
    pub async fn update(&self, store: &Store, run: &RunId) {
        let written = match store.runs().steps(run).await {
            Ok(rows) => {
                let names = self.names(store, run).await;
                self.write(&rows, &names).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "the todo list is not written");
        }
    }

    /// Display name of each step, with the values of the run so far.
    async fn names(&self, store: &Store, run: &RunId) -> Vec<String> {
        let loaded = match self.has_values {
            true => Loaded::read(store, run).await.ok(),
            false => None,
        };
        let name = |(id, written): &(StepId, String)| {
            let name = loaded.as_ref().and_then(|loaded| loaded.run.name(id));
            name.map_or_else(|| written.clone(), Cow::into_owned)
        };
        self.steps.iter().map(name).collect()
    }

    fn write(&self, rows: &[StepRow], names: &[String]) -> io::Result<()> {
        let lines = self.steps.iter().zip(names).map(|((id, _), name)| {
            let row = rows.iter().find(|row| row.view.step == *id);
            line(id.as_str(), name, row.map(|row| row.view.status))
        });
        let list: String = lines.collect();
        let before = read(&self.path)?;
        let after = placed(&before, &self.workflow, &list);
        if after == before { Ok(()) } else { replace(&self.path, &after) }
    }
}

/// `- [x] build`
fn line(id: &str, name: &str, status: Option<StepStatus>) -> String {
    let done = status == Some(StepStatus::Success);
    let mark = if done { 'x' } else { ' ' };
    let name = if name.is_empty() { String::new() } else { format!(": {}", sanitize(name, false)) };
    let note = match status {
        None | Some(StepStatus::Success | StepStatus::Pending) => String::new(),
        Some(
            other @ (StepStatus::Queued
            | StepStatus::Running
            | StepStatus::Waiting
            | StepStatus::Failed
            | StepStatus::Skipped
            | StepStatus::Cancelled
            | StepStatus::TimedOut),
        ) => format!(" ({other})"),
    };
    format!("- [{mark}] {id}{name}{note}\n")
}

/// The text with the list of this workflow in its place, or at the end. Line ends of the file are
/// kept.
fn placed(text: &str, workflow: &str, list: &str) -> String {
    let crlf = text.contains("\r\n");
    let begin = format!("{BEGIN} {workflow} -->");
    let block = format!("{begin}\n{list}{END}");
    let block = if crlf { block.replace('\n', "\r\n") } else { block };
    let found = text.find(&begin).and_then(|from| {
        let length = text.get(from..)?.find(END)?;
        Some((from, from + length + END.len()))
    });
    if let Some((from, to)) = found {
        let (head, tail) = (text.get(..from), text.get(to..));
        return format!("{}{block}{}", head.unwrap_or_default(), tail.unwrap_or_default());
    }
    let end = if crlf { "\r\n" } else { "\n" };
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => end,
        _ => &end.repeat(2),
    };
    format!("{text}{gap}{block}{end}")
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// Writes a temporary file in the same folder and renames it over the file, with its permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let new = folder.join(format!(".plue-todo.{}", std::process::id()));
    let written = fs::write(&new, text).and_then(|()| {
        if let Ok(old) = fs::metadata(path) {
            fs::set_permissions(&new, old.permissions())?;
        }
        fs::rename(&new, path)
    });
    if written.is_err() {
        let _gone = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_2_27_the_rest_of_the_file_is_unchanged() {
        let first = placed("# Mine\n- [ ] buy milk", "CI", "- [ ] a\n");
        assert_eq!(
            first,
            "# Mine\n- [ ] buy milk\n\n<!-- plue: CI -->\n- [ ] a\n<!-- plue end -->\n"
        );
        let more = format!("{first}\ntail\n");
        let second = placed(&more, "CI", "- [x] a\n");
        assert_eq!(second, more.replace("- [ ] a", "- [x] a"));
        let other = placed(&second, "Other", "- [ ] b\n");
        assert!(other.starts_with(&second) && other.contains("<!-- plue: Other -->"));
        assert_eq!(placed("a\r\n", "X", "- [ ] a\n").matches("\r\n").count(), 5);
    }

    #[test]
    fn row_2_27_only_success_ticks_a_box() {
        assert_eq!(line("a", "", Some(StepStatus::Success)), "- [x] a\n");
        assert_eq!(line("a", "Build", Some(StepStatus::Running)), "- [ ] a: Build (running)\n");
        assert_eq!(line("a", "", Some(StepStatus::Failed)), "- [ ] a (failed)\n");
        assert_eq!(line("a", "", None), "- [ ] a\n");
    }
}
