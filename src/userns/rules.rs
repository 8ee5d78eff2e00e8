//! Applies what keeps the source addresses of published ports ([`crate::plan::rootless::source_rules`]).

use std::ffi::OsString;
use std::path::Path;

use crate::base::environment::Environment;
use crate::files::find_program;
use crate::files::kernel;
use crate::host::rootless::Filter;
use crate::plan::rootless::source_rules::{Rule, rules};
use crate::ports::SourceAddresses;

/// Applies the rules in this fresh network namespace. What fails costs the addresses and one
/// warning: the first connection would be slow otherwise.
pub(super) fn apply(filter: Filter, env: &Environment) -> SourceAddresses {
    let mut kept = SourceAddresses::Kept;
    for rule in rules(filter) {
        let (done, text) = match &rule {
            Rule::Run(words) | Rule::RunV6(words) => (run(words, env), words.join(" ")),
            Rule::Sysctl { path, value } => {
                (kernel::write(path, value).is_ok(), (*path).to_owned())
            }
        };
        if done {
            continue;
        }
        if !matches!(rule, Rule::RunV6(_)) {
            tracing::warn!(
                "inner services will not see the addresses of their clients: {text} did not work"
            );
            return SourceAddresses::Hidden;
        }
        if kept == SourceAddresses::Kept && kernel::exists("/proc/self/net/if_inet6") {
            tracing::warn!(
                "inner services will not see the addresses of their IPv6 clients: {text} did not \
                 work"
            );
        }
        kept = SourceAddresses::KeptOver4;
    }
    kept
}

fn run(words: &[&str], env: &Environment) -> bool {
    let Some(program) = words
        .first()
        .and_then(|name| find_program(name.as_ref(), env.get("PATH")))
    else {
        return false;
    };
    let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
    crate::process::ask::ask(Path::new(&program), &argv, &env.words()).is_some()
}
