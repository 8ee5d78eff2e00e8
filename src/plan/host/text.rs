//! A `HostPlan` for people (`dind-init plan`) and for programs (`--json`).

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::HostPlan;
use crate::base::printable::line;
use crate::plan::dockerd::AddedFlag;
use crate::plan::netfilter::NetfilterPlan;
use crate::plan::network::Forwarder;
use crate::plan::rootless::RootlessPlan;
use crate::plan::step::{OnFailure, Step};
use crate::plan::storage::StoragePlan;

impl fmt::Display for HostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "host plan ({}): {} steps",
            line(&self.summary),
            self.steps.len() + 1
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            let tolerated = if step.on_failure == OnFailure::Warn {
                " [or warn]"
            } else {
                ""
            };
            let action = step.action.to_string();
            // Details of an action go below it, so that the reasons stay in one column.
            let (first, details) = action.split_once('\n').unwrap_or((&action, ""));
            let first = line(first).to_string();
            let why = line(&step.why);
            writeln!(f, "{:>2} {first:<50} {why}{tolerated}", index + 1)?;
            details
                .lines()
                .try_for_each(|detail| writeln!(f, "          {}", line(detail.trim_start())))?;
        }
        if let Some(rootless) = self.mode.rootless() {
            write!(f, "{rootless}")?;
        }
        if let Some(Forwarder {
            address, upstream, ..
        }) = &self.forwarder
        {
            writeln!(
                f,
                "   start  forwarder for names on {address}, which asks {upstream:?}"
            )?;
        }
        for flag in &self.flags {
            let (value, why) = (line(&flag.value), line(&flag.why));
            writeln!(f, "   flag   --{}={value}: {why}", flag.name)?;
        }
        let argv: Vec<_> = self
            .daemon
            .argv
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        self.choices()
            .iter()
            .try_for_each(|choice| writeln!(f, "   choice {}", line(choice)))?;
        writeln!(
            f,
            "{:>2} exec   {}",
            self.steps.len() + 1,
            line(&argv.join(" "))
        )?;
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "   warn   {}", line(warning)))
    }
}

impl Serialize for HostPlan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            summary: &'a str,
            steps: &'a [Step],
            program: &'a Path,
            argv: Vec<String>,
            flags: &'a [AddedFlag],
            forwarder: Option<&'a Forwarder>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rootless: Option<&'a RootlessPlan>,
            storage: Option<&'a StoragePlan>,
            netfilter: Option<&'a NetfilterPlan>,
            warnings: &'a [String],
        }
        let argv = self
            .daemon
            .argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        View {
            summary: &self.summary,
            steps: &self.steps,
            program: &self.daemon.program,
            argv: argv.collect(),
            flags: &self.flags,
            forwarder: self.forwarder.as_ref(),
            rootless: self.mode.rootless(),
            storage: self.storage.as_ref(),
            netfilter: self.netfilter.as_ref(),
            warnings: &self.warnings,
        }
        .serialize(serializer)
    }
}
