//! Recorded streams, each read whole, byte by byte and in sevens, compared with the expectations of
//! `manifest.json`.

use plue_llm::{Answer, Assembler, Delta, error::StreamError, event::Event, sse::Decoder};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct Sample {
    file: String,
    bytes: usize,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
enum Expected {
    Message { content: Json, stop_reason: String, usage: serde_json::Map<String, Json> },
    Error { error_type: String, retryable: bool, text_before: String },
    Truncated { text_before: String },
}

struct Read {
    result: Result<Answer, StreamError>,
    shown: String,
}

fn samples() -> Vec<(Sample, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sse");
    let manifest = std::fs::read(format!("{folder}/manifest.json")).expect("the manifest");
    let samples: Vec<Sample> = serde_json::from_slice(&manifest).expect("the manifest is read");
    let with_bytes = |sample: Sample| {
        let bytes = std::fs::read(format!("{folder}/{}", sample.file)).expect("the sample");
        assert_eq!(bytes.len(), sample.bytes, "{}", sample.file);
        (sample, bytes)
    };
    samples.into_iter().map(with_bytes).collect()
}

fn read(bytes: &[u8], piece: usize) -> Read {
    let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
    let mut shown = String::new();
    for piece in bytes.chunks(piece) {
        let mut events = Vec::new();
        let pushed = decoder.push(piece, &mut events).map_err(StreamError::Sse);
        let applied = pushed.and_then(|()| {
            for event in &events {
                let Some(event) = Event::read(event)? else { continue };
                if let Some(Delta::Text(text)) = assembler.apply(event)? {
                    shown.push_str(&text);
                }
            }
            Ok(())
        });
        if let Err(error) = applied {
            return Read { result: Err(error), shown };
        }
    }
    Read { result: assembler.finish(), shown }
}

#[test]
fn samples_are_read_in_any_pieces() {
    let samples = samples();
    assert!(samples.len() >= 12, "{}", samples.len());
    for (sample, bytes) in &samples {
        for piece in [bytes.len(), 1, 7] {
            let Read { result, shown } = read(bytes, piece);
            let name = format!("{} in pieces of {piece}", sample.file);
            match (&sample.expect, result) {
                (Expected::Message { content, stop_reason, usage }, Ok(answer)) => {
                    let blocks = serde_json::to_value(&answer.content).expect("serialized");
                    assert_eq!(&blocks, content, "{name}");
                    let reason = answer.stop.reason.as_ref().map(|reason| reason.as_str());
                    assert_eq!(reason, Some(stop_reason.as_str()), "{name}");
                    let counted = serde_json::to_value(answer.usage).expect("serialized");
                    for (field, count) in usage {
                        assert_eq!(&counted[field], count, "{name}: {field}");
                    }
                    assert_eq!(shown, answer.text(), "{name}");
                }
                (
                    Expected::Error { error_type, retryable, text_before },
                    Err(StreamError::Api(error)),
                ) => {
                    assert_eq!(&error.kind, error_type, "{name}");
                    assert_eq!(error.is_transient(), *retryable, "{name}");
                    assert_eq!(&shown, text_before, "{name}");
                }
                (Expected::Truncated { text_before }, Err(StreamError::Truncated)) => {
                    assert_eq!(&shown, text_before, "{name}");
                }
                (_, result) => panic!("{name}: {result:?}"),
            }
        }
    }
}

#[test]
fn streams_cut_anywhere_are_truncated() {
    let (_, bytes) = samples().into_iter().find(|(it, _)| it.file.starts_with("01")).expect("01");
    let stopped = b"\"stop_reason\":\"end_turn\"";
    let at = bytes.windows(stopped.len()).position(|it| it == stopped).expect("a stop reason");
    for length in 0..at {
        let result = read(&bytes[..length], 64).result;
        assert_eq!(result, Err(StreamError::Truncated), "after {length} bytes");
    }
}
