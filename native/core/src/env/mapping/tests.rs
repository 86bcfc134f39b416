use std::io::IoSlice;

use super::{slots::Slots, *};
use crate::env::{File, WritableMapping, descriptor::DescriptorFile};

fn anonymous(content: &[u8]) -> DescriptorFile {
    let file = DescriptorFile::anonymous().unwrap();
    file.write_at(&[IoSlice::new(content)], 0).unwrap();
    file
}

#[test]
#[should_panic(expected = "a store leaves its window")]
fn a_store_across_the_end_of_its_window_panics() {
    let file = anonymous(&[0; 128 << 10]);
    let window = file.map_writable(0, 64 << 10).unwrap();
    window.populate(0, 64 << 10).unwrap();
    window.store((64 << 10) - 3, &[b"ab", b"cd"]);
}

#[test]
fn a_range_longer_than_one_call_of_mincore_is_asked_about_whole() {
    let bytes = (RESIDENT_PAGES_PER_CALL_MAX + 3) * *PAGE_BYTES;
    let file = DescriptorFile::anonymous().unwrap();
    file.truncate(bytes as u64).unwrap();
    let mapping = file.map(0, bytes, None).unwrap();
    mapping.populate(0..bytes - *PAGE_BYTES).unwrap();
    let resident = bytes - *PAGE_BYTES;
    assert_eq!(mapping.resident(0..resident).unwrap(), resident);
    assert_eq!(mapping.resident(0..bytes).unwrap(), resident);
    assert_eq!(mapping.resident(17..bytes).unwrap(), resident - 17);
    assert_eq!(mapping.resident(resident + 5..bytes).unwrap(), 0);
    assert_eq!(mapping.resident(17..17).unwrap(), 0);
}

#[test]
fn reading_in_covers_the_range_and_reports_the_end_of_the_file() {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), vec![9; 200_000]).unwrap();
    let file = path.reopen().unwrap().into();
    read_in(&file, 0, 1 << 20, &(0..200_000)).unwrap();
    read_in(&file, 65_536, 1 << 20, &(0..134_464)).unwrap();
    assert!(read_in(&file, 65_536, 1 << 20, &(0..134_465)).is_err());
    assert!(read_in(&file, 0, 100, &(0..101)).is_err());
}

#[test]
fn a_mapping_can_be_read_from_other_threads_and_outlives_its_file() {
    let mapping = Arc::new(anonymous(b"kept").map(0, 64 << 10, None).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mapping = Arc::clone(&mapping);
            std::thread::spawn(move || mapping.slice(0..4).unwrap().to_vec())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), b"kept");
    }
    let window = anonymous(&[0; 100]).window(0, 64 << 10).unwrap();
    window.populate(0, 4).unwrap();
    window.store(0, &[b"more"]);
}

/// What a reader sees that kept an address of a slot.
fn at(addresses: &slots::Addresses, bytes: usize) -> Vec<u8> {
    assert!(bytes <= addresses.bytes());
    // SAFETY: a slot can be read at any time, as far as a file that is placed there goes; no other
    // thread places one during the call.
    unsafe { slice::from_raw_parts(addresses.as_ptr(), bytes) }.to_vec()
}

#[test]
fn a_slot_shows_one_mapping_after_the_other_and_zeros_in_between() {
    let slots = Slots::new(128 << 10, 4);
    let (first, second) = (anonymous(b"first"), anonymous(b"second"));
    let mapping = first.map(0, 128 << 10, slots.take()).unwrap();
    let slot = mapping.slot().unwrap();
    let (number, addresses) = (slot.number(), Arc::clone(slot.addresses()));
    assert_eq!(mapping.as_ptr(), addresses.as_ptr());
    assert_eq!(mapping.slice(0..5).unwrap(), b"first");
    // What is in use is not for others.
    let other = second.map(0, 64 << 10, slots.take()).unwrap();
    assert_ne!(other.slot().unwrap().number(), number);
    assert_eq!(at(&addresses, 5), b"first");
    drop(mapping);
    assert_eq!(at(&addresses, 128 << 10), [0; 128 << 10]);
    // The one behind it, in a smaller mapping: the rest of the slot stays as it was.
    second.write_at(&[IoSlice::new(b"behind")], 64 << 10).unwrap();
    let mapping = second.map(64 << 10, 64 << 10, slots.take()).unwrap();
    assert_eq!(mapping.slot().unwrap().number(), number);
    assert_eq!(mapping.slice(0..(64 << 10) + 1), None);
    assert_eq!(at(&addresses, 6), b"behind");
    assert_eq!(slots.made_count(), 2);
    // Whoever has the addresses keeps them, whatever ends before.
    drop((mapping, slots));
    assert_eq!(at(&addresses, 128 << 10), [0; 128 << 10]);
}

#[test]
fn there_are_no_more_slots_than_allowed_and_a_mapping_that_fails_costs_none() {
    let slots = Slots::new(64 << 10, 2);
    let file = anonymous(b"kept");
    let kept = file.map(0, 64 << 10, slots.take()).unwrap();
    for (position, bytes) in [(0, 128 << 10), (0, 0), (4096, 4096)] {
        let error = file.map(position, bytes, slots.take()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let last = slots.take().unwrap();
    assert!(slots.take().is_none());
    assert_eq!(slots.made_count(), 2);
    let number = last.number();
    drop(last);
    assert_eq!(slots.take().unwrap().number(), number);
    assert_eq!(kept.slice(0..4).unwrap(), b"kept");
}
