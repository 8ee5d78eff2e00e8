//! Path building for material that the user brings: is the server certificate good for clients
//! that trust `server/ca.pem`?
//!
//! Every certificate of that file is a trust anchor, as it is for Go clients and dockerd itself;
//! intermediates may stand in either file. More lenient than the openssl command in two ways: an
//! anchor need not be self-signed, and intermediates in `cert.pem` count.

use time::OffsetDateTime;

use super::certificate::{Certificate, Signature};
use crate::base::printable::line;

/// What became of looking for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No path; the best reason that was met.
    Failed(String),
    /// A path of good signatures that are valid now.
    Good,
    /// The only path has a signature that cannot be checked here.
    Unknown(String),
}

/// No real chain is longer.
const LONGEST: u32 = 6;
/// As many signatures as Go's verifier checks before it gives up: certificates that all have the
/// same name and key would make for more paths than can ever be walked.
const MOST_SIGNATURES: u32 = 100;
/// So much of a name in somebody's certificate is told.
const NAME: usize = 200;

/// Looks for a path from the first certificate to an anchor.
pub(super) fn verify(
    presented: &[Certificate],
    anchors: &[Certificate],
    now: OffsetDateTime,
) -> Verdict {
    let Some((leaf, intermediates)) = presented.split_first() else {
        return Verdict::Failed("there is no certificate".into());
    };
    if let Some(dates) = leaf.out_of_date(now) {
        return Verdict::Failed(dates);
    }
    // A self-signed server certificate that is its own anchor.
    if anchors.iter().any(|anchor| anchor.der == leaf.der) {
        return Verdict::Good;
    }
    let mut search = Search {
        intermediates,
        anchors,
        now,
        left: MOST_SIGNATURES,
    };
    search.climb(leaf, 0)
}

/// What is known while a path is looked for.
struct Search<'a> {
    intermediates: &'a [Certificate],
    anchors: &'a [Certificate],
    now: OffsetDateTime,
    /// Signatures that may still be checked.
    left: u32,
}

impl<'a> Search<'a> {
    /// One step up. `below` counts the intermediates between `certificate` and the leaf, itself
    /// included, for the path length that an authority allows.
    fn climb(&mut self, certificate: &'a Certificate, below: u32) -> Verdict {
        let mut best = Verdict::Failed(format!(
            "nothing in ca.pem issued it (issuer: {})",
            line(&certificate.issuer).at_most(NAME)
        ));
        if below > LONGEST {
            return Verdict::Failed("the chain is too long".into());
        }
        let anchors = self.anchors.iter().map(|anchor| (anchor, true));
        let others = self.intermediates.iter().map(|other| (other, false));
        for (issuer, anchored) in anchors.chain(others) {
            if issuer.subject_der != certificate.issuer_der {
                continue;
            }
            if self.left == 0 {
                return Verdict::Unknown(format!(
                    "it was not verified, since more than {MOST_SIGNATURES} signatures would \
                     have to be checked"
                ));
            }
            let verdict = match self.step(certificate, issuer, below) {
                Verdict::Failed(reason) => Verdict::Failed(reason),
                found if anchored => found,
                found => match self.climb(issuer, below + 1) {
                    Verdict::Good => found,
                    other => other,
                },
            };
            match verdict {
                Verdict::Good => return Verdict::Good,
                Verdict::Unknown(_) => best = verdict,
                Verdict::Failed(_) if matches!(best, Verdict::Failed(_)) => best = verdict,
                Verdict::Failed(_) => {}
            }
        }
        best
    }

    fn step(&mut self, certificate: &Certificate, issuer: &Certificate, below: u32) -> Verdict {
        let name = line(&issuer.subject).at_most(NAME);
        if !issuer.authority {
            return Verdict::Failed(format!(
                "its issuer ({name}) is not a certificate authority"
            ));
        }
        if let Some(dates) = issuer.out_of_date(self.now) {
            return Verdict::Failed(format!("its issuer ({name}) is {dates}"));
        }
        if issuer.path_length.is_some_and(|allowed| below > allowed) {
            return Verdict::Failed(format!("its issuer ({name}) allows no chain this long"));
        }
        self.left = self.left.saturating_sub(1);
        match certificate.signed_by(&issuer.public) {
            Signature::Good => Verdict::Good,
            Signature::Unknown => Verdict::Unknown(format!(
                "the signature of {name} is of a kind that is not checked here"
            )),
            Signature::Bad => Verdict::Failed(format!("the signature of {name} on it is wrong")),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::tls::fixtures::{Authority, NOW};

    fn read(pem: &str) -> Vec<Certificate> {
        Certificate::all_from(pem.as_bytes()).unwrap()
    }
    fn failed(verdict: Verdict) -> String {
        match verdict {
            Verdict::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_direct_chain_is_good_and_a_foreign_one_is_not() {
        let ca = Authority::new("one");
        let leaf = read(&ca.server("docker"));
        assert_eq!(verify(&leaf, &read(&ca.pem), NOW), Verdict::Good);
        let same_name = Authority::new("one");
        let reason = failed(verify(&leaf, &read(&same_name.pem), NOW));
        assert!(reason.contains("signature"), "{reason}");
        let reason = failed(verify(&leaf, &read(&Authority::new("two").pem), NOW));
        assert!(reason.contains("issuer: CN=one"), "{reason}");
    }

    #[test]
    fn intermediates_may_stand_in_either_file() {
        let root = Authority::new("root");
        let middle = root.authority("middle");
        let leaf = middle.server("docker");
        let with_chain = read(&format!("{leaf}{}", middle.pem));
        assert_eq!(verify(&with_chain, &read(&root.pem), NOW), Verdict::Good);
        let bundle = read(&format!("{}{}", root.pem, middle.pem));
        assert_eq!(verify(&read(&leaf), &bundle, NOW), Verdict::Good);
        assert_eq!(verify(&read(&leaf), &read(&middle.pem), NOW), Verdict::Good);
        let reason = failed(verify(&read(&leaf), &read(&root.pem), NOW));
        assert!(reason.contains("issuer: CN=middle"), "{reason}");
    }

    #[test]
    fn a_leaf_is_no_issuer_and_dates_count_all_the_way_up() {
        let ca = Authority::new("ca");
        let mut anchors = read(&ca.pem);
        let leaf = read(&ca.server("docker"));
        assert!(failed(verify(&leaf, &anchors, NOW + Duration::days(900))).contains("expired"));
        anchors[0].not_after = NOW - Duration::DAY;
        assert!(failed(verify(&leaf, &anchors, NOW)).contains("expired"));
        let mut anchors = read(&ca.pem);
        anchors[0].authority = false;
        assert!(failed(verify(&leaf, &anchors, NOW)).contains("not a certificate authority"));
    }

    /// Without the bound: nine certificates that all sign each other make nine to the sixth paths.
    #[test]
    fn certificates_that_sign_each_other_are_walked_only_so_far() {
        let root = Authority::new("same");
        let mut chain = read(&root.server("docker"));
        let authority = read(&root.pem);
        chain.extend(std::iter::repeat_n(authority[0].clone(), 9));
        let anchors = read(&Authority::new("other").pem);
        let mut search = Search {
            intermediates: &chain[1..],
            anchors: &anchors,
            now: NOW,
            left: MOST_SIGNATURES,
        };
        let Verdict::Unknown(reason) = search.climb(&chain[0], 0) else {
            panic!("nothing leads to an anchor, and not everything was looked at");
        };
        assert!(reason.contains("more than 100 signatures"), "{reason}");
        assert_eq!(search.left, 0);
        assert_eq!(verify(&chain, &authority, NOW), Verdict::Good);
    }

    #[test]
    fn a_path_length_of_zero_allows_no_intermediate() {
        let root = Authority::new("root");
        let middle = root.authority("middle");
        let chain = read(&format!("{}{}", middle.server("docker"), middle.pem));
        let mut anchors = read(&root.pem);
        anchors[0].path_length = Some(0);
        assert!(failed(verify(&chain, &anchors, NOW)).contains("no chain this long"));
        assert_eq!(
            verify(&read(&root.server("docker")), &anchors, NOW),
            Verdict::Good
        );
    }

    #[test]
    fn a_self_signed_server_may_be_its_own_anchor() {
        let lone = Authority::new("docker");
        assert_eq!(
            verify(&read(&lone.pem), &read(&lone.pem), NOW),
            Verdict::Good
        );
    }

    #[test]
    fn a_loop_of_authorities_ends() {
        let mut one = read(&Authority::new("a").pem);
        let other = read(&Authority::new("b").pem);
        one[0].issuer_der.clone_from(&other[0].subject_der);
        let presented = [one.clone(), other.clone(), one].concat();
        assert!(matches!(verify(&presented, &[], NOW), Verdict::Failed(_)));
    }
}
