use std::io::IoSlice;

use super::*;
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
    let mapping = file.map(0, bytes).unwrap();
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
    let mapping = Arc::new(anonymous(b"kept").map(0, 64 << 10).unwrap());
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
