//! Streams that differ from those of the documentation, and what becomes of them.

use plue_llm::{Answer, Assembler, Error, error::StreamError, sse::Decoder};
use serde_json::{Value as Json, json};

const HEAD: &str = r#"{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":25,"output_tokens":1}}}"#;

fn event(name: &str, data: &Json) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn started() -> String {
    format!("event: message_start\ndata: {HEAD}\n\n")
}

fn text(text: &str) -> String {
    let block = json!({ "index": 0, "content_block": { "type": "text", "text": "" } });
    let delta = json!({ "index": 0, "delta": { "type": "text_delta", "text": text } });
    event("content_block_start", &block)
        + &event("content_block_delta", &delta)
        + &event("content_block_stop", &json!({ "index": 0 }))
}

/// A call whose input comes as these pieces of JSON text; `None`: no delta at all.
fn call(input: Option<&str>) -> String {
    let block = json!({ "type": "tool_use", "id": "toolu_1", "name": "bash", "input": null });
    let delta = |piece| json!({ "index": 0, "delta": { "type": "input_json_delta", "partial_json": piece } });
    let deltas: String =
        input.iter().map(|piece| event("content_block_delta", &delta(*piece))).collect();
    event("content_block_start", &json!({ "index": 0, "content_block": block }))
        + &deltas
        + &event("content_block_stop", &json!({ "index": 0 }))
}

fn stopped(reason: &str) -> String {
    let delta = json!({ "delta": { "stop_reason": reason }, "usage": { "output_tokens": 9 } });
    event("message_delta", &delta) + &event("message_stop", &json!({}))
}

fn read(stream: &str) -> Result<Answer, StreamError> {
    let whole = read_in(stream, stream.len().max(1));
    for piece in [1, 7] {
        assert_eq!(read_in(stream, piece), whole, "in pieces of {piece}");
    }
    whole
}

fn read_in(stream: &str, piece: usize) -> Result<Answer, StreamError> {
    let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
    for piece in stream.as_bytes().chunks(piece) {
        let mut events = Vec::new();
        decoder.push(piece, &mut events)?;
        for event in &events {
            assembler.take(event)?;
        }
    }
    assembler.finish()
}

#[test]
fn nulls_count_as_absent() {
    let head = json!({ "message": {
        "id": null, "model": null, "stop_reason": null, "content": [],
        "usage": { "input_tokens": 25, "cache_read_input_tokens": null,
                   "cache_creation": { "ephemeral_5m_input_tokens": null } },
    }});
    let end =
        json!({ "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": null });
    let stream = event("message_start", &head) + &text("Hi") + &event("message_delta", &end);
    let answer = read(&stream).unwrap();
    assert_eq!((answer.text().as_str(), answer.usage.input_tokens), ("Hi", Some(25)));
    let empty = json!({ "message": { "usage": null } });
    let stream = event("message_start", &empty) + &text("Hi") + &stopped("end_turn");
    assert_eq!(read(&stream).unwrap().usage.output_tokens, Some(9));
}

#[test]
fn cut_inputs_of_closed_calls_are_cut() {
    let cut =
        read(&(started() + &call(Some("{\"command\": \"ec")) + &stopped("max_tokens"))).unwrap();
    assert_eq!(cut.tool_calls().next().unwrap().input, None, "it is never carried out");
    for bad in ["{\"command\": \"ec", "[]", "1", "null"] {
        let stream = started() + &call(Some(bad)) + &stopped("tool_use");
        assert_eq!(read(&stream), Err(StreamError::BadToolInput), "{bad}");
    }
}

#[test]
fn calls_without_arguments_have_an_empty_object() {
    for input in [None, Some(""), Some("{}")] {
        let answer = read(&(started() + &call(input) + &stopped("tool_use"))).unwrap();
        let input = answer.tool_calls().next().unwrap().input;
        assert_eq!(input, Some(&serde_json::Map::new()));
    }
}

#[test]
fn foreign_lines_change_nothing() {
    let plain = started() + &text("Hi") + &stopped("end_turn");
    let expected = read(&plain).unwrap();
    for odd in [
        plain.replace("event: ", "event:").replace("data: ", "data:"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
        format!(": hello\n\nretry: 3000\n\n{plain}"),
        plain.replace("event: content", "id: 7\nretry\nfoo: bar\n: comment\nevent: content"),
        plain.replace("event: content", "data: {\"type\":\"unnamed\"}\n\nevent: content"),
        plain
            .replace("event: content", "event: ping\ndata: {\"type\": \"ping\"}\n\nevent: content"),
        plain.replace("event: content", "event: later\ndata: no json\n\nevent: content"),
        plain.replace("event: content", "event: content_block_stop\n\nevent: content"),
        plain.replace("\"index\":", "\"new_field\":{\"a\":[1]},\"index\":"),
        plain.replace("}\n\n", "}      \n\n\n\n"),
        format!("{plain}event: error\ndata: {{}}\n\nevent: message_start\ndata: no json\n\n"),
    ] {
        assert_eq!(read(&odd).as_ref(), Ok(&expected), "{odd:?}");
    }
}

#[test]
fn endings_that_miss_are_truncated() {
    let end = json!({ "delta": { "stop_reason": null }, "usage": { "output_tokens": 9 } });
    for stream in [
        String::new(),
        "\n\n\n".to_owned(),
        started(),
        started() + &text("Hi"),
        started() + &text("Hi") + &event("message_delta", &end),
        "<html>502 Bad Gateway</html>\n\n".to_owned(),
    ] {
        assert_eq!(read(&stream), Err(StreamError::Truncated), "{stream:?}");
    }
    let api = |stream: &str| matches!(read(stream), Err(StreamError::Api(_)));
    for error in ["{}", "null", "no json", r#"{"error": null}"#, r#"{"error": {"type": null}}"#] {
        assert!(api(&(started() + &format!("event: error\ndata: {error}\n\n"))), "{error}");
    }
}

#[test]
fn answers_without_a_head_are_asked_for_again() {
    for stream in [text("Hi") + &stopped("end_turn"), stopped("end_turn")] {
        let error = read(&stream).unwrap_err();
        assert_eq!(error, StreamError::NoHead, "{stream:?}");
        assert!(Error::Stream(error).is_transient());
    }
    let twice = started() + &started() + &text("Hi") + &stopped("end_turn");
    assert!(!Error::Stream(read(&twice).unwrap_err()).is_transient());
}
