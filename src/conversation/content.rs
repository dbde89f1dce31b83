//! The content of a tool's result: text, and pictures and documents by type and size.

use super::{
    event::Picture,
    fields::{array, json_line, json_text, text},
    media::named,
};
use crate::text::one_line;
use serde_json::Value;

/// The type and size of a block that is an image or a document, in Claude's form or in
/// MCP's. `None` for another block.
fn block(block: &Value) -> Option<String> {
    let source = block.get("source").unwrap_or(block);
    if let Some(data) = text(source, "data") {
        let kind = text(source, "media_type").or(text(source, "mimeType"));
        return Some(named(kind.or(text(block, "type")).unwrap_or("data"), data));
    }
    if let Some(address) = text(source, "url") {
        let kind = one_line(text(block, "type").unwrap_or("file"), 60);
        return Some(format!("[{kind}: {}]", one_line(address, 200)));
    }
    None
}

/// The content of a tool's result as text: it is a text, or blocks of which each is a
/// text, an image, a document or something else.
pub(super) fn shown(value: &Value) -> String {
    let blocks = match value {
        Value::Array(blocks) => blocks.as_slice(),
        Value::Object(_) => array(value, "content"),
        _ => return json_text(value),
    };
    if blocks.is_empty() && value.as_object().is_some_and(|fields| !fields.is_empty()) {
        return value.to_string();
    }
    let lines = blocks.iter().map(|each| {
        match text(each, "type") {
            Some("text") => json_text(each.get("text").unwrap_or(&Value::Null)),
            Some("tool_reference") => {
                format!("[tool {}]", text(each, "tool_name").unwrap_or("?"))
            }
            // An MCP resource: a text, or data of some type.
            Some("resource") => {
                let inner = each.get("resource").unwrap_or(each);
                let blob = text(inner, "blob");
                let kind = text(inner, "mimeType").unwrap_or("data");
                let data = blob.map(|blob| named(kind, blob));
                data.or_else(|| text(inner, "text").map(str::to_owned))
                    .unwrap_or_else(|| json_line(inner))
            }
            _ => block(each).unwrap_or_else(|| json_line(each)),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Media types of pictures, and how base64 of such a file begins. The type that an agent
/// tells proves nothing, and formats that can hold a script are left out.
const KINDS: [(&str, &str); 4] = [
    ("image/png", "iVBORw0KGgo"),
    ("image/jpeg", "/9j/"),
    ("image/gif", "R0lGODlh"),
    ("image/webp", "UklGR"),
];

/// The pictures in a tool's result.
pub(super) fn pictures(value: &Value) -> Vec<Picture> {
    let blocks = match value {
        Value::Array(blocks) => blocks.as_slice(),
        _ => array(value, "content"),
    };
    let picture = |block: &Value| {
        let data = text(block.get("source").unwrap_or(block), "data")?;
        let (kind, _) = KINDS.iter().find(|(_, begin)| data.starts_with(begin))?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        data.bytes().all(is_base64).then(|| Picture {
            kind,
            data: data.to_owned(),
        })
    };
    blocks.iter().filter_map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_and_documents_are_shown_by_type_and_size() {
        let data = "QUJD".repeat(5_000);
        let image = json!({"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": data}});
        let mcp = json!({"type": "image", "data": data, "mimeType": "image/webp"});
        let document = json!({"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "QQ=="}});
        let linked = json!({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}});
        let blob = json!({"type": "resource", "resource": {"blob": data, "mimeType": "a/b"}});
        let blocks = json!([{"type": "text", "text": "see"}, image, mcp, document, linked, blob]);
        assert_eq!(
            shown(&blocks),
            "see\n[image/png, 15 kB]\n[image/webp, 15 kB]\n[application/pdf, 1 B]\n\
             [image: https://x/y.png]\n[a/b, 15 kB]"
        );
        assert_eq!(
            shown(&json!({"content": [{"type": "text", "text": "a"}]})),
            "a"
        );
        assert_eq!(shown(&json!("plain")), "plain");
        assert_eq!(shown(&Value::Null), "");
        assert_eq!(shown(&json!({"ok": true})), "{\"ok\":true}");
    }

    #[test]
    fn a_picture_is_known_by_its_bytes() {
        let block =
            |data: &str| json!({"type": "image", "data": data, "mimeType": "image/svg+xml"});
        let blocks = json!([
            block("iVBORw0KGgoAAA=="),
            block("PHN2Zz48c2NyaXB0Pg=="),
            block("iVBORw0KGgo\"><script>"),
            {"type": "text", "text": "iVBORw0KGgo"},
        ]);
        let expected = Picture {
            kind: "image/png",
            data: "iVBORw0KGgoAAA==".into(),
        };
        for content in [blocks.clone(), json!({"content": blocks})] {
            assert_eq!(pictures(&content), std::slice::from_ref(&expected));
        }
        assert_eq!(pictures(&Value::Null), []);
    }
}
