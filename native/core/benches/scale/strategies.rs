//! Ways to make a group of files durable, side by side and outside of the engine: each file of the
//! group got one append, and all of them have to be on the disk before anybody is told.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::Mutex,
    time::Instant,
};

use crate::{
    machine::{Usage, device_bytes_written},
    milliseconds,
};

const APPEND_BYTES: usize = 1100;
const ROUNDS: u32 = 60;
const JOURNAL_BYTES: u64 = 256 << 20;

#[derive(Debug, Clone, Copy)]
enum Strategy {
    /// fdatasync of every file by so many threads.
    Threads(usize),
    /// One syncfs.
    SyncFileSystem,
    /// All appends once more into one sequential file, and one fdatasync of that; the files are
    /// synced when the journal is full, which counts to the device but not to the acks.
    Journal,
}

pub(crate) fn compare(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let strategies = [
        Strategy::Threads(1),
        Strategy::Threads(16),
        Strategy::Threads(32),
        Strategy::SyncFileSystem,
        Strategy::Journal,
    ];
    println!("files | strategy | p50 ms | p99 ms | CPU ms a group | device KiB a group");
    for count in [1, 10, 100, 1000] {
        let files: Vec<File> =
            (0..count).map(|number| open(&directory.join(format!("{number}.log")))).collect();
        let mut group = Group { files, end: 0, journal: journal(directory), journal_end: 0 };
        let mut results = strategies.map(|strategy| (strategy, Measured::default()));
        // In turns, so that what others do to the disk meets all alike.
        for _ in 0..ROUNDS.min(20_000 / count) / 5 {
            for (strategy, measured) in &mut results {
                if !(matches!(strategy, Strategy::Threads(1)) && count > 100) {
                    group.rounds(*strategy, 5, measured);
                }
            }
        }
        for (strategy, measured) in results {
            measured.print(count, strategy);
        }
    }
}

#[derive(Default)]
struct Measured {
    times_ms: Vec<f64>,
    cpu_ms: u64,
    device_bytes: u64,
}

impl Measured {
    fn print(mut self, count: u32, strategy: Strategy) {
        self.times_ms.sort_unstable_by(f64::total_cmp);
        let groups = self.times_ms.len();
        let Some(last) = groups.checked_sub(1) else { return };
        println!(
            "{count} | {strategy:?} | {:.2} | {:.2} | {:.2} | {}",
            self.times_ms[groups / 2],
            self.times_ms[last.min(groups * 99 / 100)],
            self.cpu_ms as f64 / groups as f64,
            (self.device_bytes / groups as u64) >> 10
        );
    }
}

struct Group {
    files: Vec<File>,
    end: u64,
    journal: File,
    journal_end: u64,
}

impl Group {
    fn rounds(&mut self, strategy: Strategy, rounds: u32, measured: &mut Measured) {
        let (usage, device) = (Usage::now(), device_bytes_written());
        for _ in 0..rounds {
            let append = [7; APPEND_BYTES];
            for file in &self.files {
                file.write_all_at(&append, self.end).unwrap();
            }
            self.end += APPEND_BYTES as u64;
            let start = Instant::now();
            self.sync(strategy);
            measured.times_ms.push(milliseconds(start.elapsed()));
        }
        if matches!(strategy, Strategy::Journal) {
            self.sync(Strategy::Threads(16));
        }
        measured.cpu_ms += Usage::now().since(&usage).cpu_ms();
        measured.device_bytes += device_bytes_written() - device;
    }

    fn sync(&mut self, strategy: Strategy) {
        match strategy {
            Strategy::Threads(1) => {
                self.files.iter().for_each(|file| file.sync_data().unwrap());
            }
            Strategy::Threads(threads) => {
                let files = Mutex::new(self.files.iter());
                std::thread::scope(|scope| {
                    for _ in 0..threads.min(self.files.len()) {
                        scope.spawn(|| {
                            loop {
                                let next = files.lock().unwrap().next();
                                let Some(file) = next else { return };
                                file.sync_data().unwrap();
                            }
                        });
                    }
                });
            }
            Strategy::SyncFileSystem => {
                rustix::fs::syncfs(self.files.first().unwrap()).unwrap();
            }
            Strategy::Journal => {
                let bytes = vec![7; APPEND_BYTES * self.files.len()];
                if self.journal_end + bytes.len() as u64 > JOURNAL_BYTES {
                    self.journal_end = 0;
                }
                self.journal.write_all_at(&bytes, self.journal_end).unwrap();
                self.journal_end += bytes.len() as u64;
                self.journal.sync_data().unwrap();
            }
        }
    }
}

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true).open(path).unwrap()
}

/// A file whose blocks are there and written, so that a sync has no metadata to store.
fn journal(directory: &Path) -> File {
    let file = open(&directory.join("journal"));
    let zeros = vec![0; 1 << 20];
    for position in (0..JOURNAL_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, position).unwrap();
    }
    file.sync_all().unwrap();
    file
}
