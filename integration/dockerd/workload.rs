//! What users do with a daemon, through whatever endpoint a container's docker client has.

use crate::container::Container;
use crate::lab::NESTED;

/// A nested container runs, and its output and exit code come back.
#[track_caller]
pub(crate) fn run(client: &Container) {
    assert_eq!(
        client.docker(["run", "--rm", NESTED, "echo", "from within"]),
        "from within"
    );
    let seven = client.exec(["docker", "run", "--rm", NESTED, "sh", "-c", "exit 7"]);
    assert_eq!(seven.code, 7, "{seven}");
}

/// An image is built from a context that the client sends, by BuildKit or by the classic builder.
#[track_caller]
pub(crate) fn build(client: &Container, builder: Builder) {
    build_with(client, builder, "true");
}

/// The same, with a command that must succeed during the build.
#[track_caller]
pub(crate) fn build_with(client: &Container, builder: Builder, command: &str) {
    let buildkit = match builder {
        Builder::BuildKit => 1,
        Builder::Classic => 0,
    };
    let script = format!(
        r#"
        dir=$(mktemp -d)
        echo sent-$$ >"$dir/sent"
        printf 'FROM {NESTED}\nCOPY sent /sent\nRUN {command} && cp /sent /copied\nCMD cat /copied\n' >"$dir/Dockerfile"
        DOCKER_BUILDKIT={buildkit} docker build --tag "built:$(hostname)" "$dir" >&2
        [ "$(docker run --rm "built:$(hostname)")" = "sent-$$" ]
        "#
    );
    let output = client.exec(["sh", "-ec", &script]);
    let by_buildkit = output.stderr.contains("naming to docker.io/library/built:");
    assert_eq!(by_buildkit, builder == Builder::BuildKit, "{output}");
    output.ok();
}

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builder {
    BuildKit,
    Classic,
}

/// A registry runs nested; an image is pushed to it, removed, and pulled from it.
#[track_caller]
pub(crate) fn push_and_pull(client: &Container) {
    // The registry's program is the one of the daemon's own container. Its root is read-only but
    // for a tmpfs with the configuration.
    client.sh(&format!(
        r#"
        docker run --detach --name registry --publish 127.0.0.1:5000:5000 \
            --volume /:/host:ro --tmpfs /host/tmp {NESTED} sh -c '
                printf "version: 0.1\nstorage:\n  inmemory:\nhttp:\n  addr: :5000\n" >/host/tmp/config
                exec busybox chroot /host docker-registry serve /tmp/config'
        until docker exec registry wget -q -O - http://127.0.0.1:5000/v2/; do
            [ "$(docker inspect --format '{{{{.State.Running}}}}' registry)" = true ]
        done
        docker tag {NESTED} 127.0.0.1:5000/pulled:test
        docker push 127.0.0.1:5000/pulled:test
        docker image rm 127.0.0.1:5000/pulled:test
        docker pull 127.0.0.1:5000/pulled:test
        "#
    ));
    assert_eq!(
        client.docker(["run", "--rm", "127.0.0.1:5000/pulled:test", "echo", "ran"]),
        "ran"
    );
    client.docker(["rm", "--force", "registry"]);
}

/// `docker compose up`: two services on a network of their own, one of which asks the other.
#[track_caller]
pub(crate) fn compose(client: &Container) {
    client.sh(&format!(
        r#"
        dir=$(mktemp -d)
        cat >"$dir/compose.yaml" <<'END'
services:
  web:
    image: {NESTED}
    pull_policy: never
    command: httpd -f -p 8080 -h /www
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]
      interval: 1s
      retries: 60
  asks:
    image: {NESTED}
    pull_policy: never
    command: wget -q -O - http://web:8080/
    depends_on:
      web: {{condition: service_healthy}}
END
        cd "$dir"
        docker compose --project-name test up --exit-code-from asks
        docker compose --project-name test logs --no-log-prefix asks | grep -x nested
        docker compose --project-name test down --timeout 0
        "#
    ));
}

/// One more life on what a killed one left: the image survived, a container of an earlier life is
/// gone or over, a new one runs, and the one that is always restarted does so by itself, as after
/// a power cut. `options` are those of the new container.
#[track_caller]
pub(crate) fn lives(dind: &Container, life: u32, options: &[&str]) {
    dind.docker(["image", "inspect", NESTED]);
    let running = dind.docker(["ps", "--quiet", "--filter", "name=old"]);
    assert_eq!(
        running, "",
        "life {life}: a container of an earlier life runs"
    );
    let name = format!("old{life}");
    let run = ["run", "--detach", "--name", &name];
    let words = run.iter().chain(options).copied();
    dind.docker(words.chain([NESTED, "sleep", "1000"]));
    dind.sh(&format!("docker exec {name} true"));
    dind.sh("until docker exec again true; do :; done");
}

/// The first life, with the container `again` that is always restarted; `options` of it and of
/// the life's own.
#[track_caller]
pub(crate) fn first_life(dind: &Container, again: &[&str], options: &[&str]) {
    dind.import_nested();
    let run = ["run", "--detach", "--name", "again", "--restart=always"];
    let words = run.iter().chain(again).copied();
    dind.docker(words.chain([NESTED, "sleep", "1000"]));
    lives(dind, 0, options);
}

/// Kills the container and starts it again, so often, and stops it.
#[track_caller]
pub(crate) fn killed_and_started_again(dind: &Container, times: u32, options: &[&str]) {
    for life in 1..=times {
        dind.signal("KILL");
        assert_eq!(dind.wait(), "137");
        dind.start();
        lives(dind, life, options);
    }
    assert_eq!(dind.stop(), "0");
}
