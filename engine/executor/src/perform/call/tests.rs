//! Requests of `call` steps.

use plue_plan::action::Call;
use serde_json::json;

use super::*;
use crate::perform::environment::GivenSecrets;

fn call(url: Value, headers: &[(&str, Value)], body: Option<Value>) -> Step {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let call = Call { url, method: None, headers: headers.collect(), body, callback: false };
    Step::new("c", Action::Call(call))
}

fn made(step: &Step) -> Result<CallRequest, String> {
    let secrets = GivenSecrets(BTreeMap::from([("TOKEN".to_owned(), b"s3cret".to_vec())]));
    let inputs = json!({"id": 7, "name": "a b"});
    let scope = Scope::new().inputs(&inputs);
    request(step, "r:c:1".to_owned(), &scope, &secrets)
}

fn url() -> Value {
    Value::template("https://host.example/items/${inputs.id}")
}

#[test]
fn calls_without_body_are_gets_with_a_key() {
    let request = made(&call(url(), &[], None)).unwrap();
    assert_eq!((request.method.as_str(), request.body), ("GET", None));
    assert_eq!(request.url, "https://host.example/items/7");
    assert_eq!(request.headers[IDEMPOTENCY_HEADER], "r:c:1");
}

#[test]
fn json_bodies_keep_their_types() {
    let body = Value(json!({"n": {"$expr": "inputs.id"}, "t": {"$expr": "inputs.name"}}));
    let request = made(&call(url(), &[], Some(body))).unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.body.unwrap(), br#"{"n":7,"t":"a b"}"#);
    assert_eq!(request.headers["content-type"], "application/json");
}

#[test]
fn headers_may_contain_secrets() {
    let bearer = Value(json!(["Bearer ", {"$secret": "TOKEN"}]));
    let headers = [("Authorization", bearer), ("X-Key", Value::secret("TOKEN"))];
    let request = made(&call(url(), &headers, None)).unwrap();
    assert_eq!(request.headers["authorization"], "Bearer s3cret");
    assert_eq!(request.headers["x-key"], "s3cret");
}

#[test]
fn misplaced_and_missing_secrets_are_refused() {
    let body = made(&call(url(), &[], Some(Value(json!({"t": {"$secret": "TOKEN"}})))));
    assert!(body.err().unwrap().contains("header"));
    assert!(made(&call(Value::secret("TOKEN"), &[], None)).is_err());
    let missing = made(&call(url(), &[("X-Key", Value::secret("OTHER"))], None));
    assert!(missing.err().unwrap().contains("`OTHER`"));
}
