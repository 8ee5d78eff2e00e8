//! What a rootless daemon does under each set of rights that an outer container can have.

use crate::lab::{Lab, NESTED};
use crate::outer::{SECCOMP, SYSTEMPATHS, TUN, bare};

/// What becomes of a start.
enum Outcome {
    /// Nested containers run on overlay2, and /sys is as said.
    Works(Sys),
    /// The preflight says why not, and what to do.
    Refused {
        what: &'static str,
        fix: &'static str,
    },
}

enum Sys {
    ReadOnly,
    Writable,
}

use Outcome::{Refused, Works};

/// A word for each option of the outer container, as the images of users have it: new{u,g}idmap
/// with file capabilities.
const ROWS: &[(&[&[&str]], Outcome)] = &[
    (&[], NO_USER_NAMESPACE),
    (&[SYSTEMPATHS, TUN], NO_USER_NAMESPACE),
    (
        &[SECCOMP],
        Refused {
            what: "no tap device can be made",
            fix: "--device /dev/net/tun",
        },
    ),
    (&[SECCOMP, TUN], MASKED),
    (&[SECCOMP, SYSTEMPATHS, TUN], Works(Sys::ReadOnly)),
    (
        &[
            SECCOMP,
            SYSTEMPATHS,
            TUN,
            &["--security-opt", "no-new-privileges"],
        ],
        Refused {
            what: "no_new_privs is set",
            fix: "remove --security-opt no-new-privileges",
        },
    ),
    (
        &[SECCOMP, SYSTEMPATHS, TUN, &["--cap-drop", "ALL"]],
        Refused {
            what: "CAP_SETUID is not in the bounding set",
            fix: "--cap-add SETUID --cap-add SETGID",
        },
    ),
    (
        &[
            SECCOMP,
            SYSTEMPATHS,
            TUN,
            &[
                "--cap-drop",
                "ALL",
                "--cap-add",
                "SETUID",
                "--cap-add",
                "SETGID",
            ],
        ],
        Works(Sys::ReadOnly),
    ),
    // The right to make namespaces comes with it, past Docker's own seccomp profile.
    (&[&["--cap-add", "SYS_ADMIN"], TUN], MASKED),
    (&[&["--privileged"]], Works(Sys::Writable)),
];

const NO_USER_NAMESPACE: Outcome = Refused {
    what: "the kernel refuses a new user namespace",
    fix: "--security-opt seccomp=unconfined",
};

const MASKED: Outcome = Refused {
    what: "no inner container could start",
    fix: "--security-opt systempaths=unconfined",
};

#[test]
fn every_set_of_rights_works_or_is_refused_with_its_remedy() {
    let Some(lab) = Lab::find() else { return };
    for (options, outcome) in ROWS {
        let create = bare(lab).options(options.concat());
        match outcome {
            Refused { what, fix } => {
                let (container, output) = create.run_to_end();
                output.assert_refused(what);
                let remedy = output.stderr.split_once("\n  fix    ");
                let remedy = remedy.and_then(|(_, fix)| fix.lines().next());
                assert!(remedy.is_some_and(|it| it.contains(fix)), "{output}");
                container.assert_tidy();
            }
            Works(sys) => {
                let dind = create.start();
                dind.import_nested();
                let run = ["run", "--rm", NESTED, "echo", "works"];
                assert_eq!(dind.docker(run), "works", "{options:?}");
                let driver = dind.docker(["info", "--format", "{{.Driver}}"]);
                assert_eq!(driver, "overlay2", "{options:?}");
                let told = "/sys is read-only here: `docker run --privileged` will not work inside";
                let told = dind.log().stderr.contains(told);
                let inner = dind.exec(["docker", "run", "--rm", "--privileged", NESTED, "true"]);
                match sys {
                    Sys::ReadOnly => assert!(told && inner.code != 0, "{options:?}: {inner}"),
                    Sys::Writable => assert!(!told && inner.code == 0, "{options:?}: {inner}"),
                }
            }
        }
    }
}

/// Variant A of the table, as Debian ships it: with the set-user-ID bit the helpers stay root, and
/// the kernel asks for more than `CAP_SETUID`.
#[test]
fn helpers_with_the_set_user_id_bit_need_a_privileged_container() {
    let Some(lab) = Lab::find() else { return };
    let script = "for tool in newuidmap newgidmap; do
            tool=$(command -v $tool); setcap -r $tool; chmod u+s $tool
        done
        exec setpriv --reuid 1000 --regid 1000 --clear-groups dockerd-entrypoint.sh";
    let create = |options: &[&str]| {
        let create = bare(lab).options(["--user", "0"]).entrypoint("sh");
        create
            .options(options.iter().copied())
            .args(["-ec", script])
    };
    for options in [SECCOMP.to_vec(), [SECCOMP, SYSTEMPATHS, TUN].concat()] {
        let (_, output) = create(&options).run_to_end();
        output.assert_refused("with the set-user-ID bit it stays root");
        assert!(output.stderr.contains("chmod u-s newuidmap"), "{output}");
    }
    let dind = create(&["--privileged"]).start();
    dind.import_nested();
    assert_eq!(
        dind.docker(["run", "--rm", NESTED, "echo", "works"]),
        "works"
    );
}
