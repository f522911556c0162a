//! The client against a local server with scripted answers.

use std::time::Duration;

use plue_llm::{
    Client, ClientOptions, Credential, Delta, Error, Message, Request, error::StreamError,
    retry::RetryPolicy,
};
use plue_runtime::{Clock, Ids, Tasks};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const KEY: &str = "sk-ant-canary-0123456789";
const ANSWER: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",",
    "\"model\":\"claude-sonnet-5-5\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
    "event: content_block_stop\ndata: {\"index\":0}\n\n",
    "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {}\n\n",
);

/// An API that gives one reply to each connection, in order, and hands out what it was sent.
struct Api {
    base_url: String,
    requests: mpsc::Receiver<String>,
    _tasks: Tasks,
}

impl Api {
    async fn start(replies: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, requests) = mpsc::channel(16);
        let tasks = Tasks::new();
        let serve = async move {
            for reply in replies {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let request = read_request(&mut stream).await;
                sender.send(request).await.expect("the test reads");
                stream.write_all(reply.as_bytes()).await.expect("written");
                stream.shutdown().await.expect("closed");
            }
            // Further requests are refused.
        };
        tasks.spawn("api", serve);
        Self { base_url, requests, _tasks: tasks }
    }

    fn client(&self) -> Client {
        client(&self.base_url, Duration::from_secs(60))
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer).await.expect("a request");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.map_or(0, |text| text.parse().expect("a number"));
        if body.len() >= length {
            return text;
        }
    }
}

fn client(base_url: &str, idle_timeout: Duration) -> Client {
    let retry = RetryPolicy { first_pause: Duration::from_millis(1), ..RetryPolicy::default() };
    let options = ClientOptions {
        base_url: base_url.to_owned(),
        retry,
        idle_timeout,
        ..ClientOptions::default()
    };
    let key = Credential::ApiKey(KEY.to_owned().into());
    Client::new(&key, options, Clock::real(), Ids::random()).expect("a client")
}

fn reply(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}")
}

fn streamed(body: &str) -> String {
    reply("200 OK\r\ncontent-type: text/event-stream", body)
}

fn failed(head: &str, kind: &str) -> String {
    let error =
        format!("{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"No\"}}}}");
    reply(&format!("{head}\r\ncontent-type: application/json"), &error)
}

fn request() -> Request {
    Request::new("claude-sonnet-5-5", 64, vec![Message::user("Hi")])
}

async fn text(client: &Client) -> Result<String, Error> {
    let mut stream = client.stream(&request()).await?;
    let mut text = String::new();
    while let Some(delta) = stream.next().await? {
        if let Delta::Text(piece) = delta {
            text.push_str(&piece);
        }
    }
    let answer = stream.finish()?;
    assert_eq!(answer.text(), text);
    Ok(text)
}

#[tokio::test]
async fn row_1_06_answers_arrive_as_they_are_written() {
    let mut api = Api::start(vec![streamed(ANSWER)]).await;
    assert_eq!(text(&api.client()).await.expect("an answer"), "Hello");
    let sent = api.requests.recv().await.expect("a request");
    assert!(sent.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("anthropic-version: 2026-10-21\r\n"), "{sent}");
    assert!(sent.contains(&format!("x-api-key: {KEY}\r\n")), "{sent}");
}

#[tokio::test]
async fn row_1_17_overloaded_apis_are_asked_again() {
    let busy = || failed("529 Overloaded", "overloaded_error");
    let api = Api::start(vec![busy(), busy(), streamed(ANSWER)]).await;
    assert_eq!(text(&api.client()).await.expect("an answer"), "Hello");
    let api = Api::start(vec![busy(), busy(), busy(), streamed(ANSWER)]).await;
    let error = text(&api.client()).await.expect_err("three times is enough");
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn refused_requests_are_not_repeated() {
    for (head, kind) in [
        ("400 Bad Request", "invalid_request_error"),
        ("401 Unauthorized", "authentication_error"),
        // Without a time to wait it is a limit on spending.
        ("429 Too Many Requests", "rate_limit_error"),
        ("529 Overloaded\r\nx-should-retry: false", "overloaded_error"),
    ] {
        let api = Api::start(vec![failed(head, kind), streamed(ANSWER)]).await;
        let error = text(&api.client()).await.expect_err("refused");
        assert!(error.to_string().contains(kind), "{error}");
    }
}

#[tokio::test]
async fn rate_limits_carry_the_wait() {
    let wait = |head: &str| failed(&format!("429 Too Many Requests\r\n{head}"), "rate_limit_error");
    let api = Api::start(vec![wait("retry-after-ms: 1"), streamed(ANSWER)]).await;
    assert_eq!(text(&api.client()).await.expect("an answer"), "Hello");
    let past = "retry-after: Wed, 21 Oct 2015 07:28:00 GMT";
    let api = Api::start(vec![wait(past), streamed(ANSWER)]).await;
    assert_eq!(text(&api.client()).await.expect("an answer"), "Hello");
    let api = Api::start(vec![wait("retry-after: 3600"), streamed(ANSWER)]).await;
    let error = text(&api.client()).await.expect_err("too long");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
}

#[tokio::test]
async fn a_clean_end_is_no_success() {
    let cut = ANSWER.split("event: message_delta").next().expect("a beginning");
    let api = Api::start(vec![streamed(cut)]).await;
    let error = text(&api.client()).await.expect_err("cut");
    assert!(matches!(error, Error::Stream(StreamError::Truncated)), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut other = Api::start(vec![streamed(ANSWER)]).await;
    let moved = format!("307 Temporary Redirect\r\nlocation: {}/v1/messages", other.base_url);
    let api = Api::start(vec![reply(&moved, "")]).await;
    text(&api.client()).await.expect_err("a redirect");
    assert!(other.requests.try_recv().is_err(), "the key was sent elsewhere");
}

#[tokio::test(start_paused = true)]
async fn silent_apis_are_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = client(&format!("http://{address}"), Duration::from_millis(50));
    let error = text(&client).await.expect_err("silent");
    assert!(matches!(error, Error::Silent { .. }), "{error}");
}

#[tokio::test]
async fn keys_are_checked_without_a_model() {
    let mut api = Api::start(vec![reply("200 OK", "{\"data\":[]}")]).await;
    api.client().check_key().await.expect("a good key");
    let sent = api.requests.recv().await.expect("a request");
    assert!(sent.starts_with("GET /v1/models?limit=1 HTTP/1.1\r\n"), "{sent}");
    let api = Api::start(vec![failed("401 Unauthorized", "authentication_error")]).await;
    let error = api.client().check_key().await.expect_err("a bad key");
    assert!(error.to_string().contains("authentication_error"), "{error}");
}

#[tokio::test]
async fn keys_are_in_no_error() {
    let echo = reply("400 Bad Request", "<html>a proxy's page</html>");
    let api = Api::start(vec![echo]).await;
    let client = api.client();
    let error = text(&client).await.expect_err("refused");
    assert!(error.to_string().contains("a proxy's page"), "{error}");
    drop(api);
    let gone = text(&client).await.expect_err("gone");
    for shown in [format!("{client:?} {error:?} {error}"), format!("{gone:?} {gone}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    let options = ClientOptions { base_url: "http://me:canary@x".to_owned(), ..Default::default() };
    let key = Credential::ApiKey(KEY.to_owned().into());
    let refused = Client::new(&key, options, Clock::real(), Ids::random()).expect_err("refused");
    assert!(!format!("{refused} {refused:?} {key:?}").contains("canary"), "{refused}");
}
