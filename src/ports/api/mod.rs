//! The REST API that dockerd and rootlesskit's own clients speak: HTTP/1.1 over a unix socket.
//!
//! [`request`], [`answer`] and the [`exchange`] of both are pure; the relay moves the bytes.

pub mod answer;
pub mod client;
pub mod exchange;
pub mod info;
pub mod request;

use self::answer::Answer;
use self::request::Request;
use super::backend::Backend;
use crate::config::rootless::port::PortSpec;

/// Where our docker-proxy says which container it stands for.
pub(crate) const BACKENDS: &str = "/dind-init/v1/backends";

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `POST /v1/ports`
    Add(PortSpec),
    /// `POST /dind-init/v1/backends`: ours alone.
    Behind(Backend),
    /// `GET /v1/info`
    Info,
    /// `GET /v1/ports`
    List,
    /// `DELETE /v1/ports/{id}`
    Remove(i64),
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// The answer to what nobody can want: another path, a port that cannot be.
    pub fn parse(request: &Request<'_>) -> Result<Self, Answer> {
        match (request.method, request.path) {
            ("GET", "/v1/info") => Ok(Self::Info),
            ("GET", "/v1/ports") => Ok(Self::List),
            ("POST", "/v1/ports") => PortSpec::from_json(request.body)
                .map(Self::Add)
                .map_err(Answer::refusal),
            ("POST", BACKENDS) => Backend::from_json(request.body)
                .map(Self::Behind)
                .map_err(Answer::refusal),
            ("DELETE", path) => match path.strip_prefix("/v1/ports/") {
                Some(id) if !id.is_empty() && !id.contains('/') => {
                    number(id).map(Self::Remove).map_err(Answer::refusal)
                }
                _ => Err(Answer::not_found()),
            },
            _ => Err(Answer::not_found()),
        }
    }
}

/// An id as Go's `strconv.Atoi` reads it, and complains.
fn number(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let what = match error.kind() {
            NegOverflow | PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("bad id {text}: strconv.Atoi: parsing {text:?}: {what}")
    })
}

#[cfg(test)]
mod tests;
