//! Properties of single messages: name, size, the first version that knows them.

use plue_wire::runner::{
    AGENT_PROTOCOL, AttemptEvent, EventKind, FromRunner, MCP_PROTOCOL, OLDEST_PROTOCOL, Program,
    SERVICES_PROTOCOL,
};

/// Bytes that an event or a result counts for at least.
pub(super) const MIN_COST: usize = 64;

/// The first version of the protocol with this program.
pub(super) fn needed(program: &Program) -> u32 {
    match program {
        Program::Agent => AGENT_PROTOCOL,
        Program::McpAgent { .. } => MCP_PROTOCOL,
        Program::WithServices { program, .. } => SERVICES_PROTOCOL.max(needed(program)),
        Program::Shell { .. } | Program::PythonCode { .. } | Program::PythonScript { .. } => {
            OLDEST_PROTOCOL
        }
    }
}

/// Bytes that an event counts for.
pub(super) fn size(event: &AttemptEvent) -> usize {
    let data = match &event.kind {
        EventKind::Stdout(bytes) | EventKind::Stderr(bytes) => bytes.0.len(),
        EventKind::Note(text) => text.len(),
        EventKind::Tool(result) => result.id.len() + result.content.0.len(),
        EventKind::Started { .. } | EventKind::Gap { .. } => 0,
    };
    MIN_COST + data
}

/// The kind of a message.
pub(super) fn name(message: &FromRunner) -> &'static str {
    match message {
        FromRunner::Hello(_) => "Hello",
        FromRunner::Ready => "Ready",
        FromRunner::Accept(_) => "Accept",
        FromRunner::Reject(..) => "Reject",
        FromRunner::Event(_) => "Event",
        FromRunner::Result(_) => "Result",
        FromRunner::Heartbeat(_) => "Heartbeat",
        FromRunner::Draining(..) => "Draining",
        FromRunner::Left(_) => "Left",
        FromRunner::Ask(_) => "Ask",
        FromRunner::Workspace(_) => "Workspace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_need_the_version_that_knows_them() {
        let shell = Program::Shell { shell: "sh".to_owned(), run: String::new() };
        let with_services = |program: &Program| Program::WithServices {
            program: Box::new(program.clone()),
            services: Vec::new(),
        };
        assert_eq!(needed(&shell), OLDEST_PROTOCOL);
        assert_eq!(needed(&with_services(&shell)), SERVICES_PROTOCOL);
        assert_eq!(needed(&Program::Agent), AGENT_PROTOCOL);
        assert_eq!(needed(&with_services(&Program::Agent)), AGENT_PROTOCOL);
        let with_servers = Program::McpAgent { servers: Vec::new() };
        assert_eq!(needed(&with_services(&with_servers)), MCP_PROTOCOL);
    }
}
