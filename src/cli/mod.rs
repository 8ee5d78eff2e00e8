//! From words to wishes: argv and environment become an `Invocation`, then a [`config::Config`].
//! Everything here is pure: no file is read and no clock is asked.

pub mod bad;
pub mod certs;
pub mod command;
pub mod config;
pub mod daemon_args;
pub mod environment;
pub mod go_flags;
pub mod lifetime;
pub mod misspelt;
#[cfg(test)]
pub(crate) mod said;
pub mod setting;
pub mod settings;
pub mod size;
pub mod wish;
