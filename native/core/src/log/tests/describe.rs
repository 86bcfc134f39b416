//! What administrators are told.

use super::*;
use crate::{
    env::{Clock, simulated::SimulatedClock},
    log::ActiveProducer,
};

fn producer(id: i64, epoch: i16, base_sequence: i32) -> Option<Producer> {
    Some(Producer { id, epoch, base_sequence })
}

/// A store in memory and its clock, which stands at 1,000,000 ms.
fn clocked(config: &LogConfig) -> (Bench, Arc<SimulatedClock>) {
    let clock = Arc::new(SimulatedClock::new(1_000_000));
    let files = SimulatedFileSystem::new(1);
    let env = Env { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..files.env() };
    (Bench::open(env, Path::new(DIRECTORY), config, false), clock)
}

#[test]
fn bytes_are_those_of_the_batches_wherever_they_lie() {
    for writer in WRITERS {
        let config = LogConfig { segment_bytes: 1000, writer, ..LogConfig::default() };
        let mut machine = Simulated::new(&config);
        assert_eq!(machine.bench.log(0).bytes(), 0);
        let one = u64::try_from(batch(&[b'x'; 300], None).len()).unwrap();
        for _ in 0..7 {
            machine.bench.append(&[b'x'; 300]);
        }
        assert_eq!(machine.bench.log(0).bytes(), 7 * one);
        // Windows of allocated space do not count after a start either.
        machine = machine.cut();
        assert_eq!(machine.bench.log(0).bytes(), 7 * one);
        // Two batches a segment, and of the third segment the first has gone.
        machine.bench.log(0).delete_records(Some(5)).unwrap();
        machine.bench.store.drive();
        assert_eq!(machine.bench.log(0).bytes(), 3 * one);
        assert_eq!(machine.bench.log(1).bytes(), 0);
    }
}

#[test]
fn producers_are_told_until_they_are_forgotten() {
    let config = LogConfig { producer_expiry_ms: 1000, ..LogConfig::default() };
    let (bench, clock) = clocked(&config);
    let append = |producer| {
        bench.log(0).append(&batch(b"x", producer), 7).unwrap();
        clock.advance_ms(10);
    };
    assert_eq!(bench.log(0).producers(), []);
    append(producer(9, 1, 0));
    append(None);
    append(producer(9, 1, 1));
    append(producer(4, 0, i32::MAX));
    let told = |producer_id, epoch, last_sequence, last_append_ms| ActiveProducer {
        producer_id,
        epoch,
        last_sequence,
        last_append_ms,
    };
    let fourth = told(4, 0, i32::MAX, 1_000_030);
    assert_eq!(bench.log(0).producers(), [fourth, told(9, 1, 1, 1_000_020)]);
    assert_eq!(bench.log(1).producers(), []);
    clock.advance_ms(981);
    assert_eq!(bench.log(0).producers(), [fourth]);
    clock.advance_ms(10);
    assert_eq!(bench.log(0).producers(), []);
}

#[test]
fn producers_that_are_silent_for_long_are_forgotten_before_their_segment_ends() {
    let config = LogConfig { producer_expiry_ms: 1000, ..LogConfig::default() };
    let (bench, clock) = clocked(&config);
    let log = bench.log(0);
    let append = |producer| {
        log.append(&batch(b"x", producer), 7).unwrap();
    };
    append(producer(9, 0, 0));
    clock.advance_ms(1001);
    bench.store.enforce_retention();
    // Nothing was written since: as far as the log knows, no time has passed.
    assert_eq!(log.tail.lock().producers.len(), 1);
    append(producer(4, 0, 0));
    bench.store.enforce_retention();
    assert_eq!(log.tail.lock().producers.len(), 1);
    append(producer(9, 0, 0));
    assert_eq!(log.offsets().log_end, 3);
}
