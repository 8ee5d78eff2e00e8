//! How a failure is told: what failed, why, and how to fix it in the place where it runs.
//!
//! Every error type of the crate implements [`Explain`]; its `Display` says *what* in lower case,
//! without its source. [`frame`] is the one place that lays the parts out for a person, and
//! [`to_json`] for a machine. docs/errors.md has them all.

use std::any::type_name;
use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::base::printable::line;

/// Exit codes of our own (ARCHITECTURE.md, decision 10). dockerd's and a command's own codes pass
/// through unchanged; death by signal is 128+n.
pub mod exit {
    /// Bad words on the command line.
    pub const USAGE: u8 = 2;
    /// Refused by a plan: nothing was changed, nothing is left behind.
    pub const REFUSED: u8 = 78;
    /// A set-up step failed half way; the frame says what was already changed.
    pub const STEP_FAILED: u8 = 71;
    /// The program was found but cannot be executed.
    pub const CANNOT_EXECUTE: u8 = 126;
    /// The program was not found.
    pub const NOT_FOUND: u8 = 127;
    /// Base of the code for death by a signal.
    pub const SIGNAL_BASE: u8 = 128;
}

/// What a person is told beside the error itself, and what a process exits with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// Which failure this is, once [`Explain::explained`] has said so.
    pub id: Option<Box<str>>,
    /// The background a reader needs to understand the cause.
    pub why: String,
    /// What to do, in the words of the place where this runs (docker flags, pod fields).
    pub fix: String,
    /// What the process exits with.
    pub code: u8,
}

impl Advice {
    /// Advice for a refusal, which most errors are: what is none has [another code](Self::with_code).
    #[must_use]
    pub fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id: None,
            why: why.into(),
            fix: fix.into(),
            code: exit::REFUSED,
        }
    }

    /// The same advice with another exit code.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// An error that can say why it happened and what to do about it.
pub trait Explain: Error {
    /// Which step of how many, when the failure happened inside a plan.
    fn step(&self) -> Option<String> {
        None
    }
    /// Background, remedy and exit code: one method, so that those of one case stand together.
    fn advice(&self) -> Advice;
    /// The advice with the id of the failure. A case that only hands another failure on answers
    /// [`Self::advice`] with this of the other one, and so has its id.
    fn explained(&self) -> Advice {
        let advice = self.advice();
        let own = || id(type_name::<Self>(), &format!("{self:?}")).into();
        Advice {
            id: Some(advice.id.unwrap_or_else(own)),
            ..advice
        }
    }
    /// The background alone.
    fn why(&self) -> String {
        self.advice().why
    }
    /// The remedy alone.
    fn fix(&self) -> String {
        self.advice().fix
    }
    /// The exit code alone.
    fn exit_code(&self) -> u8 {
        self.advice().code
    }
}

/// The id of a failure, from its names in the source alone: `ReadOnly` of `CgroupRefusal` is
/// `cgroup/read-only`; a type that is one failure, `InUse` of the room `apply`, is `apply/in-use`.
/// `debug` begins with the name of the case, as every derived `Debug` does.
fn id(type_name: &str, debug: &str) -> String {
    let mut path = type_name.split("::").skip(1);
    let room = path.next().unwrap_or_default();
    let name = path.last().unwrap_or_default();
    let case = debug.split(|c: char| !c.is_alphanumeric()).next();
    let case = case.unwrap_or_default();
    let subject = match case == name {
        true => Some(room),
        false => name.strip_suffix("Refusal"),
    };
    let subject = subject.or_else(|| name.strip_suffix("Error"));
    let mut id = String::new();
    for c in format!("{}/{case}", subject.unwrap_or(name)).chars() {
        if c.is_uppercase() && !id.is_empty() && !id.ends_with('/') {
            id.push('-');
        }
        id.push(c.to_ascii_lowercase());
    }
    id
}

/// How many characters of one part are shown: names of somebody else's may be in it.
const LONGEST: usize = 8000;

/// Any explained failure.
pub type Failure = Box<dyn Explain>;

impl<E: Explain + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

/// An error's own words in one line, whatever names are in it.
fn quoted(error: &(impl Error + ?Sized)) -> String {
    line(&error.to_string()).at_most(LONGEST).to_string()
}

/// The chain of sources below an error, outermost first.
pub(crate) fn causes(error: &dyn Explain) -> Vec<String> {
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push(quoted(error));
        source = error.source();
    }
    chain
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Explain) -> String {
    let mut parts = vec![quoted(error)];
    parts.extend(causes(error));
    parts.join(": ")
}

/// A whole failure in one line, for a log.
#[must_use]
pub fn one_line(error: &dyn Explain) -> String {
    let Advice { why, fix, .. } = error.advice();
    let text = format!("{}; {why}; {fix}", chain(error));
    line(&text.replace('\n', "; ")).at_most(LONGEST).to_string()
}

/// The what/why/fix frame for a terminal or a log.
///
/// ```text
/// error: could not enable cgroup controllers
///   step   6 of 12: delegate cgroup /sys/fs/cgroup
///   cause  write "+memory" to /sys/fs/cgroup/cgroup.subtree_control: Device or resource busy
///   why    2 processes are still in the root cgroup
///   fix    start the container with --cgroupns=private
/// ```
#[must_use]
pub fn frame(error: &dyn Explain) -> String {
    let mut text = format!("error: {}\n", quoted(error));
    // Lines of our own, and those that a name of somebody else's brought along: indented, none of
    // them can pass for a row.
    let mut row = |name: &str, value: &str| {
        for (index, part) in value.lines().enumerate() {
            let label = if index == 0 { name } else { "" };
            text.push_str(&format!("  {label:<6} {}\n", line(part).at_most(LONGEST)));
        }
    };
    if let Some(step) = error.step() {
        row("step", &step);
    }
    let causes = causes(error);
    if !causes.is_empty() {
        row("cause", &causes.join(": "));
    }
    let Advice { why, fix, .. } = error.advice();
    row("why", &why);
    row("fix", &fix);
    text
}

/// The same facts as [`frame`] for `--json` output.
#[must_use]
pub fn to_json(error: &dyn Explain) -> serde_json::Value {
    let Advice { id, why, fix, code } = error.explained();
    serde_json::json!({
        "id": id,
        "error": error.to_string(),
        "step": error.step(),
        "cause": causes(error),
        "why": why,
        "fix": fix,
        "exit_code": code,
    })
}

/// Failures as they are told, with what stands for names and paths, for docs/errors.md.
#[cfg(test)]
pub(crate) trait Samples: Sized {
    fn samples() -> Vec<Self>;
}

/// What the kernel says, as the source of a sample.
#[cfg(test)]
pub(crate) fn errno(code: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(code)
}

/// [`Samples`] of a type, which exist in tests alone. All cases of an enum are there, or the tests
/// do not compile; those that only hand another failure on are named behind `hands on`. A struct
/// has its values.
macro_rules! samples {
    ($type:ident {
        $($case:ident $(($($field:tt)*))? $({$($named:tt)*})?),* $(,)?
        $(; hands on $($other:ident),+)?
        $(; each $many:ident in $more:expr)?
    }) => {
        #[cfg(test)]
        impl $crate::base::explain::Samples for $type {
            fn samples() -> Vec<Self> {
                #[allow(unused_imports, reason = "not every failure has a source")]
                use $crate::base::explain::errno;
                #[allow(unreachable_patterns, reason = "a case may have several samples")]
                let _complete = |all: &Self| match all {
                    $(Self::$case { .. } => (),)*
                    $($(Self::$other { .. } => (),)+)?
                    $(Self::$many { .. } => (),)?
                };
                let samples = vec![$(Self::$case $(($($field)*))? $({$($named)*})?),*];
                $(let samples = samples.into_iter().chain($more).collect();)?
                samples
            }
        }
    };
    ($type:ident: $($value:expr),+ $(,)?) => {
        #[cfg(test)]
        impl $crate::base::explain::Samples for $type {
            fn samples() -> Vec<Self> {
                #[allow(unused_imports, reason = "not every failure has a source")]
                use $crate::base::explain::errno;
                vec![$($value),+]
            }
        }
    };
}
pub(crate) use samples;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not open the door")]
    struct CgroupDescriptor(#[source] std::io::Error);

    impl Explain for CgroupDescriptor {
        fn advice(&self) -> Advice {
            Advice::new("it is locked\nfrom inside", "knock")
        }
    }

    #[test]
    fn frame_has_cause_why_and_fix_in_order() {
        let door = CgroupDescriptor(std::io::Error::from_raw_os_error(libc::EACCES));
        expect_test::expect![[r#"
            error: could not open the door
              cause  Permission denied (os error 13)
              why    it is locked
                     from inside
              fix    knock
        "#]]
        .assert_eq(&frame(&door));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0} is in the way")]
    struct Named(&'static str);

    impl Explain for Named {
        fn advice(&self) -> Advice {
            let (why, fix) = (
                format!("{} was there before", self.0),
                format!("move {}", self.0),
            );
            Advice::new(why, fix)
        }
    }

    #[test]
    fn a_name_with_line_ends_and_escapes_forges_no_line() {
        let named = Named("/a\x1b[2J\nerror: all is lost\n  fix    run this");
        expect_test::expect![[r#"
            error: /a\u{1b}[2J\nerror: all is lost\n  fix    run this is in the way
              why    /a\u{1b}[2J
                     error: all is lost
                       fix    run this was there before
              fix    move /a\u{1b}[2J
                     error: all is lost
                       fix    run this
        "#]]
        .assert_eq(&frame(&named));
        assert!(!one_line(&named).contains(['\n', '\x1b']));
    }

    #[test]
    fn json_carries_the_id_and_the_exit_code() {
        let json = to_json(&CgroupDescriptor(std::io::ErrorKind::NotFound.into()));
        assert_eq!(json["id"], "base/cgroup-descriptor");
        assert_eq!(json["exit_code"], 78);
    }

    #[derive(Debug, thiserror::Error)]
    enum HouseRefusal {
        #[error(transparent)]
        Door(CgroupDescriptor),
        #[error("no key")]
        NoKey { door: u8 },
    }

    impl Explain for HouseRefusal {
        fn advice(&self) -> Advice {
            match self {
                Self::Door(door) => door.explained().with_code(71),
                Self::NoKey { .. } => Advice::new("it is lost", "look for it"),
            }
        }
    }

    #[test]
    fn what_is_handed_on_keeps_its_id() {
        let own = HouseRefusal::NoKey { door: 1 };
        assert_eq!(&*own.explained().id.unwrap(), "house/no-key");
        let door = CgroupDescriptor(std::io::ErrorKind::NotFound.into());
        let handed_on = HouseRefusal::Door(door).explained();
        assert_eq!(&*handed_on.id.unwrap(), "base/cgroup-descriptor");
    }
}
