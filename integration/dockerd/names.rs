//! The official names, as users' own entrypoints, copies and wrappers use them.

use crate::lab::{Lab, until};

/// Old official entrypoints and their copies read the others with a shell.
#[test]
fn shells_can_read_the_names_as_they_read_the_official_scripts() {
    let Some(lab) = Lab::find() else { return };
    for (script, expected) in [
        ("sh \"$(which dind)\" cat /proc/self/comm", "cat\n"),
        (
            "bash /usr/local/bin/dockerd-entrypoint.sh --version",
            "Docker version ",
        ),
        (
            "sh -x /usr/local/bin/dockerd-entrypoint.sh --version",
            "Docker version ",
        ),
        (
            "set -eu; set -- dockerd --version; . dockerd-entrypoint.sh",
            "Docker version ",
        ),
        (
            "set -- sh -c 'echo $0 \"$@\"' a 'b  c' ''; . docker-entrypoint.sh",
            "a b  c \n",
        ),
        ("exec dockerd-entrypoint.sh sh -c 'echo $PPID $$'", "0 1\n"),
        // Moved, copied and linked, with the binary where it was and elsewhere.
        (
            "mv \"$(which dockerd-entrypoint.sh)\" /orig-entrypoint.sh; exec /orig-entrypoint.sh -v",
            "Docker version ",
        ),
        (
            "cp \"$(which dind)\" /hack-dind; exec /hack-dind echo x",
            "x\n",
        ),
        (
            "ln -s \"$(which dind)\" /prepare; exec /prepare echo x",
            "x\n",
        ),
        (
            "mv /usr/local/bin/dind-init /usr/bin; exec dind echo x",
            "x\n",
        ),
        (
            "cp /usr/local/bin/dind-init /start-docker.sh; exec /start-docker.sh --version",
            "Docker version ",
        ),
        (
            "ln -s /usr/local/bin/dind-init /x; ln -s /x /old-dind; exec /old-dind echo x",
            "x\n",
        ),
        (
            "cp /usr/local/bin/dind-init /docker-init.bak; exec /docker-init.bak -- echo x",
            "x\n",
        ),
    ] {
        let words = ["-c", script];
        let (_, output) = lab.dind().entrypoint("sh").args(words).run_to_end();
        assert!(
            output.code == 0 && output.stdout.starts_with(expected),
            "{script}: {output}"
        );
    }
}

/// `dind-init install` needs no shell, and makes links for an image that has none.
#[test]
fn an_image_without_a_shell_has_links() {
    let Some(lab) = Lab::find() else { return };
    let script = "mkdir /names; dind-init install --dir /names --links >&2; \
        readlink /names/dind; /names/dind echo x; cat /proc/1/comm";
    let create = lab.dind().entrypoint("sh").args(["-ec", script]);
    let output = create.run_to_end().1;
    assert_eq!(
        output.stdout, "/usr/local/bin/dind-init\nx\nsh\n",
        "{output}"
    );
}

#[test]
fn an_own_entrypoint_that_sources_ours_is_replaced_by_it() {
    let Some(lab) = Lab::find() else { return };
    let script = "echo prepared >/run/prepared\n. /usr/local/bin/dockerd-entrypoint.sh";
    let dind = lab
        .dind()
        .file(
            "/usr/local/bin/my-entrypoint.sh",
            0o755,
            &format!("#!/bin/sh\n{script}\n"),
        )
        .entrypoint("my-entrypoint.sh")
        .args(["--debug"])
        .start();
    dind.until_ours();
    assert_eq!(dind.docker(["info", "--format", "{{.Debug}}"]), "true");
    assert_eq!(dind.sh("cat /run/prepared"), "prepared");
    // Health checks of users ask for the one dockerd.
    assert_eq!(dind.sh("cat /proc/1/comm"), "docker-init");
    assert_eq!(dind.sh("pgrep dockerd"), dind.sh("cat /run/docker.pid"));
    assert_eq!(dind.sh("pgrep -x docker-init"), "1");
    dind.sh("[ -d /proc/$(pgrep dockerd) ]");
    assert_eq!(dind.stop(), "0");
}

/// An empty word, a command of ours, and a wrong one: each with the official exit code.
#[test]
fn words_that_are_no_program_are_explained() {
    let Some(lab) = Lab::find() else { return };
    for (word, code, expected) in [
        ("", 126, "the command is an empty word"),
        ("plan", 127, "docker run IMAGE dind-init plan"),
        ("no-such-program", 127, "no-such-program: not found in PATH"),
    ] {
        let (_, output) = lab.dind().unprivileged().args([word]).run_to_end();
        assert_eq!(output.code, code, "{output}");
        assert!(output.stderr.contains(expected), "{output}");
    }
}

/// A wrapper that stays: dockerd has another pid than the one that we started.
#[test]
fn a_dockerd_that_is_a_script_without_exec_is_ready_and_stops_cleanly() {
    let Some(lab) = Lab::find() else { return };
    for script in [
        "#!/bin/sh\n/usr/sbin/dockerd \"$@\"\n",
        "#!/bin/sh\nexec 2>&1\n/usr/sbin/dockerd \"$@\" | tee /run/log\n",
    ] {
        let dind = lab
            .dind()
            .file("/usr/local/sbin/dockerd", 0o755, script)
            .start();
        until("probe", || {
            (dind.exec(["dind-init", "probe"]).code == 0).then_some(())
        });
        assert_eq!(dind.sh("cat /run/dind-init/ready"), "ready");
        dind.until_log("let the script end with: exec dockerd");
        dind.docker(["-H", "tcp://127.0.0.1:2375", "version"]);
        dind.import_nested();
        dind.docker([
            "run",
            "--detach",
            "--name",
            "deaf",
            crate::lab::NESTED,
            "sleep",
            "1000",
        ]);
        assert_eq!(dind.stop(), "0");
        let log = dind.log();
        assert!(
            log.to_string().contains("Daemon shutdown complete"),
            "{log}"
        );
        dind.assert_tidy();
    }
}

/// It looks as if it became dockerd, and does not: the reason is said.
#[test]
fn a_script_that_hides_that_it_stays_is_explained() {
    let Some(lab) = Lab::find() else { return };
    let script = "#!/bin/sh\nif false; then exec /bin/true; fi\n/usr/sbin/dockerd \"$@\"\n";
    let (_, output) = lab
        .dind()
        .file("/usr/local/sbin/dockerd", 0o755, script)
        .run_to_end();
    assert_eq!(output.code, 1, "{output}");
    assert!(
        output
            .stderr
            .contains("let it end with exec, or set DIND_SOCKETS=dockerd"),
        "{output}"
    );
}

#[test]
fn a_relative_socket_is_below_the_working_directory() {
    let Some(lab) = Lab::find() else { return };
    let dind = lab
        .dind()
        .options(["--workdir", "/srv"])
        .args(["--host=unix://docker2.sock"])
        .start();
    dind.docker(["-H", "unix:///srv/docker2.sock", "version"]);
    dind.docker(["version"]);
    assert_eq!(dind.stop(), "0");
}

/// The README's recipe, as it stands but for the names of the two images.
#[test]
fn the_recipe_of_the_readme_makes_an_image_that_serves_over_tls() {
    let Some(lab) = Lab::find() else { return };
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("<!-- recipe:").expect("the mark");
    let (_, rest) = rest.split_once("```dockerfile\n").expect("the recipe");
    let (recipe, _) = rest.split_once("```").expect("its end");
    let recipe = recipe
        .replace("my/base-with-dockerd", "dind-init-lab/base:forky")
        .replace("my/dind", lab.image());
    let image = lab.build(&recipe);

    let network = lab.network();
    let certificates = lab.volume();
    let dind = crate::container::Create::of(lab, &image.name)
        .option("--privileged")
        .named_docker(&network)
        .volume(&certificates, "/certs/client")
        .start();
    let client = crate::container::Create::of(lab, &image.name)
        .options(["--network", &network.name])
        .volume(&certificates, "/certs/client")
        .args(["dind-init", "wait", "--", "docker-entrypoint.sh", "docker"])
        .args(["info", "--format", "{{.Driver}} {{.DockerRootDir}}"]);
    let (_, output) = client.run_to_end();
    assert_eq!(output.ok(), "overlay2 /var/lib/docker");
    let names =
        dind.sh("cd /usr/local/bin; head -c 9 dind dockerd-entrypoint.sh; readlink docker-init");
    assert!(
        names.contains("#!/bin/sh") && names.ends_with("dind-init"),
        "{names}"
    );
    assert!(dind.inspect("{{json .Mounts}}").contains("/var/lib/docker"));
    assert_eq!(dind.stop(), "0");
}
