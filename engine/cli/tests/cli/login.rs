//! `plue serve` and an issuer on this machine: from `config.toml` to a session, over real sockets.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use plue_runtime::Clock;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value as Json, json};

use crate::support::Bench;

/// An issuer that answers one question at a time, while the test waits for a server that asks it.
struct Issuer {
    listener: TcpListener,
    key: Ed25519KeyPair,
}

impl Issuer {
    fn start() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap(), key }
    }

    fn address(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Answers the next question, which is for this path.
    fn answer(&self, path: &str, body: &Json) {
        let (stream, _) = self.listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (asked, _) = head_of(&mut reader);
        assert!(asked.contains(&format!(" {path} ")), "{asked}");
        let body = body.to_string();
        write!(
            reader.get_mut(),
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }

    fn describe(&self) {
        let own = self.address();
        let at = |path: &str| format!("{own}/{path}");
        let configuration = json!({
            "issuer": own, "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"), "jwks_uri": at("keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        });
        self.answer("/.well-known/openid-configuration", &configuration);
    }

    fn token(&self, nonce: &str) -> Json {
        let now = Clock::real().now().as_second();
        let claims = json!({
            "iss": self.address(), "aud": "plue", "sub": "1", "nonce": nonce, "iat": now,
            "exp": now + 60, "email": "ada@example.org", "email_verified": true,
            "realm": {"groups": ["dev"]},
        });
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "EdDSA"})), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        json!({"id_token": format!("{message}.{signature}")})
    }

    fn keys(&self) -> Json {
        let public = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]})
    }
}

/// The head of a request or an answer, and its body.
fn head_of(reader: &mut impl std::io::BufRead) -> (String, String) {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// A server with login by the test issuer.
struct Served {
    server: Child,
    address: String,
}

impl Served {
    fn start(bench: &Bench) -> Self {
        let mut command = bench.command(&["serve", "--listen", "127.0.0.1:0", "--max-runs", "1"]);
        let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self { server, address }
    }

    /// Asks for a page; the issuer may be asked before the answer is read.
    fn ask(&self, path: &str, cookie: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n").unwrap();
        BufReader::new(stream)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended = self.server.kill();
        let _reaped = self.server.wait();
    }
}

fn header(head: &str, name: &str) -> String {
    let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.unwrap_or_else(|| panic!("no {name}: {head}")).to_owned()
}

fn cookie(head: &str) -> String {
    header(head, "set-cookie").split(';').next().unwrap().to_owned()
}

fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').unwrap().1;
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("no {name}: {address}")).to_owned()
}

fn configured(issuer: &str, rules: &str) -> Bench {
    let bench = Bench::new();
    let folder = bench.home().join(".config/plue");
    std::fs::create_dir_all(&folder).unwrap();
    let secret = folder.join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let text = format!(
        "[login]\nissuer = \"{issuer}\"\nclient_id = \"plue\"\nclient_secret_file = \"{}\"\n\
         groups_claim = \"realm.groups\"\nrules = [{rules}]\n",
        secret.display()
    );
    std::fs::write(folder.join("config.toml"), text).unwrap();
    bench
}

#[test]
fn users_log_in_by_the_configured_issuer() {
    let issuer = Issuer::start();
    let bench =
        configured(&issuer.address(), r#"{group = "dev", role = "writer", repo = "acme/app"}"#);
    let served = Served::start(&bench);
    let mut asked = served.ask("/login?to=/runs/x", "a=b");
    issuer.describe();
    let (head, _) = head_of(&mut asked);
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
    let (there, kept) = (header(&head, "location"), cookie(&head));
    let back = parameter(&there, "redirect_uri").replace("%3A", ":").replace("%2F", "/");
    assert_eq!(back, format!("http://{}/login/callback", served.address));
    let callback = format!("/login/callback?code=c&state={}", parameter(&there, "state"));
    let mut asked = served.ask(&callback, &kept);
    issuer.answer("/token", &issuer.token(&parameter(&there, "nonce")));
    issuer.answer("/keys", &issuer.keys());
    let (head, page) = head_of(&mut asked);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}{page}");
    assert!(page.contains("0;url=/runs/x") && page.contains("ada@example.org"), "{page}");
    let session = cookie(&head);
    assert!(session.starts_with("__Host-plue="), "{session}");
    let (_, who) = head_of(&mut served.ask("/api/v1/whoami", &session));
    let who: Json = serde_json::from_str(&who).unwrap();
    let ada = json!({"name": "person:ada@example.org", "role": "writer", "repository": "acme/app"});
    assert_eq!(who, ada);
    let (head, _) = head_of(&mut served.ask("/runs/x", &session));
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[test]
fn incomplete_login_configurations_refuse_the_server() {
    for (issuer, rules, why) in [
        ("https://id.example", "", "login.rules is missing"),
        ("http://id.example", r#"{group = "a", role = "admin"}"#, "must be https"),
        ("https://id.example", r#"{group = "a", role = "root"}"#, "is no role"),
    ] {
        let bench = configured(issuer, rules);
        let output = bench.plue(&["serve", "--listen", "127.0.0.1:0"]).ends(2);
        output.reports(&[why]);
    }
}
