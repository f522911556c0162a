//! `--metrics-file`: what a command counted, where the textfile collector reads it.

use crate::support::{Bench, SMALL};

#[test]
fn failed_commands_also_write_their_metrics() {
    let bench = Bench::with(SMALL);
    let file = bench.home().join("plue.prom");
    let path = file.display().to_string();
    bench.plue(&["plan", "--metrics-file", &path]).ends(0);
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        "# TYPE plue_evaluations_total counter",
        "plue_evaluations_total{trust=\"own\",outcome=\"plan\"} 1",
        "plue_evaluation_cpu_seconds_count{trust=\"own\"} 2",
        "plue_evaluation_memory_peak_bytes_bucket{trust=\"own\",le=\"536870912\"} 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    bench.write("greedy.plue.py", "def workflow():\n    return 'x' * (1 << 30)\n");
    bench.plue(&["plan", "greedy", "--metrics-file", &path]).ends(3).reports(&["PLUE-E0203"]);
    let text = std::fs::read_to_string(&file).unwrap();
    let killed = "plue_evaluations_total{trust=\"own\",outcome=\"memory\"} 1";
    assert!(text.lines().any(|found| found == killed), "{text}");
    let files = std::fs::read_dir(bench.home()).unwrap();
    let left = files
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".tmp"));
    assert_eq!(left.count(), 0);
}

#[test]
fn unwritable_metrics_files_are_warnings() {
    let bench = Bench::with(SMALL);
    let output = bench.plue(&["plan", "--metrics-file", "/proc/nowhere/plue.prom"]).ends(0);
    output.shows(&["Small"]);
    output.reports(&["the metrics cannot be written to /proc/nowhere/plue.prom"]);
}
