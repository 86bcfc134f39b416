//! Bits that flip while no broker runs, and a repair that cuts out what they have harmed.

use std::path::Path;

use super::machine::{DATA_DIRECTORY, Simulation, Violation};
use crate::{
    env::simulated::{Effect, Fault},
    recovery::{
        repair::{RepairOptions, RepairReport, repair},
        verify::verify_data_directory,
    },
};

/// Segments that are harmed at once, at most.
const HARMED_MAX: u64 = 3;

impl Simulation {
    /// The process is killed, bits flip, and the directory is repaired before it is served again:
    /// nothing that was whole may be lost by it, wherever the power fails meanwhile.
    pub(super) fn repair(&mut self) -> Result<(), Violation> {
        if self.may_fail {
            return Ok(());
        }
        let mut targets = Vec::new();
        for _ in 0..self.dice.within(1..HARMED_MAX + 1) {
            targets.extend(self.any_target());
        }
        // Of one segment one batch: where several are damaged in a row more may go than they.
        targets.sort_by(|one, other| one.place.path.cmp(&other.place.path));
        targets.dedup_by(|one, other| one.place.path == other.place.path);
        self.kill_for_good()?;
        for target in &targets {
            self.harm(target);
        }
        self.repair_until_done(targets.len())?;
        self.figures.repairs += 1;
        self.start_again()
    }

    fn repair_until_done(&mut self, harmed: usize) -> Result<(), Violation> {
        if self.dice.one_in(3) {
            let at = self.dice.within(1..200);
            self.files.inject(Fault::new(Effect::PowerCut).at(at));
        }
        let mut repaired = self.repair_once();
        if !self.has_power() {
            self.power_is_back()?;
            repaired = self.repair_once();
        }
        self.files.clear_faults();
        let report =
            repaired.map_err(|error| Violation::Refused(format!("repairing {harmed}: {error}")))?;
        self.note(format!("repaired {harmed}: {:?}", report.actions));
        if !report.problems.is_empty() {
            return Err(Violation::Refused(format!("repairing: {:?}", report.problems)));
        }
        self.expect_no_finding("damaged", "a repair")
    }

    /// What a clean stop leaves is whole, whatever the machine has been through before: bits that
    /// have flipped stay damage, but nothing is left that only a start makes again.
    pub(super) fn check_clean_stop(&self) -> Result<(), Violation> {
        self.expect_no_finding("made again", "a clean stop")
    }

    fn expect_no_finding(&self, what: &str, behind: &str) -> Result<(), Violation> {
        let verified = verify_data_directory(&self.env(), Path::new(DATA_DIRECTORY), None)
            .map_err(|error| Violation::Refused(format!("verifying after {behind}: {error}")))?;
        match verified.findings.iter().find(|finding| finding.detail.contains(what)) {
            Some(finding) => Err(Violation::Altered(format!("{finding:?} after {behind}"))),
            None => Ok(()),
        }
    }

    fn repair_once(&self) -> crate::error::Result<RepairReport> {
        let salvage_name = format!("after-{}", self.figures.operations);
        let options = RepairOptions { salvage_name, ..RepairOptions::default() };
        repair(&self.env(), Path::new(DATA_DIRECTORY), &options)
    }
}
