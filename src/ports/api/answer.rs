//! Answers of the API, byte for byte as rootlesskit 2.0.2 gives them, but for `Date`.

use std::fmt::Display;

use super::info::Info;
use crate::config::rootless::port::PortSpec;
use crate::ports::table::{Id, Table};

/// Whether the connection lives on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The server closes it.
    Close,
    /// The next request may come.
    KeepAlive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: &'static str,
    headers: &'static str,
    body: String,
}

/// rootlesskit sets the type of an error too late, and its library guesses this one.
const TEXT: &str = "Content-Type: text/plain; charset=utf-8\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

impl Answer {
    /// To `GET /v1/info`.
    #[must_use]
    pub fn info(info: &Info) -> Self {
        Self::json("200 OK", serde_json::to_string(info))
    }

    /// To `GET /v1/ports`.
    #[must_use]
    pub fn list<T>(table: &Table<T>) -> Self {
        let ports: Vec<Port<'_>> = table.iter().map(|(id, spec)| Port { id, spec }).collect();
        Self::json("200 OK", serde_json::to_string(&ports))
    }

    /// To `POST /v1/ports`.
    #[must_use]
    pub fn added(id: Id, spec: &PortSpec) -> Self {
        Self::json("201 Created", serde_json::to_string(&Port { id, spec }))
    }

    /// To what is done, and has no more to be said: `DELETE /v1/ports/{id}`.
    #[must_use]
    pub fn done() -> Self {
        Self {
            status: "200 OK",
            headers: "",
            body: String::new(),
        }
    }

    /// To any request that cannot be granted. dockerd shows the message.
    #[must_use]
    pub fn refusal(message: impl Display) -> Self {
        Self::message("400 Bad Request", message)
    }

    /// To a peer that is not the root of our user namespace.
    #[must_use]
    pub fn forbidden(uid: u32) -> Self {
        let message =
            format!("uid {uid} may not use the port driver: only root of its user namespace may");
        Self::message("403 Forbidden", message)
    }

    /// To any other path or method.
    #[must_use]
    pub fn not_found() -> Self {
        Self {
            status: "404 Not Found",
            headers: "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n",
            body: "404 page not found\n".to_owned(),
        }
    }

    /// To what is no request, or one above the limits.
    #[must_use]
    pub fn malformed(status: &'static str) -> Self {
        Self {
            status,
            headers: TEXT,
            body: status.to_owned(),
        }
    }

    fn message(status: &'static str, message: impl Display) -> Self {
        let body = serde_json::json!({ "message": message.to_string() });
        Self {
            status,
            headers: TEXT,
            body: format!("{body}\n"),
        }
    }

    fn json(status: &'static str, body: serde_json::Result<String>) -> Self {
        match body {
            Ok(body) => Self {
                status,
                headers: JSON,
                body,
            },
            // No value of ours has a map with odd keys, and nothing else can fail.
            Err(error) => Self::message("500 Internal Server Error", error),
        }
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn bytes(&self, then: Then) -> Vec<u8> {
        let connection = match then {
            Then::Close => "Connection: close\r\n",
            Then::KeepAlive => "",
        };
        format!(
            "HTTP/1.1 {}\r\n{}Content-Length: {}\r\n{connection}\r\n{}",
            self.status,
            self.headers,
            self.body.len(),
            self.body
        )
        .into_bytes()
    }
}

/// A port as the API shows it.
#[derive(serde::Serialize)]
struct Port<'a> {
    id: Id,
    spec: &'a PortSpec,
}
