//! Subordinate ids as people write them, and what newuidmap says where they are of no use.

use crate::container::Create;
use crate::lab::Lab;
use crate::outer::unprivileged;

/// The image's user in an image that was changed.
fn changed(lab: &'static Lab, script: &str) -> Create {
    let become_user = "exec setpriv --reuid 1000 --regid 1000 --clear-groups \
                       dockerd-entrypoint.sh";
    unprivileged(lab)
        .options(["--user", "0"])
        .entrypoint("sh")
        .args(["-ec", &format!("{script}\n{become_user}")])
}

/// `useradd` of Debian writes a row, and every guide has an `echo >>`.
#[test]
fn rows_that_overlap_are_taken_once() {
    let Some(lab) = Lab::find() else { return };
    let script = "for file in /etc/subuid /etc/subgid; do \
                      echo rootless:100000:65536 >>$file; echo rootless:120000:65536 >>$file; \
                  done";
    let dind = changed(lab, script).start();
    dind.docker(["version"]);
    let child = "/proc/$(cat /run/user/1000/dockerd-rootless/child_pid)";
    let map = dind.sh(&format!("cat {child}/uid_map {child}/gid_map"));
    let words: Vec<&str> = map.split_whitespace().collect();
    let one = ["0", "1000", "1", "1", "100000", "85536"];
    assert_eq!(words, [one, one].concat());
}

#[test]
fn each_failure_has_the_remedy_of_its_cause() {
    let Some(lab) = Lab::find() else { return };
    for (script, code, said) in [
        (
            "printf 'rootless:100000:65536\\r\\n' >/etc/subuid",
            "78",
            "without spaces or carriage returns",
        ),
        ("chmod 0600 /etc/subuid", "78", "/etc/subuid cannot be read"),
        (
            "sed -i /^rootless:/d /etc/passwd; sed -i s/rootless/1000/ /etc/subuid /etc/subgid",
            "71",
            "no row in /etc/passwd",
        ),
        (
            "setcap cap_setuid=ep $(command -v newgidmap)",
            "71",
            "cap_setgid is missing",
        ),
    ] {
        let (dind, output) = changed(lab, script).run_to_end();
        assert_eq!(dind.inspect("{{.State.ExitCode}}"), code, "{output}");
        assert!(output.stderr.contains(said), "{said}: {output}");
    }
}
