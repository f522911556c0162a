//! Any bytes as a prompt file, a role file, a partial and a file of cases; what follows the byte 0x1e
//! are inputs as JSON. Reading and rendering end, problems are bounded, and a text is the same twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plue_prompts::{
    Partials, PromptFile, Role,
    cases::Cases,
    limits::{MAX_OUTPUT_BYTES, MAX_PROBLEMS},
};
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0x1e);
    let file = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let inputs = parts.next().unwrap_or_default();
    let _any = Cases::parse("x.cases.json", inputs);
    let inputs: Map<String, Value> = serde_json::from_slice(inputs).unwrap_or_default();
    let mut partials = Partials::new();
    if let Err(problems) = partials.insert("p", "p.md", &file) {
        assert!(!problems.is_empty());
    }
    if let Err(problems) = Role::parse("x.md", &file) {
        assert!(!problems.is_empty());
    }
    match PromptFile::parse("x.md", &file) {
        Err(problems) => assert!(!problems.is_empty() && problems.len() <= 3 * MAX_PROBLEMS),
        Ok(prompt) => {
            let names: Vec<&str> = inputs.keys().map(String::as_str).collect();
            let _known = prompt.check_names(&names);
            let rendered = prompt.render(&inputs, &partials);
            if let Ok(text) = &rendered {
                assert!(text.len() <= MAX_OUTPUT_BYTES);
            }
            assert_eq!(rendered, prompt.render(&inputs, &partials));
        }
    }
});
