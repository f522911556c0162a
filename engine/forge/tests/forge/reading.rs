//! The samples of `testdata/webhooks`: every delivery reads as written there.

use std::path::{Path, PathBuf};

use plue_forge::{Headers, Provider, Refusal, Secret, decode, verify};
use serde_json::Value as Json;

/// Where the samples are: in the repository, or a larger collection beside it.
fn samples() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let beside = PathBuf::from("/work/shared/data/webhooks");
    [own, beside].into_iter().filter(|folder| folder.join("expect.jsonl").exists()).collect()
}

fn headers(of: &Json) -> Headers {
    let pairs = of.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn provider(file: &str) -> Provider {
    file.split('/').next().unwrap().parse().unwrap()
}

/// Every field that is expected is there and equal; a `count` stands for a long list.
fn compare(at: &str, expected: &Json, found: &Json, problems: &mut Vec<String>) {
    match (expected, found) {
        (Json::Object(fields), Json::Array(items)) if fields.contains_key("count") => {
            if fields.get("count").and_then(Json::as_u64) != Some(items.len() as u64) {
                problems.push(format!("{at}: {} items instead of {expected}", items.len()));
            }
        }
        (Json::Object(fields), Json::Object(_)) => {
            for (name, value) in fields {
                match found.get(name) {
                    Some(found) => compare(&format!("{at}.{name}"), value, found, problems),
                    None => problems.push(format!("{at}.{name} is not there")),
                }
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => problems.push(format!("{at}: {found} instead of {expected}")),
    }
}

#[test]
fn every_sample_reads_as_expected() {
    let mut problems = Vec::new();
    let mut count = 0;
    for folder in samples() {
        let lines = std::fs::read_to_string(folder.join("expect.jsonl")).unwrap();
        for line in lines.lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            let file = line["file"].as_str().unwrap();
            let body = std::fs::read(folder.join(file)).unwrap();
            let headers = headers(&line["headers"]);
            count += 1;
            if let Some(secret) = line["secret"].as_str() {
                let verified = verify(provider(file), &[Secret::new(secret)], &headers, &body, 0);
                assert_eq!(verified, Ok(()), "{file}");
            }
            let read = decode(provider(file), &headers, &body);
            let http = match &read {
                Ok(_) => "2xx".to_owned(),
                Err(refusal) => refusal.status().to_string(),
            };
            assert_eq!(line["http"].as_str(), Some(http.as_str()), "{file}: {read:?}");
            if let Ok(reading) = read {
                let found = serde_json::to_value(&reading).unwrap();
                compare(file, &line["expect"], &found, &mut problems);
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 20, "only {count} samples");
}

#[test]
fn the_signature_vectors_hold() {
    for folder in samples() {
        let text = std::fs::read_to_string(folder.join("signature_vectors.json")).unwrap();
        let vectors: Vec<Json> = serde_json::from_str(&text).unwrap();
        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            let scheme = vector["scheme"].as_str().unwrap();
            let text = |key: &str| vector[key].as_str().map(str::to_owned);
            let header = scheme.split(' ').next().unwrap();
            let mut headers = Headers::default();
            if let Some(value) = text("header") {
                headers.push(header, value);
            }
            for extra in ["webhook-id", "webhook-timestamp", "x-gitlab-token"] {
                if let Some(value) = text(extra) {
                    headers.push(extra, value);
                }
            }
            let provider = match header {
                "X-Hub-Signature-256" => Provider::GitHub,
                "X-Gitea-Signature" | "X-Gogs-Signature" => Provider::Gitea,
                "X-Forgejo-Signature" => Provider::Forgejo,
                "X-Gitlab-Token" | "webhook-signature" => Provider::GitLab,
                other => panic!("{name}: {other}"),
            };
            let secrets = [Secret::new(text("secret").unwrap_or_default())];
            let body = text("body").unwrap();
            let now = vector["clock"].as_i64().unwrap_or_default();
            let found = verify(provider, &secrets, &headers, body.as_bytes(), now);
            assert_eq!(vector["valid"].as_bool(), Some(found.is_ok()), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let body = vec![b' '; plue_forge::limits::MAX_BODY_BYTES + 1];
    let headers: Headers = [("X-GitHub-Event", "push")].into_iter().collect();
    assert_eq!(decode(Provider::GitHub, &headers, &body), Err(Refusal::TooLarge));
}
