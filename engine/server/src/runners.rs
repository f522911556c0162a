//! The route of runners of other machines: `GET /api/v1/runners/connect`, upgraded to a WebSocket.
//!
//! Must not read a frame: the fleet does, and decides who stays.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use plue_pool::fleet::Fleet;
use plue_runtime::{Tasks, websocket};

/// Bytes of a client's key in base 64.
const KEY_BYTES: usize = 24;

#[derive(Debug, Clone)]
struct Door {
    fleet: Fleet,
    tasks: Tasks,
}

/// The route, for a process that drives runs; without a fleet there is none.
pub fn routes(fleet: Option<Fleet>, tasks: Tasks) -> Router {
    let Some(fleet) = fleet else { return Router::new() };
    Router::new().route("/api/v1/runners/connect", get(connect)).with_state(Door { fleet, tasks })
}

async fn connect(State(door): State<Door>, mut request: Request) -> Response {
    let Some(key) = client_key(request.headers()) else {
        let refused = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, refused).into_response();
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    };
    let Some(permit) = door.fleet.permit() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
    };
    let accept = HeaderValue::from_str(&websocket::accept_key(&key));
    let Ok(accept) = accept else { return StatusCode::BAD_REQUEST.into_response() };
    door.tasks.clone().spawn("runner connection", async move {
        if let Ok(upgraded) = upgrade.await {
            door.fleet.accept(TokioIo::new(upgraded), permit).await;
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// The key of a request for a WebSocket; `None` for any other request.
fn client_key(headers: &HeaderMap) -> Option<Vec<u8>> {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|text| text.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let is_asked = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, websocket::VERSION);
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    (is_asked && key.len() == KEY_BYTES).then(|| key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_requests_are_upgraded() {
        let mut headers = HeaderMap::new();
        let set = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in set {
            assert_eq!(client_key(&headers), None, "before {name}");
            headers.insert(name, HeaderValue::from_static(value));
        }
        let key = client_key(&headers).unwrap();
        // The example of RFC 6455.
        assert_eq!(websocket::accept_key(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert("sec-websocket-version", HeaderValue::from_static("8"));
        assert_eq!(client_key(&headers), None);
    }
}
