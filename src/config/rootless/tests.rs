use super::*;
use crate::base::explain::{Explain as _, frame};
use crate::config::settings::rootless::PREFIX;

fn variable(name: &str, value: &str) -> Result<Options, BadSettings> {
    let env = [(format!("{PREFIX}{name}"), value)].into_iter().collect();
    Options::for_dockerd(&env)
}

#[test]
fn the_defaults_are_the_dind_scripts_but_for_the_mtu() {
    let options = Options::for_dockerd(&Environment::default()).unwrap();
    assert_eq!(options.net, None, "slirp4netns where it is installed");
    assert_eq!(options.mtu, None);
    assert_eq!(options.ifname, "tap0");
    assert_eq!(options.port_driver, PortDriver::Builtin);
    assert_eq!(options.copy_up, [PathBuf::from("/etc"), "/run".into()]);
    assert_eq!(options.propagation, Propagation::Private);
    assert!(!options.host_loopback && !options.single_id);
    assert!(options.warnings.is_empty());
}

#[test]
fn every_variable_is_honoured() {
    let net = |value| variable("NET", value).unwrap().net;
    assert_eq!(net("slirp4netns"), Some(NetDriver::Slirp4netns));
    assert_eq!(net("pasta"), Some(NetDriver::Pasta));
    assert_eq!(net("none"), Some(NetDriver::None));
    assert_eq!(net(""), None);
    assert_eq!(variable("MTU", "1400").unwrap().mtu, Some(1400));
    assert_eq!(variable("MTU", "0").unwrap().mtu, None);
    let layer = variable("SLIRP4NETNS_SANDBOX", "false").unwrap().sandbox;
    assert_eq!(layer, Layer::Off);
    let layer = variable("SLIRP4NETNS_SECCOMP", "true").unwrap().seccomp;
    assert_eq!(layer, Layer::On);
    let loopback = |value| {
        variable("DISABLE_HOST_LOOPBACK", value)
            .unwrap()
            .host_loopback
    };
    assert!(loopback("false") && !loopback("0") && !loopback("true"));
    let dir = variable("STATE_DIR", "/run/x").unwrap().state_dir;
    assert_eq!(dir, Some("/run/x".into()));
    assert_eq!(
        variable("PORT_DRIVER", "none").unwrap().port_driver,
        PortDriver::None
    );
}

#[test]
fn flags_win_over_variables() {
    let env = [
        (format!("{PREFIX}MTU"), "1400"),
        (format!("{PREFIX}NET"), "pasta"),
        (
            format!("{PREFIX}FLAGS"),
            " --mtu=9000\t--disable-host-loopback=false --cidr 10.9.0.0/16 -p :80:80/tcp \n",
        ),
    ];
    let options = Options::for_dockerd(&env.into_iter().collect()).unwrap();
    assert_eq!(options.mtu, Some(9000));
    assert_eq!(options.net, Some(NetDriver::Pasta));
    assert!(options.host_loopback);
    assert_eq!(options.cidr, "10.9.0.0/16".parse().ok());
    let publish: Vec<_> = options.publish.iter().map(ToString::to_string).collect();
    assert_eq!(publish, [":80:80/tcp"]);
}

#[test]
fn what_has_a_substitute_is_substituted_with_a_warning() {
    let options = variable("NET", "gvisor-tap-vsock").unwrap();
    assert_eq!((options.net, options.warnings.len()), (None, 1));
    let options = variable("PORT_DRIVER", "slirp4netns").unwrap();
    assert_eq!(
        (options.port_driver, options.warnings.len()),
        (PortDriver::Builtin, 1)
    );
    let options = variable("DETACH_NETNS", "true").unwrap();
    assert!(options.warnings[0].starts_with("detached network namespaces are not part"));
    assert!(variable("DETACH_NETNS", "0").unwrap().warnings.is_empty());
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (name, value) in [
        ("NET", "vpnkit"),
        ("NET", "lxc-user-nic"),
        ("NET", "host"),
        ("MTU", "70000"),
        ("MTU", "big"),
        ("PORT_DRIVER", "implicit"),
        ("PORT_DRIVER", "socat"),
        ("DETACH_NETNS", "yes"),
        ("SLIRP4NETNS_SANDBOX", "maybe"),
        ("STATE_DIR", "relative"),
        ("FLAGS", "--cidr=10.0.2.1/24"),
        ("FLAGS", "--cidr=10.0.2.0/30"),
        ("FLAGS", "--ifname=a/b"),
        ("FLAGS", "--propagation=rshared"),
        ("FLAGS", "--copy-up=/tmp"),
        ("FLAGS", "--vpnkit-binary=x"),
        ("FLAGS", "--no-such-flag"),
        ("FLAGS", "dockerd"),
    ] {
        let error = variable(name, value).expect_err(value);
        let [bad] = &error.0[..] else {
            panic!("{error}")
        };
        assert!(
            bad.name.ends_with(name) || value.starts_with(&bad.name),
            "{error}"
        );
        assert_eq!(error.exit_code(), 78);
        assert!(!error.why().is_empty() && !error.fix().is_empty());
    }
}

#[test]
fn the_persona_has_rootlesskits_own_defaults() {
    let words = ["--net=slirp4netns", "--copy-up=/etc", "sh"].map(str::to_owned);
    let (flags, rest) = ROOTLESSKIT.read(&words).unwrap();
    let options = Options::for_persona(&flags).unwrap();
    assert_eq!(rest, ["sh"]);
    assert!(options.host_loopback);
    assert_eq!(options.port_driver, PortDriver::None);
    let options = Options::for_persona(&Flags::default()).unwrap();
    assert_eq!(options.net, Some(NetDriver::Host));
}

#[test]
fn all_that_is_bad_is_named_at_once() {
    let flags = "--cidr=1 -p 7 --copy-up /tmp --nett";
    let env = [
        ("NET", "x"),
        ("MTU", "y"),
        ("STATE_DIR", "z"),
        ("FLAGS", flags),
    ];
    let env = env
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), *value))
        .collect();
    let error = Options::for_dockerd(&env).unwrap_err();
    expect_test::expect![[r#"
        error: 4 settings are not valid: DOCKERD_ROOTLESS_ROOTLESSKIT_NET="x", DOCKERD_ROOTLESS_ROOTLESSKIT_MTU="y", DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR="z", DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS="--cidr=1 -p 7 --copy-up /tmp --nett"
          why    DOCKERD_ROOTLESS_ROOTLESSKIT_NET takes: slirp4netns, pasta, none
                 DOCKERD_ROOTLESS_ROOTLESSKIT_MTU takes: 68 to 65521
                 DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR takes: absolute path
                 DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS: unknown flag --nett
          fix    change or remove DOCKERD_ROOTLESS_ROOTLESSKIT_NET; the default is: slirp4netns, or pasta where only that is installed
                 change or remove DOCKERD_ROOTLESS_ROOTLESSKIT_MTU; the default is: 65520
                 change or remove DOCKERD_ROOTLESS_ROOTLESSKIT_STATE_DIR; the default is: $XDG_RUNTIME_DIR/dockerd-rootless
                 change or remove DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS; the default is: none
    "#]]
    .assert_eq(&frame(&error));
    let flags = "--cidr=1 -p 7 --copy-up /tmp --mtu=0 --port-driver=implicit";
    let error = variable("FLAGS", flags).unwrap_err();
    expect_test::expect![[r#"
        error: 4 settings are not valid: --port-driver="implicit", --cidr="1", --publish="7", --copy-up="/tmp"
          why    --port-driver: implicit needs the network driver pasta
                 --cidr takes: the address of a network from /8 to /25
                 --publish: missing proto in PortSpec string: "7"
                 --copy-up takes: absolute paths besides / and those in /tmp
          fix    change or remove --port-driver
                 change or remove --cidr
                 change or remove --publish
                 change or remove --copy-up
    "#]]
    .assert_eq(&frame(&error));
}

#[test]
fn one_id_is_a_yes_or_a_no() {
    for (value, expected) in [
        ("1", true),
        ("true", true),
        ("0", false),
        ("no", false),
        ("", false),
    ] {
        let env = [("DIND_ROOTLESS_SINGLE_ID", value)].into_iter().collect();
        assert_eq!(
            Options::for_dockerd(&env).unwrap().single_id,
            expected,
            "{value}"
        );
    }
}
