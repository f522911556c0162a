//! View of a run's test results for its page.

use plue_dashboard::run::tests::{PartialReport, TestLine, TestResults};

use crate::records::test_results::{TestRecord, TestsRecord};

pub(super) fn view(record: TestsRecord) -> TestResults {
    TestResults {
        summary: record.counts.words(),
        tests: record.tests.into_iter().map(line).collect(),
        left_out: record.left_out,
        partial: record
            .steps
            .into_iter()
            .flat_map(|step| step.files.into_iter().map(move |file| (step.step.clone(), file)))
            .filter_map(|(step, file)| {
                Some(PartialReport { step, path: file.path, problem: file.problem? })
            })
            .collect(),
    }
}

fn line(test: TestRecord) -> TestLine {
    TestLine {
        place: test.file.map(|file| match test.line {
            Some(line) => format!("{file}:{line}"),
            None => file,
        }),
        step: test.step,
        suite: test.suite,
        name: test.name,
        status: test.status,
        is_new: test.is_new,
        is_flaky: test.is_flaky,
        duration_ms: test.duration_ms,
        message: test.message,
        output: test.output,
    }
}
