//! A status file, as `dind-init status` and `probe` read it.

use dind_init::supervise::status::Status;

use super::shape;

/// The bytes of a status.json.
pub fn check(bytes: &[u8]) {
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else {
        return;
    };
    shape::again(&status);
    // A row is a line, whatever stands in it, and has a bound.
    let (text, chart) = (status.text(), status.chart());
    let said = status.endpoints.len() + status.choices.len() + status.warnings.len();
    assert!(
        (2 + said..=6 + said).contains(&text.lines().count()),
        "{text}"
    );
    assert_eq!(chart.lines().count(), status.phases.len());
    text.lines()
        .chain(chart.lines())
        .for_each(|line| shape::said(line, 25_000));
}
