//! MCP servers that are processes: started when they are first needed, ended with the attendant.
//!
//! A server gets the environment of the step without its secrets, and its own variables over it. It
//! has a process group of its own, so that its orphans end with it. One that cannot be started,
//! breaks the protocol or ends is not started again. Must not know the attempt's socket.

mod connection;

use std::{collections::BTreeMap, io::Read as _, os::unix::net::UnixStream, time::Duration};

use plue_wire::{
    mcp::{self, Listing},
    runner::{Exit, McpServer},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use self::connection::Connection;
use super::{content::Content, input::MAX_INPUT_BYTES, tools::Surroundings};

/// The argument of an attendant with servers.
pub(super) const ARGUMENT: &str = "mcp";
/// Bytes of the servers of an attempt.
const MAX_SERVERS_BYTES: usize = 4 * 1024 * 1024;

/// The servers of an attempt, as the runner sends them to the attendant.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Order {
    servers: Vec<McpServer>,
    /// Variables of the step that servers do not see: its secrets.
    hidden: Vec<String>,
}

/// The servers of an attempt.
#[derive(Debug)]
pub(super) struct Servers {
    servers: BTreeMap<String, Server>,
    hidden: Vec<String>,
}

#[derive(Debug)]
struct Server {
    settings: McpServer,
    connection: OnceCell<Result<Connection, String>>,
}

/// Arguments of `plue_wire::runner::MCP_LIST`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    server: String,
    #[serde(default)]
    tools: Option<Vec<String>>,
}

/// The servers as they go before the orders of an attendant: JSON, its length in front.
pub(crate) fn frame(servers: &[McpServer], hidden: &[String]) -> Result<Vec<u8>, Exit> {
    let order = Order { servers: servers.to_vec(), hidden: hidden.to_vec() };
    let failed =
        |error: String| Exit::Infra(format!("the MCP servers cannot be described: {error}"));
    let text = serde_json::to_vec(&order).map_err(|error| failed(error.to_string()))?;
    if text.len() > MAX_SERVERS_BYTES {
        return Err(Exit::Refused(format!(
            "commands and environments of the MCP servers have more than {MAX_SERVERS_BYTES} bytes"
        )));
    }
    let length = u32::try_from(text.len()).map_err(|error| failed(error.to_string()))?;
    Ok([length.to_le_bytes().as_slice(), &text].concat())
}

// === impl Order ===

impl Order {
    /// Reads the servers from the socket, and not one byte more.
    pub(super) fn read(socket: &mut UnixStream) -> std::io::Result<Self> {
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_SERVERS_BYTES {
            return Err(std::io::Error::other("the order is too long"));
        }
        let mut text = vec![0; length];
        socket.read_exact(&mut text)?;
        serde_json::from_slice(&text).map_err(std::io::Error::other)
    }
}

// === impl Servers ===

impl Servers {
    pub(super) fn new(Order { servers, hidden }: Order) -> Self {
        let server = |settings: McpServer| {
            let connection = OnceCell::new();
            (settings.name.clone(), Server { settings, connection })
        };
        Self { servers: servers.into_iter().map(server).collect(), hidden }
    }

    /// The definitions of a server's tools, as a JSON array.
    ///
    /// # Errors
    /// A text with the name of the server.
    pub(super) async fn list(
        &self,
        input: &str,
        timeout: Duration,
        around: &Surroundings,
    ) -> Result<Content, String> {
        let List { server, tools } =
            serde_json::from_str(input).map_err(|error| format!("not listed: {error}"))?;
        let connection = self.connection(&server, timeout, around).await?;
        let whole = async {
            let mut listing = Listing::new(&server, tools.as_deref());
            let mut cursor: Option<String> = None;
            loop {
                let ask = |id| mcp::list(id, cursor.as_deref());
                let page = connection.ask(ask, timeout).await?;
                match listing.page(&page)? {
                    Some(next) => cursor = Some(next),
                    None => break listing.finish(),
                }
            }
        };
        let offered = tokio::select! {
            offered = whole => offered,
            () = around.clock.sleep(timeout) => Err("it does not list its tools in time".to_owned()),
        };
        let offered = offered.map_err(|why| of_server(&server, &why))?;
        let all: Vec<Value> = offered.into_values().collect();
        Ok(Content::text(Value::Array(all).to_string()))
    }

    /// The result of a call of a tool, and whether the tool reports an error.
    ///
    /// # Errors
    /// A text for the model.
    pub(super) async fn call(
        &self,
        server: &str,
        tool: &str,
        input: &str,
        timeout: Duration,
        around: &Surroundings,
    ) -> Result<(Content, bool), String> {
        if input.len() > MAX_INPUT_BYTES {
            return Err(format!("the input is larger than {MAX_INPUT_BYTES} bytes"));
        }
        let arguments: Map<String, Value> = serde_json::from_str(input)
            .map_err(|error| format!("the input is no JSON object: {error}"))?;
        let connection = self.connection(server, timeout, around).await?;
        let ask = |id| mcp::call(id, tool, arguments);
        let result = connection.ask(ask, timeout).await.map_err(|why| of_server(server, &why))?;
        let (text, is_error) = mcp::rendered(&result);
        let mut content = Content::text(mcp::data_mark(server));
        content.push(text.as_bytes());
        Ok((content, is_error))
    }

    /// The connection to a server, which is started if this is its first use.
    async fn connection(
        &self,
        name: &str,
        within: Duration,
        around: &Surroundings,
    ) -> Result<&Connection, String> {
        let Some(server) = self.servers.get(name) else {
            return Err(format!("this step has no MCP server {name:?} on its runner"));
        };
        let start = || Connection::start(&server.settings, &self.hidden, within, around);
        let connection = server.connection.get_or_init(start).await;
        connection.as_ref().map_err(|why| of_server(name, why))
    }
}

fn of_server(server: &str, why: &str) -> String {
    format!("MCP server `{server}`: {why}")
}
