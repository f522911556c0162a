//! The first words of an evaluator, and `--check`.

use std::io::Write;

use plue_wire::eval::{EvalHello, Layer, LayerState, MAX_REPLY_BYTES, PROTOCOL};
use plue_wire::frame;

use crate::child::ENGINE_DESCRIPTOR;
use crate::{interpreter, kernel};

/// Raised whenever the same file may give another plan than before, or another verdict.
pub(crate) const POLICY_VERSION: u32 = 1;

/// The build, as every plan records it: Python's version, architecture and policy version, then how
/// Python is linked and which interpreter the build was made with. The two kinds of build are not the
/// same evaluator: they may differ in a module of the library.
#[must_use]
pub(crate) fn build() -> String {
    format!(
        "{}/{}/{POLICY_VERSION} ({} {})",
        interpreter::VERSION,
        std::env::consts::ARCH,
        interpreter::LINKED,
        interpreter::MADE_WITH
    )
}

/// True if a layer is missing without permission.
#[must_use]
pub(crate) fn is_refused(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| matches!(layer.state, LayerState::Missing(_)))
}

/// Sends the hello frame; true if the engine received it.
#[must_use]
pub(crate) fn send(layers: Vec<Layer>) -> bool {
    let hello = EvalHello { protocol: PROTOCOL, build: build(), layers };
    frame::encode(&hello, MAX_REPLY_BYTES)
        .is_ok_and(|bytes| kernel::write_all(ENGINE_DESCRIPTOR, &bytes).is_ok())
}

/// Prints the layers as JSON, for `plue doctor`.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print(layers: &[Layer]) -> std::io::Result<()> {
    let describe = |layer: &Layer| {
        let (state, detail) = match &layer.state {
            LayerState::On(how) => ("on", how),
            LayerState::Allowed(reason) => ("allowed", reason),
            LayerState::Missing(reason) => ("missing", reason),
        };
        serde_json::json!({ "name": layer.name, "state": state, "detail": detail })
    };
    let layers: Vec<_> = layers.iter().map(describe).collect();
    let report = serde_json::json!({ "protocol": PROTOCOL, "build": build(), "layers": layers });
    let mut output = std::io::stdout();
    writeln!(output, "{report:#}")?;
    output.flush()
}
