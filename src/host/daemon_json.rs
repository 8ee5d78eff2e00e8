//! dockerd's configuration file: read to foresee conflicts, never changed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files::{self, MOST};

/// Where rootful dockerd looks.
pub const DEFAULT_PATH: &str = "/etc/docker/daemon.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonFile {
    /// The file that dockerd will read.
    pub path: PathBuf,
    pub content: Content,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// There is no such file.
    Absent,
    Keys(Map<String, Value>),
    /// It is not a JSON object, or cannot be read; the text says why.
    Invalid(String),
}

impl DaemonFile {
    /// Reads a file.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let content = match files::read(path, MOST) {
            Ok(bytes) => Content::parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Absent,
            Err(error) => Content::Invalid(error.to_string()),
        };
        Self {
            path: path.to_owned(),
            content,
        }
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.content {
            Content::Keys(keys) => keys.get(key),
            Content::Absent | Content::Invalid(_) => None,
        }
    }

    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// The keys that are set, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = match &self.content {
            Content::Keys(keys) => Some(keys),
            Content::Absent | Content::Invalid(_) => None,
        };
        keys.into_iter().flatten().map(|(key, _)| key.as_str())
    }
}

impl Content {
    /// Reads the text of the file.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // dockerd skips the mark, too
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Self::Keys(Map::new());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(keys)) => Self::Keys(keys),
            Ok(_) => Self::Invalid("it is not a JSON object".into()),
            Err(error) => Self::Invalid(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_apart() {
        assert_eq!(Content::parse(b" \n"), Content::Keys(Map::new()));
        assert!(matches!(Content::parse(b"[]"), Content::Invalid(_)));
        let Content::Invalid(text) = Content::parse(b"{\n \"a\": 1,\n}") else {
            panic!("trailing comma")
        };
        assert!(text.contains("line 3"), "{text}");
        let file = DaemonFile {
            path: "x".into(),
            content: Content::parse(b"\xef\xbb\xbf{\"group\":\"7\"}"),
        };
        assert_eq!(file.text("group"), Some("7"));
        assert_eq!(file.keys().collect::<Vec<_>>(), ["group"]);
    }
}
