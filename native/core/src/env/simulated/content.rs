//! What is in one simulated file: as the processes see it, and as the disk has it.
//!
//! A disk holds sectors. The page cache gives each sector to the disk now and then, always as it
//! is at that moment. So after a power cut each sector shows what it held after *some* operation
//! on it since the last sync, or before the first, whatever its neighbours show: that covers every
//! subset and every order of write-back, and tears writes at sectors, but never brings back half
//! of an older write over a newer one. Sizes are metadata and come and go apart from the data:
//! the size is that after some change of it, in order.

use std::{collections::BTreeMap, io, io::IoSlice, ops::Range};

use super::{Survival, time::Generator};
use crate::env::{File, descriptor::DescriptorFile};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

type Sector = [u8; SECTOR_BYTES as usize];

const ZEROS: Sector = [0; SECTOR_BYTES as usize];

/// The content of a file, twice.
pub(super) struct Content {
    /// What processes see: a file of the machine's own, so that mappings of it are real.
    live: DescriptorFile,
    durable: Image,
    pending: Vec<Operation>,
    modified: Modified,
}

/// When a file was written to last, in milliseconds since the Unix epoch; `None` where no clock is
/// set. Processes see the first, the second is on the disk, where it comes with a sync.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Modified {
    live_ms: Option<i64>,
    durable_ms: Option<i64>,
}

impl Modified {
    pub(super) fn at(ms: Option<i64>) -> Self {
        Self { live_ms: ms, durable_ms: ms }
    }
}

/// Something done to a file that the disk need not know of yet.
enum Operation {
    Write { position: u64, data: Vec<u8> },
    Resize { bytes: u64 },
}

impl Content {
    /// A file whose disk and memory agree on `durable`.
    pub(super) fn new(durable: Image, modified: Modified) -> io::Result<Self> {
        let live = DescriptorFile::anonymous()?;
        live.truncate(durable.bytes)?;
        for (index, sector) in &durable.sectors {
            let position = index * SECTOR_BYTES;
            let bytes = durable.bytes.saturating_sub(position).min(SECTOR_BYTES);
            let sector = sector.get(..bytes as usize).unwrap_or(sector);
            write_all(&live, sector, position)?;
        }
        Ok(Self { live, durable, pending: Vec::new(), modified })
    }

    /// Takes note of when the file was changed.
    pub(super) fn touch(&mut self, now_ms: Option<i64>) {
        self.modified.live_ms = now_ms;
    }

    /// When it was, as processes see it.
    pub(super) fn modified_ms(&self) -> Option<i64> {
        self.modified.live_ms
    }

    /// What processes see. Changes go through the other functions, or are told by
    /// [`Self::stored`].
    pub(super) fn live(&self) -> &DescriptorFile {
        &self.live
    }

    /// Positions of the sectors that the disk has, for counting their space.
    pub(super) fn durable_ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let sectors = self.durable.sectors.keys();
        sectors.map(|index| index * SECTOR_BYTES..(index + 1) * SECTOR_BYTES)
    }

    pub(super) fn write(&mut self, data: Vec<u8>, position: u64) -> io::Result<()> {
        let end = position.saturating_add(data.len() as u64);
        let grows = end > self.live.len()?;
        write_all(&self.live, &data, position)?;
        self.stored(data, position);
        if grows {
            self.pending.push(Operation::Resize { bytes: end });
        }
        Ok(())
    }

    /// Takes note of a store that a writable mapping has made.
    pub(super) fn stored(&mut self, data: Vec<u8>, position: u64) {
        self.pending.push(Operation::Write { position, data });
    }

    pub(super) fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.live.truncate(bytes)?;
        self.pending.push(Operation::Resize { bytes });
        Ok(())
    }

    pub(super) fn allocate(&mut self, position: u64, bytes: u64, extend: bool) -> io::Result<bool> {
        let before = self.live.len()?;
        let allocated = self.live.allocate(position, bytes, extend)?;
        let after = self.live.len()?;
        if after != before {
            self.pending.push(Operation::Resize { bytes: after });
        }
        Ok(allocated)
    }

    /// Gives everything to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.durable.apply(&self.pending, self.live.len()?);
        self.pending.clear();
        self.modified.durable_ms = self.modified.live_ms;
        Ok(())
    }

    /// What a failed sync leaves: part of the data has reached the disk, and the kernel takes the
    /// rest for written, so that no later sync brings it there. The size is in the inode, which
    /// stays dirty.
    pub(super) fn fail_sync(&mut self, random: &mut Generator) -> io::Result<()> {
        self.durable = self.anything(random);
        self.pending.clear();
        let bytes = self.live.len()?;
        if bytes != self.durable.bytes {
            self.pending.push(Operation::Resize { bytes });
        }
        Ok(())
    }

    /// What a power cut leaves.
    pub(super) fn survive(
        &self,
        survival: Survival,
        random: &mut Generator,
    ) -> io::Result<(Image, Modified)> {
        let Modified { live_ms, durable_ms } = self.modified;
        let (image, modified_ms) = match survival {
            Survival::Nothing => (self.durable.clone(), durable_ms),
            Survival::Anything => {
                let image = self.anything(random);
                let is_lost = live_ms != durable_ms && random.one_in(2);
                (image, if is_lost { durable_ms } else { live_ms })
            }
            Survival::Everything => (self.everything()?, live_ms),
        };
        Ok((image, Modified::at(modified_ms)))
    }

    fn everything(&self) -> io::Result<Image> {
        let mut image = self.durable.clone();
        image.apply(&self.pending, self.live.len()?);
        Ok(image)
    }

    fn anything(&self, random: &mut Generator) -> Image {
        let fates = Fates::draw(&self.pending, random);
        let newest = self.newest_writes(&fates, random);
        let mut image = self.durable.clone();
        for (index, operation) in self.pending.iter().enumerate() {
            let reached = |sector: u64| newest.get(&sector).is_some_and(|newest| *newest >= index);
            match operation {
                Operation::Write { position, data } => image.write(*position, data, reached),
                Operation::Resize { bytes } if fates.resizes.contains(&index) => {
                    image.resize(*bytes);
                }
                // Memory was zero behind this size, and a later write took that to the disk.
                Operation::Resize { bytes } => image.erase(*bytes, reached),
            }
        }
        image.resize(image.bytes);
        image
    }

    /// For each sector, the newest write that reached the disk there, if any did.
    fn newest_writes(&self, fates: &Fates, random: &mut Generator) -> BTreeMap<u64, usize> {
        let mut newest = BTreeMap::new();
        for (index, operation) in self.pending.iter().enumerate() {
            if let Operation::Write { position, data } = operation {
                for (sector, _, _) in pieces(*position, data) {
                    if fates.reaches(index, random) {
                        newest.insert(sector, index);
                    }
                }
            }
        }
        newest
    }
}

/// How likely an operation's sectors are to have reached the disk, of 4: 0 never, 4 always.
struct Fates {
    reaching: Vec<u64>,
    /// The changes of size up to this operation happened.
    resizes: Range<usize>,
}

impl Fates {
    /// Draws in one of three manners, as each finds mistakes that the others hardly meet: all up
    /// to a moment, whole operations here and there, or single sectors.
    fn draw(pending: &[Operation], random: &mut Generator) -> Self {
        let moment = random.below(pending.len() as u64 + 1) as usize;
        let manner = random.below(3);
        let reaching = (0..pending.len())
            .map(|index| match manner {
                0 if index < moment => 4,
                0 if index > moment => 0,
                0 => 2,
                1 => random.one_of([0, 0, 2, 4, 4]),
                _ => 2,
            })
            .collect();
        let resizes = match random.below(3) {
            0 => 0..pending.len(),
            1 => 0..moment,
            _ => 0..random.below(pending.len() as u64 + 1) as usize,
        };
        Self { reaching, resizes }
    }

    fn reaches(&self, index: usize, random: &mut Generator) -> bool {
        random.below(4) < self.reaching.get(index).copied().unwrap_or_default()
    }
}

/// A file as the disk has it. Sectors that are not there are zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    sectors: BTreeMap<u64, Sector>,
    bytes: u64,
}

impl Image {
    /// Does all `operations`. The size in the end is told, as a failed sync may have forgotten
    /// changes of it that the inode has not.
    fn apply(&mut self, operations: &[Operation], bytes: u64) {
        for operation in operations {
            match operation {
                Operation::Write { position, data } => self.write(*position, data, |_| true),
                Operation::Resize { bytes } => self.resize(*bytes),
            }
        }
        self.resize(bytes);
    }

    /// Writes `data` into those of its sectors that `reached` names; the size stays.
    fn write(&mut self, position: u64, data: &[u8], reached: impl Fn(u64) -> bool) {
        for (sector, start, piece) in pieces(position, data) {
            if reached(sector) {
                let target = self.sectors.entry(sector).or_insert(ZEROS);
                for (byte, new) in target.iter_mut().skip(start).zip(piece) {
                    *byte = *new;
                }
            }
        }
    }

    /// Sets the size. Nothing is left behind it, so that growing again shows zeros: journaling
    /// file systems see to that in the block where the file ends.
    fn resize(&mut self, bytes: u64) {
        self.erase(bytes, |_| true);
        self.bytes = bytes;
    }

    /// Zeros from `start` on, in sectors that `reached` names.
    fn erase(&mut self, start: u64, reached: impl Fn(u64) -> bool) {
        let first = start / SECTOR_BYTES;
        let kept = (start % SECTOR_BYTES) as usize;
        self.sectors.retain(|sector, data| {
            if *sector < first || !reached(*sector) {
                return true;
            }
            if *sector > first {
                return false;
            }
            data.iter_mut().skip(kept).for_each(|byte| *byte = 0);
            true
        });
    }
}

/// The parts of `data` at `position` by sector: number, first byte within it, bytes.
fn pieces(position: u64, data: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let lead = ((SECTOR_BYTES - position % SECTOR_BYTES) % SECTOR_BYTES) as usize;
    let (head, rest) = data.split_at(lead.min(data.len()));
    let first = position / SECTOR_BYTES;
    let behind = position.div_ceil(SECTOR_BYTES);
    let head = (!head.is_empty()).then_some((first, (position % SECTOR_BYTES) as usize, head));
    let rest = (behind..).zip(rest.chunks(SECTOR_BYTES as usize));
    head.into_iter().chain(rest.map(|(sector, piece)| (sector, 0, piece)))
}

fn write_all(file: &DescriptorFile, mut data: &[u8], mut position: u64) -> io::Result<()> {
    while !data.is_empty() {
        let written = file.write_at(&[IoSlice::new(data)], position)?;
        data = data.get(written..).unwrap_or_default();
        position += written as u64;
    }
    Ok(())
}
