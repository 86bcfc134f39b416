use std::cell::Cell;

use super::*;

const SECTOR: usize = 512;

#[test]
fn synced_data_survives_every_crash_and_unsynced_data_some() {
    let (kept, lost) = (Cell::new(0), Cell::new(0));
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, b"old");
        write(&*file, b" and synced", 3);
        file.sync_data().unwrap();
        write(&*file, b"new", 0);
        match left(&files).as_slice() {
            b"new and synced" => kept.set(kept.get() + 1),
            b"old and synced" => lost.set(lost.get() + 1),
            other => panic!("{other:?} is neither"),
        }
    });
    assert!(kept.get() > 30 && lost.get() > 30, "{kept:?} kept, {lost:?} lost");
}

#[test]
fn the_extremes_leave_exactly_what_was_synced_or_everything() {
    let (files, file) = with_file(1, b"synced");
    write(&*file, b"later", 100);
    file.truncate(103).unwrap();
    assert_eq!(read(&files.crash_keeping_nothing().unwrap(), "file"), b"synced");
    let all = read(&files.crash_keeping_all().unwrap(), "file");
    assert_eq!((all.len(), &all[..6], &all[100..]), (103, b"synced".as_slice(), b"lat".as_slice()));
}

#[test]
fn a_large_write_is_torn_at_sectors_and_nowhere_else() {
    let torn = Cell::new(0);
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, &[0; 8 * SECTOR]);
        write(&*file, &[1; 8 * SECTOR], 0);
        let left = left(&files);
        let mut sectors = 0;
        for sector in left.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn inside of a sector");
            sectors += usize::from(sector[0]);
        }
        torn.set(torn.get() + usize::from((1..8).contains(&sectors)));
    });
    assert!(torn.get() > 30, "{torn:?} torn");
}

#[test]
fn a_later_write_may_survive_an_earlier_one_whole() {
    let reordered = Cell::new(0);
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, &[0; 16 * SECTOR]);
        write(&*file, &[1; 8 * SECTOR], 0);
        write(&*file, &[2; 8 * SECTOR], 8 * SECTOR as u64);
        let left = left(&files);
        let (first, second) = left.split_at(8 * SECTOR);
        let late = first.iter().all(|byte| *byte == 0) && second.iter().all(|byte| *byte == 2);
        reordered.set(reordered.get() + usize::from(late));
    });
    assert!(reordered.get() > 5, "{reordered:?} reordered");
}

#[test]
fn a_size_and_its_data_are_lost_independently() {
    let (size_alone, neither, both) = (Cell::new(0), Cell::new(0), Cell::new(0));
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, &[7; 10]);
        write(&*file, &[8; SECTOR], SECTOR as u64);
        let left = left(&files);
        assert_eq!(&left[..10], &[7; 10]);
        let count = match left.get(SECTOR) {
            None => {
                assert_eq!(left.len(), 10);
                &neither
            }
            Some(0) => &size_alone,
            Some(_) => &both,
        };
        count.set(count.get() + 1);
    });
    for count in [size_alone, neither, both] {
        assert!(count.get() > 20, "{count:?}");
    }
}

#[test]
fn data_whose_size_was_lost_does_not_come_back_when_the_file_grows() {
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, b"start");
        write(&*file, b"lost or not", 5);
        let files = files.crash().unwrap();
        let file = files.open(Path::new("file"), OpenMode::ReadWrite).unwrap();
        let bytes = file.len().unwrap() as usize;
        file.truncate(16).unwrap();
        file.sync_data().unwrap();
        for content in [read(&files, "file"), left(&files)] {
            assert!(content[bytes..].iter().all(|byte| *byte == 0), "{content:?}");
        }
    });
}

/// Every sector shows a moment of its own since the last sync, and the size one of its own.
#[test]
fn every_sector_shows_a_moment_since_the_last_sync() {
    const SECTORS: u64 = 6;
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, &[1; 3 * SECTOR]);
        let window = file.map_writable(0, 64 << 10).unwrap();
        let mut random = Generator::new(!seed);
        let mut moments = vec![read(&files, "file")];
        for step in 2..2 + random.below(30) as u8 {
            let position = random.below(SECTORS * 512);
            let bytes = 1 + random.below(1500);
            match random.below(8) {
                0 => file.truncate(position / 512 * 512).unwrap(),
                1 => assert!(file.allocate(position, bytes, true).unwrap()),
                2 => {
                    file.sync_data().unwrap();
                    moments.clear();
                }
                3 if position + bytes <= file.len().unwrap() => {
                    window.populate(position as usize, bytes as usize).unwrap();
                    window.store(position as usize, &[&vec![step; bytes as usize]]);
                }
                _ => write(&*file, &vec![step; bytes as usize], position),
            }
            moments.push(read(&files, "file"));
        }
        let left = left(&files);
        assert!(moments.iter().any(|moment| moment.len() == left.len()), "a size that never was");
        for (index, sector) in left.chunks(SECTOR).enumerate() {
            let shown = moments.iter().any(|moment| {
                let mut then: Vec<u8> =
                    moment.iter().skip(index * SECTOR).take(sector.len()).copied().collect();
                then.resize(sector.len(), 0);
                then == sector
            });
            assert!(shown, "sector {index} shows no moment: {:?}", &sector[..8.min(sector.len())]);
        }
    });
}

#[test]
fn stores_into_a_mapping_are_lost_unless_synced() {
    let (files, file) = with_file(3, &[0; 4096]);
    let window = file.map_writable(0, 64 << 10).unwrap();
    let mapping = file.map(0, 64 << 10, None).unwrap();
    window.populate(0, 4096).unwrap();
    window.store(0, &[b"syn", b"ced"]);
    file.sync_data().unwrap();
    window.store(1000, &[b"unsynced"]);
    assert_eq!(mapping.slice(1000..1008).unwrap(), b"unsynced");
    let nothing = read(&files.crash_keeping_nothing().unwrap(), "file");
    assert_eq!((&nothing[..6], &nothing[1000..1008]), (b"synced".as_slice(), [0; 8].as_slice()));
    let all = read(&files.crash_keeping_all().unwrap(), "file");
    assert_eq!(&all[1000..1008], b"unsynced");
}

#[test]
fn a_failed_sync_loses_data_for_good_though_it_can_still_be_read() {
    let lost = Cell::new(0);
    for_each_seed(|seed| {
        let (files, file) = with_file(seed, &[0; 4 * SECTOR]);
        write(&*file, &[1; 4 * SECTOR], 0);
        write(&*file, b"longer", 4 * SECTOR as u64);
        files.inject(Fault::new(Effect::InputOutput).on(Call::SyncData));
        let error = file.sync_data().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
        file.sync_data().unwrap();
        let seen = read(&files, "file");
        assert_eq!(seen[0], 1);
        let left = read(&files.crash_keeping_all().unwrap(), "file");
        assert_eq!(left.len(), seen.len());
        lost.set(lost.get() + usize::from(left != seen));
    });
    assert!(lost.get() > 100, "{lost:?} lost something");
}

#[test]
fn the_canary_loses_what_was_synced() {
    let files = SimulatedFileSystem::new(5);
    files.set_ignores_syncs_of(Some(""));
    let file = files.open(Path::new("file"), OpenMode::CreateNew).unwrap();
    write(&*file, b"synced", 0);
    file.sync_data().unwrap();
    files.sync_directory(Path::new("/")).unwrap();
    assert_eq!(files.crash_keeping_nothing().unwrap().list(Path::new("/")).unwrap(), []);

    let losing = SEEDS
        .filter(|seed| {
            let (files, file) = with_file(*seed, b"old");
            files.set_ignores_syncs_of(Some(""));
            write(&*file, b"new", 0);
            file.sync_data().unwrap();
            left(&files) != b"new"
        })
        .count();
    assert!(losing > 30, "{losing} seeds find the loss");
}

#[test]
fn a_machine_started_again_works_and_can_crash_again() {
    for_each_seed(|seed| {
        let (files, _) = with_file(seed, b"first");
        let second = files.crash().unwrap();
        let file = second.open(Path::new("file"), OpenMode::ReadWrite).unwrap();
        write(&*file, b" second", 5);
        file.sync_data().unwrap();
        assert_eq!(left(&second), b"first second");
    });
}

#[test]
fn what_is_left_depends_on_the_seed_alone() {
    let run = |seed| {
        let (files, file) = with_file(seed, &[0; 8 * SECTOR]);
        for step in 1..20 {
            write(&*file, &[step; 700], u64::from(step) * 100);
        }
        left(&files)
    };
    assert_eq!(run(7), run(7));
    assert!(SEEDS.into_iter().any(|seed| run(seed) != run(7)));
}
