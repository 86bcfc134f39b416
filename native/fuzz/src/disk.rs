//! What must hold for any bytes in a file of the data directory: its decoder refuses them or gives
//! something that is safe to go on with. Files lie in memory.

use std::{path::Path, sync::Arc};

use millrace_core::{
    batch::{BatchHeader, HEADER_BYTES, header},
    compaction::state,
    env::{
        Env, File, OpenMode,
        transfer::{read_whole, write_full},
    },
    index::{SegmentIndex, file as index_file},
    journal::{
        self,
        group::{self, Group, GroupName},
        replay,
    },
    log::{Position, start},
    metadata::{self, MetadataFile},
    producer::{ProducerStates, snapshot},
    recovery::{
        checkpoint::{self, Checkpoint},
        scan::{Mark, ScanStart, ScanState, is_whole, scan},
    },
    registry::{directory::PartitionFile, format::Format},
    segment::{
        DamagedRange,
        damage::{self, KnownDamage},
    },
    space::SpaceWatch,
};

const DIRECTORY: &str = "/data";
/// The first offset of the segments that are read.
const BASE_OFFSET: u64 = 1_000;
const INDEX_ENTRY_BYTES: usize = 8;

/// A machine with one file.
fn machine(name: &str, bytes: &[u8]) -> Env {
    let env = Env::memory(None);
    env.files.create_directory(Path::new(DIRECTORY)).expect("memory has directories");
    put(&env, name, bytes);
    env
}

fn put(env: &Env, name: &str, bytes: &[u8]) {
    let path = Path::new(DIRECTORY).join(name);
    let file = env.files.open(&path, OpenMode::CreateNew).expect("it is not there yet");
    write_full(&*file, &[bytes], 0).expect("memory takes it");
}

/// The bytes with the checksum at their end made right, so that mutations get past it.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    if let Some((covered, crc)) = sealed.split_last_chunk_mut::<4>() {
        *crc = header::crc32c(covered).to_be_bytes();
    }
    sealed
}

/// An index and a time index in one: the index is as long as the first four bytes say. Both with
/// their checksums made right where `is_sealed`.
pub fn index(bytes: &[u8], is_sealed: bool) {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let (offsets, times) = rest.split_at(rest.len().min(u32::from_be_bytes(*length) as usize));
    let stored = |bytes: &[u8]| if is_sealed { sealed(bytes) } else { bytes.to_vec() };
    let env = machine("index", &stored(offsets));
    put(&env, "timeindex", &stored(times));
    let [path, time_path] = ["index", "timeindex"].map(|name| Path::new(DIRECTORY).join(name));
    let loaded = index_file::load(&*env.files, &path, &time_path).expect("memory is readable");
    let Some((index, _)) = loaded else {
        return;
    };
    assert!(index.entries().len() <= offsets.len() / INDEX_ENTRY_BYTES);
    for relative_offset in [0, 1, u32::MAX] {
        index.at_or_before(relative_offset);
    }
    for timestamp_ms in [i64::MIN, -1, 0, i64::MAX] {
        index.before_time(timestamp_ms);
    }
    // What is noted behind an index that was loaded.
    let mut index = index;
    index.note(u32::MAX, u32::MAX, 100, i64::MAX, 0);
}

/// A producers' snapshot: what is taken over is stored again as it was.
pub fn producers(bytes: &[u8]) {
    let env = machine("snapshot", bytes);
    let path = Path::new(DIRECTORY).join("snapshot");
    let load = || snapshot::load(&*env.files, &path).expect("memory is readable");
    let Some((mut states, offset)) = load() else {
        return;
    };
    snapshot::store(&*env.files, &path, &states, offset).expect("what was loaded can be stored");
    assert_eq!(load(), Some((states.clone(), offset)));
    states.expire(0);
}

/// A checkpoint: what is taken over is stored again as it was.
pub fn checkpoint(bytes: &[u8]) {
    let env = machine(checkpoint::FILE_NAME, bytes);
    let load = || Checkpoint::load(&*env.files, Path::new(DIRECTORY)).expect("memory is readable");
    let Some(loaded) = load() else {
        return;
    };
    loaded.store(&*env.files, Path::new(DIRECTORY)).expect("what was loaded can be stored");
    assert_eq!(load(), Some(loaded));
}

/// A group of the flush journal with entries of two logs.
pub fn journaled(batches: &[u8], offsets: u64) -> Vec<u8> {
    let name = GroupName { nonce: [1; 16], sequence: 0 };
    let mut group = Group::new(Vec::new(), name, group::GROUP_BYTES_MAX, 64 << 10);
    let header = BatchHeader::read(batches).expect("it is a batch");
    let from = u64::try_from(header.base_offset).expect("it has an offset");
    for partition in 0..2 {
        let from = Position { offset: from, segment_base: 0, position: 4096 };
        let offset = from.offset + offsets;
        let to = Position { offset, position: 4096 + batches.len() as u64, ..from };
        let is_added = group.add(([7; 16], partition), from, to, |place| {
            place.copy_from_slice(batches);
            true
        });
        assert!(is_added, "it holds whole batches");
    }
    let bytes = group.finish();
    let (_, length) = group::head(bytes).expect("it is a group");
    bytes.get(..length as usize).expect("it is as long as it says").to_vec()
}

/// A group of the flush journal, and a file that begins with it: what is taken over lies within it,
/// and is the same each time.
pub fn journal(bytes: &[u8]) {
    if let Some((name, entries)) = group::parse(bytes) {
        assert_eq!(group::head(bytes).map(|(name, _)| name), Some(name));
        for entry in entries {
            let end = entry.at.checked_add(entry.bytes as usize).expect("it is in bounds");
            let batches = bytes.get(entry.at..end).expect("it lies in the group");
            let header = BatchHeader::read(batches).expect("an entry begins with a batch");
            assert!(header.batch_bytes() <= batches.len());
            assert!(entry.end().position >= entry.position);
            assert!(entry.next_offset > header.base_offset.unsigned_abs());
        }
    }
    let env = Env::memory(None);
    let directory = Path::new(DIRECTORY).join(journal::DIRECTORY);
    env.files.create_directory(&directory).expect("memory has directories");
    let this = journal::Use { number: 1, nonce: [1; 16] };
    let file = [&journal::header(this)[..], &[0; 4096 - journal::HEADER_BYTES], bytes].concat();
    put(&env, &format!("{}/0", journal::DIRECTORY), &file);
    let found = replay::find(&*env.files, Path::new(DIRECTORY), false).expect("memory is readable");
    let again = replay::find(&*env.files, Path::new(DIRECTORY), false).expect("memory is readable");
    assert_eq!(found.groups, again.groups);
    assert!(found.is_empty() || found.groups > 0);
}

/// `compaction.json` as it is stored in the middle of a swap.
pub fn compaction() -> Vec<u8> {
    let env = Env::memory(None);
    let directory = Path::new(DIRECTORY);
    env.files.create_directory(directory).expect("memory has directories");
    let swap = Some(state::Swap { base: 100, end: 900 });
    let compacted = state::CompactionState {
        holes_below: 900,
        clean_below: 1_200,
        swap,
        undecided_from: Some(300),
    };
    state::store(&*env.files, directory, &compacted).expect("memory takes it");
    contents(&env, state::FILE_NAME)
}

/// A file of damaged ranges as it is stored.
pub fn known_damage() -> Vec<u8> {
    let env = Env::memory(None);
    let directory = Path::new(DIRECTORY);
    env.files.create_directory(directory).expect("memory has directories");
    let ranges = [7, 20, 500].map(|offset| DamagedRange {
        from_offset: offset,
        to_offset: offset + 2,
        from_position: 100 * offset,
        to_position: 100 * offset + 150,
    });
    damage::store(&*env.files, directory, "0.damage", &ranges).expect("memory takes it");
    contents(&env, "0.damage")
}

fn contents(env: &Env, name: &str) -> Vec<u8> {
    let path = Path::new(DIRECTORY).join(name);
    let bytes = read_whole(&*env.files, &path, 1 << 20).expect("memory is readable");
    bytes.expect("it was just written")
}

/// A file of damaged ranges: what is taken over is stored again as it was.
pub fn damaged_ranges(bytes: &[u8]) {
    let env = machine("0.damage", bytes);
    let directory = Path::new(DIRECTORY);
    let load = || damage::load(&*env.files, &directory.join("0.damage")).expect("readable");
    let KnownDamage::Ranges(ranges) = load() else {
        return;
    };
    damage::store(&*env.files, directory, "0.damage", &ranges).expect("it can be stored again");
    assert_eq!(load(), KnownDamage::Ranges(ranges));
}

/// Files of JSON: `start.json`, `compaction.json`, `partition.json`, `format.json`.
pub fn json(bytes: &[u8]) {
    let env = machine(state::FILE_NAME, bytes);
    let stored = state::load(&*env.files, Path::new(DIRECTORY)).expect("memory is readable");
    if let state::Stored::State(state) = stored {
        state::store(&*env.files, Path::new(DIRECTORY), &state).expect("memory takes it");
        let again = state::load(&*env.files, Path::new(DIRECTORY)).expect("memory is readable");
        assert_eq!(again, stored);
    }
    let env = machine(start::FILE_NAME, bytes);
    start::load(&*env.files, Path::new(DIRECTORY)).expect("memory is readable");
    let env = machine("partition.json", bytes);
    PartitionFile::load(&env, Path::new(DIRECTORY)).expect("memory is readable");
    if let Ok(format) = Format::parse(bytes) {
        format.store(&env, Path::new(DIRECTORY)).expect("memory takes it");
        assert_eq!(Format::parse(&contents(&env, "format.json")), Ok(format));
    }
}

/// The metadata file: refused, or its entries and counters can be read and changed.
pub fn metadata(bytes: &[u8]) {
    let env = machine(metadata::FILE_NAME, bytes);
    let space = SpaceWatch::open(Arc::clone(&env.files), Path::new(DIRECTORY))
        .expect("memory tells its space");
    let Ok(file) = MetadataFile::open(&env, Path::new(DIRECTORY), space) else {
        return;
    };
    // What is damaged may show only when it is read; then it is an error.
    let Ok(content) = file.load() else {
        return;
    };
    let _refused = file.commit(content.epoch, &[("key".to_owned(), Some(b"value".to_vec()))]);
    let _refused = file.raise_leader_epoch();
    let _refused = file.allocate_producer_ids(1);
}

/// A segment: what the scan calls whole is whole, and it comes to an end.
pub fn segment(bytes: &[u8]) {
    let env = machine("log", bytes);
    let file = env
        .files
        .open(&Path::new(DIRECTORY).join("log"), OpenMode::Read)
        .expect("it was just written");
    let mut start = ScanStart::at(BASE_OFFSET, 0);
    check_scan(&*file, bytes, &start, true);
    // Marks as a wrong index gives them, and a checkpoint that covers what is not there.
    let middle = bytes.len() as u64 / 2;
    start.marks = (0..4)
        .map(|count| Mark { position: middle * count, offset: BASE_OFFSET + count })
        .collect();
    start.durable = Some(Mark { position: middle * 3, offset: BASE_OFFSET + 500 });
    check_scan(&*file, bytes, &start, true);
    start.believed_position = u64::MAX;
    check_scan(&*file, bytes, &start, false);
}

fn check_scan(file: &dyn File, bytes: &[u8], start: &ScanStart, is_verified: bool) {
    let mut index = SegmentIndex::default();
    let mut producers = ProducerStates::default();
    let mut state = ScanState {
        index: &mut index,
        producers: &mut producers,
        index_interval_bytes: 64,
        base_offset: BASE_OFFSET,
    };
    let scanned = scan(file, start, &mut state).expect("memory is readable");
    let (mut position, mut offset) = (0, BASE_OFFSET);
    let mut damaged = scanned.damaged.iter().peekable();
    loop {
        if let Some(range) = damaged.next_if(|range| range.from_position == position) {
            assert_eq!(range.from_offset, offset, "a range begins where the batches end");
            assert!(range.to_offset > offset && range.to_position >= position);
            (position, offset) = (range.to_position, range.to_offset);
            continue;
        }
        if position >= scanned.end_position {
            break;
        }
        let at = usize::try_from(position).expect("it is below the end of the file");
        let header = BatchHeader::read(&bytes[at..at + HEADER_BYTES]).expect("it was counted");
        assert_eq!(header.base_offset, i64::try_from(offset).expect("offsets are 63 bits"));
        let place = Mark { position, offset };
        assert!(!is_verified || is_whole(file, place, false).expect("memory is readable"));
        position += header.batch_bytes() as u64;
        offset += u64::try_from(header.last_offset_delta).expect("it was counted") + 1;
    }
    assert_eq!((position, offset), (scanned.end_position, scanned.next_offset));
    assert!(scanned.end_position <= bytes.len() as u64);
}
