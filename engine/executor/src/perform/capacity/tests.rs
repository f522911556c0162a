//! Requests that fit, and the reasons of those that do not.

use serde_json::json;

use super::*;

fn plan(resources: &Json, runner: Option<&str>) -> Plan {
    let mut step = json!({"id": "a", "kind": "bash", "run": "true", "resources": resources});
    if let Some(runner) = runner {
        step["runner"] = json!(runner);
    }
    let other =
        json!({"id": "b", "kind": "bash", "run": "true", "resources": {"cpu": 3, "memory": "3Gi"}});
    let plan = json!({"version": 1, "name": "t", "steps": [step, other]});
    serde_json::from_value(plan).unwrap()
}

fn capacity() -> Capacity {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let resources = own(&["cpu=4", "memory=4Gi", "gpus=1"]);
    Capacity::default().with(&resources, &own(&["linux", "arch=arm64"])).unwrap()
}

fn why(resources: &Json, runner: Option<&str>, running: usize) -> Option<String> {
    let plan = plan(resources, runner);
    let (step, other) = (&plan.steps[0], &plan.steps[1]);
    capacity().admit((&plan, step), std::iter::repeat_n(other, running)).err()
}

#[test]
fn available_resources_are_admitted() {
    for resources in [
        json!({}),
        json!({"cpu": 4, "memory": "4096Mi", "gpu": 1}),
        json!({"cpu": "3999m", "mem": 1024, "cpus": 0.5}),
        json!({"labels": "linux, arch=arm64", "arch": "arm64", "pool": "default"}),
        json!({"labels": ["linux"]}),
    ] {
        assert_eq!(why(&resources, None, 0), None, "{resources}");
    }
    for pool in ["default", "local", "linux"] {
        assert_eq!(why(&json!({}), Some(pool), 0), None, "{pool}");
    }
}

#[test]
fn missing_resources_are_named() {
    let cases = [
        (json!({"tpu": 1}), "asks for tpu=1; no runner of pool `default` has it"),
        (json!({"gpu": 2}), "asks for gpu=2; no runner of pool `default` has more than 1"),
        (
            json!({"memory": "5Gi"}),
            "asks for memory=5Gi; no runner of pool `default` has more than 4Gi",
        ),
        (json!({"cpu": 4.001}), "asks for cpu=4.001; no runner of pool `default` has more than 4"),
        (
            json!({"labels": ["arm"]}),
            "asks for the label `arm`; no runner of pool `default` has it",
        ),
        (
            json!({"os": "plan9"}),
            "asks for the label `os=plan9`; no runner of pool `default` has it",
        ),
        (json!({"pool": "big"}), "asks for runner=`big`; there is no runner of that pool"),
    ];
    for (resources, expected) in cases {
        assert_eq!(why(&resources, None, 0).as_deref(), Some(expected), "{resources}");
    }
    assert!(why(&json!({}), Some("gpu-box"), 0).unwrap().contains("gpu-box"));
}

#[test]
fn amounts_are_shared_by_concurrent_steps() {
    assert_eq!(why(&json!({"cpu": 1}), None, 1), None);
    let expected = "asks for cpu=2 of 4; other steps of the run use it now";
    assert_eq!(why(&json!({"cpu": 2}), None, 1).as_deref(), Some(expected));
    assert!(why(&json!({"memory": "2Gi"}), None, 1).unwrap().contains("memory=2Gi of 4Gi"));
}

#[test]
fn invalid_resources_are_refused() {
    for entry in ["cpu", "cpu=", "=4", "cpu=many", "cpu=1..2"] {
        Capacity::default().with(&[entry.to_owned()], &[]).unwrap_err();
    }
}

#[test]
fn names_of_all_steps_choose_the_machine() {
    let here = Capacity::default().with(&[], &["here".to_owned()]).unwrap();
    let chosen = |resources: &[(Json, Option<&str>)]| {
        let plans: Vec<Plan> =
            resources.iter().map(|(resources, runner)| plan(resources, *runner)).collect();
        let steps = plans.iter().flat_map(|plan| plan.steps.iter());
        here.elsewhere(&Plan { runner: None, ..plans[0].clone() }, steps, false)
            .map(|selector| selector.to_string())
    };
    let none = json!({});
    assert_eq!(chosen(&[(none.clone(), None)]), None);
    assert_eq!(chosen(&[(json!({"labels": "here"}), None)]), None, "this machine has it");
    assert_eq!(chosen(&[(json!({"labels": "gpu"}), None)]).as_deref(), Some("`gpu`"));
    let both = [(json!({"labels": "gpu"}), None), (json!({"arch": "arm64"}), None)];
    assert_eq!(chosen(&both).as_deref(), Some("`arch=arm64`, `gpu`"), "one runner has all");
    let local = [(json!({"labels": "gpu"}), None), (json!({"pool": "local"}), None)];
    assert_eq!(chosen(&local), None, "a step insists on this machine");
}

#[test]
fn default_and_untrusted_pools_are_chosen() {
    let here = Capacity::default().with_default_pool(true);
    let chosen = |resources: Json, is_untrusted| {
        let plan = plan(&resources, None);
        let selector = here.elsewhere(&plan, plan.steps.iter(), is_untrusted);
        selector.map(|selector| selector.to_string())
    };
    assert_eq!(chosen(json!({}), false).as_deref(), Some("`default`"));
    assert_eq!(chosen(json!({"labels": "gpu"}), false).as_deref(), Some("`gpu`"));
    assert_eq!(chosen(json!({}), true).as_deref(), Some("`untrusted`"));
    assert_eq!(chosen(json!({"labels": "gpu"}), true).as_deref(), Some("`gpu`, `untrusted`"));
    assert_eq!(chosen(json!({"pool": "local"}), false), None);
}
