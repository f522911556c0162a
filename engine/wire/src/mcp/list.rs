//! The list of a server's tools, page by page, bounded; of it the definitions that are wanted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::{
    MAX_DEFINITIONS_BYTES, MAX_LISTED, MAX_OFFERED, MAX_PAGES, offered_name, quoted, visible,
};

/// Bytes of a cursor.
const MAX_CURSOR_BYTES: usize = 4_096;

/// Definitions by tool: objects of `name`, `description`, `inputSchema` and `annotations`. Texts in them are
/// visible.
pub type Offered = BTreeMap<String, Json>;

/// A list of tools that comes in.
#[derive(Debug)]
pub struct Listing {
    server: String,
    /// Tools that are wanted; `None`: all.
    wanted: Option<BTreeSet<String>>,
    offered: Offered,
    listed: BTreeSet<String>,
    pages: usize,
    bytes: usize,
}

// === impl Listing ===

impl Listing {
    /// A list of which these tools are wanted; `None`: all.
    pub fn new(server: &str, wanted: Option<&[String]>) -> Self {
        Self {
            server: server.to_owned(),
            wanted: wanted.map(|wanted| wanted.iter().cloned().collect()),
            offered: Offered::new(),
            listed: BTreeSet::new(),
            pages: 0,
            bytes: 0,
        }
    }

    /// Takes a page: the result of [`super::list`]. Returns the cursor of the next one.
    ///
    /// # Errors
    /// The page is malformed, or there is more than fits.
    pub fn page(&mut self, result: &Json) -> Result<Option<String>, String> {
        self.pages += 1;
        let Some(tools) = result.get("tools").and_then(Json::as_array) else {
            return Err("its list has no `tools`".to_owned());
        };
        if self.listed.len() + tools.len() > MAX_LISTED {
            return Err(format!("it lists more than {MAX_LISTED} tools"));
        }
        for tool in tools {
            self.tool(tool)?;
        }
        let cursor = result.get("nextCursor").and_then(Json::as_str);
        match cursor {
            Some(cursor) if cursor.len() > MAX_CURSOR_BYTES => {
                Err(format!("its cursor has more than {MAX_CURSOR_BYTES} bytes"))
            }
            Some(_) if self.pages >= MAX_PAGES => {
                Err(format!("its list has more than {MAX_PAGES} pages"))
            }
            cursor => Ok(cursor.map(str::to_owned)),
        }
    }

    fn tool(&mut self, tool: &Json) -> Result<(), String> {
        let Some(name) = tool.get("name").and_then(Json::as_str) else {
            return Err("it lists a tool without a name".to_owned());
        };
        if !self.listed.insert(name.to_owned()) {
            return Err(format!("it lists the tool {:?} twice", quoted(name)));
        }
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.contains(name)) {
            return Ok(());
        }
        if offered_name(&self.server, name).is_none() {
            return Err(format!(
                "it lists the tool {:?}, whose name no model can be offered (letters, digits, `_` and `-`, \
                 with the prefix at most 128); name the tools that you need one by one",
                quoted(name)
            ));
        }
        if self.offered.len() >= MAX_OFFERED {
            return Err(format!(
                "it lists more than {MAX_OFFERED} tools; name the tools that you need one by one"
            ));
        }
        let definition = definition(name, tool)?;
        self.bytes += definition.to_string().len();
        if self.bytes > MAX_DEFINITIONS_BYTES {
            return Err(format!(
                "the definitions of its tools have more than {MAX_DEFINITIONS_BYTES} bytes; name fewer \
                 tools"
            ));
        }
        self.offered.insert(name.to_owned(), definition);
        Ok(())
    }

    /// The wanted definitions, after the last page.
    ///
    /// # Errors
    /// A wanted tool is not there, or none is.
    pub fn finish(self) -> Result<Offered, String> {
        let listed = || {
            let names: Vec<_> = self.listed.iter().take(20).map(|name| quoted(name)).collect();
            names.join(", ")
        };
        let missing = self.wanted.iter().flatten().find(|name| !self.offered.contains_key(*name));
        if let Some(missing) = missing {
            return Err(format!("it has no tool `{missing}`; it has {}", listed()));
        }
        if self.offered.is_empty() {
            return Err("it lists no tools".to_owned());
        }
        Ok(self.offered)
    }
}

fn definition(name: &str, tool: &Json) -> Result<Json, String> {
    let mut definition = Map::new();
    definition.insert("name".to_owned(), json!(name));
    let description = tool.get("description").and_then(Json::as_str).unwrap_or_default();
    definition.insert("description".to_owned(), json!(visible(description)));
    let schema = tool.get("inputSchema").cloned().unwrap_or_default();
    if schema.get("type").and_then(Json::as_str) != Some("object") {
        return Err(format!("the input schema of its tool `{name}` is not that of an object"));
    }
    definition.insert("inputSchema".to_owned(), all_visible(schema));
    if let Some(annotations) = tool.get("annotations").filter(|it| it.is_object()) {
        definition.insert("annotations".to_owned(), all_visible(annotations.clone()));
    }
    Ok(Json::Object(definition))
}

/// The same with visible texts and keys.
fn all_visible(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(visible(&text)),
        Json::Array(items) => items.into_iter().map(all_visible).collect(),
        Json::Object(fields) => Json::Object(
            fields.into_iter().map(|(key, field)| (visible(&key), all_visible(field))).collect(),
        ),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> Json {
        json!({"name": name, "description": "d", "inputSchema": {"type": "object"}, "title": "t"})
    }

    fn listed(wanted: Option<&[&str]>, pages: &[Json]) -> Result<Offered, String> {
        let wanted: Option<Vec<String>> =
            wanted.map(|wanted| wanted.iter().map(|name| (*name).to_owned()).collect());
        let mut listing = Listing::new("s", wanted.as_deref());
        for (at, page) in pages.iter().enumerate() {
            let next = listing.page(page)?;
            assert_eq!(next.is_some(), at + 1 < pages.len());
        }
        listing.finish()
    }

    #[test]
    fn pages_are_joined_and_filtered() {
        let pages =
            [json!({"tools": [tool("b")], "nextCursor": "x"}), json!({"tools": [tool("a")]})];
        let all = listed(None, &pages).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
        let shape = json!({"name": "a", "description": "d", "inputSchema": {"type": "object"}});
        assert_eq!(all["a"], shape);
        assert_eq!(listed(Some(&["a"]), &pages).unwrap().len(), 1);
        assert!(listed(Some(&["c"]), &pages).unwrap_err().contains("it has a, b"));
    }

    #[test]
    fn hidden_text_of_definitions_goes() {
        let mut hidden = tool("a");
        hidden["description"] = json!("Reads\u{e0041}\u{1b}.");
        hidden["inputSchema"]["properties"] = json!({"p\u{200b}": {"description": "\u{202e}x"}});
        let all = listed(None, &[json!({"tools": [hidden]})]).unwrap();
        assert_eq!(all["a"]["description"], "Reads.");
        assert_eq!(all["a"]["inputSchema"]["properties"], json!({"p": {"description": "x"}}));
    }

    #[test]
    fn lists_beyond_the_limits_are_refused() {
        let many =
            |count: usize| -> Vec<Json> { (0..count).map(|at| tool(&format!("t{at}"))).collect() };
        let error = |tools: Vec<Json>| listed(None, &[json!({"tools": tools})]).unwrap_err();
        assert!(error(many(10_000)).contains("more than 1024"));
        assert!(error(many(129)).contains("more than 128"));
        assert!(listed(Some(&["t500"]), &[json!({"tools": many(1_000)})]).is_ok());
        assert!(error(vec![tool("a"), tool("a")]).contains("twice"));
        assert!(error(vec![tool("a b")]).contains("no model can be offered"));
        assert!(error(vec![tool("a\u{200b}")]).contains("no model can be offered"));
        assert!(error(vec![json!({"name": "a"})]).contains("that of an object"));
        assert!(error(Vec::new()).contains("no tools"));
        let mut large = tool("a");
        large["description"] = json!("x".repeat(MAX_DEFINITIONS_BYTES));
        assert!(error(vec![large]).contains("bytes"));
        assert!(listed(None, &[json!([])]).is_err());
        let mut listing = Listing::new("s", None);
        let endless = (0..).find_map(|at| {
            let page = json!({"tools": [tool(&format!("t{at}"))], "nextCursor": "again"});
            listing.page(&page).err()
        });
        assert!(endless.unwrap().contains("pages"));
    }
}
