//! The packet filter with doctored tools in PATH, and rules that are there already.

use crate::harness::{Machine, Plan, find, on_a_machine, run};

const NFT: &str = "xtables-nft-multi";
const LEGACY: &str = "xtables-legacy-multi";
const NAMES: [&str; 6] = [
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
];

/// Puts the tools of a program into PATH, under names with an infix.
fn tools(machine: &Machine, program: &str, infix: &str) {
    let target = find(program).expect("it was found");
    for name in NAMES {
        let (family, suffix) = name.split_once('-').map_or((name, ""), |(f, s)| (f, s));
        let dash = if suffix.is_empty() { "" } else { "-" };
        machine.link(&format!("{family}{infix}{dash}{suffix}"), &target);
    }
}

/// Tools that are there and of which the kernel has nothing.
fn broken(machine: &Machine, program: &str, infix: &str, complaint: &str) {
    machine.script(
        &format!("more/{program}"),
        &format!("echo '{complaint}' >&2; exit 3"),
    );
    let target = machine.path(&format!("more/{program}"));
    for name in ["iptables", "ip6tables"] {
        machine.link(&format!("{name}{infix}"), &target);
    }
}

fn plan(machine: &Machine) -> Plan {
    machine.plan(&machine.directory("root"), &[], &[])
}

#[test]
fn each_backend_alone_takes_dockerds_rules() {
    for (program, backend) in [(NFT, "nft"), (LEGACY, "legacy")] {
        on_a_machine([program], |machine| {
            tools(machine, program, "");
            let plan = plan(machine);
            assert_eq!(plan.backend(), backend);
            assert_eq!(plan.flags(), [""; 0]);
        });
    }
}

#[test]
fn nft_comes_first_also_where_it_has_another_name() {
    on_a_machine([NFT, LEGACY], |machine| {
        tools(machine, LEGACY, "");
        tools(machine, NFT, "-nft");
        let plan = plan(machine);
        assert_eq!(plan.backend(), "nft");
        assert_eq!(
            plan.text("/host/netfilter/path"),
            "/run/dind-init/iptables-nft"
        );
    });
}

#[test]
fn legacy_is_the_second_choice() {
    on_a_machine([LEGACY], |machine| {
        broken(
            machine,
            NFT,
            "",
            "TABLE_ADD failed (Not supported): table nat",
        );
        tools(machine, LEGACY, "-legacy");
        let plan = plan(machine);
        assert_eq!(plan.backend(), "legacy");
        assert_eq!(
            plan.text("/host/netfilter/why"),
            "iptables-nft does not work here"
        );
    });
}

#[test]
fn where_neither_works_the_pieces_are_listed() {
    on_a_machine([], |machine| {
        broken(
            machine,
            NFT,
            "",
            "TABLE_ADD failed (Not supported): table nat",
        );
        broken(machine, LEGACY, "-legacy", "Table does not exist");
        let plan = plan(machine);
        // A kernel with modules is asked for them first, and a dry run only says so.
        if plan.code == 0 {
            assert!(
                plan.text("/host/netfilter/why")
                    .contains("modules are asked for")
            );
            return;
        }
        plan.refused(
            "does not take the rules",
            "iptables-nft: table filter, table nat: TABLE_ADD failed",
            "CONFIG_NFT_NAT",
        );
    });
    on_a_machine([], |machine| {
        plan(machine).refused(
            "iptables is not in PATH",
            "ends without it",
            "install iptables",
        );
    });
}

#[test]
fn rules_that_are_here_already_decide() {
    on_a_machine([NFT, LEGACY], |machine| {
        tools(machine, NFT, "");
        tools(machine, LEGACY, "-legacy");
        let program = |infix: &str| {
            let name = format!("bin/iptables{infix}");
            machine.path(&name).to_str().expect("a path").to_owned()
        };
        let rule = ["-t", "nat", "-A", "POSTROUTING", "-j", "RETURN"];
        run(&program("-legacy"), rule);
        let first = plan(machine);
        assert_eq!(first.backend(), "legacy");
        assert!(
            first
                .text("/host/netfilter/why")
                .contains("has tables in this network namespace")
        );

        // The other one gets more rules: the one that is in use wins.
        for _ in 0..2 {
            run(&program(""), rule);
        }
        let second = plan(machine);
        assert_eq!(second.backend(), "nft");
        assert!(second.text("/host/netfilter/why").contains("most rules"));
    });
}

#[test]
fn without_ip6tables_ipv6_rules_are_left_out() {
    on_a_machine([NFT], |machine| {
        let target = find(NFT).expect("it was found");
        machine.link("iptables", &target);
        machine.link("iptables-restore", &target);
        assert_eq!(plan(machine).flags(), ["--ip6tables=false"]);
    });
}

#[test]
fn nothing_is_left_in_our_own_namespace() {
    on_a_machine([NFT], |machine| {
        tools(machine, NFT, "");
        assert_eq!(plan(machine).backend(), "nft");
        let save = machine.path("bin/iptables-save");
        assert_eq!(run(save.to_str().expect("a path"), [""; 0]), "");
    });
}
