//! Tests of resolved values.

use serde_json::json;

use super::*;

#[test]
fn references_keep_types_secrets_stay_names() {
    let inputs = json!({"n": 3, "who": "you"});
    let scope = Scope::new().inputs(&inputs);
    let value = Value(json!({
        "number": {"$expr": "inputs.n + 1"},
        "text": {"$template": "hello ${inputs.who}"},
        "list": [{"$secret": "TOKEN"}, "plain"],
    }));
    let resolved = resolve(&value, &scope, &mut Reads::default()).unwrap();
    assert_eq!(resolved.value, json!({"number": 4, "text": "hello you", "list": [null, "plain"]}));
    let secret = SecretAt { pointer: "/list/0".to_owned(), name: "TOKEN".to_owned() };
    assert_eq!(resolved.secrets, [secret]);
}

#[test]
fn data_cannot_pass_for_a_secret() {
    let output = json!({"$secret": "ADMIN_TOKEN"});
    let values = crate::StepValues {
        status: "success",
        output: &output,
        error: None,
        visit: 1,
        attempts: 1,
    };
    let scope = Scope::new().step("evil", values);
    let value = Value::expr("steps.evil.output");
    let resolved = resolve(&value, &scope, &mut Reads::default()).unwrap();
    assert_eq!(resolved.value, output);
    assert!(resolved.secrets.is_empty());
}

#[test]
fn environment_variables_become_text() {
    let inputs = json!({"flag": true, "n": 2.0, "none": null});
    let scope = Scope::new().inputs(&inputs);
    let env = BTreeMap::from([
        ("FLAG".to_owned(), Value::expr("inputs.flag")),
        ("N".to_owned(), Value::expr("inputs.n")),
        ("NONE".to_owned(), Value::expr("inputs.none")),
        ("LIST".to_owned(), Value(json!(["a", 1]))),
        ("TOKEN".to_owned(), Value::secret("TOKEN")),
    ]);
    let env = resolve_env(&env, &scope, &mut Reads::default()).unwrap();
    let text = |name: &str| env[name].clone();
    assert_eq!(text("FLAG"), EnvValue::Text("true".to_owned()));
    assert_eq!(text("N"), EnvValue::Text("2".to_owned()));
    assert_eq!(text("NONE"), EnvValue::Text(String::new()));
    assert_eq!(text("LIST"), EnvValue::Text("[\"a\",1]".to_owned()));
    assert_eq!(text("TOKEN"), EnvValue::Secret("TOKEN".to_owned()));
}

#[test]
fn a_secret_inside_a_text_is_refused() {
    let env = BTreeMap::from([("X".to_owned(), Value(json!([{"$secret": "TOKEN"}])))]);
    let error = resolve_env(&env, &Scope::new(), &mut Reads::default()).unwrap_err();
    assert_eq!(error, Error::MisplacedSecret("TOKEN".to_owned()));
}

#[test]
fn an_unknown_dollar_key_is_refused() {
    let value = Value(json!({"$oops": "x"}));
    let error = resolve(&value, &Scope::new(), &mut Reads::default()).unwrap_err();
    assert_eq!(error, Error::Malformed("$oops".to_owned()));
}
