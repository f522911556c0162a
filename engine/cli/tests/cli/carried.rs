//! `--step` and `--from` with outputs and artifacts of an earlier run.

use crate::support::{Bench, CliOutput};

const RELEASE: &str = r#"
def workflow():
    return Plan(name="Release", steps=[
        Step.bash("version", "date +%s%N > stamp; echo tag=v1-$(cat stamp) > $PLUE_OUTPUT; echo 3 > dist.txt",
                  artifacts=["dist.txt"]),
        Step.bash("build", "test -e broken && exit 1; echo built=$TAG > $PLUE_OUTPUT",
                  env={"TAG": template("${steps.version.output.tag}")}, depends_on=["version"]),
        Step.bash("publish", "echo publishing $TAG with $(cat dist.txt); test -e passes",
                  env={"TAG": template("${steps.build.output.built}")}, depends_on=["build"],
                  when="steps.build.status == 'success'"),
        Step.bash("announce", "echo announcing $TAG",
                  env={"TAG": template("${steps.version.output.tag}")}, depends_on=["publish"]),
    ])
"#;

fn newest_run(bench: &Bench) -> String {
    let runs = bench.plue(&["runs", "--output", "json"]).ends(0).json();
    runs["runs"][0]["id"].as_str().unwrap().to_owned()
}

fn log(bench: &Bench, step: &str) -> CliOutput {
    bench.plue(&["logs", "last", step]).ends(0)
}

#[test]
fn runs_from_a_step_have_earlier_outputs() {
    let bench = Bench::with(RELEASE);
    bench.plue(&["run"]).ends(1);
    let first = newest_run(&bench);
    let tag = format!("v1-{}", std::fs::read_to_string(bench.repo().join("stamp")).unwrap());
    let tag = tag.trim();

    bench.write("passes", "");
    let from = bench.plue(&["run", "--from", "publish"]).ends(0);
    from.reports(&["outputs of `version`, `build` are those of run", &first]);
    log(&bench, "publish").shows(&[&format!("publishing {tag} with 3")]);
    log(&bench, "announce").shows(&[&format!("announcing {tag}")]);
    let why = bench.plue(&["explain", "last", "version"]).ends(0);
    why.shows(&[&format!("its output is that of run {first}")]);

    // The last run of the plan is the one before; the outputs are still those of the first.
    bench.plue(&["run", "--step", "announce"]).ends(0).reports(&["outputs of"]);
    log(&bench, "announce").shows(&[&format!("announcing {tag}")]);
    bench.plue(&["explain", "last", "version"]).ends(0).shows(&[&first]);
}

#[test]
fn missing_artifacts_of_earlier_runs_are_put_back() {
    let bench = Bench::with(RELEASE);
    bench.write("passes", "");
    bench.plue(&["run"]).ends(0);
    std::fs::remove_file(bench.repo().join("dist.txt")).unwrap();
    let again = bench.plue(&["run", "--from", "publish"]).ends(0);
    again.reports(&["1 missing artifact is put back"]);
    log(&bench, "publish").shows(&["with 3"]);

    bench.write("dist.txt", "mine\n");
    bench.plue(&["run", "--step", "publish"]).ends(0);
    log(&bench, "publish").shows(&["with mine"]);
}

#[test]
fn runs_without_an_earlier_one_advise_carry() {
    let bench = Bench::with(RELEASE);
    bench.write("passes", "");
    let alone = bench.plue(&["run", "--step", "announce"]).ends(1);
    alone.reports(&["no earlier run of this plan has outputs of", "`version`", "--carry RUN"]);
    bench.plue(&["run"]).ends(0);
    let whole = newest_run(&bench);

    // Another plan: not taken by itself, but where it is named.
    bench.write(".plue.py", RELEASE.replace("announcing", "telling of"));
    bench.plue(&["run", "--step", "announce"]).ends(1).reports(&["no earlier run of this plan"]);
    let named = bench.plue(&["run", "--step", "announce", "--carry", &whole]).ends(0);
    named.reports(&["are those of run", &whole]);
    log(&bench, "announce").shows(&["telling of v1-"]);
    bench.plue(&["run", "--carry", "last"]).ends(2).reports(&["--step and --from"]);
}

#[test]
fn failed_steps_of_earlier_runs_carry_nothing() {
    let bench = Bench::with(RELEASE);
    bench.write("passes", "");
    bench.write("broken", "");
    bench.plue(&["run"]).ends(1);
    let from = bench.plue(&["run", "--from", "publish"]);
    from.reports(&["has no outputs of `build`", "outputs of `version` are those"]);
    // Its condition asks for a build that succeeded.
    from.ends(0);
}
