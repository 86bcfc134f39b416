//! Checking a log that is open, step by step: what `millrace verify` asks of a running broker.

use std::sync::Arc;

use super::{Log, walk::failure};
use crate::{
    env::{File, OpenMode},
    error::{Error, Result},
    recovery::{
        scan::{Mark, ScanStart, Scanned, look},
        verify::check_records,
    },
    segment::{DamagedRange, Segment},
};

/// What one step found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyStep {
    /// Where the next step goes on; `None`: everything was checked.
    pub next_offset: Option<u64>,
    /// Records in whole batches.
    pub record_count: u64,
    /// Bytes of whole batches.
    pub bytes: u64,
    /// What is wrong and where, for people.
    pub findings: Vec<String>,
}

/// The part of a segment that is flushed, and where it begins to be checked.
struct Piece {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    from: Mark,
    end: Mark,
    next_base: Option<u64>,
    /// Where batches may begin.
    marks: Vec<Mark>,
}

impl Log {
    /// Checks what is flushed from about an offset on, about `bytes_max` of it or, where a segment
    /// has no index, all of the segment. Sets aside what is damaged, as scrubbing does. Waits for
    /// the disk. A segment that it does not read is a finding.
    ///
    /// # Errors
    /// The log's end, or [`crate::error::Code::KafkaStorageError`] where a file cannot be opened.
    pub fn verify_step(self: &Arc<Self>, from_offset: u64, bytes_max: u64) -> Result<VerifyStep> {
        if let Some(code) = self.ended() {
            return Err(Error::new(code, self.label.clone()));
        }
        let from_offset = from_offset.max(self.offsets().log_start);
        let Some(piece) = self.piece_at(from_offset)? else {
            return Ok(VerifyStep::default());
        };
        self.check_piece(&piece, from_offset, bytes_max).or_else(|error| {
            // That keeps nobody from looking at the others.
            let detail = failure(&piece.segment, &error).detail().to_owned();
            let findings = vec![format!("{detail} (not all of this segment was checked)")];
            Ok(VerifyStep { next_offset: piece.next_base, findings, ..VerifyStep::default() })
        })
    }

    fn check_piece(
        self: &Arc<Self>,
        piece: &Piece,
        from_offset: u64,
        bytes_max: u64,
    ) -> std::io::Result<VerifyStep> {
        let mut from = piece.from;
        let mut scanned = self.scan_from(piece, from, bytes_max)?;
        let first = scanned.damaged.first();
        if from.position > 0 && first.is_some_and(|range| range.from_position == from.position) {
            // It may be the index that is wrong: the batches before tell.
            from = Mark { position: 0, offset: piece.segment.base_offset };
            scanned = self.scan_from(piece, from, u64::MAX)?;
        }
        while scanned.next_offset <= from_offset && scanned.end_position < piece.end.position {
            from = Mark { position: scanned.end_position, offset: scanned.next_offset };
            scanned = self.scan_from(piece, from, bytes_max)?;
        }
        let mut step = VerifyStep::default();
        self.tell_damage(piece, &scanned, from_offset, &mut step);
        // What comes before was told of by the step before.
        let checked_from = Mark { position: from.position, offset: from_offset };
        let checked = check_records(&*piece.file, checked_from, &scanned, &mut |detail| {
            step.findings.push(format!("{detail} in {}", piece.segment.log_path().display()));
        })?;
        step.record_count = checked.record_count;
        step.bytes = checked.bytes;
        let is_through = scanned.end_position >= piece.end.position;
        step.next_offset = if is_through { piece.next_base } else { Some(scanned.next_offset) };
        if let Some(base) = piece.next_base
            && is_through
            && scanned.next_offset < base
        {
            let next_offset = scanned.next_offset;
            step.findings.push(format!("offsets {next_offset} to {base} are missing"));
        }
        Ok(step)
    }

    fn piece_at(&self, offset: u64) -> Result<Option<Piece>> {
        // As for scrubbing: the file is to be the segment's.
        let _one_at_a_time = self.upkeep.lock();
        let flushed = *self.flushed.read();
        let Some((segment, next_base)) = self.segment_of(offset) else {
            return Ok(None);
        };
        let is_flushed_to = flushed.segment_base == segment.base_offset;
        let end = match next_base {
            Some(base) if !is_flushed_to => Mark { position: segment.end_position(), offset: base },
            _ if is_flushed_to => Mark { position: flushed.position, offset: flushed.offset },
            _ => return Ok(None),
        };
        if offset >= end.offset && next_base.is_none() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| failure(&segment, &error);
        let files = &self.shared.files;
        let path = segment.log_path();
        let file = files.file_system().open(&path, OpenMode::ReadOnce).map_err(failed)?;
        let mut marks = segment.marks(files).map_err(failed)?;
        marks.sort_unstable();
        let from = marks
            .iter()
            .rfind(|mark| mark.offset <= offset && mark.position < end.position)
            .copied()
            .unwrap_or(Mark { position: 0, offset: segment.base_offset });
        Ok(Some(Piece { segment, file, from, end, next_base, marks }))
    }

    fn scan_from(&self, piece: &Piece, from: Mark, bytes_max: u64) -> std::io::Result<Scanned> {
        let is_indexed = piece.marks.iter().any(|mark| mark.position > 0);
        let stop = if is_indexed { from.position.saturating_add(bytes_max) } else { u64::MAX };
        let start = ScanStart {
            from,
            offset_max: piece.end.offset,
            has_holes: piece.segment.has_holes(),
            durable: Some(piece.end),
            marks: piece.marks.clone(),
            producers_from: u64::MAX,
            stop_position: stop.min(piece.end.position),
            ..ScanStart::at(piece.segment.base_offset, 0)
        };
        look(&*piece.file, &start, piece.segment.base_offset)
    }

    fn tell_damage(
        self: &Arc<Self>,
        piece: &Piece,
        scanned: &Scanned,
        from_offset: u64,
        step: &mut VerifyStep,
    ) {
        let path = piece.segment.log_path();
        for range in scanned.damaged.iter().filter(|range| range.to_offset > from_offset) {
            self.set_found_aside(&piece.segment, *range);
            let DamagedRange { from_offset, to_offset, from_position, to_position } = range;
            let bytes = to_position.saturating_sub(*from_position);
            step.findings.push(format!(
                "offsets {from_offset} to {to_offset} are damaged: {bytes} bytes from \
                 {from_position} on in {}",
                path.display()
            ));
        }
    }
}
