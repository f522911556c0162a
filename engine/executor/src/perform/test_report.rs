//! Test reports among the artifacts of an attempt, read and stored when it ends, before its end is committed.
//!
//! A report never changes an outcome: a broken one is noted, and if none can be stored the artifacts remain.

use std::{ffi::OsStr, time::Duration};

use plue_flow::Run;
use plue_plan::{Step, budget::Budget};
use plue_reports::{
    History, Judged, TestReport, is_candidate, is_likely, judge,
    limits::{MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, MAX_TESTS},
};
use plue_runtime::{
    foreign::{self, Limits},
    mask::Secrets,
};
use plue_store::{
    ArtifactRow, Error, NewRecord, Recorded,
    keep::test_report::{NewTestReport, TestHistoryKey},
};
use plue_wire::{outputs::Record, runner::Claim};

use crate::{codes, driver::context::RunContext};

/// Bytes by which a file is recognised.
const HEAD: usize = 16 * 1024;
/// The limits of reading all reports of one attempt.
const READING: Limits = Limits {
    name: "reading test reports",
    budget: Budget { bytes: MAX_BYTES, items: MAX_TESTS, steps: 20_000_000 },
    cpu: Duration::from_secs(5),
    wall: Duration::from_secs(30),
};

/// The results of an attempt of this run.
struct Results<'c>(&'c RunContext);

/// Files to be read, and what is to be noted about those that are not.
#[derive(Default)]
struct Candidates {
    files: Vec<(String, Vec<u8>)>,
    notes: Vec<String>,
}

/// Stores the test results of an attempt that has ended. Without artifacts it costs nothing.
pub(crate) async fn store_tests(context: &RunContext, run: &Run, claim: &Claim) {
    let Some(view) = run.attempt(&claim.attempt) else { return };
    let Some(step) = context.step(&view.step) else { return };
    if step.options.artifacts.paths.is_empty() {
        return;
    }
    if let Err(error) = Results(context).read(step, view.visit, claim).await {
        let (run, step) = (&context.row.id, &step.id);
        tracing::warn!(%run, %step, %error, "failed to store test results; the artifacts remain");
    }
}

// === impl Results ===

impl Results<'_> {
    async fn read(&self, step: &Step, visit: u32, claim: &Claim) -> Result<(), Error> {
        let store = &self.0.shared.store;
        let rows = store.artifacts().of_attempt(&self.0.row.id, &claim.attempt).await?;
        let Candidates { files, mut notes } = self.candidates(rows).await?;
        let read = foreign::compute(READING, move |meter| {
            let files = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
            Ok(TestReport::read(files, meter))
        });
        let report = match read.await {
            Ok(report) => report,
            Err(error) => {
                notes.push(format!("test reports: {error}"));
                TestReport::default()
            }
        };
        let secrets = self.0.secrets.all();
        let masks = Secrets::new(secrets.iter().map(Vec::as_slice));
        for file in &report.files {
            if let Some(problem) = &file.problem {
                notes.push(masks.text(&format!("test report {}: {problem}", file.path)));
            }
        }
        for note in notes {
            let record = Record::Note(format!("{}: {note}", codes::TEST_REPORT));
            let (scope, at) = (String::new(), self.0.time.now());
            store.outputs().record(NewRecord { claim: claim.clone(), record, scope, at }).await?;
        }
        if report.files.is_empty() {
            return Ok(());
        }
        let key = self.key(step);
        let default_branch = self.0.event.default_branch.as_deref();
        let past =
            store.test_reports().history(&self.0.row.id, visit, &key, default_branch).await?;
        let mut files = report.files.clone();
        for file in &mut files {
            file.path = masks.text(&file.path);
            file.problem = file.problem.as_ref().map(|problem| masks.text(problem));
        }
        let judged = judge(report, &History { commit: key.sha.clone(), past });
        let judged = masked(judged, &masks);
        let report =
            NewTestReport { claim: claim.clone(), key, judged, files, at: self.0.time.now() };
        if store.test_reports().put(report).await? == Recorded::Stale {
            tracing::debug!(attempt = %claim.attempt, "test results of a stale attempt");
        }
        Ok(())
    }

    async fn candidates(&self, rows: Vec<ArtifactRow>) -> Result<Candidates, Error> {
        let store = &self.0.shared.store;
        let mut found = Candidates::default();
        let mut bytes = 0;
        for row in rows.into_iter().filter(|row| is_candidate(&row.path)) {
            let head = store.blobs().read(&row.blob, 0, HEAD).await?.unwrap_or_default();
            if !is_likely(&row.path, &head) {
                continue;
            }
            bytes += row.bytes;
            if row.bytes > MAX_FILE_BYTES || bytes > MAX_BYTES || found.files.len() >= MAX_FILES {
                found.notes.push(format!(
                    "test report {} is not read: at most {MAX_FILES} files of {} MiB are, and {} MiB of all",
                    row.path,
                    MAX_FILE_BYTES / 1024 / 1024,
                    MAX_BYTES / 1024 / 1024,
                ));
                break;
            }
            let most = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
            if let Some(content) = store.blobs().whole(&row.blob, most).await? {
                found.files.push((row.path, content));
            }
        }
        Ok(found)
    }

    fn key(&self, step: &Step) -> TestHistoryKey {
        let folder = || self.0.origin.repository.to_string_lossy().into_owned();
        // In a working tree of a person files may differ between two runs of one commit.
        let parent = self.0.origin.workspace.parent().and_then(|path| path.file_name());
        let is_checkout = parent == Some(OsStr::new("workspaces"));
        TestHistoryKey {
            repo: self.0.row.repo.clone().unwrap_or_else(folder),
            workflow: self.0.row.workflow.clone(),
            step: step.id.clone(),
            branch: self.0.row.branch.clone().unwrap_or_default(),
            fork: self.0.row.fork,
            sha: self.0.row.sha.clone().filter(|_| is_checkout),
        }
    }
}

/// Masks every text that a test could have printed.
fn masked(mut judged: Judged, masks: &Secrets) -> Judged {
    for result in &mut judged.results {
        let case = &mut result.case;
        for text in [&mut case.suite, &mut case.name, &mut case.message, &mut case.output] {
            *text = masks.text(text);
        }
        case.file = case.file.as_ref().map(|file| masks.text(file));
    }
    judged
}

#[cfg(test)]
mod tests {
    use plue_reports::{TestCase, TestResult, TestStatus};

    use super::*;

    #[test]
    fn secrets_in_results_are_masked() {
        let text = |prefix: &str| format!("{prefix} hunter22");
        let case = TestCase {
            suite: text("suite"),
            name: text("name"),
            status: TestStatus::Failed,
            duration_us: None,
            message: text("message"),
            output: text("output"),
            file: Some(text("file")),
            line: None,
        };
        let result = TestResult { case, is_new: false, is_flaky: false };
        let judged = Judged { results: vec![result], ..Judged::default() };
        let masked = masked(judged, &Secrets::new([b"hunter22".as_slice()]));
        let shown = format!("{:?}", masked.results);
        assert!(!shown.contains("hunter22"), "{shown}");
        assert_eq!(shown.matches("***").count(), 5, "{shown}");
    }
}
