//! Whole stores under simulated faults, held against a model of what they promise.
//!
//! One seed is one run: some hundred random operations on topics, producers and readers, among them
//! power cuts at any file-system call, killed processes, failing and full disks and clean stops. A
//! run that breaks a promise fails with its seed.
//!
//! `MILLRACE_SIMULATION_SEED` repeats one run, `MILLRACE_SIMULATION_RUNS` sets their number, from
//! `MILLRACE_SIMULATION_FIRST` on or from anywhere.

mod batches;
mod compactions;
mod damage;
mod deletions;
mod dice;
mod frames;
mod machine;
mod model;
mod operations;
mod reading;
mod repairs;
mod space;

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use machine::{Simulation, Violation};
use parking_lot::Mutex;

/// Runs that every `cargo test` makes.
const SMOKE_RUNS: u64 = 150;
const SMOKE_SEED: u64 = 0x6d69_6c6c;
/// Runs within which a machine whose syncs do nothing must have lost something.
const CANARY_RUNS: u64 = 20;

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a simulation variable is a number"))
}

/// The first seed and the number of runs: the environment's, of which one in so many is made, or
/// those of every `cargo test`.
fn first_and_runs(smoke_seed: u64, smoke_runs: u64, one_in: u64) -> (u64, u64) {
    let first = from_environment("MILLRACE_SIMULATION_FIRST");
    match from_environment("MILLRACE_SIMULATION_RUNS") {
        Some(runs) => {
            let anywhere = || uuid::Uuid::new_v4().as_u64_pair().0 >> 16;
            (first.unwrap_or_else(anywhere), runs.div_ceil(one_in))
        }
        None => (first.unwrap_or(smoke_seed), smoke_runs),
    }
}

fn explain(seed: u64, violation: &Violation, simulation: &Simulation) -> String {
    let mut text = format!(
        "seed {seed}: {violation}\nrepeat with MILLRACE_SIMULATION_SEED={seed}\nlast operations:"
    );
    for line in simulation.history() {
        let _ = write!(text, "\n  {line}");
    }
    text.push_str("\nlast calls:");
    for line in simulation.trace() {
        let _ = write!(text, "\n  {line}");
    }
    text
}

#[test]
fn no_acked_record_is_lost_or_altered_whatever_fails() {
    if let Some(seed) = from_environment("MILLRACE_SIMULATION_SEED") {
        let mut simulation = Simulation::new(seed, None);
        if let Err(violation) = simulation.run() {
            panic!("{}", explain(seed, &violation, &simulation));
        }
        println!("seed {seed}: {:?}", simulation.figures());
        return;
    }
    let (first, runs) = first_and_runs(SMOKE_SEED, SMOKE_RUNS, 1);
    println!("runs {runs} from seed {first}");
    let total = Mutex::new(machine::Figures::default());
    let next = AtomicU64::new(first);
    let run_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + runs {
                return;
            }
            let mut simulation = Simulation::new(seed, None);
            if let Err(violation) = simulation.run() {
                panic!("{}", explain(seed, &violation, &simulation));
            }
            total.lock().add(simulation.figures());
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(run_some);
        }
    });
    let total = total.into_inner();
    println!("{total:?}");
    // A simulation that does nothing proves nothing.
    assert!(total.acked_batches > 10 * runs, "{total:?}");
    assert!(total.power_cuts > runs && total.kills > runs / 4, "{total:?}");
    assert!(total.flipped_bits > runs / 6 && total.scrubbed_bytes > 1000 * runs, "{total:?}");
    assert!(total.compactions > runs && total.compacted_records > 2 * runs, "{total:?}");
    assert!(total.duplicates > runs / 4 && total.failed_appends > runs / 4, "{total:?}");
    assert!(total.filled_disks > runs && total.refused_for_space > runs, "{total:?}");
    assert!(total.repairs > runs / 4, "{total:?}");
    assert!(total.clock_steps > runs, "{total:?}");
    assert!(total.journaled_flushes > 2 * runs && total.replays > runs / 4, "{total:?}");
    assert!(total.deletions > runs && total.deleted_records > 10 * runs, "{total:?}");
}

fn finds_a_loss(unsynced: &str) -> bool {
    (0..CANARY_RUNS).any(|seed| {
        let mut simulation = Simulation::new(seed, Some(unsynced));
        matches!(simulation.run(), Err(Violation::Lost(_)))
    })
}

#[test]
fn a_machine_whose_syncs_do_nothing_is_found_out() {
    assert!(finds_a_loss(""), "the simulation would not notice a loss");
}

#[test]
fn a_machine_that_does_not_sync_the_flush_journal_is_found_out() {
    assert!(finds_a_loss("/journal"), "the simulation would not notice a loss");
}
