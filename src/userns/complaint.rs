//! What `newuidmap` and `newgidmap` say when they refuse, and what helps against it. The texts are
//! those of shadow, 4.8 to 4.20. Pure.

use crate::base::explain::exit;

/// Why a helper failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    pub why: String,
    pub fix: String,
}

const NO_HELPER: &str = "or start as root with DIND_ROOTLESS=1 and --cap-add SETUID --cap-add \
                         SETGID, which needs no helper";

/// Reads a complaint. `name` is the helper's, `uid` ours, `code` what it ended with.
#[must_use]
pub fn remedy(name: &str, uid: u32, said: &str, code: Option<i32>) -> Remedy {
    let (file, lower, user) = match name {
        "newgidmap" => ("/etc/subgid", "cap_setgid", "group"),
        _ => ("/etc/subuid", "cap_setuid", "user"),
    };
    let has = |text: &str| said.contains(text);
    let (why, fix) = if has("Cannot determine your user name") {
        (
            format!("uid {uid} has no row in /etc/passwd, and {name} wants to know who calls it"),
            format!(
                "in the image: echo NAME:x:{uid}:{uid}::/home/NAME:/bin/sh >>/etc/passwd; or start \
                 as a user who is there; {NO_HELPER}"
            ),
        )
    } else if has("not allowed") {
        (
            format!(
                "{file} gives this user no such ids, as {name} reads it: rows USER:FIRST:COUNT of its \
                 name or number in plain digits, without spaces or carriage returns"
            ),
            format!(
                "correct the row in {file} of the image (USER:100000:65536); ids that only \
                 getsubids knows need a {name} that asks the same directory; {NO_HELPER}"
            ),
        )
    } else if has("cannot open /etc/sub") {
        (
            format!("{name} reads {file} with this user's rights"),
            format!("in the image: let {file} be there, with mode 0644; {NO_HELPER}"),
        )
    } else if has("map failed: Operation not permitted") || has("etgroups") {
        (
            format!(
                "it ran without its right to write maps: {lower} is missing among the file \
                 capabilities of {name}, or no_new_privs, a nosuid mount or the bounding set took \
                 it away; with the set-user-ID bit in its place it also needs CAP_SYS_ADMIN in the \
                 bounding set"
            ),
            format!(
                "in the image: chmod u-s {name} and setcap {lower}=ep {name}; Kubernetes: \
                 allowPrivilegeEscalation: true; {NO_HELPER}"
            ),
        )
    } else if has("map failed: Invalid argument") {
        (
            format!("the kernel takes no {user} id twice, and a bounded number of rows"),
            format!("leave one row for this user in {file} of the image; {NO_HELPER}"),
        )
    } else if has("set caps") || has("seteuid") || has("KEEPCAPS") || has("setegid") {
        (
            format!(
                "it may not change its own ids or capabilities: {lower} is not in the \
                     bounding set of this container, or seccomp forbids it"
            ),
            "--cap-add SETUID --cap-add SETGID (Kubernetes: capabilities.add), --security-opt \
             seccomp=unconfined"
                .to_owned(),
        )
    } else if has("owned by a different user") {
        (
            format!("{name} writes maps only for processes of its caller's, user and group alike"),
            format!(
                "start the container with the group of /etc/passwd (--user {uid}, without a \
                 group); {NO_HELPER}"
            ),
        )
    } else if has("proc directory") || has("stat directory") || has("open of") {
        (
            "it cannot see the process whose map it is to write: /proc is mounted with hidepid, \
             or a security module forbids it"
                .to_owned(),
            format!("mount /proc without hidepid; --security-opt apparmor=unconfined; {NO_HELPER}"),
        )
    } else if code == Some(i32::from(exit::NOT_FOUND)) && said.trim().is_empty() {
        (
            "it cannot be executed: it has a file capability that is not in the bounding set of \
             this container, or is for another machine"
                .to_owned(),
            format!(
                "--cap-add SETUID --cap-add SETGID (Kubernetes: capabilities.add); {NO_HELPER}"
            ),
        )
    } else if has("sage:") {
        (
            format!("the {name} in PATH is another program, or very old"),
            "install the one of uidmap (Debian) or shadow-uidmap (Alpine)".to_owned(),
        )
    } else {
        (
            format!("{name} writes the map of the {user} ids, and says no more"),
            format!("see what it says above, and newuidmap(1); {NO_HELPER}"),
        )
    };
    Remedy { why, fix }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Met with newuidmap 4.20 in a container; the others are in its source.
    const MET: [(&str, &str); 6] = [
        (
            "newuidmap: uid range [1-65537) -> [200000-265536) not allowed",
            "rows USER:FIRST:COUNT",
        ),
        (
            "newuidmap: write to uid_map failed: Invalid argument",
            "twice",
        ),
        (
            "newuidmap: Cannot determine your user name.",
            "no row in /etc/passwd",
        ),
        (
            "newuidmap: cannot open /etc/subuid: Permission denied",
            "with this user's rights",
        ),
        (
            "newuidmap: write to uid_map failed: Operation not permitted",
            "cap_setuid is missing",
        ),
        (
            "newuidmap: Target process 7 is owned by a different user: uid:1000",
            "of its caller's",
        ),
    ];

    #[test]
    fn each_complaint_has_a_cause_and_a_remedy_of_its_own() {
        let mut all = BTreeSet::new();
        for (said, why) in MET {
            let found = remedy("newuidmap", 1234, said, Some(1));
            assert!(found.why.contains(why), "{said}: {}", found.why);
            assert!(all.insert(found.fix), "{said}");
        }
        for said in ["newuidmap: Could not set caps", "Usage: newuidmap", "eh?"] {
            assert!(
                all.insert(remedy("newuidmap", 1, said, Some(1)).fix),
                "{said}"
            );
        }
        let silent = remedy("newuidmap", 1, "", Some(127));
        assert!(silent.why.contains("cannot be executed"));
    }

    #[test]
    fn newgidmap_has_files_and_capabilities_of_its_own() {
        let said = "newgidmap: gid range [1-65537) -> [200000-265536) not allowed";
        let found = remedy("newgidmap", 1000, said, Some(1));
        assert!(found.why.contains("/etc/subgid") && !found.fix.contains("subuid"));
        let said = "newgidmap: write to gid_map failed: Operation not permitted";
        assert!(
            remedy("newgidmap", 1000, said, Some(1))
                .fix
                .contains("cap_setgid=ep")
        );
    }
}
