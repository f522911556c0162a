//! An issuer on this machine with Ed25519 keys, which gives whatever token a test prepares.

use std::sync::{Arc, Mutex, MutexGuard};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plue_login::{Attempt, Error, Issuer, Person, Settings};
use plue_runtime::{Clock, Tasks};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

pub(crate) const CLIENT: &str = "plue";

/// The answers of the issuer.
pub(crate) struct State {
    pub(crate) key: Ed25519KeyPair,
    /// Name of the key.
    pub(crate) key_id: String,
    pub(crate) document: Json,
    /// Status and body of the answer to a code.
    pub(crate) exchange: (u16, Json),
    /// Paths of the requests so far.
    pub(crate) requests: Vec<String>,
}

/// An issuer, a client of it, and one attempt to log in.
pub(crate) struct FakeIssuer {
    pub(crate) address: String,
    pub(crate) client: Issuer,
    pub(crate) attempt: Attempt,
    state: Arc<Mutex<State>>,
}

// === impl FakeIssuer ===

impl FakeIssuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            key: new_key(),
            key_id: "first".to_owned(),
            document: json!({
                "issuer": address,
                "authorization_endpoint": format!("{address}/authorize"),
                "token_endpoint": format!("{address}/token"),
                "jwks_uri": format!("{address}/keys"),
            }),
            exchange: (400, json!({"error": "invalid_grant"})),
            requests: Vec::new(),
        }));
        let answers = Arc::clone(&state);
        let serve = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &answers).await;
            }
        };
        drop(Tasks::new().spawn("issuer", serve));
        let settings = Settings {
            issuer: address.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: None,
            scopes: vec!["email".to_owned()],
            name_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            redirect_uri: "http://127.0.0.1:8787/login/callback".to_owned(),
            allow_http: false,
        };
        let client = Issuer::new(settings, Clock::real()).unwrap();
        Self { address, client, attempt: Attempt::of("secret", "state"), state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Number of requests for a path.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|requested| *requested == path).count()
    }

    /// Claims of a token for this attempt that is valid for a minute.
    pub(crate) fn claims(&self) -> Json {
        let now = Clock::real().now().as_second();
        json!({
            "iss": self.address, "aud": CLIENT, "sub": "1", "nonce": self.attempt.nonce, "iat": now,
            "exp": now + 60, "email": "ada@example.org", "email_verified": true, "groups": ["dev"],
        })
    }

    /// The head of a token that is signed with the current key.
    pub(crate) fn head(&self) -> Json {
        json!({"alg": "EdDSA", "kid": self.state().key_id})
    }

    /// Logs in with a token that the current key signs.
    pub(crate) async fn log_in(&self, head: &Json, claims: &Json) -> Result<Person, Error> {
        let message = unsigned(head, claims);
        let signature = self.state().key.sign(message.as_bytes());
        self.log_in_with(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))).await
    }

    /// Logs in with this token.
    pub(crate) async fn log_in_with(&self, token: &str) -> Result<Person, Error> {
        self.state().exchange = (200, json!({"id_token": token}));
        self.client.finish(&self.attempt, "code", None).await
    }
}

pub(crate) fn new_key() -> Ed25519KeyPair {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()
}

/// Head and claims of a token, which a signature covers.
pub(crate) fn unsigned(head: &Json, claims: &Json) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(head), part(claims))
}

async fn answer(stream: TcpStream, state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await.unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    let (status, body) = {
        let mut state = state.lock().unwrap();
        let public = URL_SAFE_NO_PAD.encode(state.key.public_key());
        let answer = match path.as_str() {
            "/.well-known/openid-configuration" => (200, state.document.clone()),
            "/keys" => {
                let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": state.key_id, "x": public});
                (200, json!({"keys": [key]}))
            }
            "/token" => state.exchange.clone(),
            _ => (404, Json::Null),
        };
        state.requests.push(path);
        answer
    };
    let body = body.to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}");
    stream.get_mut().write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
}
