use super::*;
use crate::env::{
    simulated::{Call, Effect, Fault, SimulatedFileSystem},
    transfer::write_full,
};

fn open(env: &Env, directory: &Path) -> Result<MetadataFile> {
    let space = SpaceWatch::open(Arc::clone(&env.files), directory)?;
    MetadataFile::open(env, directory, space)
}

#[test]
fn commits_are_guarded_by_their_epoch_and_survive_a_reopen() {
    let env = Env::memory(None);
    let directory = Path::new("/data");
    env.files.create_directory(directory).unwrap();
    let change = |key: &str, value: &str| (key.to_owned(), Some(value.as_bytes().to_vec()));
    {
        let metadata = open(&env, directory).unwrap();
        assert_eq!(metadata.commit(0, &[change("a", "1"), change("b", "2")]), Ok(1));
        let stale = metadata.commit(0, &[change("a", "9")]).unwrap_err();
        assert_eq!(stale.code(), Code::InvalidRequest);
        assert_eq!(metadata.commit(1, &[("b".to_owned(), None)]), Ok(2));
        assert_eq!(metadata.producer_ids_end(), 0);
        assert_eq!(metadata.allocate_producer_ids(1000), Ok(0));
        assert_eq!(metadata.producer_ids_end(), 1000);
        assert_eq!(metadata.raise_leader_epoch(), Ok(1));
    }
    let metadata = open(&env, directory).unwrap();
    let entries = vec![("a".to_owned(), b"1".to_vec())];
    assert_eq!(metadata.load(), Ok(Content { epoch: 2, entries }));
    assert_eq!(metadata.producer_ids_end(), 1000);
    assert_eq!(metadata.allocate_producer_ids(1), Ok(1000));
    assert_eq!(metadata.leader_epoch(), Ok(1));
    metadata.close();
    let refusal = metadata.allocate_producer_ids(1).unwrap_err();
    assert_eq!(refusal.code(), Code::ShuttingDown);
    assert_eq!(metadata.producer_ids_end(), 1001);
}

#[test]
fn a_file_that_is_not_ours_is_damage() {
    let env = Env::memory(None);
    let directory = Path::new("/data");
    env.files.create_directory(directory).unwrap();
    let path = directory.join(FILE_NAME);
    let file = env.files.open(&path, OpenMode::OpenOrCreate).unwrap();
    write_full(&*file, &[&[b'x'; 100_000]], 0).unwrap();
    let refusal = open(&env, directory).err().map(|error| error.code());
    assert_eq!(refusal, Some(Code::DataDamaged));
}

fn directory_of(env: &Env) -> &'static Path {
    let directory = Path::new("/data");
    env.files.create_directory(directory).unwrap();
    env.files.sync_directory(Path::new("/")).unwrap();
    directory
}

/// A change of one key to so many bytes.
fn filled(byte: u64, bytes: usize) -> Vec<Change> {
    vec![("key".to_owned(), Some(vec![u8::try_from(byte % 251).unwrap(); bytes]))]
}

#[test]
fn a_full_disk_still_takes_changes_and_a_refused_one_leaves_the_others_alone() {
    for is_started_full in [false, true] {
        let files = SimulatedFileSystem::new(1);
        files.set_capacity_bytes(Some(64 << 20));
        let env = files.env();
        let directory = directory_of(&env);
        let mut metadata = open(&env, directory).unwrap();
        assert_eq!(metadata.commit(0, &filled(0, 100)), Ok(1));
        // Another takes all that is left.
        let other = env.files.open(Path::new("/other"), OpenMode::CreateNew).unwrap();
        let available = env.files.space(directory).unwrap().available_bytes;
        assert!(other.allocate(0, available, true).unwrap());
        if is_started_full {
            metadata.close();
            metadata = open(&env, directory).unwrap();
        }
        for epoch in 1..200 {
            assert_eq!(metadata.commit(epoch, &filled(epoch, 1000)), Ok(epoch + 1));
        }
        let refusal = metadata.commit(200, &filled(1, 1 << 20)).unwrap_err();
        assert_eq!(refusal.code(), Code::DiskFull);
        assert_eq!(metadata.commit(200, &filled(200, 100)), Ok(201));
        let entries = vec![("key".to_owned(), vec![200; 100])];
        assert_eq!(metadata.load(), Ok(Content { epoch: 201, entries }));
        other.truncate(0).unwrap();
        assert_eq!(metadata.commit(201, &filled(1, 1 << 20)), Ok(202));
    }
}

#[test]
fn a_call_that_fails_changes_nothing_and_the_next_one_goes_on() {
    for effect in [Effect::InputOutput, Effect::NoSpace] {
        for call in [Call::Write, Call::SyncData, Call::Truncate, Call::Allocate] {
            for nth in 1..40 {
                let files = SimulatedFileSystem::new(nth);
                let env = files.env();
                let directory = directory_of(&env);
                let metadata = open(&env, directory).unwrap();
                assert_eq!(metadata.commit(0, &filled(1, 100)), Ok(1));
                files.inject(Fault::new(effect).on(call).at(nth));
                let mut expected = Content { epoch: 1, entries: kept(&filled(1, 100)) };
                for round in 2..12 {
                    // Sometimes more than the file has room for.
                    let changes = filled(round, if round % 3 == 0 { 200_000 } else { 100 });
                    let committed = metadata.commit(expected.epoch, &changes);
                    if let Ok(epoch) = committed {
                        expected = Content { epoch, entries: kept(&changes) };
                    }
                    let found = metadata.load().unwrap();
                    assert_eq!(found, expected, "{effect:?} of {call:?} {nth}: {committed:?}");
                }
                files.clear_faults();
                drop(metadata);
                let files = files.crash_keeping_nothing().unwrap();
                let metadata = open(&files.env(), directory).unwrap();
                assert_eq!(metadata.load(), Ok(expected), "{effect:?} of {call:?} {nth}, cut");
            }
        }
    }
}

/// What the changes leave of a file that had nothing else.
fn kept(changes: &[Change]) -> Vec<(String, Vec<u8>)> {
    changes.iter().map(|(key, value)| (key.clone(), value.clone().unwrap())).collect()
}
