//! Login by OpenID Connect, with an issuer that is asked over real HTTP.

use axum::{
    body::Body,
    http::{Method, Request},
};
use plue_api::{
    Role,
    login::{Rule, Who},
};
use plue_testkit::postgres::Database;
use serde_json::{Value as Json, json};

use crate::{
    issuer::{CLIENT, Draft, FakeIssuer, With},
    support::{Answer, OTHER, REPO, Server, asking, create, request},
};

/// A browser: its cookies.
#[derive(Default, Clone)]
pub(crate) struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let pairs: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder().method(method).uri(path).header("host", "ci.example");
        let request = request.header("cookie", pairs.join("; "));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).unwrap()
    }

    pub(crate) async fn send(&mut self, server: &Server, request: Request<Body>) -> Answer {
        let answer = server.send(request).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (pair, how) = set.split_once("; ").unwrap();
            assert!(how.starts_with("Path=/; Secure; HttpOnly; SameSite="), "{set}");
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(old, _)| old != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    pub(crate) async fn get(&mut self, server: &Server, path: &str) -> Answer {
        self.send(server, self.request(Method::GET, path, Body::empty())).await
    }

    /// Begins a login: where the browser is sent.
    async fn begin(&mut self, server: &Server, path: &str) -> String {
        let answer = self.get(server, path).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    /// A whole login; what the callback answers.
    async fn log_in(&mut self, server: &Server, issuer: &FakeIssuer) -> Answer {
        let location = self.begin(server, "/login?to=/runs/r1").await;
        self.get(server, &issuer.authorize(&location)).await
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn rule(group: &str, role: Role, repo: Option<&str>) -> Rule {
    Rule { who: Who::Group(group.to_owned()), role, repo: repo.map(str::to_owned) }
}

fn rules() -> Vec<Rule> {
    vec![rule("dev", Role::Maintainer, Some(REPO)), rule("everybody", Role::Reader, Some("a/b"))]
}

async fn trail(server: &Server) -> Vec<(String, String, Json)> {
    let rows = server.store.audit().after(0, 999).await.unwrap();
    rows.into_iter().map(|row| (row.principal, row.action, row.detail)).collect()
}

#[tokio::test]
async fn a_person_logs_in_decides_and_logs_out() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    asking(&server.store, "r1", REPO).await;
    create(&server.store, "r2", OTHER).await;
    let mut ada = Browser::default();
    let first = ada.get(&server, "/runs/r1").await;
    assert_eq!(
        (first.status.as_u16(), &first.headers["location"]),
        (303, &"/login?to=/runs/r1".parse().unwrap())
    );
    let answer = ada.log_in(&server, &issuer).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("<meta http-equiv=\"refresh\" content=\"0;url=/runs/r1\">"));
    let lax = ada.cookies.iter().any(|(name, _)| name == "__Host-plue-login");
    assert!(lax && ada.cookies.iter().any(|(name, _)| name == "__Host-plue"));
    let page = ada.get(&server, "/runs/r1").await;
    assert!(page.status == 200 && page.text().contains("ada@example.org"), "{}", page.text());
    let who = ada.get(&server, "/api/v1/whoami").await.is(200).json();
    assert_eq!(
        who,
        json!({
            "name": "person:ada@example.org", "role": "maintainer", "repository": null,
            "grants": [
                {"role": "reader", "repository": "a/b"},
                {"role": "maintainer", "repository": REPO},
            ],
        })
    );
    let runs = ada.get(&server, "/api/v1/runs").await.is(200).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1, "only those of his repositories");
    for foreign in ["/api/v1/runs/r2", "/api/v1/runs?repository=acme/other"] {
        ada.get(&server, foreign).await.is(404);
    }
    // A change of state needs the session's CSRF token.
    let decide = "/api/v1/runs/r1/steps/ask/decision";
    let csrf = ada.get(&server, "/api/v1/session").await.is(200).json()["csrf"].clone();
    for (word, status) in [(None, 403), (csrf.as_str(), 200)] {
        let mut request = request(Method::POST, decide, None, Some(json!({"approve": true})));
        let cookie = ada.request(Method::GET, "/", Body::empty()).headers()["cookie"].clone();
        request.headers_mut().insert("cookie", cookie);
        if let Some(word) = word {
            request.headers_mut().insert("x-plue-csrf", word.parse().unwrap());
        }
        server.send(request).await.is(status);
    }
    assert_eq!(
        server.asked.decisions.lock().unwrap()[0].2,
        "ada@example.org",
        "as approvers name her"
    );
    // The form that the page has.
    let page = ada.get(&server, "/runs/r1").await.text();
    let csrf = csrf.as_str().unwrap();
    assert!(page.contains(csrf));
    let logout = |origin: &'static str, word: &str| {
        let body = Body::from(format!("csrf={word}"));
        let mut request = ada.request(Method::POST, "/logout", body);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    assert_eq!(server.send(logout("https://evil.example", csrf)).await.status, 403);
    assert_eq!(server.send(logout("https://ci.example", "wrong")).await.status, 403);
    let request = logout("https://ci.example", csrf);
    let mut kept = ada.clone();
    assert_eq!(ada.send(&server, request).await.status, 200);
    kept.get(&server, "/api/v1/whoami").await.is(401);
    assert_eq!(ada.get(&server, "/runs/r1").await.status, 303);
    let actions: Vec<_> =
        trail(&server).await.into_iter().map(|(who, what, _)| (who, what)).collect();
    let ada = |what: &str| ("person:ada@example.org".to_owned(), what.to_owned());
    assert_eq!(actions, [ada("login"), ada("run.decide"), ada("session.end")]);
}

#[tokio::test]
async fn callers_with_a_lower_role_get_403() {
    let issuer = FakeIssuer::start().await;
    let rules = vec![rule("dev", Role::Writer, Some(OTHER)), rule("dev", Role::Reader, Some(REPO))];
    let server = Server::logging_in(issuer.login(rules)).await;
    create(&server.store, "r1", REPO).await;
    create(&server.store, "r2", OTHER).await;
    let mut ada = Browser::default();
    ada.log_in(&server, &issuer).await;
    let csrf = ada.get(&server, "/api/v1/session").await.is(200).json()["csrf"].clone();
    for (run, status) in [("r1", 403), ("r2", 200), ("r3", 404)] {
        ada.get(&server, &format!("/api/v1/runs/{run}")).await.is(if run == "r3" {
            404
        } else {
            200
        });
        let path = format!("/api/v1/runs/{run}/cancel");
        let mut request = request(Method::POST, &path, None, Some(json!({})));
        let cookie = ada.request(Method::GET, "/", Body::empty()).headers()["cookie"].clone();
        request.headers_mut().insert("cookie", cookie);
        request.headers_mut().insert("x-plue-csrf", csrf.as_str().unwrap().parse().unwrap());
        server.send(request).await.is(status);
    }
}

#[tokio::test]
async fn persons_without_a_rule_are_refused() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(vec![rule("ops", Role::Admin, None)])).await;
    let mut ada = Browser::default();
    let answer = ada.log_in(&server, &issuer).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("no rule of this server names you"), "{}", answer.text());
    assert!(ada.cookies.iter().all(|(name, _)| name != "__Host-plue"));
    let trail = trail(&server).await;
    assert_eq!(
        (trail.len(), &*trail[0].0, &*trail[0].1),
        (1, "person:ada@example.org", "login.refused")
    );
}

#[tokio::test]
async fn sessions_lose_roles_that_rules_no_longer_give() {
    let (issuer, database) = (FakeIssuer::start().await, Database::create());
    let before = Server::replica(&database.url(), issuer.login(rules())).await;
    let mut ada = Browser::default();
    ada.log_in(&before, &issuer).await;
    ada.get(&before, "/api/v1/whoami").await.is(200);
    let lower = vec![rule("dev", Role::Reader, None)];
    let after = Server::replica(&database.url(), issuer.login(lower)).await;
    let who = ada.get(&after, "/api/v1/whoami").await.is(200).json();
    assert_eq!((&who["role"], &who["repository"]), (&json!("reader"), &json!(null)));
    let none = Server::replica(&database.url(), issuer.login(Vec::new())).await;
    ada.get(&none, "/api/v1/whoami").await.is(401);
    let other = FakeIssuer::start().await;
    let moved = Server::replica(&database.url(), other.login(rules())).await;
    ada.get(&moved, "/api/v1/whoami").await.is(401);
}

#[tokio::test]
async fn a_login_started_on_one_replica_finishes_elsewhere() {
    let (issuer, database) = (FakeIssuer::start().await, Database::create());
    let one = Server::replica(&database.url(), issuer.login(rules())).await;
    let two = Server::replica(&database.url(), issuer.login(rules())).await;
    let mut ada = Browser::default();
    let location = ada.begin(&one, "/login?to=/runs/r1").await;
    let back = issuer.authorize(&location);
    let answer = ada.get(&two, &back).await;
    assert!(answer.status == 200 && answer.text().contains("url=/runs/r1"), "{}", answer.text());
    for server in [&one, &two] {
        ada.get(server, "/api/v1/whoami").await.is(200);
    }
    for server in [&one, &two] {
        assert_eq!(ada.get(server, &back).await.status, 400, "a state is good once, anywhere");
    }
}

#[tokio::test]
async fn foreign_states_and_used_codes_are_refused() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    let (mut ada, mut eve) = (Browser::default(), Browser::default());
    let back = issuer.authorize(&ada.begin(&server, "/login").await);
    // Eve's own code in Ada's browser, and the other way round.
    let eves = issuer.authorize(&eve.begin(&server, "/login").await);
    assert_eq!(eve.get(&server, &back).await.status, 400);
    assert_eq!(ada.get(&server, &eves).await.status, 400);
    assert_eq!(Browser::default().get(&server, &back).await.status, 400, "no cookie at all");
    assert_eq!(ada.get(&server, "/login/callback?code=x").await.status, 400);
    assert_eq!(ada.get(&server, "/login/callback?state=a&state=b").await.status, 400);
    assert_eq!(ada.get(&server, &back).await.status, 200, "hers is still good for her");
    // The code again, with a fresh state.
    let (code, state) = (back.split("code=").nth(1).unwrap(), eves.split("state=").last().unwrap());
    let code = code.split('&').next().unwrap();
    let again = eve.get(&server, &format!("/login/callback?code={code}&state={state}")).await;
    assert!(again.status == 403 && again.text().contains("invalid_grant"), "{}", again.text());
    // An unused code of another person: its proof key is not Eve's.
    let stolen = issuer.authorize(&ada.begin(&server, "/login").await);
    let stolen = stolen.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let eves = issuer.authorize(&eve.begin(&server, "/login").await);
    let state = eves.split("state=").last().unwrap();
    let answer = eve.get(&server, &format!("/login/callback?code={stolen}&state={state}")).await;
    assert!(answer.status == 403 && answer.text().contains("invalid_grant"));
    let denied = issuer.authorize(&eve.begin(&server, "/login").await);
    let state = denied.split("state=").last().unwrap();
    let path = format!("/login/callback?error=access_denied%0a%3Cb%3E&state={state}");
    let answer = eve.get(&server, &path).await;
    assert!(answer.status == 403 && answer.text().contains("access_deniedb"), "{}", answer.text());
    eve.get(&server, "/api/v1/whoami").await.is(401);
}

#[tokio::test]
async fn logins_return_to_this_site_only() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    for to in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "/a%0d%0ab",
    ] {
        let mut ada = Browser::default();
        let location = ada.begin(&server, &format!("/login?to={to}")).await;
        let answer = ada.get(&server, &issuer.authorize(&location)).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("evil") && answer.text().contains("0;url=/\""), "{to}");
    }
}

#[tokio::test]
async fn allowed_algorithms_and_rotated_keys_are_accepted() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    for (with, alg, kid) in
        [(With::Rsa, "RS256", "rsa"), (With::Ec, "ES256", "ec"), (With::Ed, "EdDSA", "ed")]
    {
        issuer.change(move |draft| {
            draft.with = with;
            draft.head = json!({"alg": alg, "kid": format!("{kid}-1")});
        });
        let answer = Browser::default().log_in(&server, &issuer).await;
        assert_eq!(answer.status, 200, "{alg}: {}", answer.text());
    }
    assert_eq!(issuer.0.lock().unwrap().fetched, 1);
    // Several audiences, if the token was issued to us.
    issuer.change(|draft| {
        draft.claims["aud"] = json!([CLIENT, "other"]);
        draft.claims["azp"] = json!(CLIENT);
    });
    assert_eq!(Browser::default().log_in(&server, &issuer).await.status, 200);
    issuer.0.lock().unwrap().generation = "2".to_owned();
    issuer.change(|_| {});
    assert_eq!(Browser::default().log_in(&server, &issuer).await.status, 200);
    assert_eq!(issuer.0.lock().unwrap().fetched, 2);
}

/// A hostile token: what is changed, and why it is refused.
type Case = (fn(&mut Draft), &'static str);

const CASES: &[Case] = &[
    (|d| d.claims["iss"] = json!("https://evil.example"), "of another issuer"),
    (|d| drop(d.claims.as_object_mut().unwrap().remove("iss")), "of another issuer"),
    (|d| d.claims["iss"] = json!([d.claims["iss"]]), "of another issuer"),
    (|d| d.claims["aud"] = json!("other"), "for somebody else"),
    (|d| d.claims["aud"] = json!([]), "for somebody else"),
    (|d| drop(d.claims.as_object_mut().unwrap().remove("aud")), "for whom"),
    (|d| d.claims["aud"] = json!([CLIENT, "other"]), "to whom"),
    (|d| d.claims["azp"] = json!("other"), "issued to somebody else"),
    (|d| d.claims["nonce"] = json!("0".repeat(64)), "of another login"),
    (|d| drop(d.claims.as_object_mut().unwrap().remove("nonce")), "of another login"),
    (|d| d.claims["exp"] = json!(d.claims["iat"].as_i64().unwrap() - 61), "has expired"),
    (|d| drop(d.claims.as_object_mut().unwrap().remove("exp")), "when it expires"),
    (|d| d.claims["exp"] = json!("9999999999"), "a time in it"),
    (|d| d.claims["exp"] = json!(-1e300), "has expired"),
    (|d| d.claims["iat"] = json!(d.claims["iat"].as_i64().unwrap() + 3600), "from the future"),
    (|d| d.claims["iat"] = json!(d.claims["iat"].as_i64().unwrap() - 3600), "too old"),
    (|d| drop(d.claims.as_object_mut().unwrap().remove("iat")), "when it was issued"),
    (|d| d.claims["nbf"] = json!(d.claims["iat"].as_i64().unwrap() + 3600), "not good yet"),
    (|d| d.claims["sub"] = json!(""), "of whom"),
    (|d| d.claims["sub"] = json!("x".repeat(256)), "of whom"),
    (|d| (d.head["alg"], d.with) = (json!("none"), With::Nothing), "head cannot be read"),
    (|d| (d.head["alg"], d.with) = (json!("HS256"), With::Hmac), "algorithm is not allowed"),
    (|d| (d.head["alg"], d.with) = (json!("RS384"), With::Rsa384), "algorithm is not allowed"),
    (|d| d.head["alg"] = json!("ES256"), "not one of the issuer's"),
    (|d| (d.head["kid"], d.with) = (json!("ec-1"), With::Ec), "not one of the issuer's"),
    (|d| d.head["kid"] = json!("enc-1"), "not one of the issuer's"),
    (|d| d.head["kid"] = json!("unknown"), "not one of the issuer's"),
    (|d| d.with = With::OtherRsa, "signature is not good"),
    (|d| d.with = With::Hmac, "signature is not good"),
    (|d| d.with = With::Nothing, "signature is not good"),
    (|d| d.head["crit"] = json!(["b64"]), "an extension"),
    (|d| d.claims["more"] = json!("x".repeat(16 * 1024)), "too long"),
    (|d| d.claims["email_verified"] = json!(false), "no usable claim"),
    (|d| d.claims["email"] = json!("ada\u{202e}@example.org"), "no usable claim"),
];

#[tokio::test]
async fn hostile_tokens_are_refused_with_their_reason() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    for (at, (change, why)) in CASES.iter().enumerate() {
        issuer.change(*change);
        let mut eve = Browser::default();
        let answer = eve.log_in(&server, &issuer).await;
        let text = answer.text();
        assert!(answer.status == 403 && text.contains(why), "{at} {why}: {text}");
        eve.get(&server, "/api/v1/whoami").await.is(401);
    }
    assert_eq!(trail(&server).await, [], "whom no issuer names cannot fill the audit trail");
    let fetched = issuer.0.lock().unwrap().fetched;
    assert_eq!(fetched, 2, "unknown keys have keys fetched once, not each time");
}

#[tokio::test]
async fn tokens_changed_after_signing_are_refused() {
    let issuer = FakeIssuer::start().await;
    let server = Server::logging_in(issuer.login(rules())).await;
    let spoils: [fn(String) -> String; 6] = [
        |token| token[..token.len() - 8].to_owned(),
        |token| token.replacen(".ey", ".eY", 1),
        |token| format!("{token}."),
        |token| token.replace('.', ""),
        |_| String::new(),
        |token| format!("{}.{}", &token[..token.rfind('.').unwrap()], "A".repeat(342)),
    ];
    for (at, spoil) in spoils.into_iter().enumerate() {
        issuer.0.lock().unwrap().spoil = Some(Box::new(spoil));
        let answer = Browser::default().log_in(&server, &issuer).await;
        assert_eq!(answer.status, 403, "{at}: {}", answer.text());
    }
}

#[tokio::test]
async fn other_or_missing_issuers_are_refused() {
    for (name, value) in [
        ("issuer", json!("https://evil.example")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("token_endpoint", json!(7)),
    ] {
        let issuer = FakeIssuer::start().await;
        issuer.0.lock().unwrap().configuration[name] = value;
        let server = Server::logging_in(issuer.login(rules())).await;
        let answer = Browser::default().get(&server, "/login").await;
        assert_eq!(answer.status, 502, "{name}");
        let again = Browser::default().get(&server, "/login").await;
        assert_eq!(again.status, 502, "and left alone for a moment");
    }
    let issuer = FakeIssuer::start().await;
    issuer.0.lock().unwrap().configuration["authorization_response_iss_parameter_supported"] =
        json!(true);
    let server = Server::logging_in(issuer.login(rules())).await;
    let address = issuer.0.lock().unwrap().address.clone();
    for (query, status) in
        [("", 403), ("&iss=https://evil.example", 403), (&*format!("&iss={address}"), 200)]
    {
        let mut ada = Browser::default();
        let back = issuer.authorize(&ada.begin(&server, "/login").await);
        assert_eq!(ada.get(&server, &(back + query)).await.status, status, "{query}");
    }
}
