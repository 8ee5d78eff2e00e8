//! Where a rootless dockerd keeps things: HOME, the runtime directory, the data root. Pure.

use std::path::{Path, PathBuf};

use crate::base::environment::Environment;
use crate::base::explain::{Advice, Explain, samples};
use crate::config::lifetime;

/// The directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The environment with `HOME` and `XDG_RUNTIME_DIR` in it.
    pub env: Environment,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime: PathBuf,
    /// The same, or a directory below HOME where others can write to that one: for what nobody
    /// else may replace.
    pub keep: PathBuf,
    /// dockerd's data root.
    pub data: PathBuf,
    /// dockerd's configuration.
    pub config: PathBuf,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// A directory is missing that dockerd cannot do without. The words are those that people search
/// for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "attempting to run rootless dockerd but need writable HOME ({}) and XDG_RUNTIME_DIR ({}) for \
     user {uid}",
    home.display(),
    runtime.display()
)]
pub struct NotWritable {
    /// HOME.
    pub home: PathBuf,
    /// XDG_RUNTIME_DIR.
    pub runtime: PathBuf,
    pub uid: u32,
    /// The directory that cannot be written.
    pub missing: PathBuf,
}

impl Explain for NotWritable {
    fn advice(&self) -> Advice {
        Advice::new(
            format!(
                "{} cannot be made or written by uid {}",
                self.missing.display(),
                self.uid
            ),
            "make it in the image and give it to that user (chown), mount a volume or tmpfs there, \
             or set HOME and XDG_RUNTIME_DIR to directories that the user can write",
        )
    }
}

samples! { NotWritable: NotWritable {
    home: "/home/rootless".into(),
    runtime: "/run/user/1000".into(),
    uid: 1000,
    missing: "/home/rootless/.local/share/docker".into(),
} }

/// Decides. `passwd_home` is what /etc/passwd says; `writable` tells whether a directory can be
/// written, or made and then written.
///
/// # Errors
/// [`NotWritable`].
pub fn decide(
    env: Environment,
    uid: u32,
    passwd_home: Option<PathBuf>,
    writable: impl Fn(&Path) -> bool,
) -> Result<Places, NotWritable> {
    let path = |name: &str| env.non_empty(name).map(PathBuf::from);
    let mut notes = Vec::new();
    let home = path("HOME").or(passwd_home).unwrap_or_else(|| "/".into());
    let wanted = lifetime::runtime_dir(&env, uid);
    let fallback = home.join(".docker/run");
    let refused = |missing: &Path| NotWritable {
        home: home.clone(),
        runtime: wanted.clone(),
        uid,
        missing: missing.to_owned(),
    };
    let runtime = if writable(&wanted) {
        wanted.clone()
    } else if writable(&fallback) {
        notes.push(format!(
            "{} cannot be written: {} is XDG_RUNTIME_DIR, and the API socket is in it",
            wanted.display(),
            fallback.display()
        ));
        fallback
    } else {
        return Err(refused(&wanted));
    };
    let env = env
        .with("HOME", home.as_os_str())
        .with("XDG_RUNTIME_DIR", runtime.as_os_str());
    let (data, config) = (data_root(&env), config(&env));
    if !writable(&data) {
        return Err(refused(&data));
    }
    Ok(Places {
        env,
        keep: runtime.clone(),
        runtime,
        data,
        config,
        notes,
    })
}

/// Where a rootless dockerd has its configuration (`homedir.GetConfigHome` of moby).
#[must_use]
pub fn config(env: &Environment) -> PathBuf {
    let path = |name: &str| env.non_empty(name).map(PathBuf::from);
    let home = || path("HOME").unwrap_or_else(|| "/".into());
    path("XDG_CONFIG_HOME")
        .unwrap_or_else(|| home().join(".config"))
        .join("docker")
}

impl Places {
    /// Moves what nobody else may replace to a place where nobody else can. `private` tells whether
    /// a directory is, or would be, one that only this user can change.
    #[must_use]
    pub fn kept_where(mut self, private: impl Fn(&Path) -> bool) -> Self {
        let home = self.env.non_empty("HOME").map(PathBuf::from);
        let below = home.map(|home| home.join(".docker/run"));
        if !private(&own(&self.runtime))
            && let Some(below) = below.filter(|below| private(&own(below)))
        {
            self.notes.push(format!(
                "{} can be written by others: the state of the namespaces is in {}",
                self.runtime.display(),
                below.display()
            ));
            self.keep = below;
        }
        self
    }
}

/// Where a rootless dockerd keeps everything, unless it is told otherwise
/// (`homedir.GetDataHome` of moby).
#[must_use]
pub fn data_root(env: &Environment) -> PathBuf {
    let path = |name: &str| env.non_empty(name).map(PathBuf::from);
    let home = || path("HOME").unwrap_or_else(|| "/".into());
    path("XDG_DATA_HOME")
        .unwrap_or_else(|| home().join(".local/share"))
        .join("docker")
}

/// The state directory of the namespaces, which `dockerd-rootless.sh` keeps there, too.
#[must_use]
pub fn default_state(runtime: &Path) -> PathBuf {
    runtime.join("dockerd-rootless")
}

#[must_use]
pub fn own(runtime: &Path) -> PathBuf {
    runtime.join("dind-init")
}

/// A line of /etc/passwd (`passwd(5)`): name, group, home.
#[must_use]
pub fn passwd(text: &str, uid: u32) -> Option<(String, u32, PathBuf)> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [name, _, id, gid, _, home, ..] if id.parse() == Ok(uid) => {
                Some((name.to_owned(), gid.parse().ok()?, home.into()))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(env: &[(&str, &str)], closed: &[&str]) -> Result<Places, NotWritable> {
        let env = env.iter().map(|(k, v)| (*k, *v)).collect();
        let home = Some(PathBuf::from("/home/rootless"));
        decide(env, 1000, home, |path| {
            !closed.iter().any(|prefix| path.starts_with(prefix))
        })
    }

    #[test]
    fn home_comes_from_passwd_and_the_runtime_directory_has_its_usual_place() {
        let found = places(&[], &[]).unwrap();
        assert_eq!(found.runtime, PathBuf::from("/run/user/1000"));
        assert_eq!(
            found.data,
            PathBuf::from("/home/rootless/.local/share/docker")
        );
        let words = found.env.words();
        assert_eq!(
            words,
            ["HOME=/home/rootless", "XDG_RUNTIME_DIR=/run/user/1000"]
        );
        let moved = places(&[("HOME", "/h"), ("XDG_DATA_HOME", "/data")], &["/h"]).unwrap();
        assert_eq!(moved.data, PathBuf::from("/data/docker"));
    }

    #[test]
    fn a_closed_runtime_directory_moves_below_home_and_it_is_said() {
        let found = places(&[], &["/run"]).unwrap();
        assert_eq!(found.runtime, PathBuf::from("/home/rootless/.docker/run"));
        assert_eq!(found.notes.len(), 1);
    }

    #[test]
    fn without_a_writable_home_the_refusal_has_the_official_words() {
        let refused = places(&[], &["/home"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "attempting to run rootless dockerd but need writable HOME (/home/rootless) and \
             XDG_RUNTIME_DIR (/run/user/1000) for user 1000"
        );
        assert!(refused.why().contains("/home/rootless/.local/share/docker"));
        assert!(places(&[], &["/home", "/run"]).is_err());
    }

    #[test]
    fn what_nobody_may_replace_is_not_in_a_shared_runtime_directory() {
        let kept = |open: &str| {
            let places = places(&[], &[]).unwrap();
            places.kept_where(|path| open.is_empty() || !path.starts_with(open))
        };
        assert_eq!(kept("").keep, PathBuf::from("/run/user/1000"));
        assert!(kept("").notes.is_empty());
        let shared = kept("/run");
        assert_eq!(shared.keep, PathBuf::from("/home/rootless/.docker/run"));
        assert_eq!(shared.runtime, PathBuf::from("/run/user/1000"));
        assert!(shared.notes[0].contains("can be written by others"));
        // Where there is no better place, the state directory refuses the one that there is.
        assert_eq!(kept("/").keep, PathBuf::from("/run/user/1000"));
    }

    #[test]
    fn passwd_lines_are_read_by_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\nu:x:1000:5::/home/u:/bin/sh\nbad:x\n";
        assert_eq!(passwd(text, 1000), Some(("u".into(), 5, "/home/u".into())));
        assert_eq!(passwd(text, 7), None);
    }
}
