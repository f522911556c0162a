//! Results of calls as text for a model.

use serde_json::Value as Json;

use super::{quoted, visible};

/// Items of one result that are shown.
const MAX_ITEMS: usize = 1_000;

/// The text of a result, and whether the tool reports an error. Texts are joined; other content is named.
#[must_use]
pub fn rendered(result: &Json) -> (String, bool) {
    let is_error = result.get("isError").and_then(Json::as_bool).unwrap_or(false);
    let items = result.get("content").and_then(Json::as_array).map(Vec::as_slice);
    let items = items.unwrap_or_default();
    let mut texts: Vec<String> = items.iter().take(MAX_ITEMS).map(item).collect();
    if items.len() > MAX_ITEMS {
        texts.push(format!("[{} more items, not shown]", items.len() - MAX_ITEMS));
    }
    if texts.is_empty()
        && let Some(structured) = result.get("structuredContent")
    {
        texts.push(visible(&structured.to_string()));
    }
    if texts.is_empty() {
        texts.push("[no content]".to_owned());
    }
    (texts.join("\n"), is_error)
}

fn item(item: &Json) -> String {
    let field = |name: &str| item.get(name).and_then(Json::as_str);
    match field("type") {
        Some("text") => visible(field("text").unwrap_or_default()),
        Some(kind @ ("image" | "audio")) => {
            format!("[{kind}, {}, not shown]", size(field("data").unwrap_or_default()))
        }
        Some("resource") => {
            let inner = |name: &str| item.get("resource")?.get(name)?.as_str();
            let uri = quoted(inner("uri").unwrap_or_default());
            match (inner("text"), inner("blob")) {
                (Some(text), _) => format!("[resource {uri}]\n{}", visible(text)),
                (None, Some(blob)) => format!("[resource {uri}, {}, not shown]", size(blob)),
                (None, None) => format!("[resource {uri}, empty]"),
            }
        }
        Some("resource_link") => {
            format!("[link to {}, not followed]", quoted(field("uri").unwrap_or_default()))
        }
        Some(other) => format!("[content of the kind {:?}, not shown]", quoted(other)),
        None => "[content without a kind, not shown]".to_owned(),
    }
}

/// The size of Base64 text, for people.
fn size(base64: &str) -> String {
    let bytes = base64.len() / 4 * 3;
    if bytes < 1_000 { format!("{bytes} bytes") } else { format!("{} KB", bytes / 1_000) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_joined_and_other_content_is_named() {
        let result = json!({"content": [
            {"type": "text", "text": "one\u{200b}"},
            {"type": "image", "data": "A".repeat(28_000), "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}},
            {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAAA"}},
            {"type": "resource_link", "uri": "https://x.example"},
            {"type": "hologram"}, 7,
        ]});
        let expected = "one\n[image, 21 KB, not shown]\n[resource file:///a]\ninside\n\
                        [resource file:///b, 3 bytes, not shown]\n[link to https://x.example, not followed]\n\
                        [content of the kind \"hologram\", not shown]\n[content without a kind, not shown]";
        assert_eq!(rendered(&result), (expected.to_owned(), false));
    }

    #[test]
    fn errors_and_empty_results_are_kept() {
        let failed = json!({"isError": true, "content": [{"type": "text", "text": "no"}]});
        assert_eq!(rendered(&failed), ("no".to_owned(), true));
        assert_eq!(rendered(&json!({})), ("[no content]".to_owned(), false));
        let structured = json!({"content": [], "structuredContent": {"a": 1}});
        assert_eq!(rendered(&structured), ("{\"a\":1}".to_owned(), false));
    }
}
