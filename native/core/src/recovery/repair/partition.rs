//! Repairing one partition: its small files, then segment by segment.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{Repair, RepairAction, catalogue::partition_number};
use crate::{
    compaction::state::{self, CompactionState, Stored, Swap},
    env::{OpenMode, transfer::is_unreadable},
    error::{Error, Result},
    log::{Position, recover::bytes_written_behind, start},
    producer::snapshot,
    recovery::verify::Partition,
    registry::directory::{PARTITION_FILE, PartitionFile},
    segment::Segment,
};

/// A partition that is being repaired.
pub(super) struct Place {
    /// Topic and partition, for people.
    pub(super) label: String,
    /// Its directory.
    pub(super) path: PathBuf,
    /// How far it was compacted, and from where on a missing offset is damage.
    pub(super) compaction: CompactionState,
    /// How far the checkpoint says that it was flushed.
    pub(super) checkpoint: Option<Position>,
}

impl Place {
    /// An action about one of its files.
    pub(super) fn action(&self, file: &Path, detail: impl Into<String>) -> RepairAction {
        RepairAction {
            subject: self.label.clone(),
            detail: detail.into(),
            file: file.display().to_string(),
            ..RepairAction::default()
        }
    }
}

impl Repair<'_> {
    pub(super) fn partition(&mut self, partition: &Partition) -> Result<()> {
        let path = &partition.path;
        if partition.is_unfinished(self.env, self.checkpoint.as_ref())? {
            return Ok(());
        }
        self.partition_file(partition)?;
        let mut place = Place {
            label: partition.label.clone(),
            path: path.clone(),
            compaction: CompactionState::default(),
            checkpoint: self.checkpoint_of(path),
        };
        let log_start = self.start_file(&place)?;
        self.compaction_file(&mut place)?;
        let names = self.names(path)?;
        let mut bases: Vec<u64> = numbers(&names, "log").collect();
        bases.sort_unstable();
        if let Some(swap) = place.compaction.swap {
            bases.retain(|base| *base <= swap.base || *base >= swap.end);
        }
        self.leave_out_what_a_start_removes(&place, log_start, &mut bases)?;
        for (index, base_offset) in bases.iter().enumerate() {
            let next_base = bases.get(index + 1).copied();
            self.segment(&mut place, *base_offset, next_base)?;
        }
        for offset in numbers(&names, "snapshot") {
            let file = path.join(Segment::file_name(offset, "snapshot"));
            let loaded = snapshot::load(&*self.env.files, &file)
                .map_err(|error| Error::io(format_args!("reading {}", file.display()), &error))?;
            if let Some((states, _)) = &loaded {
                // A snapshot may outlive the batches of a producer that it still knows.
                let largest = states.iter().map(|(producer_id, _)| producer_id).max();
                self.producer_id_max = self.producer_id_max.max(largest.unwrap_or(-1));
            }
            if loaded.is_none_or(|(_, at)| at != offset) {
                let detail = "cannot be believed: removed, and made again from the log";
                self.remove_file(&place, &file, detail)?;
            }
        }
        Ok(())
    }

    /// Segments whose records were all deleted, and those at the end to which nothing was written:
    /// a stop came between a roll and the first append. Taken for segments that count, the latter
    /// would have offsets missing before them that nobody was ever told of.
    fn leave_out_what_a_start_removes(
        &self,
        place: &Place,
        log_start: u64,
        bases: &mut Vec<u64>,
    ) -> Result<()> {
        drop(bases.drain(..start::count_below(bases.iter().copied(), log_start)));
        while let [_, .., last] = bases.as_slice()
            && *last > log_start
            && place.checkpoint.is_none_or(|flushed| flushed.segment_base < *last)
            && self.is_unwritten(&Segment::new(&place.path, *last).log_path())?
        {
            bases.pop();
        }
        Ok(())
    }

    /// Whether a log holds nothing but zeros. What the disk does not read was written.
    fn is_unwritten(&self, path: &Path) -> Result<bool> {
        let failed =
            |error: std::io::Error| Error::io(format_args!("reading {}", path.display()), &error);
        let file = self.env.files.open(path, OpenMode::Read).map_err(failed)?;
        let file_bytes = file.len().map_err(failed)?;
        match bytes_written_behind(&*file, 0, file_bytes) {
            Err(error) if is_unreadable(&error) => Ok(false),
            written => Ok(written.map_err(failed)? == 0),
        }
    }

    fn names(&self, path: &Path) -> Result<Vec<String>> {
        let entries = self
            .env
            .files
            .list(path)
            .map_err(|error| Error::io(format_args!("listing {}", path.display()), &error))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// What the checkpoint says of the partition in a directory.
    fn checkpoint_of(&self, path: &Path) -> Option<Position> {
        let (topic_id, partition) = ids(path)?;
        let checkpoint = self.checkpoint.as_ref()?;
        checkpoint.logs.get(&(*topic_id.as_bytes(), partition)).map(|mark| mark.flushed)
    }

    /// Has the checkpoint say how far a segment that it tells of is flushed since it was written
    /// anew. Stored when all is done: what it says of the old file is believed by nobody, as that
    /// is further than the index of the new one goes, or no place where a batch of it ends.
    pub(super) fn note_flushed(&mut self, place: &Place, flushed: Position) {
        let Some((topic_id, partition)) = ids(&place.path) else { return };
        let key = (*topic_id.as_bytes(), partition);
        let logs = self.checkpoint.as_mut().map(|checkpoint| &mut checkpoint.logs);
        if let Some(mark) = logs.and_then(|logs| logs.get_mut(&key))
            && mark.flushed.segment_base == flushed.segment_base
        {
            mark.flushed = flushed;
            self.is_checkpoint_stale = true;
        }
    }

    /// Writes `partition.json` again where it cannot be read and a partition beside this one tells
    /// the topic's name.
    fn partition_file(&mut self, partition: &Partition) -> Result<()> {
        if partition.name.is_some() {
            return Ok(());
        }
        let Some((topic_id, number)) = ids(&partition.path) else { return Ok(()) };
        let topic_path = self.directory.topic(topic_id);
        let mut topic = None;
        for name in self.names(&topic_path)? {
            if let Some(file) = PartitionFile::load(self.env, &topic_path.join(name))? {
                topic = Some(file.topic);
                break;
            }
        }
        let file = partition.path.join(PARTITION_FILE);
        let subject = partition.label.clone();
        let Some(topic) = topic else {
            let detail =
                format!("{} cannot be read, and no other tells the topic's name", file.display());
            self.report.problems.push(super::Problem { subject, detail });
            return Ok(());
        };
        let salvaged_to = match self.env.files.open(&file, OpenMode::Read) {
            Ok(_) => self.keep_file(&subject, &file)?,
            Err(_) => None,
        };
        if self.is_for_real() {
            let one = number..number.saturating_add(1);
            self.directory.create_partitions(self.env, &topic, topic_id, one, 1)?;
        }
        self.tell(RepairAction {
            subject,
            detail: format!("cannot be read: written again for partition {number} of {topic}"),
            file: file.display().to_string(),
            salvaged_to,
            ..RepairAction::default()
        });
        Ok(())
    }

    /// Returns where the log starts, as far as that can be believed.
    fn start_file(&mut self, place: &Place) -> Result<u64> {
        let file = place.path.join(start::FILE_NAME);
        let failed = |error| Error::io(format_args!("reading {}", file.display()), &error);
        let stored = start::load(&*self.env.files, &place.path).map_err(failed)?;
        if stored.is_some() || !self.is_there(&file)? {
            return Ok(stored.unwrap_or(0));
        }
        let detail = "cannot be believed: removed; the log starts at its first segment, so deleted \
                      records of that segment may be read again";
        self.remove_file(place, &file, detail)?;
        Ok(0)
    }

    fn compaction_file(&mut self, place: &mut Place) -> Result<()> {
        let file = place.path.join(state::FILE_NAME);
        let failed =
            |error: std::io::Error| Error::io(format_args!("replacing {}", file.display()), &error);
        match state::load(&*self.env.files, &place.path).map_err(failed)? {
            Stored::State(stored) => place.compaction = stored,
            Stored::Unreadable => {
                // As every start takes it.
                place.compaction = CompactionState {
                    holes_below: crate::log::OFFSET_MAX,
                    ..CompactionState::default()
                };
                let salvaged_to = self.keep_file(&place.label, &file)?;
                if self.is_for_real() {
                    state::store(&*self.env.files, &place.path, &place.compaction)
                        .map_err(failed)?;
                }
                let detail = "cannot be believed: written again, saying that offsets may be \
                              missing in every segment and that nothing is compacted yet";
                self.tell(RepairAction { salvaged_to, ..place.action(&file, detail) });
            }
        }
        let Some(swap) = place.compaction.swap else { return Ok(()) };
        if self.is_for_real() {
            let names = self.names(&place.path)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            state::roll_forward(&*self.env.files, &place.path, &names, swap).map_err(failed)?;
            place.compaction.swap = None;
            state::store(&*self.env.files, &place.path, &place.compaction).map_err(failed)?;
        }
        let detail = format!(
            "a compaction was interrupted: segment {} takes the place of those before {}, as at a \
             start",
            swap.base, swap.end
        );
        self.tell(place.action(&file, detail));
        Ok(())
    }

    /// Names a segment's swap, durably, and that the segment, which ends before `end_offset`, may
    /// have holes: from then on missing offsets in it, and in those before it, are no damage.
    pub(super) fn begin_swap(
        &mut self,
        place: &mut Place,
        base_offset: u64,
        end_offset: u64,
    ) -> Result<()> {
        self.directory
            .require_format(self.env, crate::registry::format::FORMAT_VERSION_COMPACTED)?;
        let end = end_offset.max(base_offset.saturating_add(1));
        self.store_compaction(
            place,
            CompactionState {
                holes_below: place.compaction.holes_below.max(end),
                swap: Some(Swap { base: base_offset, end }),
                ..place.compaction
            },
        )
    }

    /// Says that the swap is over, durably.
    pub(super) fn end_swap(&mut self, place: &mut Place) -> Result<()> {
        self.store_compaction(place, CompactionState { swap: None, ..place.compaction })
    }

    fn store_compaction(&self, place: &mut Place, changed: CompactionState) -> Result<()> {
        state::store(&*self.env.files, &place.path, &changed)
            .map_err(|error| Error::io(format_args!("storing {}", state::FILE_NAME), &error))?;
        place.compaction = changed;
        Ok(())
    }

    /// Removes what was written of a segment whose swap did not begin. Returns whether that is
    /// sure: where it may have been named, and that cannot be taken back, the next start completes
    /// it.
    pub(super) fn give_up(&self, place: &Place, segment: &Segment) -> bool {
        let files = &*self.env.files;
        let stored = state::load(files, &place.path);
        let is_named = !stored.is_ok_and(|stored| stored == Stored::State(place.compaction));
        if is_named && state::store(files, &place.path, &place.compaction).is_err() {
            return false;
        }
        // Where that fails the next start, or repair, does it.
        drop(files.remove_file(&segment.path(state::CLEANED)));
        true
    }

    pub(super) fn is_there(&self, file: &Path) -> Result<bool> {
        match self.env.files.open(file, OpenMode::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(format_args!("opening {}", file.display()), &error)),
        }
    }

    /// Removes a file, durably, after a copy of it was kept.
    pub(super) fn remove_file(&mut self, place: &Place, file: &Path, detail: &str) -> Result<()> {
        let salvaged_to = self.keep_file(&place.label, file)?;
        if self.is_for_real() {
            self.unlink(&place.path, &[file.to_owned()])?;
        }
        self.tell(RepairAction { salvaged_to, ..place.action(file, detail) });
        Ok(())
    }

    /// Removes files of a directory, durably; those that are not there are fine.
    pub(super) fn unlink(&self, directory: &Path, files: &[PathBuf]) -> Result<()> {
        for file in files {
            match self.env.files.remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io(format_args!("removing {}", file.display()), &error));
                }
                _ => {}
            }
        }
        self.env
            .files
            .sync_directory(directory)
            .map_err(|error| Error::io(format_args!("fsync of {}", directory.display()), &error))
    }
}

/// Topic id and number of the partition whose directory this is.
fn ids(path: &Path) -> Option<(uuid::Uuid, u32)> {
    let number = partition_number(path.file_name()?.to_str()?)?;
    let topic_id = path.parent()?.file_name()?.to_str()?.parse().ok()?;
    Some((topic_id, number))
}

/// Numbers in the names of files with an extension.
fn numbers<'n>(names: &'n [String], extension: &'n str) -> impl Iterator<Item = u64> + 'n {
    names
        .iter()
        .filter_map(move |name| name.strip_suffix(extension)?.strip_suffix('.'))
        .filter(|stem| stem.len() == 20)
        .filter_map(|stem| stem.parse().ok())
}
