//! The client side: everything that talks to a daemon, or runs beside one, and is not PID 1.
//!
//! ```text
//! argv, environment ─▶ entrypoint: what docker-entrypoint.sh would exec     (pure plan, thin act)
//! flags, environment ─▶ endpoint: which daemon, plain or TLS                (pure)
//! endpoint ─▶ resolve ─▶ connect ─▶ ping: one GET /_ping, with a deadline   (reads only)
//! ping, again and again ─▶ wait        own: PID 1, once ─▶ probe, status
//! ```
//!
//! None of this runs in PID 1: TLS, HTTP and DNS live in short-lived processes only.

pub mod credentials;
mod crypto;
pub mod duration;
pub mod entrypoint;
pub mod lookout;
pub mod own;
pub mod ping;
pub mod probe;
pub mod stop;
mod surroundings;
pub mod trust;
pub mod wait;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test reads the sources")]
mod tests {
    use std::path::Path;

    /// What a type looks like to a programmer is nothing for a user: texts of these rooms are
    /// written out. (A quoted text is fine elsewhere; here every one comes from a stranger.)
    #[test]
    fn no_message_shows_a_value_as_programmers_see_it() {
        fn check(dir: &Path) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    check(&path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                if path.file_name().is_some_and(|name| name == "tests.rs") {
                    continue;
                }
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let found = code.lines().find(|line| line.contains(":?}"));
                assert_eq!(found, None, "{}", path.display());
            }
        }
        for room in ["client", "endpoint", "net"] {
            check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room));
        }
    }
}
