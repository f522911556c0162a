//! The scripted Claude of the test kit, to which these tests add methods.

use std::ops::Deref;

use plue_testkit::scripted::Scripted as Server;
use serde_json::Value as Json;

/// A server that answers with the turns of a script.
pub(crate) struct Scripted(Server);

// === impl Scripted ===

impl Scripted {
    pub(crate) fn new(script: &Json) -> Self {
        Self(Server::new(script))
    }
}

impl Deref for Scripted {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
