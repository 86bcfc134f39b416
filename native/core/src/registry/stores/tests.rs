use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
    thread,
};

use uuid::Uuid;

use super::*;
use crate::{
    batch::{BatchBuilder, Finish},
    compression::Codec,
    journal::JournalOptions,
    log::config::LogConfig,
    registry::{OpeningProgress, TopicSpec, channel::Channel},
};

fn options(directory: &Path) -> StoreOptions {
    StoreOptions {
        data_directory: directory.to_owned(),
        flush_threads_max: 2,
        descriptors_max: NonZeroUsize::new(32).unwrap(),
        journal: None,
    }
}

fn open(stores: &Arc<OpenStores>, place: Place, options: StoreOptions) -> Result<StoreShare> {
    stores.open(place, options, Role::Guest)
}

fn topic(name: &str, id: u128, partitions: u32, is_existing: bool) -> TopicSpec {
    let (topic_id, config) = (Uuid::from_u128(id), LogConfig::default());
    TopicSpec { name: name.to_owned(), topic_id, partitions, config, is_existing }
}

fn code<T>(result: Result<T>) -> Option<Code> {
    result.err().map(|error| error.code())
}

fn memory(name: &str) -> Place {
    Place::Memory { name: Some(name.to_owned()), bytes_max: None }
}

fn append(store: &Store, topic: u32) -> u64 {
    let mut batch = Vec::new();
    let mut builder = BatchBuilder::new(&mut batch, Codec::None, None);
    builder.push(7, None, Some(b"value"), std::iter::empty()).unwrap();
    builder.finish(Finish { producer: None, log_append_time_ms: None }).unwrap();
    store.log(topic, 0).unwrap().append(&batch, 7).unwrap().base_offset
}

#[test]
fn whoever_opens_an_open_directory_shares_its_store_under_any_name() {
    let root = tempfile::tempdir().unwrap();
    let stores = Arc::new(OpenStores::default());
    let path = root.path().join("data");
    let first = open(&stores, Place::Disk, options(&path)).unwrap();
    std::os::unix::fs::symlink(&path, root.path().join("link")).unwrap();
    let second = open(&stores, Place::Disk, options(&root.path().join("link/../data/."))).unwrap();
    let third = open(&stores, Place::Disk, options(&root.path().join("link"))).unwrap();
    assert!(Arc::ptr_eq(first.store(), second.store()));
    assert!(Arc::ptr_eq(first.store(), third.store()));

    let specs = [topic("a", 1, 2, false), topic("b", 2, 1, false)];
    let numbers = first.store().open_topics(&specs).unwrap();
    let progress = OpeningProgress { opened: 3, asked: 3 };
    assert_eq!(second.store().opening_progress(), progress);
    let again = [topic("b", 2, 1, true), topic("c", 3, 1, false), topic("a", 1, 1, true)];
    let found = second.store().open_topics(&again).unwrap();
    assert_eq!((found[0], found[2]), (numbers[1], numbers[0]));
    assert!(!numbers.contains(&found[1]));

    assert_eq!(append(first.store(), numbers[0]), 0);
    assert_eq!(append(third.store(), numbers[0]), 1);
    first.close().unwrap();
    first.close().unwrap();
    let offsets = second.store().offsets(numbers[0], 0).unwrap();
    assert_eq!((offsets.flushed, offsets.log_end), (2, 2), "what was appended is durable");
    third.close().unwrap();
    assert_eq!(append(second.store(), numbers[0]), 2);
    second.close().unwrap();
    assert_eq!(code(second.store().log(numbers[0], 0)), Some(Code::UnknownTopicOrPartition));

    let anew = open(&stores, Place::Disk, options(&path)).unwrap();
    assert!(!Arc::ptr_eq(anew.store(), second.store()));
    let topics = anew.store().open_topics(&[topic("a", 1, 2, true)]).unwrap();
    assert_eq!(anew.store().offsets(topics[0], 0).unwrap().log_end, 3);
    anew.close().unwrap();
}

#[test]
fn a_share_with_other_options_is_refused_and_costs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let stores = Arc::new(OpenStores::default());
    let first = open(&stores, Place::Disk, options(root.path())).unwrap();
    let other = StoreOptions { flush_threads_max: 3, ..options(root.path()) };
    let refusal = open(&stores, Place::Disk, other).err().unwrap();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.detail().contains("flush threads max 2, not 3"), "{}", refusal.detail());
    let journal = Some(JournalOptions::default());
    let other = StoreOptions { journal, ..options(root.path()) };
    let refusal = open(&stores, Place::Disk, other).err().unwrap();
    assert!(refusal.detail().contains("journal disabled, not enabled"), "{}", refusal.detail());
    let descriptors_max = NonZeroUsize::new(64).unwrap();
    let other = StoreOptions { descriptors_max, ..options(root.path()) };
    assert_eq!(code(open(&stores, Place::Disk, other)), Some(Code::InvalidArgument));
    first.close().unwrap();
    let other = StoreOptions { descriptors_max, ..options(root.path()) };
    open(&stores, Place::Disk, other).unwrap().close().unwrap();
}

#[test]
fn a_store_has_one_owner_at_a_time_and_any_number_of_guests() {
    let root = tempfile::tempdir().unwrap();
    let stores = Arc::new(OpenStores::default());
    let open = |role| stores.open(Place::Disk, options(root.path()), role);
    let guest = open(Role::Guest).unwrap();
    let owner = open(Role::Owner).unwrap();
    assert_eq!(code(open(Role::Owner)), Some(Code::DataDirectoryInUse));
    let other = open(Role::Guest).unwrap();
    other.close().unwrap();
    assert_eq!(code(open(Role::Owner)), Some(Code::DataDirectoryInUse));
    owner.close().unwrap();
    let owner = open(Role::Owner).unwrap();
    guest.close().unwrap();
    owner.close().unwrap();
    open(Role::Owner).unwrap().close().unwrap();
}

#[test]
fn stores_in_memory_are_shared_by_name_and_gone_when_closed() {
    let stores = Arc::new(OpenStores::default());
    let path = PathBuf::from("/data");
    let own = Place::Memory { name: None, bytes_max: None };
    let mine = open(&stores, own.clone(), options(&path)).unwrap();
    let yours = open(&stores, own, options(&path)).unwrap();
    assert!(!Arc::ptr_eq(mine.store(), yours.store()));
    let one = open(&stores, memory("one"), options(&path)).unwrap();
    let same = open(&stores, memory("one"), options(&path)).unwrap();
    let two = open(&stores, memory("two"), options(&path)).unwrap();
    assert!(Arc::ptr_eq(one.store(), same.store()));
    assert!(!Arc::ptr_eq(one.store(), two.store()));
    let small = Place::Memory { name: Some("one".to_owned()), bytes_max: Some(1 << 20) };
    assert_eq!(code(open(&stores, small, options(&path))), Some(Code::InvalidArgument));
    one.store().open_topics(&[topic("a", 1, 1, false)]).unwrap();
    for share in [&one, &same] {
        share.close().unwrap();
    }
    let anew = open(&stores, memory("one"), options(&path)).unwrap();
    let gone = anew.store().open_topics(&[topic("a", 1, 1, true)]);
    assert_eq!(code(gone), Some(Code::DataDamaged));
    for share in [mine, yours, two, anew] {
        share.close().unwrap();
    }
}

#[test]
fn a_topic_is_open_under_one_name_and_never_with_more_partitions_than_it_has() {
    let stores = Arc::new(OpenStores::default());
    let share = open(&stores, memory("names"), options(Path::new("/data"))).unwrap();
    let store = share.store();
    let number = store.open_topics(&[topic("a", 1, 2, false)]).unwrap()[0];
    for bad in [
        vec![topic("other", 1, 2, true)],
        vec![topic("a", 1, 3, true)],
        vec![topic("b", 2, 1, false), topic("b", 2, 1, false)],
    ] {
        assert_eq!(code(store.open_topics(&bad)), Some(Code::InvalidArgument));
    }
    store.add_partitions(number, 3).unwrap();
    assert_eq!(store.open_topics(&[topic("a", 1, 3, true)]), Ok(vec![number]));
    assert_eq!(store.open_topics(&[topic("b", 2, 1, false)]).map(|numbers| numbers.len()), Ok(1));
    share.close().unwrap();
}

#[test]
fn every_channel_hears_of_a_deletion_and_a_closed_one_of_nothing() {
    let stores = Arc::new(OpenStores::default());
    let share = open(&stores, memory("deletions"), options(Path::new("/data"))).unwrap();
    let store = share.store();
    let number = store.open_topics(&[topic("a", 1, 1, false)]).unwrap()[0];
    let woken = Arc::new(AtomicUsize::new(0));
    let channel = || {
        let woken = Arc::clone(&woken);
        let wake = Box::new(move || {
            woken.fetch_add(1, Ordering::Relaxed);
        });
        let channel = Channel::new(0, wake);
        store.attach(&channel);
        channel
    };
    let (one, two, closed) = (channel(), channel(), channel());
    assert!(store.watch(&closed, number, 0, 0).unwrap());
    closed.close();
    drop(channel());
    store.delete_topic(number).unwrap();
    for listening in [&one, &two] {
        let mut events = [0.0; 6];
        assert_eq!(listening.drain_into(&mut events), 3);
        assert_eq!(events[..2], [crate::layout::EVENT_UNMAP as f64, f64::from(number)]);
    }
    assert_eq!(closed.drain_into(&mut [0.0; 6]), 0);
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    share.close().unwrap();
}

/// Many threads open, use and close one directory as they like: each has the one store that is
/// open, nobody is refused, and whatever the last one left is found by the next.
#[test]
fn opening_and_closing_race_safely() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 25;
    let root = tempfile::tempdir().unwrap();
    let stores = Arc::new(OpenStores::default());
    let appended = AtomicUsize::new(0);
    open(&stores, Place::Disk, options(root.path()))
        .and_then(|share| {
            share.store().open_topics(&[topic("a", 1, 1, false)])?;
            share.close()
        })
        .unwrap();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (stores, root, appended) = (&stores, root.path(), &appended);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let share = open(stores, Place::Disk, options(root)).unwrap();
                    let topics = share.store().open_topics(&[topic("a", 1, 1, true)]).unwrap();
                    if (number + round) % 3 == 0 {
                        append(share.store(), topics[0]);
                        appended.fetch_add(1, Ordering::Relaxed);
                    }
                    share.close().unwrap();
                }
            });
        }
    });
    assert!(stores.slots.lock().is_empty(), "no slot is left behind");
    let share = open(&stores, Place::Disk, options(root.path())).unwrap();
    let topics = share.store().open_topics(&[topic("a", 1, 1, true)]).unwrap();
    let end = share.store().offsets(topics[0], 0).unwrap().log_end;
    assert_eq!(end, appended.load(Ordering::Relaxed) as u64);
    assert!(share.store().take_report().is_empty(), "every stop was clean");
    share.close().unwrap();
}
