//! Test reports among the artifacts of a step: `JUnit` XML, TAP and libtest JSON read into test results, and
//! their comparison with earlier runs.
//!
//! Files are untrusted: each is read within a budget, no entity or document type of XML is expanded, and
//! nothing outside of the bytes is opened. Pure, as plue-plan is.
#![forbid(unsafe_code)]

mod case;
mod collect;
mod history;
mod junit;
mod libtest;
pub mod limits;
mod read;
mod tap;
mod text;

pub use crate::{
    case::{Format, TestCase, TestStatus},
    history::{History, Judged, PastAttempt, TestCounts, TestResult, judge},
    read::{ReportFile, TestReport, is_candidate, is_likely},
};
