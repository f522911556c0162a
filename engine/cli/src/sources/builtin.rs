//! The workflow `sample`, which every plue has: something to run before anybody has written one.
//!
//! A repository's own workflow of this name wins; discovery never finds this one.

use plue_planner::{CommitView, ViewError, view::Content};

/// The path of the sample. No file of a repository that plue finds has such a path.
pub const SAMPLE: &str = "builtin:sample.plue.py";

const SOURCE: &str = r#"def workflow():
    return Plan(
        name="sample",
        description="Steps that wait for each other, run side by side and hand values on",
        steps=[
            Step.bash("hello", 'echo "hello from run $PLUE_RUN_ID"'),
            Step.bash("count", 'echo "files=$(ls | wc -l)" >> "$PLUE_OUTPUT"', depends_on=["hello"]),
            Step.bash("date", "date", depends_on=["hello"]),
            Step.bash("report", 'echo "$FILES files lie here"', env={"FILES": ref("count", "files")},
                      depends_on=["count", "date"]),
        ],
    )
"#;

/// A view that also holds the sample.
#[derive(Debug)]
pub struct WithSample<V>(pub V);

impl<V: CommitView> CommitView for WithSample<V> {
    fn matching(&self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, ViewError> {
        self.0.matching(keep)
    }

    fn is_there(&self, path: &str) -> Result<bool, ViewError> {
        self.0.is_there(path)
    }

    fn content(&self, path: &str, cap: usize) -> Result<Content, ViewError> {
        if path == SAMPLE {
            return Ok(Content::Bytes(SOURCE.as_bytes().to_vec()));
        }
        self.0.content(path, cap)
    }

    fn changed_files(&self) -> Result<Vec<String>, ViewError> {
        self.0.changed_files()
    }

    fn files_in(&self, folder: &str) -> Result<Vec<String>, ViewError> {
        self.0.files_in(folder)
    }
}
