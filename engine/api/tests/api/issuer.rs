//! An issuer on this machine: real keys, real HTTP, and tokens as hostile as a test wants them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use plue_api::{Login, login::Rule};
use plue_login::{ClientSecret, Issuer, Settings};
use plue_runtime::Clock;
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaKeyPair,
    },
};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

pub(crate) const CLIENT: &str = "plue client";
pub(crate) const SECRET: &str = "s3cret:with colon";
pub(crate) const SITE: &str = "http://127.0.0.1:8787";

/// Signing key of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Rsa,
    /// The same key under another algorithm.
    Rsa384,
    /// A key that is not the issuer's, under the name of one that is.
    OtherRsa,
    Ec,
    Ed,
    /// The public key as a shared secret.
    Hmac,
    Nothing,
}

/// A token before it is signed.
pub(crate) struct Draft {
    pub(crate) head: Json,
    pub(crate) claims: Json,
    pub(crate) with: With,
}

type Change = Box<dyn Fn(&mut Draft) + Send>;
type Spoil = Box<dyn Fn(String) -> String + Send>;

struct Code {
    nonce: String,
    challenge: String,
}

pub(crate) struct Keys {
    rsa: RsaKeyPair,
    other: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// State of the issuer.
pub(crate) struct Inside {
    pub(crate) address: String,
    keys: Keys,
    codes: HashMap<String, Code>,
    /// Names of its keys end so; a new one is a rotation.
    pub(crate) generation: String,
    pub(crate) change: Option<Change>,
    pub(crate) spoil: Option<Spoil>,
    pub(crate) configuration: Json,
    /// Number of requests for its keys.
    pub(crate) fetched: u32,
    count: u32,
}

/// An issuer of OpenID Connect, in this process.
#[derive(Clone)]
pub(crate) struct FakeIssuer(pub(crate) Arc<Mutex<Inside>>);

impl FakeIssuer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let rng = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &rng);
        let ed = Ed25519KeyPair::generate_pkcs8(&rng).unwrap();
        let keys = Keys {
            rsa: RsaKeyPair::from_pkcs8(include_bytes!("keys/rsa.pk8")).unwrap(),
            other: RsaKeyPair::from_pkcs8(include_bytes!("keys/rsa_other.pk8")).unwrap(),
            ec: ec.unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        };
        let configuration = json!({
            "issuer": address,
            "authorization_endpoint": format!("{address}/authorize?tenant=x"),
            "token_endpoint": format!("{address}/token"),
            "jwks_uri": format!("{address}/keys"),
        });
        let inside = Inside {
            address,
            keys,
            codes: HashMap::new(),
            generation: "1".to_owned(),
            change: None,
            spoil: None,
            configuration,
            fetched: 0,
            count: 0,
        };
        let issuer = Self(Arc::new(Mutex::new(inside)));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration_of))
            .route("/keys", get(keys_of))
            .route("/token", post(token_of))
            .with_state(issuer.clone());
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        drop(plue_runtime::Tasks::new().spawn("issuer", serve));
        issuer
    }

    /// A server's side of it.
    pub(crate) fn login(&self, rules: Vec<Rule>) -> Login {
        let settings = Settings {
            issuer: self.0.lock().unwrap().address.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: ClientSecret::new(SECRET),
            scopes: vec!["email".to_owned(), "profile".to_owned()],
            name_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            redirect_uri: format!("{SITE}/login/callback"),
            allow_http: false,
        };
        Login::new(Issuer::new(settings, Clock::real()).unwrap(), rules)
    }

    /// Path of the callback that the issuer sends a logged-in person back with.
    pub(crate) fn authorize(&self, location: &str) -> String {
        let mut inside = self.0.lock().unwrap();
        let query = location.strip_prefix(&format!("{}/authorize?", inside.address)).unwrap();
        let asked: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in [
            ("tenant", "x"),
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", &format!("{SITE}/login/callback")),
            ("scope", "openid email profile"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], value, "{name}");
        }
        inside.count += 1;
        let code = format!("code-{}", inside.count);
        let (nonce, challenge) = (asked["nonce"].clone(), asked["code_challenge"].clone());
        inside.codes.insert(code.clone(), Code { nonce, challenge });
        format!("/login/callback?session_state=x&code={code}&state={}", asked["state"])
    }

    /// Tokens from now on are changed before they are signed.
    pub(crate) fn change(&self, change: impl Fn(&mut Draft) + Send + 'static) {
        self.0.lock().unwrap().change = Some(Box::new(change));
    }
}

async fn configuration_of(State(issuer): State<FakeIssuer>) -> axum::Json<Json> {
    axum::Json(issuer.0.lock().unwrap().configuration.clone())
}

async fn keys_of(State(issuer): State<FakeIssuer>) -> axum::Json<Json> {
    let mut inside = issuer.0.lock().unwrap();
    inside.fetched += 1;
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let name = |kind: &str| format!("{kind}-{}", inside.generation);
    let rsa = PublicKeyComponents::<Vec<u8>>::from(inside.keys.rsa.public());
    let (n, e) = (text(&rsa.n), text(&rsa.e));
    let ec = inside.keys.ec.public_key().as_ref();
    axum::Json(json!({"keys": [
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "of tomorrow", "pub": "AA"},
        {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name("rsa"), "n": n, "e": e},
        {"kty": "RSA", "use": "enc", "kid": name("enc"), "n": n, "e": e},
        {"kty": "EC", "crv": "P-256", "use": "sig", "kid": name("ec"),
         "x": text(&ec[1..33]), "y": text(&ec[33..])},
        {"kty": "OKP", "crv": "Ed25519", "kid": name("ed"),
         "x": text(inside.keys.ed.public_key().as_ref())},
    ]}))
}

async fn token_of(
    State(issuer): State<FakeIssuer>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, axum::Json<Json>) {
    let mut inside = issuer.0.lock().unwrap();
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let shown = headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let shown = String::from_utf8(STANDARD.decode(shown).unwrap()).unwrap();
    assert_eq!(shown, "plue+client:s3cret%3Awith+colon", "encoded as in a form");
    assert!(!form.contains_key("client_secret"));
    assert_eq!(form["redirect_uri"], format!("{SITE}/login/callback"));
    let refused = (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"})));
    // A code is good once.
    let Some(code) = inside.codes.remove(&form["code"]) else { return refused };
    let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    if proof != code.challenge {
        return refused;
    }
    let now = Clock::real().now().as_second();
    let mut draft = Draft {
        head: json!({"alg": "RS256", "typ": "JWT", "kid": format!("rsa-{}", inside.generation)}),
        claims: json!({
            "iss": inside.address, "aud": CLIENT, "sub": "subject-1", "nonce": code.nonce,
            "iat": now, "exp": now + 300, "email": "ada@example.org", "email_verified": true,
            "groups": ["dev", "everybody"],
        }),
        with: With::Rsa,
    };
    if let Some(change) = &inside.change {
        change(&mut draft);
    }
    let token = inside.keys.sign(&draft);
    let token = inside.spoil.as_ref().map_or(token.clone(), |spoil| spoil(token));
    let tokens = json!({"access_token": "a", "token_type": "Bearer", "id_token": token});
    (StatusCode::OK, axum::Json(tokens))
}

impl Keys {
    fn sign(&self, draft: &Draft) -> String {
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&draft.head), part(&draft.claims));
        let (rng, bytes) = (SystemRandom::new(), message.as_bytes());
        let rsa = |key: &RsaKeyPair, how: &'static dyn ring::signature::RsaEncoding| {
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(how, &rng, bytes, &mut signature).unwrap();
            signature
        };
        let signature = match draft.with {
            With::Rsa => rsa(&self.rsa, &RSA_PKCS1_SHA256),
            With::Rsa384 => rsa(&self.rsa, &RSA_PKCS1_SHA384),
            With::OtherRsa => rsa(&self.other, &RSA_PKCS1_SHA256),
            With::Ec => self.ec.sign(&rng, bytes).unwrap().as_ref().to_vec(),
            With::Ed => self.ed.sign(bytes).as_ref().to_vec(),
            With::Hmac => {
                let public = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
                let key = hmac::Key::new(hmac::HMAC_SHA256, &public.n);
                hmac::sign(&key, bytes).as_ref().to_vec()
            }
            With::Nothing => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
