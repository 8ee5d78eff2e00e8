//! Port specifications: the `-p` grammar and the JSON of the API. Pure.
//!
//! An address keeps the text in which it was written: the API shows it again, and two ports
//! conflict when these texts are equal, as in rootlesskit.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Understood, but no port driver forwards it.
    Sctp,
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Which addresses the outer socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Both when the address is a wildcard, as Go's `net.Listen("tcp", …)`.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// A protocol by its name in the API: `tcp`, `tcp4`, `udp6` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proto {
    pub transport: Transport,
    /// Which addresses the outer socket takes.
    pub family: Family,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.transport {
            Transport::Sctp => "sctp",
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        })?;
        f.write_str(match self.family {
            Family::Any => "",
            Family::V4 => "4",
            Family::V6 => "6",
        })
    }
}

impl FromStr for Proto {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (name, family) = match text.strip_suffix('4') {
            Some(name) => (name, Family::V4),
            None => match text.strip_suffix('6') {
                Some(name) => (name, Family::V6),
                None => (text, Family::Any),
            },
        };
        let transport = match name {
            "sctp" => Transport::Sctp,
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(SpecError::UnknownProto(text.to_owned())),
        };
        Ok(Self { transport, family })
    }
}

/// An address with the text in which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    ip: IpAddr,
}

impl Address {
    /// Reads an address; `None` when the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ip: IpAddr = text.parse().ok()?;
        Some(Self {
            text: text.to_owned(),
            ip: ip.to_canonical(),
        })
    }

    /// The address, without the IPv6 form of IPv4 addresses: dockerd 28 sends
    /// `::ffff:10.0.2.100`.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// Protocol and family of the outer socket.
    pub proto: Proto,
    /// Outer address; none means every address.
    pub parent_ip: Option<Address>,
    /// Outer port.
    pub parent_port: NonZeroU16,
    /// Address in the child namespaces; none means a default (`address::target`).
    pub child_ip: Option<Address>,
    /// Port in the child namespaces.
    pub child_port: NonZeroU16,
}

/// A specification that cannot be used. The texts are rootlesskit's where they make sense; it
/// shows a wrong port number as a character, and mixes up parent and child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The child address is none.
    #[error("invalid ChildIP: {0:?}")]
    InvalidChildIp(String),
    /// The child port is none.
    #[error("invalid ChildPort: {0}")]
    InvalidChildPort(String),
    /// The outer address is none.
    #[error("invalid ParentIP: {0:?}")]
    InvalidParentIp(String),
    /// The outer port is none.
    #[error("invalid ParentPort: {0}")]
    InvalidParentPort(String),
    /// No JSON, or values of other types.
    #[error("{0}")]
    Json(String),
    /// `-p` without `/tcp` or `/udp`.
    #[error("missing proto in PortSpec string: {0:?}")]
    MissingProto(String),
    /// A field of a `-p` value is wrong.
    #[error("unexpected {field} in PortSpec string: {spec:?}")]
    UnexpectedField {
        /// Its name.
        field: &'static str,
        spec: String,
    },
    /// A `-p` value without the fields it needs, or with more.
    #[error("unexpected PortSpec string: {0:?}")]
    Unexpected(String),
    /// No such protocol.
    #[error("unknown proto: {0:?}")]
    UnknownProto(String),
    /// No such protocol in a `-p` value.
    #[error("invalid PortSpec string: {spec:?}: unknown proto: {proto:?}")]
    UnknownProtoIn {
        /// The protocol.
        proto: String,
        spec: String,
    },
}

impl PortSpec {
    /// Parses every specification of a `-p` value: commas part them.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn parse_list(value: &str) -> Result<Vec<Self>, SpecError> {
        value.split(',').map(str::parse).collect()
    }

    /// Reads the body of `POST /v1/ports`. Unknown fields, and what follows the object, are
    /// ignored; absent fields are empty.
    ///
    /// # Errors
    /// [`SpecError::Json`], or the first field that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, SpecError> {
        if body.trim_ascii().is_empty() {
            return Err(SpecError::Json("EOF".to_owned()));
        }
        let json = |error| SpecError::Json(format!("json: {error}"));
        let mut reader = serde_json::Deserializer::from_slice(body);
        // By way of a map: serde would take the fields in an array, too.
        let object = Option::<serde_json::Map<_, _>>::deserialize(&mut reader).map_err(json)?;
        Wire::deserialize(serde_json::Value::Object(object.unwrap_or_default()))
            .map_err(json)?
            .try_into()
    }
}

impl fmt::Display for PortSpec {
    /// In the `-p` grammar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = |address: &Address| match address.text.contains(':') {
            true => format!("[{}]", address.text),
            false => address.text.clone(),
        };
        let parent = self.parent_ip.as_ref().map(address).unwrap_or_default();
        write!(f, "{parent}:{}:", self.parent_port)?;
        if let Some(child) = &self.child_ip {
            write!(f, "{}:", address(child))?;
        }
        write!(f, "{}/{}", self.child_port, self.proto)
    }
}

/// `IP:PPORT[:CIP]:CPORT/PROTO`; the first field may be empty, IPv6 addresses are in brackets.
impl FromStr for PortSpec {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        let field = |field| SpecError::UnexpectedField {
            field,
            spec: spec.to_owned(),
        };
        let (rest, proto) = spec
            .rsplit_once('/')
            .ok_or_else(|| SpecError::MissingProto(spec.to_owned()))?;
        let proto = proto
            .parse::<Proto>()
            .map_err(|_| SpecError::UnknownProtoIn {
                proto: proto.to_owned(),
                spec: spec.to_owned(),
            })?;
        let fields = fields(rest).ok_or_else(|| SpecError::Unexpected(spec.to_owned()))?;
        let (parent, parent_port, child, child_port) = match *fields.as_slice() {
            [parent, port, child_port] => (parent, port, "", child_port),
            [parent, port, child, child_port] => (parent, port, child, child_port),
            // rootlesskit takes a lone `8080:80/tcp` for an address, too.
            [_, _] => return Err(field("ParentIP")),
            _ => return Err(SpecError::Unexpected(spec.to_owned())),
        };
        let address = |text: &str, name| match text {
            "" => Ok(None),
            text => Address::parse(text).map(Some).ok_or_else(|| field(name)),
        };
        let port = |text: &str, name| text.parse().map_err(|_| field(name));
        Ok(Self {
            proto,
            parent_ip: address(parent, "ParentIP")?,
            parent_port: port(parent_port, "ParentPort")?,
            child_ip: address(child, "ChildIP")?,
            child_port: port(child_port, "ChildPort")?,
        })
    }
}

/// Splits at colons outside of brackets; brackets are taken off.
fn fields(text: &str) -> Option<Vec<&str>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        fields.push(field);
        match after.strip_prefix(':') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// A specification on the wire: what is empty is left out.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<String>,
    #[serde(rename = "parentIP", skip_serializing_if = "Option::is_none")]
    parent_ip: Option<String>,
    #[serde(rename = "parentPort")]
    parent_port: Option<i64>,
    #[serde(rename = "childPort")]
    child_port: Option<i64>,
    #[serde(rename = "childIP", skip_serializing_if = "Option::is_none")]
    child_ip: Option<String>,
}

impl TryFrom<Wire> for PortSpec {
    type Error = SpecError;

    /// In rootlesskit's order of complaints.
    fn try_from(wire: Wire) -> Result<Self, SpecError> {
        let address = |text: Option<String>, error: fn(String) -> SpecError| match text {
            Some(text) if !text.is_empty() => {
                Address::parse(&text).map(Some).ok_or_else(|| error(text))
            }
            _ => Ok(None),
        };
        let port = |number: Option<i64>, error: fn(String) -> SpecError| {
            let number = number.unwrap_or(0);
            u16::try_from(number)
                .ok()
                .and_then(NonZeroU16::new)
                .ok_or_else(|| error(number.to_string()))
        };
        Ok(Self {
            proto: wire.proto.unwrap_or_default().parse()?,
            parent_ip: address(wire.parent_ip, SpecError::InvalidParentIp)?,
            child_ip: address(wire.child_ip, SpecError::InvalidChildIp)?,
            parent_port: port(wire.parent_port, SpecError::InvalidParentPort)?,
            child_port: port(wire.child_port, SpecError::InvalidChildPort)?,
        })
    }
}

impl Serialize for PortSpec {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |address: &Option<Address>| address.as_ref().map(|a| a.text.clone());
        Wire {
            proto: Some(self.proto.to_string()),
            parent_ip: text(&self.parent_ip),
            parent_port: Some(self.parent_port.get().into()),
            child_port: Some(self.child_port.get().into()),
            child_ip: text(&self.child_ip),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
