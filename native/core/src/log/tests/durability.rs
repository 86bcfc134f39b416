use super::*;
use crate::{
    env::{
        Clock,
        simulated::{Call, SimulatedClock},
    },
    error::Error,
    flush::scheduler::Flush,
};

fn relaxed() -> LogConfig {
    LogConfig { flush_messages: u64::MAX, ..LogConfig::default() }
}

#[test]
fn records_are_visible_once_they_are_as_durable_as_promised() {
    for writer in WRITERS {
        let strict = LogConfig { writer, ..LogConfig::default() };
        let machine = Simulated::new(&strict);
        let log = machine.bench.log(0);
        log.append(&batch(b"one", None), 7).unwrap();
        assert_eq!((log.high_watermark(), log.offsets().log_end), (0, 1));
        machine.bench.store.drive();
        assert_eq!(log.high_watermark(), 1);
        drop(log);
        let machine = machine.cut();
        assert_eq!(offsets_of(&content(&machine.bench)), [0]);
    }
    let machine = Simulated::new(&relaxed());
    let log = machine.bench.log(0);
    log.append(&batch(b"one", None), 7).unwrap();
    assert_eq!((log.high_watermark(), log.offsets().flushed), (1, 0));
}

#[test]
fn a_flushed_ack_on_a_relaxed_topic_joins_a_flush() {
    let machine = Simulated::new(&relaxed());
    let log = machine.bench.log(0);
    let appended = log.append(&batch(b"one", None), 7).unwrap();
    let told = Arc::new(Told::default());
    log.when_flushed(appended.next_offset, Arc::clone(&told) as _);
    assert!(told.0.lock().is_empty());
    machine.bench.store.drive();
    assert_eq!(*told.0.lock(), [Code::None]);
    drop(log);
    let machine = machine.cut();
    assert_eq!(offsets_of(&content(&machine.bench)), [0]);
}

#[test]
fn who_waits_for_what_a_flush_under_way_takes_in_has_no_other_begun() {
    let machine = Simulated::new(&relaxed());
    let log = machine.bench.log(0);
    let told = Arc::new(Told::default());
    let first = log.append(&batch(b"one", None), 7).unwrap();
    // As a flush does before it syncs.
    let end = log.tail.lock().end;
    log.note_flush_begun(&mut log.tail.lock(), end);
    log.when_flushed(first.next_offset, Arc::clone(&told) as _);
    machine.bench.store.drive();
    assert!(told.0.lock().is_empty());
    // What comes behind it is for the next, which tells both here.
    let second = log.append(&batch(b"two", None), 7).unwrap();
    log.when_flushed(second.next_offset, Arc::clone(&told) as _);
    machine.bench.store.drive();
    assert_eq!(*told.0.lock(), [Code::None, Code::None]);
}

#[test]
fn a_repeated_batch_is_acked_only_once_the_first_is_durable() {
    let machine = Simulated::new(&LogConfig::default());
    let log = machine.bench.log(0);
    let producer = Producer { id: 9, epoch: 0, base_sequence: 0 };
    let batch = batch(b"one", Some(producer));
    log.append(&batch, 7).unwrap();
    let again = log.append(&batch, 7).unwrap();
    assert!(again.is_duplicate);
    let told = Arc::new(Told::default());
    log.when_flushed(again.next_offset, Arc::clone(&told) as _);
    assert!(told.0.lock().is_empty());
    machine.bench.store.drive();
    assert_eq!(*told.0.lock(), [Code::None]);
}

#[test]
fn a_failed_flush_poisons_its_log_alone_until_it_is_opened_again() {
    for writer in WRITERS {
        let strict = LogConfig { writer, ..LogConfig::default() };
        let machine = Simulated::new(&strict);
        machine.bench.append(b"one");
        let producer = Producer { id: 9, epoch: 0, base_sequence: 0 };
        let second = batch(b"two", Some(producer));
        let log = machine.bench.log(0);
        let fault = Fault::new(Effect::NoSpace).on(Call::SyncData).with_path("/0/");
        machine.files.inject(fault);
        let appended = log.append(&second, 7).unwrap();
        let told = Arc::new(Told::default());
        log.when_flushed(appended.next_offset, Arc::clone(&told) as _);
        machine.bench.store.drive();
        assert_eq!(*told.0.lock(), [Code::KafkaStorageError]);
        let error = log.append(&second, 7).unwrap_err();
        assert_eq!(error.code(), Code::KafkaStorageError);
        // What was visible stays so, and the neighbour goes on.
        assert_eq!(offsets_of(&content(&machine.bench)), [0]);
        let neighbour = machine.bench.log(1);
        neighbour.append(&batch(b"other", None), 7).unwrap();
        machine.bench.store.drive();
        assert_eq!(neighbour.high_watermark(), 1);
        drop((log, neighbour));
        // The next process finds the second batch in the page cache, answers its repetition as a
        // duplicate: it has to see to it that the disk has it.
        let machine = machine.killed(|_| {});
        let again = machine.bench.log(0).append(&second, 7).unwrap();
        assert!(again.is_duplicate);
        let machine = machine.cut();
        assert_eq!(offsets_of(&content(&machine.bench)), [0, 1]);
    }
}

#[test]
fn a_flush_that_follows_a_failed_one_at_once_publishes_nothing() {
    let machine = Simulated::new(&LogConfig::default());
    let log = machine.bench.log(0);
    log.append(&batch(b"lost", None), 7).unwrap();
    machine.files.inject(Fault::new(Effect::InputOutput).on(Call::SyncData).with_path("/0/"));
    // As threads that wait for one another do it: nothing happens between the two.
    assert!(log.flush_now().is_err());
    assert!(log.flush_now().is_err());
    assert_eq!((log.high_watermark(), log.offsets().flushed), (0, 0));
    // Clients are told when they ask; whoever runs the broker is told once.
    let told = machine.bench.store.take_upkeep_report();
    let subjects: Vec<_> = told.iter().map(|entry| entry.subject.as_str()).collect();
    assert_eq!(subjects, ["orders-0"]);
    assert!(told[0].is_warning && told[0].detail.contains("fdatasync"), "{told:?}");
}

#[test]
fn what_a_killed_process_left_unsynced_is_durable_before_it_is_served() {
    let machine = Simulated::new(&relaxed());
    for value in 0..5u8 {
        let log = machine.bench.log(0);
        log.append(&batch(&[value; 50], None), 7).unwrap();
    }
    // Not even the name of the segment was synced.
    let machine = machine.killed(|_| {});
    assert_eq!(machine.bench.log(0).offsets().flushed, 5);
    let machine = machine.cut();
    assert_eq!(offsets_of(&content(&machine.bench)), [0, 1, 2, 3, 4]);
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    for writer in WRITERS {
        let config = LogConfig { writer, ..LogConfig::default() };
        let machine = Simulated::new(&config);
        machine.bench.append(b"one");
        machine.files.set_capacity_bytes(Some(0));
        let log = machine.bench.log(0);
        let refused = log.append(&batch(&[1; 700_000], None), 7).unwrap_err();
        assert_eq!(refused.code(), Code::DiskFull);
        assert_eq!(offsets_of(&content(&machine.bench)), [0]);
        machine.files.set_capacity_bytes(None);
        machine.bench.store.watch_space();
        assert_eq!(machine.bench.append(&[2; 700_000]).base_offset, 1);
        drop(log);
        let machine = machine.cut();
        assert_eq!(offsets_of(&content(&machine.bench)), [0, 1]);
    }
}

#[test]
fn a_partition_that_nobody_writes_to_holds_no_descriptor() {
    let machine = Simulated::new(&LogConfig::default());
    for partition in [0, 1] {
        machine.bench.log(partition).append(&batch(b"one", None), 7).unwrap();
    }
    machine.bench.store.drive();
    let files = &machine.bench.store.shared().files;
    assert_eq!(files.open_count(), 2);
    for partition in [0, 1] {
        let log = machine.bench.log(partition);
        let id = log.segments.read()[0].id;
        let file = files.file(id, || panic!("the descriptor was given up")).unwrap();
        // The cache's and this one.
        assert_eq!(Arc::strong_count(&file), 2);
    }
}

#[test]
fn closing_and_deleting_tell_everyone_who_waits() {
    let machine = Simulated::new(&LogConfig::default());
    let told = Arc::new(Told::default());
    let log = machine.bench.log(0);
    log.append(&batch(b"one", None), 7).unwrap();
    log.when_flushed(1, Arc::clone(&told) as _);
    machine.bench.store.delete_topic(machine.bench.topic).unwrap();
    assert_eq!(*told.0.lock(), [Code::TopicDeleted]);
    machine.bench.store.drive();
    assert_eq!(log.append(&batch(b"two", None), 7).unwrap_err().code(), Code::TopicDeleted);
    assert_eq!(log.offsets().flushed, 0);
    machine.bench.store.close().unwrap();
    let error = machine.bench.store.open_topics(&[]).unwrap_err();
    assert_eq!(error.code(), Code::ShuttingDown);
}

#[test]
fn an_exhausted_dirty_budget_has_the_dirtiest_logs_flushed_whatever_their_topic_asks() {
    let config = LogConfig { flush_messages: u64::MAX, ..LogConfig::default() };
    let clock = Arc::new(SimulatedClock::new(1_000_000));
    let files = SimulatedFileSystem::new(1);
    let env = Env { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..files.env() };
    let bench = Bench::open(env, Path::new(DIRECTORY), &config, false);
    let after_a_second = || {
        clock.advance_ms(1_001);
        bench.store.drive();
        // The work that a timer began.
        bench.store.drive();
        [0, 1].map(|partition| bench.log(partition).offsets().flushed)
    };
    bench.log(0).append(&batch(&[b'x'; 5_000], None), 7).unwrap();
    bench.log(1).append(&batch(b"less", None), 7).unwrap();
    assert_eq!(after_a_second(), [0, 0]);
    let dirty = &bench.store.shared().dirty;
    let mut other = dirty.share();
    other.add(1 << 40);
    assert!(dirty.is_exhausted());
    assert_eq!(after_a_second(), [1, 1]);
    drop(other);
    bench.log(0).append(&batch(&[b'x'; 5_000], None), 7).unwrap();
    assert_eq!(after_a_second(), [1, 1]);
    let mut other = dirty.share();
    other.add((256 << 20) - 5_000);
    bench.log(1).append(&batch(b"less", None), 7).unwrap();
    assert!(dirty.is_exhausted());
    after_a_second();
    assert!(!dirty.is_exhausted());
}

#[test]
fn the_file_that_a_failed_append_left_has_a_durable_name_before_anything_in_it_is_acked() {
    let config = LogConfig::default();
    let machine = Simulated::new(&config);
    machine.files.inject(Fault::new(Effect::NoSpace).on(Call::Truncate));
    let error = machine.bench.log(0).append(&batch(b"refused", None), 7).unwrap_err();
    assert_eq!(error.code(), Code::DiskFull);
    machine.files.clear_faults();
    machine.bench.store.close().unwrap();
    let machine = Simulated::reopened(machine.files.clone(), &config);
    machine.bench.append(b"acked");
    assert_eq!(machine.bench.log(0).offsets().flushed, 1);
    let machine = machine.cut();
    assert_eq!(offsets_of(&content(&machine.bench)), [0]);
}

#[test]
fn a_log_that_is_lost_gives_back_what_it_held_of_the_budget_that_all_write_by() {
    let machine = Simulated::new(&relaxed());
    let log = machine.bench.log(0);
    let dirty = &machine.bench.store.shared().dirty;
    log.append(&batch(b"one", None), 7).unwrap();
    assert!(dirty.bytes() > 0 && dirty.files() == 1);
    log.lost(&Error::new(Code::KafkaStorageError, "a journal that could not be synced"));
    assert_eq!((dirty.bytes(), dirty.files()), (0, 0));
    assert_eq!(log.append(&batch(b"two", None), 7).unwrap_err().code(), Code::KafkaStorageError);
}

#[test]
fn timers_of_flush_ms_do_not_pile_up_where_others_flush_before() {
    let timed = LogConfig { flush_ms: 600_000, flush_messages: 2, ..LogConfig::default() };
    let machine = Simulated::new(&timed);
    for _ in 0..10 {
        machine.bench.append(b"x");
    }
    assert_eq!(machine.bench.store.shared().scheduler.timer_count(), timers_of_a_store() + 1);
    let strict = LogConfig { flush_messages: 1, ..timed };
    let machine = Simulated::new(&strict);
    machine.bench.append(b"x");
    assert_eq!(machine.bench.store.shared().scheduler.timer_count(), timers_of_a_store());
}

#[test]
fn a_shorter_flush_ms_counts_from_the_next_append_on_and_for_what_waits() {
    let timed = LogConfig { flush_ms: 86_400_000, ..relaxed() };
    let machine = Simulated::new(&timed);
    machine.bench.append(b"x");
    let log = machine.bench.log(0);
    let count = || machine.bench.store.shared().scheduler.timer_count();
    let before = count();
    log.configure(Arc::new(LogConfig { flush_ms: 1000, ..timed }));
    machine.bench.store.drive();
    assert_eq!(log.offsets().flushed, 1);
    machine.bench.append(b"y");
    assert_eq!(count(), before + 1);
}

/// Those that every store has.
fn timers_of_a_store() -> usize {
    Simulated::new(&LogConfig::default()).bench.store.shared().scheduler.timer_count()
}
